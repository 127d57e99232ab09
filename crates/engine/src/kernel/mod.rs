//! The kernel's own I/O contexts: so that an elevator below us sees who I/O is for.
//!
//! The kernel knows a request by the thread that enters the system call: its io_context, its
//! priority, its cgroup. There is no call to take on another thread's. So each context gets a
//! [`keeper`], a thread that sleeps and owns an io_context, and where a submitter wants to submit in
//! it, a [`ring`] that the keeper enters. Choosing the ring chooses the io_context; closing it and
//! ending the keeper runs the kernel's own exit path. The [`steward`] makes and ends keepers. None of
//! this is on the path of a command, except to write a request into its context's ring.

mod group;
mod keeper;
pub(crate) mod priority;
mod probe;
mod records;
pub(crate) mod ring;
pub(crate) mod steward;

pub use probe::{Finding, probe};
pub use records::{Kernel, Record};
pub use ring::Producer;

use crate::driver::Steer;
use std::path::PathBuf;

/// What the kernel is told of contexts on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing: all requests are the submitter's.
    #[default]
    Off,
    /// The priority, with each request.
    Priority,
    /// Everything that follows a thread: each context has a keeper, and a ring that it enters.
    Ring,
    /// The submitter moves itself to the context's cgroup and back, for each request.
    MoveGroup,
    /// The submitter takes on the context's priority, for each request.
    SetPriority,
}

impl Mode {
    /// The elevator below sees contexts by the thread that submits, and decides between them. A
    /// request's priority is a hint to it, no more.
    pub(crate) fn steers_threads(self) -> bool {
        matches!(self, Self::Ring | Self::MoveGroup | Self::SetPriority)
    }

    /// The mode of a name that the control plane uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Self::Off,
            "priority" => Self::Priority,
            "ring" => Self::Ring,
            "experimental-move-cgroup" => Self::MoveGroup,
            "experimental-set-ioprio" => Self::SetPriority,
            _ => return None,
        })
    }
}

/// How rings and keepers are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelOptions {
    /// Rings that are open at a time, all submitters together.
    pub rings_max: usize,
    /// Contexts that have a keeper or a cgroup.
    pub keepers_max: usize,
    /// A kernel thread polls each ring for so long, in milliseconds, and no keeper enters it.
    pub polled_ms: Option<u32>,
    /// Where each context gets a cgroup of its own.
    pub cgroup: Option<PathBuf>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { rings_max: 64, keepers_max: 1024, polled_ms: None, cgroup: None }
    }
}

/// What a submitter is given for a context.
#[derive(Debug)]
pub enum Means {
    /// A ring of its own.
    Ring(Producer),
    /// Something to be done with or around each request.
    Steer(Steer),
}
