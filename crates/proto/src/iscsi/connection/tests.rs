//! Tests of the connection, by concern, with an initiator in memory.

mod aborts;
mod bounds;
mod bytes;
mod initiator;
mod numbering;
mod reads;
mod requests;
mod writes;
