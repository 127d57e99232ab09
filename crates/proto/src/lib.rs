//! Protocol cores of fairlead: bytes in, events and bytes out.
//!
//! Nothing here does I/O or reads a clock. [`iscsi`] is the full-feature phase of one connection,
//! [`scsi`] the command table, CDB parsing and sense data.
#![forbid(unsafe_code)]

pub mod iscsi;
pub mod scsi;
