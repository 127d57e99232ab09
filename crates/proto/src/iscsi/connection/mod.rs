//! The full-feature phase of a connection: bytes in, events out; answers in, frames out.
//!
//! A caller feeds received bytes to [`Connection::poll`] until it returns `None`, handles each
//! event at once, and takes frames from [`Connection::next_frame`] whenever it can send. Time and
//! buffers are the caller's.
//!
//! A command is told twice: [`Event::Command`] when its header is there (the caller finds a place
//! for its data and says so with [`Connection::want`]) and [`Event::Execute`] when all data wanted
//! so far has come and every command before it has been told. A large write may be taken in
//! pieces: after each [`Event::Execute`], or before it, [`Connection::want`] moves the end of the
//! wanted data, and the command is told again when that has come.
//!
//! Unsolicited data comes whether it is wanted or not. What is not wanted when it arrives is
//! thrown away, so a caller that will use it wants [`Connection::unsolicited_bytes_max`] at least.
//!
//! Each concern has its own file: `receive` (headers and data), `order` (whose turn it is),
//! `requests` (what is not a SCSI command), `answer` (what the device server says), `send`
//! (frames), `slots` (the table of tasks and what bounds it).
//!
//! Spec: RFC 7143 §4.2, §6 to §8, §11; one connection a session, error recovery level 0.

mod answer;
mod order;
mod receive;
mod requests;
mod send;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::bhs::{Bhs, Reply};
use super::parameters::Parameters;
use super::reader::{Reader, Step, Violation};
use super::task::{R2TS_MAX, SLOTS_MAX, Slot, State, Task};
use super::window::CommandWindow;

/// Immediate commands and requests in work at once; more are rejected.
pub const IMMEDIATE_MAX: u16 = 32;
/// Data that one request (Text, ping) may carry.
pub const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// Data of requests that one connection keeps: held for their turn, or echoed and not yet sent.
pub const CONTROL_TOTAL_BYTES_MAX: usize = 128 * 1024;
/// Replies that no window bounds (Reject, Asynchronous Message, ping) waiting to be sent. A peer
/// that makes more does not read, and is cut off.
pub const LOOSE_REPLIES_MAX: u16 = 256;
/// Deepest command window: two slots for each place, and those of immediate commands.
pub const QUEUE_DEPTH_MAX: u16 = (SLOTS_MAX - IMMEDIATE_MAX) / 2;

/// What happened on the wire.
#[derive(Debug)]
pub enum Event<'a> {
    /// A command's header is there; answer with [`Connection::want`] or [`Connection::fail`].
    Command(Slot),
    /// Data for a task that wants it.
    Data {
        /// Whose.
        slot: Slot,
        /// Where in the command's data.
        offset_bytes: u32,
        /// The data.
        bytes: &'a [u8],
    },
    /// The command may run: its data is complete as far as it was wanted, or [`Task::fault`] says
    /// why it fails.
    Execute(Slot),
    /// A request that is not a SCSI command.
    Request(Request),
    /// A PDU was rejected; the connection goes on.
    Rejected(&'static str),
    /// The connection cannot go on; nothing is told after this.
    Broken(Violation),
}

/// Requests other than commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Task management. Spec: RFC 7143 §11.5.
    Management {
        /// Function code.
        function: u8,
        /// LUN field.
        lun_field: u64,
        /// Tag of the request.
        initiator_task_tag: u32,
        /// Tag of the task it is about.
        referenced_task_tag: u32,
        /// CmdSN of that task.
        ref_cmd_sn: u32,
    },
    /// Text; never two at once. Spec: RFC 7143 §11.10.
    Text {
        /// Tag.
        initiator_task_tag: u32,
        /// Target Transfer Tag.
        target_transfer_tag: u32,
        /// F and C bits.
        flags: u8,
        /// key=value pairs.
        data: Box<[u8]>,
    },
    /// Logout. Spec: RFC 7143 §11.14.
    Logout {
        /// Tag.
        initiator_task_tag: u32,
        /// 0 closes the session, 1 the connection, 2 removes it for recovery.
        reason: u8,
    },
}

/// Where the data of the PDU that is arriving goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Discard,
    Task(Slot),
    Control,
}

/// What waits in the command window for a missing number.
#[derive(Debug)]
enum Turn {
    Command {
        slot: Slot,
        sequence: u32,
    },
    Request(Bhs, Box<[u8]>),
    /// Aborted before it came.
    Nothing,
}

