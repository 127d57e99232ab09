//! What other threads tell a submitter.

use crate::driver::Steer;
use crate::kernel::Means;
use crate::operation::Operation;
use crate::session::Adopt;
use crate::volume::Volume;
use fairlead_proto::scsi::sense::Sense;
use fairlead_sched::seats::Ticket;
use fairlead_sched::settings::Settings;
use fairlead_sched::{ContextId, Nanos};
use std::sync::Arc;

/// What a unit attention condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One logical unit.
    Unit(u32),
    /// All units of a volume.
    Volume(u32),
}

/// Some of the sessions that have a unit, by their numbers.
#[derive(Debug, Clone)]
pub enum Whom {
    /// All but this one; 0: all.
    AllBut(u64),
    /// These.
    These(Arc<[u64]>),
}

impl Whom {
    /// Whether this session is one of them.
    pub fn includes(&self, session: u64) -> bool {
        match self {
            Self::AllBut(except) => session != *except,
            Self::These(these) => these.contains(&session),
        }
    }
}

/// A message to a submitter.
#[derive(Debug)]
pub enum Message {
    /// Serve this connection.
    Adopt(Box<Adopt>),
    /// End a session.
    EndSession(u64, &'static str),
    /// A context is due something else from now on.
    SetContext(ContextId, Settings),
    /// Python has answered.
    Answer {
        /// As in the event.
        id: u64,
        /// SCSI status.
        status: u8,
        /// With CHECK CONDITION.
        sense: Option<Sense>,
        /// Data-In, or text.
        data: Vec<u8>,
        /// A Text answer: the initiator's new MaxRecvDataSegmentLength, if it changed.
        peer_max_recv: Option<u32>,
    },
    /// A request that another submitter carried out, or that waited for it, is over.
    Completed {
        /// Which.
        token: u64,
        /// Bytes, or 0, or negative errno.
        result: i32,
    },
    /// It is this waiter's turn to flush its volume.
    RunFlush(u64),
    /// Say when no write to the range is in flight any more.
    Quiesce {
        /// Of this volume.
        volume: u32,
        /// First byte.
        start: u64,
        /// Past the last.
        end: u64,
        /// Who wants to know.
        submitter: usize,
        /// About which request.
        token: u64,
    },
    /// A submitter has no write to the range in flight.
    Quiesced(u64),
    /// A range was released: who waits may try again.
    RangeReleased,
    /// Abort the tasks of a volume. Answered by `Aborted`.
    AbortUnit {
        /// Which volume: its units are one logical unit to SCSI.
        volume: u32,
        /// Of which sessions.
        whom: Whom,
        /// Unit attention for them.
        attention: u16,
        /// Who wants to know.
        submitter: usize,
        /// Which abort.
        group: u64,
    },
    /// A volume is no more: no session uses it, and none will.
    VolumeClosed(u32),
    /// The other submitter's tasks are over.
    Aborted(u64),
    /// A unit attention condition has come up.
    Attention {
        /// On what.
        about: Subject,
        /// For whose nexuses.
        whom: Whom,
        /// Additional sense code and qualifier.
        asc: u16,
    },
    /// Abort tasks of a volume everywhere, then answer an upcall of this submitter with GOOD.
    AnswerSettled {
        /// Which upcall; its own task is not aborted.
        upcall: u64,
        /// Which volume.
        volume: u32,
        /// Of which sessions.
        whom: Whom,
    },
    /// To a device's owner: when is it this request's turn?
    Ask(Box<Ask>),
    /// It is the turn of a request that was asked for.
    Granted {
        /// Which.
        token: u64,
        /// On what terms.
        grant: Grant,
    },
    /// There is no room for a request that was asked for.
    Refused {
        /// Which.
        token: u64,
    },
    /// To a device's owner: a request that was asked for is not wanted any more. Answered by
    /// `Withdrawn`, or was by `Granted` or `Refused`.
    Withdraw {
        /// The device's queue.
        place: usize,
        /// Who asked.
        submitter: usize,
        /// For whom.
        context: ContextId,
        /// For which.
        token: u64,
    },
    /// It will not be granted.
    Withdrawn {
        /// Which.
        token: u64,
    },
    /// To a device's owner: a granted request is over.
    Returned {
        /// The device's queue.
        place: usize,
        /// Whose.
        context: ContextId,
        /// What it was.
        operation: Operation,
        /// What it was counted as.
        cost_ns: u64,
        /// How long the device had it, if it had it.
        took_ns: Option<u64>,
    },
    /// Whoever is scheduled here by a lease has to ask again.
    Recall {
        /// The device's queue.
        place: usize,
    },
    /// To a device's owner: a context has sessions at another submitter.
    Joined {
        /// On the device of this volume.
        volume: Arc<Volume>,
        /// Where.
        submitter: usize,
        /// Which context.
        context: ContextId,
        /// What it is due.
        settings: Settings,
    },
    /// To a device's owner: it has none there any more.
    Left {
        /// The device's queue.
        place: usize,
        /// Where.
        submitter: usize,
        /// Which context.
        context: ContextId,
    },
    /// A context has means of its own to submit by, or there are none.
    Means {
        /// Which.
        context: ContextId,
        /// As it was asked for.
        ticket: Ticket,
        /// What, or why not.
        means: Result<Means, String>,
    },
    /// A context has other means than before.
    Steer(ContextId, Steer),
    /// End every session and stop.
    Stop,
}

/// What a submitter asks of a device's owner.
#[derive(Debug)]
pub struct Ask {
    /// The device's queue.
    pub place: usize,
    /// Who asks.
    pub submitter: usize,
    /// For whom.
    pub context: ContextId,
    /// The request as the asker knows it.
    pub token: u64,
    /// What it is.
    pub operation: Operation,
}

/// What the owner says to an [`Ask`], when it is the request's turn.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// What it is counted as.
    pub cost_ns: u64,
    /// When: from then on the device has it, as far as the owner can see.
    pub at: Nanos,
    /// Several contexts want the device.
    pub is_shared: bool,
    /// Its context is alone on the device, and need not ask until it is told.
    pub leases: bool,
}
