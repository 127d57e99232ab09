//! A session on its submitter: the connection's protocol state, its tasks, its units.

use crate::attentions::Attentions;
use crate::batch::Batch;
use crate::buffer::Buffer;
use crate::operation::Operation;
use crate::program::Program;
use crate::shared::{LogicalUnit, SessionRecord};
use fairlead_proto::iscsi::connection::Connection;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_sched::accounts::{Accounts, Operation as Accounted};
use fairlead_sched::{ContextId, Nanos};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A logged-in connection on its way to a submitter.
#[derive(Debug)]
pub struct Adopt {
    /// The socket.
    pub socket: OwnedFd,
    /// What login negotiated.
    pub parameters: Parameters,
    /// What the control plane sees of it.
    pub record: Arc<SessionRecord>,
    /// Its units.
    pub luns: Vec<Lun>,
    /// REPORT LUNS data.
    pub report_luns: Arc<[u8]>,
    /// Bytes received after the last login PDU.
    pub unread: Vec<u8>,
}

/// A unit as one session sees it.
#[derive(Debug)]
pub struct Lun {
    /// Its number.
    pub number: u16,
    /// The unit.
    pub unit: Arc<LogicalUnit>,
    /// This session may not write.
    pub read_only: bool,
    /// The I/O context of its commands.
    pub context: ContextId,
    /// That context's accounts.
    pub accounts: Arc<Accounts>,
    /// Unit attentions not yet reported.
    pub attentions: Attentions,
}

/// Where a task is, as far as its submitter is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing is in the slot.
    Empty,
    /// The wire brings its data, or its turn has not come.
    Collecting,
    /// It waits for a buffer.
    WantsBuffer,
    /// It waits for a range to be released.
    WantsRange,
    /// It has its range and waits for writes in flight to end.
    Quiescing,
    /// In the device's queue.
    Queued,
    /// In the device's queue at another submitter, which has not answered yet.
    Asked,
    /// With the kernel, or with a flush that others run.
    Submitted,
    /// Python has it.
    Upcall,
    /// Its data or its answer is being sent.
    Sending,
}

/// One task.
#[derive(Debug)]
pub struct Job {
    /// Where it is.
    pub place: Place,
    /// Aborted: freed as soon as nothing pins it.
    pub dead: bool,
    /// How it is carried out.
    pub program: Option<Program>,
    /// Index into the session's units.
    pub lun: Option<usize>,
    /// The context that it runs in, from submission to completion.
    pub context: Option<ContextId>,
    /// Its data.
    pub buffer: Option<Buffer>,
    /// The request that is queued or submitted.
    pub operation: Option<Operation>,
    /// When the owner of its device granted it; it wants to know when it is over.
    pub granted_at: Option<Nanos>,
    /// What follows it, where a large one was cut.
    pub rest_bytes: u64,
    /// What the scheduler that has let the request go counts it as.
    pub cost_ns: u64,
    /// When the command came.
    pub arrived: Nanos,
    /// When the request was queued, then when it was submitted.
    pub since: Nanos,
    /// Frames of it in the batch being sent.
    pub frames_out: u16,
    /// The kernel receives into its buffer.
    pub receiving: bool,
    /// Answered as soon as its unsolicited data is over.
    pub refused: Option<Answer>,
    /// A pending unit attention does not concern it.
    pub passes_attention: bool,
    /// What accounts file it under, with its bytes.
    pub accounted: (Accounted, u64),
    /// The piece being sent ends here; the program goes on when it is sent.
    pub piece_end: Option<u32>,
    /// The range that it locks: first byte, length.
    pub range: Option<(u64, u64)>,
    /// It holds that range.
    pub holds_range: bool,
    /// Answers still to come before its range is quiet.
    pub quiesce_left: u32,
    /// The aborts that wait for it: an initiator that is not answered escalates.
    pub abort_groups: Vec<u64>,
    /// Distinguishes late answers from Python.
    pub upcall: u64,
}

impl Job {
    /// An empty slot.
    pub fn empty() -> Self {
        Self {
            place: Place::Empty,
            dead: false,
            program: None,
            lun: None,
            context: None,
            buffer: None,
            operation: None,
            rest_bytes: 0,
            cost_ns: 0,
            granted_at: None,
            arrived: 0,
            since: 0,
            frames_out: 0,
            receiving: false,
            refused: None,
            passes_attention: false,
            accounted: (Accounted::Other, 0),
            piece_end: None,
            range: None,
            holds_range: false,
            quiesce_left: 0,
            abort_groups: Vec::new(),
            upcall: 0,
        }
    }

    /// Somebody outside still uses its buffer or will come back with its token.
    pub fn is_pinned(&self) -> bool {
        self.frames_out > 0
            || self.receiving
            || matches!(self.place, Place::Submitted | Place::Quiescing | Place::Asked)
    }
}

/// What the socket is receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receive {
    /// Nothing.
    Off,
    /// Whatever comes, into shared buffers.
    Stream,
    /// As before, but it was asked to stop.
    Pausing,
    /// One header, into a shared buffer.
    Once,
    /// A task's data, into its own buffer from this offset on.
    Exact(Slot, u32),
}

/// A session with its one connection.
#[derive(Debug)]
pub struct Session {
    /// The socket.
    pub socket: OwnedFd,
    /// The protocol.
    pub wire: Connection,
    /// Its tasks, by slot.
    pub jobs: Vec<Job>,
    /// Its units.
    pub luns: Vec<Lun>,
    /// REPORT LUNS data.
    pub report_luns: Arc<[u8]>,
    /// What the control plane sees.
    pub record: Arc<SessionRecord>,
    /// What is being received.
    pub receive: Receive,
    /// Receives without bulk data since the last with: back to the stream after some.
    pub small_receives: u32,
    /// What is being sent.
    pub batch: Option<Box<Batch>>,
    /// In the list of sessions with something to send.
    pub dirty: bool,
    /// Why it ends, once it does.
    pub ending: Option<String>,
    /// The last sign of life.
    pub heard: Nanos,
    /// When data last moved for one of its tasks, or the first of them came.
    pub progress: Nanos,
    /// When it was asked for one.
    pub asked: Option<Nanos>,
    /// After the batch in flight the connection closes.
    pub closes: bool,
    /// Jobs that are not empty.
    pub live: usize,
    /// Faults of the peer that were told, each once.
    pub noted: Vec<&'static str>,
}

impl Session {
    /// A session from what login handed over.
    pub fn new(adopt: Adopt, now: Nanos) -> (Box<Self>, Vec<u8>) {
        let Adopt { socket, parameters, record, luns, report_luns, unread } = adopt;
        let session = Self {
            socket,
            wire: Connection::new(parameters),
            jobs: Vec::new(),
            luns,
            report_luns,
            record,
            receive: Receive::Off,
            small_receives: 0,
            batch: None,
            dirty: false,
            ending: None,
            heard: now,
            progress: now,
            asked: None,
            closes: false,
            live: 0,
            noted: Vec::new(),
        };
        (Box::new(session), unread)
    }

    /// The job in a slot of this session.
    pub fn job(&mut self, slot: Slot) -> &mut Job {
        let index = usize::from(slot);
        if self.jobs.len() <= index {
            self.jobs.resize_with(index + 1, Job::empty);
        }
        self.jobs.get_mut(index).expect("just made")
    }

    /// The unit with this number.
    pub fn find_lun(&self, number: u16) -> Option<usize> {
        self.luns.iter().position(|lun| lun.number == number)
    }
}
