//! A LUN of another iSCSI target, through libiscsi.
//!
//! An [`IscsiLink`] is one session: libiscsi does the protocol, the link decides about time. It
//! connects, waits, aborts and reconnects by [`Link::tick`] alone; libiscsi's own reconnection, which
//! sends commands again, is off.
//!
//! What libiscsi does not tell, nobody learns here: CONDITION MET arrives as GOOD, and a response
//! other than "command completed" (RFC 7143 §11.4.3) as its SCSI status. It writes data without
//! `MSG_NOSIGNAL`: SIGPIPE has to be ignored, as Rust's and Python's runtimes do.

mod address;
mod commands;
mod library;
mod link;
mod session;
mod slots;

pub use link::IscsiLink;

use super::{Command, Direction, Failure, Outcome};
use fairlead_proto::scsi::status;
use session::OwnTask;
use std::ffi::c_int;

/// What libiscsi makes of commands that no target has answered.
const FAILURE_OF: [(c_int, Failure); 3] = [
    (library::status::CANCELLED, Failure::Aborted),
    (library::status::ERROR, Failure::Broken),
    (library::status::TIMEOUT, Failure::TimedOut),
];

/// Why there is no link. The URL is not shown: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no libiscsi.
    #[error("the library libiscsi is missing (Debian's package libiscsi7): {0}")]
    NoLibrary(String),
    /// There is one, of a version with other structures.
    #[error("{0} is a version of libiscsi that is not supported")]
    ForeignLibrary(&'static str),
    /// What was given is no LUN of a target.
    #[error("the URL is not iscsi://[user[%password]@]host[:port]/target-iqn/lun, lun 0 to 255")]
    Url,
    /// Spec: RFC 7143 §4.2.7.1.
    #[error("an initiator's name has 1 to 223 bytes")]
    InitiatorName,
    /// The host of the URL has no address.
    #[error("host {host}: {why}")]
    Host {
        /// Its name.
        host: String,
        /// What the resolver says.
        why: String,
    },
}

/// What tells the sessions of one initiator name apart: type 10b, random. Two links to one target with
/// the same value throw each other out. Spec: RFC 7143 §11.12.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isid {
    /// 24 bits, drawn once for all links of a process.
    pub random: u32,
    /// The link's number.
    pub qualifier: u16,
}

/// What an initiator is told of a command that libiscsi says is over.
fn outcome_of(
    command: &Command,
    given_up: Option<Failure>,
    said: c_int,
    task: &OwnTask,
) -> Outcome {
    let Ok(said) = u8::try_from(said) else {
        let known = FAILURE_OF.iter().find(|(status, _)| *status == said);
        return Outcome::failed(known.map_or(Failure::Broken, |(_, failure)| *failure));
    };
    match given_up {
        // That is the answer to our own ABORT TASK.
        Some(failure) if said == status::TASK_ABORTED => Outcome::failed(failure),
        _ => {
            let sense = if said == status::CHECK_CONDITION { task.sense() } else { &[] };
            let room = match command.direction {
                Direction::None => 0,
                Direction::In | Direction::Out => command.length_bytes,
            };
            let residual = u32::try_from(task.residual_bytes()).unwrap_or(u32::MAX);
            Outcome::heard(said, sense, room, residual)
        }
    }
}
