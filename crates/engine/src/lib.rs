//! The data plane of fairlead: everything that touches the kernel.
//!
//! [`engine::Engine`] is its handle. A [`submitter`] is one thread of the global pool; it drives
//! [`session`]s through a [`driver`], carries commands out as [`program`]s on [`volume`]s, each in
//! its I/O context. [`calibration`] measures a device. `unsafe` lives in this crate alone.

pub mod attentions;
pub mod batch;
pub mod buffer;
pub mod calibration;
pub mod clock;
pub mod crew;
pub mod driver;
pub mod engine;
pub mod kernel;
pub mod mailbox;
pub mod message;
pub mod operation;
pub mod passthrough;
pub mod program;
pub mod reservation;
pub mod session;
pub mod shared;
pub mod submitter;
pub mod volume;
