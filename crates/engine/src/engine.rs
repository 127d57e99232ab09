//! The handle of the data plane: starts the submitters, hands them work, tells what they do.
//!
//! Every method may be called from any thread. None is on the path of a command.

use crate::attentions::Attentions;
use crate::crew::Crew;
pub use crate::crew::{DriverChoice, Placement, Report};
use crate::kernel::steward::{self, Errand};
use crate::kernel::{Kernel, Mode};
use crate::message::{Message, Subject, Whom};
use crate::program::Unit;
use crate::reservation::{Reservation, Rule};
use crate::session::{Adopt, Lun};
use crate::shared::{
    DeviceRecord, Event, LogicalUnit, Options, Page, SessionRecord, Shared, Tables, lock,
};
use crate::volume::{self, OpenError, Spec, Volume};
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::scsi::sense::Sense;
use fairlead_sched::ContextId;
use fairlead_sched::directory::{Entry, Key};
use fairlead_sched::settings::Settings;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// What the data plane refuses to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot start.
    #[error("the data plane cannot start: {0}")]
    Start(#[from] io::Error),
    /// A volume cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A number that names nothing.
    #[error("there is no {0} {1}")]
    Unknown(&'static str, u64),
    /// Sessions use it.
    #[error("volume {0} is in use by a session")]
    InUse(String),
    /// Stop was called.
    #[error("the data plane is stopping")]
    Stopping,
}

/// One unit of a session, as the control plane names it.
#[derive(Debug, Clone)]
pub struct LunMapping {
    /// Number.
    pub lun: u16,
    /// Logical unit.
    pub logical_unit: u32,
    /// The grouping's key.
    pub context: String,
    /// What a new context of this key is due.
    pub settings: Settings,
    /// No writes by this session.
    pub read_only: bool,
}

/// Who has logged in.
#[derive(Debug, Clone)]
pub struct Login {
    /// InitiatorName.
    pub initiator_name: String,
    /// TargetName.
    pub target_name: String,
    /// ISID.
    pub isid: [u8; 6],
    /// Address and port.
    pub peer: String,
    /// What was negotiated.
    pub parameters: Parameters,
    /// REPORT LUNS data.
    pub report_luns: Vec<u8>,
    /// Bytes after the last login PDU.
    pub unread: Vec<u8>,
}

/// The running data plane.
#[derive(Debug)]
pub struct Engine {
    crew: Crew,
    shared: Arc<Shared>,
    volumes: Mutex<HashMap<u32, Arc<Volume>>>,
    units: Mutex<HashMap<u32, Arc<LogicalUnit>>>,
    next: AtomicU64,
    stopping: AtomicBool,
}

impl Engine {
    /// Starts the submitters.
    ///
    /// # Errors
    /// The driver asked for is not to be had, or a thread or memory is not.
    pub fn start(
        choice: DriverChoice,
        submitters: usize,
        placement: Placement,
        tables: Tables,
        options: Options,
    ) -> Result<Self, EngineError> {
        let crew = Crew::start(choice, submitters, placement, tables, options)?;
        Ok(Self {
            shared: Arc::clone(crew.shared()),
            crew,
            volumes: Mutex::default(),
            units: Mutex::default(),
            next: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
        })
    }

    /// What runs.
    pub fn report(&self) -> &Report {
        self.crew.report()
    }

    /// Readable when [`Self::take_events`] has something.
    pub fn event_descriptor(&self) -> i32 {
        self.shared.events.descriptor()
    }

    /// Everything that happened since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.shared.events.take()
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn small_number(&self) -> u32 {
        u32::try_from(self.number() & u64::from(u32::MAX)).unwrap_or(0)
    }

    // ---- volumes and units ------------------------------------------------------------------

    /// Opens a volume.
    ///
    /// # Errors
    /// It cannot be served.
    pub fn add_volume(&self, spec: Spec) -> Result<Arc<Volume>, EngineError> {
        let device = self.shared.device_place(&spec.device);
        if spec.kernel_context != Mode::Off {
            steward::start(&self.shared)?;
        }
        let volume = Arc::new(volume::open(self.small_number(), device, spec)?);
        lock(&self.volumes).insert(volume.id, Arc::clone(&volume));
        Ok(volume)
    }

    /// Closes a volume that no session uses.
    ///
    /// # Errors
    /// It is unknown or in use.
    pub fn remove_volume(&self, id: u32) -> Result<(), EngineError> {
        let mut volumes = lock(&self.volumes);
        let mut units = lock(&self.units);
        let volume = volumes.get(&id).ok_or(EngineError::Unknown("volume", u64::from(id)))?;
        // Sessions hold units, and nobody gets new ones while the table is locked.
        let used = |unit: &Arc<LogicalUnit>| unit.volume.id == id && Arc::strong_count(unit) > 1;
        if units.values().any(used) {
            return Err(EngineError::InUse(volume.spec.name.clone()));
        }
        units.retain(|_, unit| unit.volume.id != id);
        volumes.remove(&id);
        for submitter in 0..self.shared.mailboxes.len() {
            self.shared.post(submitter, Message::VolumeClosed(id));
        }
        Ok(())
    }

    /// Lets a volume take writes again.
    ///
    /// # Errors
    /// It is unknown.
    pub fn clear_fault(&self, id: u32) -> Result<(), EngineError> {
        let volumes = lock(&self.volumes);
        let volume = volumes.get(&id).ok_or(EngineError::Unknown("volume", u64::from(id)))?;
        volume.clear_fault();
        Ok(())
    }

    /// All volumes, by number.
    pub fn volumes(&self) -> Vec<Arc<Volume>> {
        let mut volumes: Vec<_> = lock(&self.volumes).values().map(Arc::clone).collect();
        volumes.sort_by_key(|volume| volume.id);
        volumes
    }

    /// Backing devices of all volumes that ever were, in the order of their coming.
    pub fn devices(&self) -> Vec<Arc<DeviceRecord>> {
        lock(&self.shared.devices).iter().map(Arc::clone).collect()
    }

    /// Makes a unit of a volume.
    ///
    /// # Errors
    /// The volume is unknown.
    pub fn add_logical_unit(
        &self,
        volume: u32,
        pages: HashMap<Box<[u8]>, Page>,
    ) -> Result<u32, EngineError> {
        let volumes = lock(&self.volumes);
        let volume =
            volumes.get(&volume).ok_or(EngineError::Unknown("volume", u64::from(volume)))?;
        let id = self.small_number();
        let unit = unit_of(volume, self.crew.tables(), &pages);
        let volume = Arc::clone(volume);
        let pages = RwLock::new(pages);
        let mut units = lock(&self.units);
        let sibling = units.values().find(|unit| unit.volume.id == volume.id);
        let reservation =
            sibling.map_or_else(Arc::<Reservation>::default, |unit| Arc::clone(&unit.reservation));
        units.insert(id, Arc::new(LogicalUnit { id, volume, unit, pages, reservation }));
        Ok(id)
    }

    /// Who may do what with a unit, and with all units of its volume. When it returns, the rule
    /// holds for every command whose turn has not come.
    ///
    /// # Errors
    /// The unit is unknown.
    pub fn set_access_rule(&self, unit: u32, rule: Rule) -> Result<(), EngineError> {
        self.find_unit(unit)?.reservation.set(rule);
        Ok(())
    }

    /// Raises a unit attention for these sessions' nexuses with a unit; those that do not have it
    /// are passed over.
    ///
    /// # Errors
    /// The unit is unknown.
    pub fn raise_attention(&self, unit: u32, whom: &Whom, asc: u16) -> Result<(), EngineError> {
        let logical_unit = self.find_unit(unit)?.id;
        for submitter in 0..self.shared.mailboxes.len() {
            let about = Subject::Unit(logical_unit);
            let message = Message::Attention { about, whom: whom.clone(), asc };
            self.shared.post(submitter, message);
        }
        Ok(())
    }

    /// Answers an upcall with GOOD when every submitter has taken in what was posted before, and what
    /// these sessions had under way on the unit is aborted. The upcall's own task is not.
    ///
    /// # Errors
    /// The unit is unknown.
    pub fn answer_settled(
        &self,
        upcall: u64,
        unit: u32,
        aborted: Arc<[u64]>,
    ) -> Result<(), EngineError> {
        let volume = self.find_unit(unit)?.volume.id;
        let whom = Whom::These(aborted);
        let message = Message::AnswerSettled { upcall, volume, whom };
        self.shared.post(submitter_of(upcall), message);
        Ok(())
    }

    fn find_unit(&self, unit: u32) -> Result<Arc<LogicalUnit>, EngineError> {
        let units = lock(&self.units);
        let found = units.get(&unit).map(Arc::clone);
        found.ok_or(EngineError::Unknown("logical unit", u64::from(unit)))
    }

    /// Replaces a unit's pages.
    ///
    /// # Errors
    /// The unit is unknown.
    pub fn set_pages(&self, unit: u32, pages: HashMap<Box<[u8]>, Page>) -> Result<(), EngineError> {
        let unit = self.find_unit(unit)?;
        *unit.pages.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = pages;
        Ok(())
    }

    // ---- sessions ---------------------------------------------------------------------------

    /// Takes over a logged-in connection. The socket is the engine's from here on.
    ///
    /// # Errors
    /// A unit is unknown, or the engine is stopping.
    pub fn adopt(
        &self,
        socket: OwnedFd,
        login: Login,
        mappings: &[LunMapping],
    ) -> Result<u64, EngineError> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(EngineError::Stopping);
        }
        let id = self.number();
        let mut found = Vec::with_capacity(mappings.len());
        {
            let units = lock(&self.units);
            for mapping in mappings {
                let unknown = EngineError::Unknown("logical unit", u64::from(mapping.logical_unit));
                found.push(Arc::clone(units.get(&mapping.logical_unit).ok_or(unknown)?));
            }
        }
        let mut luns = Vec::with_capacity(mappings.len());
        for (mapping, unit) in mappings.iter().zip(found) {
            let device = unit.volume.spec.device.clone();
            let key = Key { client: mapping.context.clone(), device };
            let (context, accounts) = lock(&self.shared.directory).attach(&key, mapping.settings);
            luns.push(Lun {
                number: mapping.lun,
                unit,
                read_only: mapping.read_only,
                context,
                accounts,
                attentions: Attentions::NEW_NEXUS,
            });
        }
        let submitter = match self.crew.place(&luns) {
            Ok(submitter) => submitter,
            Err(error) => {
                self.forget(&luns);
                return Err(error.into());
            }
        };
        let record = Arc::new(SessionRecord {
            id,
            initiator_name: login.initiator_name,
            target_name: login.target_name,
            isid: login.isid,
            tsih: login.parameters.tsih,
            peer: login.peer,
            submitter,
            ending: AtomicBool::new(false),
            commands: Default::default(),
            bytes_read: Default::default(),
            bytes_written: Default::default(),
            in_flight: Default::default(),
        });
        lock(&self.shared.sessions).insert(id, Arc::clone(&record));
        let adopt_message = Message::Adopt(Box::new(Adopt {
            socket,
            parameters: login.parameters,
            record,
            luns,
            report_luns: Arc::from(login.report_luns),
            unread: login.unread,
        }));
        match self.shared.mailboxes.get(submitter).map(|mailbox| mailbox.post(adopt_message)) {
            Some(Ok(())) => Ok(id),
            Some(Err(Message::Adopt(adopt))) => {
                lock(&self.shared.sessions).remove(&id);
                self.forget(&adopt.luns);
                Err(EngineError::Stopping)
            }
            _ => Err(EngineError::Stopping),
        }
    }

    /// Gives back the contexts of a session that never began.
    fn forget(&self, luns: &[Lun]) {
        for lun in luns {
            let _ = lock(&self.shared.directory).detach(lun.context);
            self.shared.context_drained(lun.context);
        }
    }

    /// Ends a session. Its end is an event; unknown ones have ended already.
    pub fn end_session(&self, id: u64) {
        let submitter = lock(&self.shared.sessions).get(&id).map(|record| record.submitter);
        if let Some(submitter) = submitter {
            self.shared.post(submitter, Message::EndSession(id, "ended by the target"));
        }
    }

    /// Answers an upcall or a Text event.
    pub fn answer(
        &self,
        id: u64,
        status: u8,
        sense: Option<Sense>,
        data: Vec<u8>,
        peer_max_recv: Option<u32>,
    ) {
        let message = Message::Answer { id, status, sense, data, peer_max_recv };
        self.shared.post(submitter_of(id), message);
    }

    /// All sessions that are not over.
    pub fn sessions(&self) -> Vec<Arc<SessionRecord>> {
        let mut records: Vec<_> = lock(&self.shared.sessions).values().map(Arc::clone).collect();
        records.sort_by_key(|record| record.id);
        records
    }

    /// Gives a context its settings. They hold from the next request on.
    ///
    /// # Errors
    /// There is no such context (any more).
    pub fn set_context(&self, id: ContextId, settings: Settings) -> Result<(), EngineError> {
        let unknown = |_| EngineError::Unknown("context", u64::from(id.index));
        lock(&self.shared.directory).set(id, settings).map_err(unknown)?;
        for submitter in 0..self.shared.mailboxes.len() {
            self.shared.post(submitter, Message::SetContext(id, settings));
        }
        if self.shared.kernel.is_attended() {
            self.shared.kernel.send(Errand::Weigh(id));
        }
        Ok(())
    }

    /// All contexts that are not released.
    pub fn contexts(&self) -> Vec<Entry> {
        lock(&self.shared.directory).entries().cloned().collect()
    }

    /// Whether the elevator of a device sees contexts now. Until somebody says no it does.
    pub fn set_elevator_sees(&self, device: &str, sees: bool) {
        let devices = lock(&self.shared.devices);
        if let Some(record) = devices.iter().find(|record| record.name == device) {
            record.set_elevator_sees(sees);
        }
    }

    /// What the kernel has of contexts.
    pub fn kernel(&self) -> &Kernel {
        &self.shared.kernel
    }

    /// Ends every session and stops the submitters, waiting at most `patience`. False: a device
    /// still has requests; its submitter is left behind.
    pub fn stop(&self, patience: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        // Keepers end when the submitters have let go of their rings.
        self.crew.stop(patience)
            && steward::stop(&self.shared.kernel, patience.saturating_sub(begun.elapsed()))
    }
}

