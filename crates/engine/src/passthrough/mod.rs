//! Pass-through: a command goes down as it came, and what the device says comes back as it is.
//!
//! A [`Link`] is one submitter's way to a device: descriptors of its own and the commands that are out
//! on them. Nothing is shared between submitters, and no call waits. Who the commands are for is the
//! submitter's business: it enters the context, and calls [`Link::submit`].

mod device;
pub mod iscsi;
mod outcome;
mod rules;
mod sg;
mod single;

pub use device::{Device, Settings, Whereabouts, open_link};
pub use outcome::{Failure, Outcome, SENSE_BYTES_MAX, attention_in};
pub use rules::{Rule, Rules, Treatment, asks_for_aca, whole_cdb};
pub use sg::SgLink;
pub use single::Single;

use fairlead_sched::Nanos;
use std::os::fd::RawFd;

/// Longest CDB that is passed on: that of VARIABLE LENGTH commands of SBC.
pub const CDB_BYTES_MAX: usize = 32;

/// Which way a command's data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// There is none.
    None,
    /// From the device.
    In,
    /// To the device.
    Out,
}

/// A command for a device. The memory at `address` is the link's until the command is over.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its CDB, zeroes behind the end.
    pub cdb: [u8; CDB_BYTES_MAX],
    /// How long it is, 6..=32.
    pub cdb_bytes: u8,
    /// Which way its data goes.
    pub direction: Direction,
    /// Its data.
    pub address: *mut u8,
    /// How much there is room for, or is to be sent.
    pub length_bytes: u32,
    /// How long it may take before it is aborted.
    pub timeout_ns: Nanos,
}

// SAFETY: the address is a number to everybody but who carries the command out; who made the command
// keeps the memory alive until its end.
unsafe impl Send for Command {}

/// What is to be watched for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Which descriptor.
    pub fd: RawFd,
    /// `POLLIN`, `POLLOUT`, or both.
    pub events: i16,
}

/// One submitter's way to a device. One thread uses it, and no method waits for the device. (Linux's
/// sg driver may wait for a place of the host adapter's queue, which other devices of it can fill.)
///
/// A command that was submitted ends exactly once, in [`Link::ready`] or [`Link::tick`], whatever
/// becomes of the device; until then its memory is in use.
pub trait Link: Send {
    /// Sends a command.
    ///
    /// # Errors
    /// It was not sent, and never will be.
    fn submit(&mut self, token: u64, command: &Command, now: Nanos) -> Result<(), Failure>;

    /// Gives up a command that is out: it ends as soon as the device lets go of it.
    fn abort(&mut self, token: u64, now: Nanos) {
        let _ = (token, now);
    }

    /// What to watch for now. Asked after every other call; the answer may change.
    fn watches(&self, watches: &mut Vec<Watch>);

    /// A descriptor has what it was watched for (`POLLIN`, `POLLERR`...); `over` is told of every
    /// command that has ended.
    fn ready(&mut self, fd: RawFd, events: i16, now: Nanos, over: &mut dyn FnMut(u64, Outcome));

    /// Time has passed.
    fn tick(&mut self, now: Nanos, over: &mut dyn FnMut(u64, Outcome)) {
        let _ = (now, over);
    }

    /// When [`Self::tick`] has to be called next.
    fn next_at(&self) -> Option<Nanos> {
        None
    }

    /// Why the device cannot be reached now; `None`: it can, or that is not known yet.
    fn trouble(&self) -> Option<&str> {
        None
    }

    /// Sessions that it has had. With each it is a new nexus to the device, which says so once.
    fn sessions(&self) -> u32 {
        0
    }

    /// It leads nowhere any more, and nothing is out on it.
    fn is_over(&self) -> bool {
        false
    }

    /// Commands that may be out at a time.
    fn commands_max(&self) -> usize;
}

/// The way to nowhere.
struct Closed;

impl Link for Closed {
    fn submit(&mut self, _token: u64, _command: &Command, _now: Nanos) -> Result<(), Failure> {
        Err(Failure::Gone)
    }

    fn watches(&self, _watches: &mut Vec<Watch>) {}

    fn ready(&mut self, _: RawFd, _: i16, _: Nanos, _: &mut dyn FnMut(u64, Outcome)) {}

    fn commands_max(&self) -> usize {
        0
    }
}
