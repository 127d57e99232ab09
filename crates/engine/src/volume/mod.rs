//! A volume: where the blocks are, whether it may be written, and what guards it.

mod flush;
mod memory;
mod open;
mod range_lock;
mod simulated;

pub use flush::{FlushGate, Flushed, Join, Waiter};
pub use memory::Memory;
pub use open::{OpenError, open};
pub use range_lock::{Acquired, Owner, RangeLocks};
pub use simulated::Simulated;

use crate::driver::MayBlock;
use crate::kernel::Mode;
use crate::passthrough;
use fairlead_devices::Parameters;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The operator's name for it.
    pub name: String,
    /// What is behind it.
    pub kind: Kind,
    /// File or device.
    pub path: Option<String>,
    /// Served size.
    pub size_bytes: u64,
    /// 512 or 4096.
    pub logical_block_bytes: u32,
    /// No writes.
    pub read_only: bool,
    /// UNMAP deallocates.
    pub thin: bool,
    /// Every write is stable before it is answered.
    pub write_through: bool,
    /// Backing device: half of every context's key.
    pub device: String,
    /// What a simulated device takes for everything.
    pub simulated: Option<Parameters>,
    /// What the kernel is told of contexts.
    pub kernel_context: Mode,
    /// What is to be observed with a device that carries commands out itself.
    pub pass_through: Option<passthrough::Settings>,
}

/// What is behind a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, through the page cache.
    File,
    /// A device or file, past the page cache.
    Direct,
    /// Nothing: reads give zeroes, writes vanish.
    Null,
    /// Memory of this process.
    Memory,
    /// Memory that is as slow as a simulated device.
    Sim,
    /// A SCSI device of this host, by its sg driver: commands pass through.
    Sg,
    /// A logical unit of another target: commands pass through.
    Iscsi,
}

impl Kind {
    /// The name that the control plane uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "file" => Self::File,
            "direct" => Self::Direct,
            "null" => Self::Null,
            "memory" => Self::Memory,
            "sim" => Self::Sim,
            "sg" => Self::Sg,
            "iscsi" => Self::Iscsi,
            _ => return None,
        })
    }

    /// The same name back.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Direct => "direct",
            Self::Null => "null",
            Self::Memory => "memory",
            Self::Sim => "sim",
            Self::Sg => "sg",
            Self::Iscsi => "iscsi",
        }
    }
}

/// Where the bytes are.
#[derive(Debug)]
pub enum Backing {
    /// Behind a descriptor.
    Descriptor(OwnedFd),
    /// In memory.
    Memory(Box<Memory>),
    /// In memory, behind a simulated device.
    Simulated(Box<Simulated>),
    /// Nowhere.
    Null,
    /// With a device that carries commands out itself.
    Passed(Box<passthrough::Device>),
}

/// An open volume, shared by all submitters.
#[derive(Debug)]
pub struct Volume {
    /// Its number.
    pub id: u32,
    /// What was asked for.
    pub spec: Spec,
    /// Place of its backing device in the engine's table.
    pub device: u32,
    /// Where the bytes are.
    pub backing: Backing,
    /// Zeroing is a request of its own.
    pub can_zero: bool,
    /// Which requests may block a thread.
    pub blocking: MayBlock,
    /// One flush at a time, others join the next.
    pub flushes: FlushGate,
    /// Who has a range for itself.
    pub locks: RangeLocks,
    refuses_writes: AtomicBool,
    fault: Mutex<Option<String>>,
}

impl Volume {
    /// Puts an open volume together.
    pub fn new(
        id: u32,
        spec: Spec,
        device: u32,
        backing: Backing,
        can_zero: bool,
        blocking: MayBlock,
    ) -> Self {
        Self {
            id,
            spec,
            device,
            backing,
            can_zero,
            blocking,
            flushes: FlushGate::default(),
            locks: RangeLocks::default(),
            refuses_writes: AtomicBool::new(false),
            fault: Mutex::new(None),
        }
    }

    /// The descriptor that I/O goes to, if it has one.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.backing {
            Backing::Descriptor(fd) => Some(fd.as_raw_fd()),
            _ => None,
        }
    }

    /// True when a request may block a thread (buffered files do).
    pub fn may_block(&self) -> bool {
        self.spec.kind == Kind::File
    }

    /// Requests go to a device, which may have several at a time. Memory answers at once.
    pub fn has_device(&self) -> bool {
        !matches!(self.backing, Backing::Memory(_) | Backing::Null)
    }

    /// Nothing but our order stands between a request and the device.
    pub fn is_direct(&self) -> bool {
        matches!(self.spec.kind, Kind::Direct | Kind::Sim | Kind::Sg | Kind::Iscsi)
    }

    /// The simulated device, if it is one.
    pub fn simulated(&self) -> Option<&Simulated> {
        match &self.backing {
            Backing::Simulated(simulated) => Some(simulated),
            _ => None,
        }
    }

    /// The device that carries commands out itself, if it has one.
    pub fn passes_to(&self) -> Option<&passthrough::Device> {
        match &self.backing {
            Backing::Passed(device) => Some(device),
            _ => None,
        }
    }

    /// There is a volatile cache between an answered write and the medium.
    pub fn has_cache(&self) -> bool {
        !self.spec.write_through && self.has_device()
    }

    /// A flush failed: the kernel reports lost data once, so nothing may be taken for stable until
    /// an operator has looked. Returns false when that was known.
    pub fn set_fault(&self, reason: String) -> bool {
        let first = !self.refuses_writes.swap(true, Ordering::SeqCst);
        if first {
            *self.fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(reason);
        }
        first
    }

    /// An operator has looked.
    pub fn clear_fault(&self) {
        *self.fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        self.refuses_writes.store(false, Ordering::SeqCst);
    }

    /// Writes and flushes are refused.
    pub fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// Why writes are refused.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}