/// Where an upcall comes from.
fn submitter_of(upcall: u64) -> usize {
    usize::try_from(upcall >> 48).unwrap_or(usize::MAX)
}

/// The unit behind the pages: what it enforces is what it reports in its Block Limits page.
fn unit_of(volume: &Volume, tables: &Tables, pages: &HashMap<Box<[u8]>, Page>) -> Unit {
    let mut cdb = [0; 16];
    cdb[..3].copy_from_slice(&[0x12, 0x01, 0xB0]);
    let page = tables.commands.parse(&cdb).ok().and_then(|request| {
        let (key, length) = request.page_key(&cdb);
        pages.get(key.get(..length)?)?.as_ref().ok().map(Arc::clone)
    });
    let page = page.unwrap_or_else(|| Arc::from([]));
    let number = |offset: usize, bytes: usize| {
        let field = page.get(offset..offset + bytes).unwrap_or_default();
        field.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    // Zero in the page: no limit is reported.
    let limit = |value: u64| if value == 0 { u64::MAX } else { value };
    let spec = &volume.spec;
    let block_bytes = spec.logical_block_bytes;
    Unit {
        blocks: spec.size_bytes / u64::from(block_bytes),
        block_bytes,
        read_only: spec.read_only,
        thin: spec.thin,
        can_zero: volume.can_zero,
        write_through: spec.write_through,
        has_cache: volume.has_cache(),
        max_transfer_blocks: limit(number(8, 4)),
        max_unmap_blocks: limit(number(20, 4)),
        max_unmap_descriptors: number(24, 4).min(4095),
        max_write_same_blocks: limit(number(36, 8)),
        max_compare_and_write_blocks: number(5, 1),
    }
}