/// An event that is not told yet.
#[derive(Debug)]
enum Pending {
    Execute(Slot),
    Request(Request),
    Rejected(&'static str),
    Broken(Violation),
}

/// Something to send. Those of a task are taken out when it is aborted.
#[derive(Debug)]
enum Item {
    DataIn { slot: Slot, offset: u32, end: u32, carries_status: bool },
    Response(Slot),
    Solicit(Slot),
    Other(Box<Other>),
}

/// A reply that is not about a SCSI command.
#[derive(Debug)]
struct Other {
    reply: Reply,
    data: Box<[u8]>,
    /// It takes a StatSN.
    counts: bool,
    closes: bool,
    /// The request that it answers: it stops counting when the reply goes out.
    over: Option<Kind>,
}

/// What a command or request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Immediate,
    Numbered,
}

impl Kind {
    fn of(is_immediate: bool) -> Self {
        if is_immediate { Self::Immediate } else { Self::Numbered }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    parameters: Parameters,
    reader: Reader,
    window: CommandWindow<Turn>,
    /// MaxCmdSN as the initiator knows it.
    told_max_cmd_sn: u32,
    tasks: Vec<Task>,
    /// Index: slot. Tags in use; NO_TAG as soon as the initiator may use one again.
    tags: Vec<u32>,
    free: Vec<Slot>,
    sequence: u32,
    in_work: slots::InWork,
    /// Requests that the caller has not answered.
    requests: Vec<(Bhs, Kind)>,
    stat_sn: u32,
    header: Bhs,
    sink: Sink,
    control: Vec<u8>,
    pending: VecDeque<Pending>,
    is_broken: bool,
    outbox: VecDeque<Item>,
    /// Replies in the outbox that answer no request.
    loose: u16,
}

impl Connection {
    /// A connection that login has just finished. Lengths below the standard's smallest, and a
    /// queue depth or number of R2Ts beyond what is served, are brought into range.
    pub fn new(mut parameters: Parameters) -> Self {
        parameters.queue_depth = parameters.queue_depth.clamp(1, QUEUE_DEPTH_MAX);
        parameters.max_outstanding_r2t = parameters.max_outstanding_r2t.clamp(1, R2TS_MAX);
        parameters.max_burst_bytes = parameters.max_burst_bytes.max(512);
        parameters.peer_max_recv_data_segment_bytes =
            parameters.peer_max_recv_data_segment_bytes.max(512);
        let window = CommandWindow::new(parameters.exp_cmd_sn, parameters.queue_depth);
        Self {
            reader: Reader::new(
                parameters.header_digest,
                parameters.data_digest,
                parameters.max_recv_data_segment_bytes,
            ),
            told_max_cmd_sn: window.max_cmd_sn(),
            window,
            stat_sn: parameters.stat_sn,
            parameters,
            tasks: Vec::new(),
            tags: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            in_work: slots::InWork::default(),
            requests: Vec::new(),
            header: Bhs::zeroed(),
            sink: Sink::Discard,
            control: Vec::new(),
            pending: VecDeque::new(),
            is_broken: false,
            outbox: VecDeque::new(),
            loose: 0,
        }
    }

    /// What login negotiated, in range.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Text changed the initiator's MaxRecvDataSegmentLength.
    pub fn set_peer_max_recv_data_segment_bytes(&mut self, bytes: u32) {
        self.parameters.peer_max_recv_data_segment_bytes = bytes.max(512);
    }

    /// Consumes input up to the next event; `None`: everything is consumed.
    pub fn poll<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            if let Some(pending) = self.pending.pop_front() {
                return Some(self.tell(pending));
            }
            if self.is_broken {
                *input = &[];
                return None;
            }
            match self.reader.step(input)? {
                Step::Header(bhs) => {
                    if let Some(slot) = self.header_arrived(&bhs) {
                        return Some(Event::Command(slot));
                    }
                }
                Step::Data(bytes) => {
                    if let Some(event) = self.data_arrived(bytes) {
                        return Some(event);
                    }
                }
                Step::End { intact } => self.end_of_pdu(intact),
                Step::Broken(violation) => self.breaks(violation),
            }
        }
    }

    fn tell<'a>(&mut self, pending: Pending) -> Event<'a> {
        match pending {
            Pending::Execute(slot) => {
                let task = self.task_mut(slot);
                task.is_due = false;
                task.state = State::Executing;
                Event::Execute(slot)
            }
            Pending::Request(request) => Event::Request(request),
            Pending::Rejected(reason) => Event::Rejected(reason),
            Pending::Broken(violation) => {
                // What the same PDU would still have led to is not told.
                self.pending.clear();
                Event::Broken(violation)
            }
        }
    }

    fn breaks(&mut self, violation: Violation) {
        if !self.is_broken {
            self.is_broken = true;
            self.pending.push_back(Pending::Broken(violation));
        }
    }
}
