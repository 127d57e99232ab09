//! What submitters and the control plane share. Nothing here is touched per command, except by
//! flushes and locked ranges.

use crate::kernel::{Kernel, KernelOptions};
use crate::mailbox::{Mailbox, Wakeup};
use crate::message::Message;
use crate::program::Unit;
use crate::reservation::Reservation;
use crate::submitter::Discipline;
use crate::volume::Volume;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::CommandTable;
use fairlead_sched::ContextId;
use fairlead_sched::accounts::Counter;
use fairlead_sched::cost::CostModel;
use fairlead_sched::directory::{Directory, Entry, Key};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

/// Upcalls that may wait for Python; the next is answered BUSY.
pub const UPCALLS_MAX: usize = 256;

/// A page: data, or the sense of the refusal.
pub type Page = Result<Arc<[u8]>, Sense>;

/// What never changes, a copy for each submitter so that they share no cache line.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// The command table.
    pub commands: CommandTable,
    /// Answers of PAGE commands where there is no unit, by page key.
    pub pages_without_unit: HashMap<Box<[u8]>, Page>,
}

/// A unit as initiators see it.
#[derive(Debug)]
pub struct LogicalUnit {
    /// Its number.
    pub id: u32,
    /// Where its blocks are.
    pub volume: Arc<Volume>,
    /// What commands need to know.
    pub unit: Unit,
    /// What Python rendered, by page key.
    pub pages: RwLock<HashMap<Box<[u8]>, Page>>,
    /// Who has reserved it; the same for all units of a volume.
    pub reservation: Arc<Reservation>,
}

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nanoseconds of silence after which an initiator is asked whether it is there; 0: never.
    pub nop_interval_ns: u64,
    /// Nanoseconds that it has to answer.
    pub nop_timeout_ns: u64,
    /// Nanoseconds after which an unanswered device is reported.
    pub stall_ns: u64,
    /// Commands in each session's window.
    pub queue_depth: u16,
    /// All task buffers together.
    pub memory_limit_bytes: usize,
    /// Which request a device gets next.
    pub discipline: Discipline,
    /// What requests cost the devices that somebody has measured, by the device's name.
    pub costs: HashMap<String, CostModel>,
    /// The kernel's own contexts.
    pub kernel: KernelOptions,
}

/// A backing device, as the operator knows it.
#[derive(Debug, Default)]
pub struct DeviceRecord {
    /// Its name.
    pub name: String,
    /// What requests cost it, if somebody has measured that.
    pub costs: Option<CostModel>,
    /// In thousandths; 0: nothing is known.
    write_factor: AtomicU64,
    /// The elevator below does not know contexts, whatever we tell it.
    is_blind_below: AtomicBool,
    /// It did not answer the last command that it was given.
    has_failed: AtomicBool,
}

impl DeviceRecord {
    /// How many times what was said writes cost, beside reads, by all that has been seen.
    pub fn write_factor(&self) -> f64 {
        match self.write_factor.load(Ordering::Relaxed) {
            0 => 1.0,
            thousandths => thousandths as f64 / 1e3,
        }
    }

    /// The elevator below sees contexts, if it is told of them.
    pub fn elevator_sees(&self) -> bool {
        !self.is_blind_below.load(Ordering::Relaxed)
    }

    /// Somebody has looked.
    pub fn set_elevator_sees(&self, sees: bool) {
        self.is_blind_below.store(!sees, Ordering::Relaxed);
    }

    /// Whether it answers now; true: that is new.
    pub fn set_failed(&self, has_failed: bool) -> bool {
        // Looked at for each command, and seldom written.
        self.has_failed.load(Ordering::Relaxed) != has_failed
            && self.has_failed.swap(has_failed, Ordering::Relaxed) != has_failed
    }

    /// It was seen.
    pub fn set_write_factor(&self, factor: f64) {
        self.write_factor.store((factor * 1e3) as u64, Ordering::Relaxed);
    }
}

/// What the control plane hears.
#[derive(Debug)]
pub enum Event {
    /// A session is over, its last I/O too.
    SessionEnded {
        /// Its number.
        session: u64,
        /// Why.
        reason: String,
        /// Whose.
        peer: String,
    },
    /// A context is gone; its last accounts.
    ContextReleased(Entry),
    /// A command for Python.
    Upcall {
        /// To be given back with the answer.
        id: u64,
        /// Whose.
        session: u64,
        /// Which unit.
        logical_unit: u32,
        /// By which number.
        lun: u16,
        /// The command.
        cdb: [u8; 16],
        /// Its parameter data.
        data: Vec<u8>,
    },
    /// A session takes no more commands, and what lasts as long as its nexus is over; told before
    /// its initiator or another can know. May be told twice.
    NexusLost {
        /// Whose.
        session: u64,
    },
    /// A unit is reset; told before the function is answered.
    UnitReset {
        /// Which.
        logical_unit: u32,
    },
    /// A Text Request in full-feature phase.
    Text {
        /// To be given back with the answer.
        id: u64,
        /// Whose.
        session: u64,
        /// key=value pairs.
        data: Vec<u8>,
    },
    /// A device does not answer.
    DeviceStalled {
        /// Which.
        device: String,
        /// Commands unanswered.
        commands: usize,
        /// Of how many contexts.
        clients: usize,
        /// For how long.
        age_ns: u64,
    },
    /// A device that carries out commands itself did not answer one.
    DeviceFailed {
        /// Which.
        device: String,
        /// What it did.
        reason: &'static str,
    },
    /// A device that was told of answers again.
    DeviceResumed {
        /// Which.
        device: String,
    },
    /// The kernel refuses a context something of its own.
    KernelContextFailed {
        /// Which.
        key: Key,
        /// What, and why.
        reason: String,
    },
    /// A flush failed.
    VolumeFault {
        /// Which volume.
        volume: u32,
        /// Why.
        reason: String,
    },
    /// A peer broke the rules.
    ProtocolNote {
        /// Whose session.
        session: u64,
        /// From where.
        peer: String,
        /// What it did.
        reason: &'static str,
    },
}

