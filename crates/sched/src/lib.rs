//! I/O contexts and the order of their commands. Pure: no clock, no I/O; time is an argument.
//!
//! [`directory`] knows every context of the process by its key, [`arena`] is one submitter's part
//! of them, [`accounts`] what each has used, [`scheduler`] decides which command is next
//! ([`fair`]: everybody by their shares, [`fifo`]: first come, first served), [`correction`] what
//! its request costs.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod arena;
mod backlog;
pub mod busy;
mod calendar;
mod class;
pub mod company;
pub mod correction;
pub mod cost;
pub mod directory;
pub mod fair;
pub mod fifo;
mod flow;
mod heap;
pub mod histogram;
mod order;
mod rates;
mod ring;
pub mod scheduler;
pub mod seats;
pub mod settings;
mod table;
pub mod window;

/// Names a context. A name outlives its context without dangling: once the context is released the
/// generation moves on and the name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContextId {
    /// Place in the tables.
    pub index: u32,
    /// Which user of that place.
    pub generation: u32,
}

/// Nanoseconds on a clock that never goes back; where it starts does not matter.
pub type Nanos = u64;
