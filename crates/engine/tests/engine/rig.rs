//! An engine with volumes, and sessions of it.

use crate::initiator::{Initiator, Outcome, PATIENCE, parameters};
use fairlead_devices::ssd::{Line, SsdParameters};
use fairlead_engine::engine::{DriverChoice, Engine, Login, LunMapping, Placement};
use fairlead_engine::kernel::{KernelOptions, Mode};
use fairlead_engine::shared::{Event, Options, Page, Tables};
use fairlead_engine::submitter::Discipline;
use fairlead_engine::volume::{Kind, Spec};
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::scsi::table::{Access, CommandTable, Execution, Field, Row, ZeroLength};
use fairlead_sched::accounts::{Accounts, Counter, Shard};
use fairlead_sched::cost::CostModel;
use fairlead_sched::settings::Settings;
use std::collections::{HashMap, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const BLOCK: usize = 512;
pub(crate) const CONTEXT: &str = "context";

/// Makes a test of a function for each driver.
macro_rules! on_both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod uring {
            $(#[test] fn $name() {
                if $crate::rig::has_uring() {
                    super::$name(fairlead_engine::engine::DriverChoice::Uring);
                }
            })+
        }
        mod threads {
            $(#[test] fn $name() {
                super::$name(fairlead_engine::engine::DriverChoice::Threads);
            })+
        }
    };
}
pub(crate) use on_both_drivers;

/// A simulated device that is done with anything small in 400 us.
pub(crate) fn ssd() -> fairlead_devices::Parameters {
    let line = Line { base_ns: 200_000, page_ns: 200_000 };
    let (channels, flush_ns) = (2, 50_000);
    let (read, write) = (line, line);
    fairlead_devices::Parameters::Ssd(SsdParameters {
        channels,
        read,
        write,
        flush_ns,
        spread_percent: 0,
        buffer: None,
    })
}

pub(crate) fn has_uring() -> bool {
    let refused = io_uring::IoUring::new(1).err();
    if let Some(refusal) = &refused {
        println!("skipped: the kernel refuses io_uring: {refusal}");
    }
    refused.is_none()
}

fn row(opcode: u8, execution: Execution) -> Row {
    Row {
        opcode,
        service_action: None,
        execution,
        lba: None,
        length: None,
        allocation: None,
        zero_length: ZeroLength::Nothing,
        refused: Vec::new(),
        has_fua: true,
        page_key: Vec::new(),
        writes_medium: false,
        passes_unit_attention: false,
        access: Access::Everything,
        harmless: (0, 0),
    }
}

fn field(offset: u8, bytes: u8) -> Option<Field> {
    Some(Field { offset, bytes, mask: u64::MAX })
}

fn tables() -> Tables {
    let ranged = |opcode, execution, writes_medium| Row {
        lba: field(2, 8),
        length: field(10, 4),
        writes_medium,
        ..row(opcode, execution)
    };
    let rows = vec![
        Row { access: Access::Status, ..row(0x00, Execution::TestUnitReady) },
        Row {
            allocation: field(4, 1),
            passes_unit_attention: true,
            ..row(0x03, Execution::RequestSense)
        },
        Row {
            allocation: field(3, 2),
            page_key: vec![0xFF, 0x01, 0xFF],
            passes_unit_attention: true,
            access: Access::Nothing,
            ..row(0x12, Execution::Page)
        },
        Row { length: field(7, 2), writes_medium: true, ..row(0x42, Execution::Unmap) },
        // A command with parameter data and one with data: Python answers both.
        Row { length: field(7, 2), ..row(0x55, Execution::Upcall) },
        Row { access: Access::Nothing, ..row(0x5F, Execution::Upcall) },
        Row { passes_unit_attention: true, ..row(0x5E, Execution::Upcall) },
        row(0xA3, Execution::Upcall),
        Row { access: Access::Read, ..ranged(0x88, Execution::Read, false) },
        Row { length: field(13, 1), ..ranged(0x89, Execution::CompareAndWrite, true) },
        ranged(0x8A, Execution::Write, true),
        ranged(0x8E, Execution::WriteAndVerify, true),
        ranged(0x8F, Execution::Verify, false),
        ranged(0x91, Execution::SynchronizeCache, false),
        Row { zero_length: ZeroLength::ToTheEnd, ..ranged(0x93, Execution::WriteSame, true) },
        Row {
            allocation: field(6, 4),
            passes_unit_attention: true,
            ..row(0xA0, Execution::ReportLuns)
        },
    ];
    let mut pages_without_unit = HashMap::new();
    let nothing: Arc<[u8]> = Arc::from([0x7F, 0, 6, 2]);
    pages_without_unit.insert(Box::from([0x12, 0, 0]), Ok(nothing));
    Tables { commands: CommandTable::new(rows), pages_without_unit }
}