/// Events for the control plane. Each kind is bounded by what causes it: sessions end once,
/// upcalls are counted, notes are dropped beyond a limit.
#[derive(Debug)]
pub struct Events {
    queue: Mutex<Queue>,
    wakeup: Wakeup,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Units whose reset was told since the last upcall. Between two upcalls nothing comes up that
    /// a second reset would end, and a peer may send as many as it likes.
    reset: HashSet<u32>,
}

/// Notes and reports beyond this many unread ones are dropped.
const NOTES_MAX: usize = 1024;

impl Events {
    fn new() -> std::io::Result<Self> {
        Ok(Self { queue: Mutex::default(), wakeup: Wakeup::new()? })
    }

    /// Tells the control plane.
    pub fn tell(&self, event: Event) {
        let mut queue = lock(&self.queue);
        let is_note = matches!(
            event,
            Event::ProtocolNote { .. }
                | Event::KernelContextFailed { .. }
                | Event::DeviceFailed { .. }
        );
        if is_note && queue.events.len() >= NOTES_MAX {
            return;
        }
        match event {
            Event::Upcall { .. } => queue.reset.clear(),
            Event::UnitReset { logical_unit } if !queue.reset.insert(logical_unit) => return,
            _ => {}
        }
        queue.events.push_back(event);
        self.wakeup.signal();
    }

    /// Everything told since the last call.
    pub fn take(&self) -> Vec<Event> {
        self.wakeup.reset();
        lock(&self.queue).events.drain(..).collect()
    }

    /// Readable when there is something to take.
    pub fn descriptor(&self) -> i32 {
        self.wakeup.descriptor()
    }
}

/// What a session tells of itself. Written by its submitter.
#[derive(Debug)]
pub struct SessionRecord {
    /// Its number.
    pub id: u64,
    /// InitiatorName.
    pub initiator_name: String,
    /// TargetName.
    pub target_name: String,
    /// ISID.
    pub isid: [u8; 6],
    /// TSIH.
    pub tsih: u16,
    /// Address and port.
    pub peer: String,
    /// Which submitter has it.
    pub submitter: usize,
    /// It takes no new commands.
    pub ending: AtomicBool,
    /// Commands answered.
    pub commands: Counter,
    /// Bytes to the initiator.
    pub bytes_read: Counter,
    /// Bytes from the initiator.
    pub bytes_written: Counter,
    /// Commands being carried out.
    pub in_flight: Counter,
}

/// All that is shared.
#[derive(Debug)]
pub struct Shared {
    /// Settings.
    pub options: Options,
    /// Every context.
    pub directory: Mutex<Directory>,
    /// To the control plane.
    pub events: Events,
    /// To each submitter.
    pub mailboxes: Vec<Mailbox<Message>>,
    /// Sessions that are not over.
    pub sessions: Mutex<HashMap<u64, Arc<SessionRecord>>>,
    /// Backing devices, by place.
    pub devices: Mutex<Vec<Arc<DeviceRecord>>>,
    /// Upcalls that Python has not answered.
    pub upcalls: AtomicUsize,
    /// Which submitter schedules for a device.
    pub owners: Mutex<HashMap<u32, usize>>,
    /// The kernel's side of contexts.
    pub kernel: Kernel,
}

impl Shared {
    /// Shared state for these submitters.
    ///
    /// # Errors
    /// No descriptor can be had.
    pub fn new(options: Options, mailboxes: Vec<Mailbox<Message>>) -> std::io::Result<Self> {
        Ok(Self {
            options,
            directory: Mutex::new(Directory::new(mailboxes.len())),
            events: Events::new()?,
            mailboxes,
            sessions: Mutex::default(),
            devices: Mutex::default(),
            upcalls: AtomicUsize::new(0),
            owners: Mutex::default(),
            kernel: Kernel::default(),
        })
    }

    /// Leaves a message for a submitter; false: it does not run.
    pub fn post(&self, submitter: usize, message: Message) -> bool {
        self.mailboxes.get(submitter).is_some_and(|mailbox| mailbox.post(message).is_ok())
    }

    /// The place of a backing device, which it gets with its first volume.
    pub fn device_place(&self, name: &str) -> u32 {
        let mut devices = lock(&self.devices);
        let known = devices.iter().position(|device| device.name == name);
        let place = known.unwrap_or_else(|| {
            let costs = self.options.costs.get(name).copied();
            devices.push(Arc::new(DeviceRecord { name: name.into(), costs, ..Default::default() }));
            devices.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The backing device at a place.
    pub fn device(&self, place: u32) -> Option<Arc<DeviceRecord>> {
        lock(&self.devices).get(place as usize).map(Arc::clone)
    }

    /// The kernel refuses a context something: tells it, and lets accounts show it.
    pub fn kernel_refuses(&self, id: ContextId, reason: String) {
        if !self.kernel.note(id, &reason) {
            return;
        }
        let key = lock(&self.directory).entry(id).map(|entry| entry.key.clone());
        // One that was released meanwhile misses nothing.
        if let Ok(key) = key {
            self.events.tell(Event::KernelContextFailed { key, reason });
        }
    }

    /// A session of this context has ended and its I/O is over, or what the kernel had of it is gone.
    pub fn context_drained(&self, id: ContextId) {
        if let Ok(Some(entry)) = lock(&self.directory).drained(id) {
            self.events.tell(Event::ContextReleased(entry));
        }
    }
}

/// Locks; a panic elsewhere does not make the data less true.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
