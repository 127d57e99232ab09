//! What both drivers owe to a submitter, as one suite that runs on each of them.
//!
//! Where the kernel refuses io_uring its tests are skipped, and say why; where it does not, a
//! driver that cannot be made is a failure.

#[cfg(test)]
mod files;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod wakeups;