fn pages() -> HashMap<Box<[u8]>, Page> {
    let mut limits = vec![0; 64];
    limits[..6].copy_from_slice(&[0, 0xB0, 0, 60, 0, 16]);
    limits[20..28].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 32]);
    limits[36..44].copy_from_slice(&(1_u64 << 32).to_be_bytes());
    let inquiry: Arc<[u8]> = (0..96).collect();
    HashMap::from([
        (Box::from([0x12, 0, 0]), Ok(inquiry)),
        (Box::from([0x12, 1, 0xB0]), Ok(Arc::from(limits))),
    ])
}

/// A CDB with a range of blocks.
pub(crate) fn cdb(opcode: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

pub(crate) const TEST_UNIT_READY: [u8; 16] = [0; 16];

/// An engine that is stopped, and checked, at the end.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    listener: TcpListener,
    events: VecDeque<Event>,
    /// Accounts of every context that was ever seen.
    accounts: Vec<Arc<Accounts>>,
}

impl Rig {
    pub(crate) fn new(driver: DriverChoice, submitters: usize) -> Self {
        Self::with_memory(driver, submitters, 64 << 20)
    }

    pub(crate) fn with_memory(driver: DriverChoice, submitters: usize, bytes: usize) -> Self {
        // The fair scheduler has all sessions of a direct device on one submitter of the shared pool;
        // what goes on between submitters is tested without it.
        let discipline = if submitters > 1 { Discipline::Fifo } else { Discipline::Fair };
        Self::start(driver, submitters, Placement::Shared, discipline, bytes, HashMap::new())
    }

    /// The kernel is told of contexts, by these rules.
    pub(crate) fn with_kernel(submitters: usize, kernel: KernelOptions) -> Self {
        let discipline = if submitters > 1 { Discipline::Fifo } else { Discipline::Fair };
        let (driver, bytes) = (DriverChoice::Uring, 64 << 20);
        let options = Options { kernel, ..Self::options(discipline, bytes, HashMap::new()) };
        Self::start_with(driver, submitters, Placement::Shared, options)
    }

    /// Somebody has measured what requests cost these devices.
    pub(crate) fn with_costs(driver: DriverChoice, costs: HashMap<String, CostModel>) -> Self {
        Self::start(driver, 1, Placement::Shared, Discipline::Fair, 64 << 20, costs)
    }

    /// Each context has a submitter of its own.
    pub(crate) fn per_context(driver: DriverChoice) -> Self {
        Self::start(driver, 1, Placement::PerContext, Discipline::Fair, 1 << 30, HashMap::new())
    }

    fn start(
        driver: DriverChoice,
        submitters: usize,
        placement: Placement,
        discipline: Discipline,
        bytes: usize,
        costs: HashMap<String, CostModel>,
    ) -> Self {
        let options = Self::options(discipline, bytes, costs);
        Self::start_with(driver, submitters, placement, options)
    }

    fn options(discipline: Discipline, bytes: usize, costs: HashMap<String, CostModel>) -> Options {
        Options {
            nop_interval_ns: 0,
            nop_timeout_ns: 0,
            stall_ns: u64::MAX,
            queue_depth: 64,
            memory_limit_bytes: bytes,
            discipline,
            costs,
            kernel: KernelOptions::default(),
        }
    }

