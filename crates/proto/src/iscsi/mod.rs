//! iSCSI full-feature phase of one connection, error recovery level 0. Spec: RFC 7143.
//!
//! [`connection::Connection`] routes; each concern has its own file: [`reader`] cuts PDUs out of
//! the byte stream, [`window`] orders commands, [`task`] follows the data of one task, [`outbox`]
//! turns answers into frames.

pub mod ahs;
pub mod bhs;
pub mod connection;
pub mod digest;
pub mod outbox;
pub mod parameters;
pub mod reader;
pub mod task;
pub mod window;