    fn start_with(
        driver: DriverChoice,
        submitters: usize,
        placement: Placement,
        options: Options,
    ) -> Self {
        let engine = Engine::start(driver, submitters, placement, tables(), options);
        let engine = engine.expect("an engine");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self { engine, listener, events: VecDeque::new(), accounts: Vec::new() }
    }

    /// A thin unit of a volume of this kind.
    pub(crate) fn unit(&self, kind: Kind, size_bytes: u64) -> u32 {
        self.steered_unit(kind, size_bytes, Mode::Off)
    }

    /// Another unit of the same volume.
    pub(crate) fn sibling(&self, unit: u32) -> u32 {
        let volumes = self.engine.volumes();
        // Numbers are given in turn: the volume's unit is the next after it.
        let volume = volumes.iter().find(|volume| volume.id + 1 == unit).expect("its volume");
        self.engine.add_logical_unit(volume.id, pages()).expect("a unit")
    }

    /// One of whose contexts the kernel is told.
    pub(crate) fn steered_unit(&self, kind: Kind, size_bytes: u64, mode: Mode) -> u32 {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let path = format!("{}/engine-{process}-{number}", env!("CARGO_TARGET_TMPDIR"));
        let has_path = matches!(kind, Kind::File | Kind::Direct);
        if has_path {
            let file = std::fs::File::create(&path).expect("a file");
            file.set_len(size_bytes).expect("a size");
        }
        let unit = self.unit_of(kind, has_path.then_some(path.clone()), size_bytes, mode);
        if has_path {
            std::fs::remove_file(&path).expect("the name is not needed");
        }
        unit
    }

    pub(crate) fn unit_at(&self, kind: Kind, path: Option<String>, size_bytes: u64) -> u32 {
        self.unit_of(kind, path, size_bytes, Mode::Off)
    }

    fn unit_of(&self, kind: Kind, path: Option<String>, size_bytes: u64, mode: Mode) -> u32 {
        let spec = Spec {
            name: kind.name().into(),
            kind,
            path,
            size_bytes,
            logical_block_bytes: BLOCK as u32,
            read_only: false,
            thin: true,
            write_through: false,
            device: kind.name().into(),
            simulated: (kind == Kind::Sim).then(ssd),
            kernel_context: mode,
            pass_through: None,
        };
        let volume = self.engine.add_volume(spec).expect("a volume");
        self.engine.add_logical_unit(volume.id, pages()).expect("a unit")
    }

    pub(crate) fn mapping(lun: u16, logical_unit: u32, context: &str) -> LunMapping {
        let settings = Settings::default();
        LunMapping { lun, logical_unit, context: context.into(), settings, read_only: false }
    }

    /// A connected pair: the target's socket, and the initiator.
    pub(crate) fn connect(&self, parameters: &Parameters) -> (TcpStream, Initiator) {
        let address = self.listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        let (socket, _) = self.listener.accept().expect("the other end");
        // As the control plane hands it over.
        socket.set_nodelay(true).expect("a TCP socket");
        (socket, Initiator::new(stream, parameters.clone()))
    }

    pub(crate) fn adopt(
        &mut self,
        socket: TcpStream,
        parameters: Parameters,
        mappings: &[LunMapping],
        unread: Vec<u8>,
    ) -> u64 {
        let login = Login {
            initiator_name: "iqn.2008-12.org.example:initiator".into(),
            target_name: "iqn.2008-12.org.example:target".into(),
            isid: [0; 6],
            peer: "127.0.0.1".into(),
            parameters,
            report_luns: vec![0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            unread,
        };
        let id = self.engine.adopt(socket.into(), login, mappings).expect("a session");
        self.note_contexts();
        id
    }

    /// A session with these units whose unit attentions are behind it.
    pub(crate) fn session(&mut self, mappings: &[LunMapping]) -> (u64, Initiator) {
        let (id, mut initiator) = self.new_session(mappings);
        for mapping in mappings {
            let outcome = initiator.run(mapping.lun, &TEST_UNIT_READY, 0, &[]);
            assert_eq!(outcome.sense, Some((0x6, 0x2900)));
        }
        (id, initiator)
    }

    /// A session that has done nothing yet.
    pub(crate) fn new_session(&mut self, mappings: &[LunMapping]) -> (u64, Initiator) {
        let (socket, initiator) = self.connect(&parameters());
        (self.adopt(socket, parameters(), mappings, Vec::new()), initiator)
    }

    fn note_contexts(&mut self) {
        for entry in self.engine.contexts() {
            if !self.accounts.iter().any(|known| Arc::ptr_eq(known, &entry.accounts)) {
                self.accounts.push(entry.accounts);
            }
        }
    }

    /// The accounts of a context that is not released.
    pub(crate) fn accounts_of(&self, client: &str) -> Arc<Accounts> {
        let entries = self.engine.contexts();
        let mut found = entries.into_iter().filter(|entry| entry.key.client == client);
        let entry = found.next().expect("a context");
        assert!(found.next().is_none(), "one context for each client and device");
        entry.accounts
    }

    /// The next event for which `pick` has something; the others are kept.
    pub(crate) fn event<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.events.iter().position(|event| pick(event).is_some()) {
                let event = self.events.remove(place).expect("just found");
                return pick(&event).expect("just picked");
            }
            let kinds = self.events.iter().map(std::mem::discriminant);
            assert!(
                Instant::now() < deadline,
                "not told; instead: {:?}",
                kinds.collect::<Vec<_>>()
            );
            self.look(Duration::from_millis(500));
        }
    }

    fn look(&mut self, patience: Duration) {
        let fd = self.engine.event_descriptor();
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd of ours.
        unsafe { libc::poll(&mut poll, 1, patience.as_millis() as i32) };
        self.events.extend(self.engine.take_events());
    }

    /// Number, session and CDB's first byte of the next upcall.
    pub(crate) fn upcall(&mut self) -> (u64, Vec<u8>) {
        self.event(|event| match event {
            Event::Upcall { id, data, .. } => Some((*id, data.clone())),
            _ => None,
        })
    }

    /// Waits for the end of a session; the reason.
    pub(crate) fn ended(&mut self, id: u64) -> String {
        self.event(|event| match event {
            Event::SessionEnded { session, reason, .. } if *session == id => Some(reason.clone()),
            _ => None,
        })
    }

    /// Contexts released since the last call, by client.
    pub(crate) fn released(&mut self) -> Vec<String> {
        self.look(Duration::ZERO);
        let mut clients = Vec::new();
        self.events.retain(|event| match event {
            Event::ContextReleased(entry) => {
                clients.push(entry.key.client.clone());
                false
            }
            _ => true,
        });
        clients.sort();
        clients
    }

    /// Stops the engine: every session ends, every context is released once, and what was begun
    /// was ended. Returns what was not looked at.
    pub(crate) fn stop(mut self) -> Vec<Event> {
        self.note_contexts();
        assert!(self.engine.stop(PATIENCE), "a submitter is left behind");
        assert!(self.engine.sessions().is_empty());
        assert_eq!(self.engine.contexts().len(), 0);
        for accounts in &self.accounts {
            assert_settled(accounts);
        }
        self.look(Duration::ZERO);
        self.events.into()
    }
}

/// Everything that was entered was left, everything submitted has come back.
pub(crate) fn assert_settled(accounts: &Accounts) {
    let total = |counter: fn(&Shard) -> &Counter| accounts.total(counter);
    assert_eq!(total(|shard| &shard.entered), total(|shard| &shard.left));
    assert_eq!(total(|shard| &shard.submitted), total(|shard| &shard.completed));
    assert_eq!(total(|shard| &shard.in_flight), 0);
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place / 7 + place / 509) as u8 ^ seed).collect()
}

pub(crate) fn write(initiator: &mut Initiator, lba: u64, data: &[u8]) -> Outcome {
    initiator.run(0, &cdb(0x8A, lba, (data.len() / BLOCK) as u32), 0, data)
}

pub(crate) fn read(initiator: &mut Initiator, lba: u64, blocks: u32) -> Outcome {
    initiator.run(0, &cdb(0x88, lba, blocks), blocks * BLOCK as u32, &[])
}
