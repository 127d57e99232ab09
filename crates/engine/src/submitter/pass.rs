//! Commands that a device carries out itself: which they are, how they go down and come back.

use super::management::RESET_OCCURRED;
use super::{Submitter, Token, parts, token};
use crate::message::{Message, Subject, Whom};
use crate::operation::Operation;
use crate::passthrough::{
    Command, Device, Direction, Failure, Outcome, Treatment, asks_for_aca, attention_in, whole_cdb,
};
use crate::program::{Chosen, Expected, Pass, Program};
use crate::session::{Job, Session};
use crate::shared::{Event, LogicalUnit, Tables};
use crate::volume::Volume;
use fairlead_proto::iscsi::task::{Slot, Task};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use fairlead_proto::scsi::table::{Access, CommandTable, Execution, Request};
use fairlead_sched::accounts::Operation as Accounted;
use std::sync::Arc;

const REQUEST_SENSE: u8 = 0x03;

/// How a command for this unit is passed on; `None`: we answer it, as for other units.
pub(super) fn choose(
    session: &Session,
    lun: Option<usize>,
    task: &Task,
    tables: &Tables,
) -> Option<Chosen> {
    let lun = lun.and_then(|lun| session.luns.get(lun))?;
    let volume = &lun.unit.volume;
    let settings = &volume.passes_to()?.settings;
    let rule = settings.rules.find(&task.cdb);
    // A command may be passed on that our table does not know, or would refuse.
    let request = tables.commands.parse(&task.cdb).ok();
    let is_page = || request.is_some_and(|request| has_page(&lun.unit, &request, &task.cdb));
    let is_read_only = lun.read_only || volume.spec.read_only;
    let program = match rule.treatment {
        Treatment::Refuse => Err(Sense::INVALID_OPCODE),
        _ if is_read_only && !rule.is_harmless => Err(Sense::WRITE_PROTECTED),
        Treatment::Answer => return None,
        Treatment::Page if is_page() => return None,
        _ if request.is_some_and(|request| !moves_as_it_says(&request, task, volume)) => {
            Err(Sense::INVALID_FIELD_IN_CDB)
        }
        Treatment::Pass | Treatment::Page if is_passable(task) => {
            Pass::new(Expected::of(task), settings.transfer_bytes_max).map(Program::Pass)
        }
        _ => Err(Sense::INVALID_FIELD_IN_CDB),
    };
    let execution = request.map(|request| request.row.execution);
    let accounted = match execution {
        Some(Execution::Read) => Accounted::Read,
        Some(Execution::Write | Execution::WriteAndVerify) => Accounted::Write,
        _ => Accounted::Other,
    };
    let passes_attention = request.is_some_and(|request| request.row.passes_unit_attention);
    Some(Chosen { program, passes_attention, accounted })
}

/// Reads read, writes write, and there is room for all blocks: an adapter that is told something else
/// than the device may have to be reset, for everybody.
fn moves_as_it_says(request: &Request<'_>, task: &Task, volume: &Volume) -> bool {
    let expected = Expected::of(task);
    let (room_bytes, is_other_way) = match request.row.execution {
        Execution::Read => (expected.in_bytes, task.writes),
        Execution::Write | Execution::WriteAndVerify => (expected.out_bytes, task.reads),
        _ => return true,
    };
    // Devices without blocks have other commands by these codes.
    let block_bytes = if volume.spec.size_bytes > 0 { volume.spec.logical_block_bytes } else { 0 };
    // Where they are is the device's business.
    let blocks = request.blocks(u64::MAX).map_or(request.length, |(_, blocks)| blocks);
    !is_other_way && blocks.saturating_mul(u64::from(block_bytes)) <= u64::from(room_bytes)
}

/// Its CDB and data are of a kind that can be passed on for one of many.
fn is_passable(task: &Task) -> bool {
    let whole = whole_cdb(&task.cdb, &task.extended_cdb);
    let is_whole = whole.is_some_and(|(_, bytes)| !asks_for_aca(&task.cdb, bytes));
    is_whole && !(task.reads && task.writes)
}

/// What a command needs of a device that another nexus has reserved.
pub(super) fn access(device: &Device, commands: &CommandTable, cdb: &[u8; 16]) -> Access {
    // What bits of a CDB mean depends on the type of the device, which may be any.
    let usual = || commands.access_of_row(cdb);
    device.settings.rules.find(cdb).access.unwrap_or_else(usual)
}

fn has_page(unit: &LogicalUnit, request: &Request<'_>, cdb: &[u8; 16]) -> bool {
    let (key, length) = request.page_key(cdb);
    let pages = unit.pages.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    key.get(..length).is_some_and(|key| pages.contains_key(key))
}

/// The command as its device gets it; `None`: the task is not one that is passed on.
pub(super) fn command(
    session: &Session,
    slot: Slot,
    volume: &Volume,
    operation: &Operation,
) -> Option<Command> {
    let settings = &volume.passes_to()?.settings;
    let (task, job) = (session.wire.task(slot), session.jobs.get(usize::from(slot))?);
    let Some(Program::Pass(pass)) = &job.program else { return None };
    let (cdb, cdb_bytes) = whole_cdb(&task.cdb, &task.extended_cdb)?;
    let address = match (&job.buffer, pass.direction()) {
        (_, Direction::None) => std::ptr::null_mut(),
        (Some(buffer), _) => buffer.address(operation.buffer_offset),
        (None, _) => return None,
    };
    Some(Command {
        cdb,
        cdb_bytes,
        direction: pass.direction(),
        address,
        length_bytes: pass.length_bytes(),
        timeout_ns: settings.timeout_ns,
    })
}

impl Submitter {
    /// A link was told something by its descriptors.
    pub(super) fn link_ready(&mut self, watch: u32, events: i16) {
        let over = self.links.ready(watch, events, self.now);
        self.passed_all(over);
    }

    /// Time has passed for links.
    pub(super) fn tick_links(&mut self) {
        let over = self.links.tick(self.now);
        self.passed_all(over);
    }

    fn passed_all(&mut self, over: Vec<(Token, Outcome)>) {
        over.iter().for_each(|(token, outcome)| self.passed(*token, outcome));
        self.links.give_back(over);
    }

    /// A device has carried a command out.
    fn passed(&mut self, token: Token, outcome: &Outcome) {
        let (index, slot) = parts(token);
        self.with_session(index, |_, session| {
            if let Some(Program::Pass(pass)) = &mut session.job(slot).program {
                pass.ended(*outcome);
            }
        });
        self.completed(token, result_of(outcome));
    }

    /// What a passed command's end means for others than its initiator.
    pub(super) fn tell_others(&mut self, session: &mut Session, slot: Slot, volume: &Volume) {
        let cdb = session.wire.task(slot).cdb;
        let job = session.job(slot);
        let Some(Program::Pass(pass)) = &job.program else { return };
        let (outcome, is_dead) = (pass.outcome(), job.dead);
        self.note_answer(volume, &outcome);
        if outcome.failure.is_none() && outcome.unit_attention().is_none() {
            self.links.has_greeted(volume);
        }
        let told = match (outcome.status, &job.buffer) {
            // It tells them as data, and not again.
            (status::GOOD, Some(buffer)) if cdb[0] == REQUEST_SENSE => {
                let said = buffer.bytes().get(..outcome.transferred_bytes as usize);
                said.and_then(attention_in)
            }
            (status::GOOD, _) => {
                volume.passes_to().and_then(|device| device.settings.rules.find(&cdb).attention)
            }
            _ => outcome.unit_attention(),
        };
        let is_reset = outcome.failure == Some(Failure::Reset);
        // The kernel takes what the device says of its own resets.
        let attention = if is_reset { Some(RESET_OCCURRED) } else { told };
        let Some(asc) = attention.filter(|asc| !self.links.is_greeting(volume, *asc)) else {
            return;
        };
        if is_dead || is_reset {
            // Nobody has told its own nexus either.
            let luns = session.luns.iter_mut().filter(|lun| lun.unit.volume.id == volume.id);
            luns.for_each(|lun| lun.attentions.raise(asc));
        }
        self.spread_attention(volume.id, session.record.id, asc);
    }

    /// An operator hears once that a device does not answer, and once that it does again.
    fn note_answer(&mut self, volume: &Volume, outcome: &Outcome) {
        let trouble = outcome.failure.map(Failure::trouble);
        let record = Arc::clone(self.queue(volume).record());
        let event = match trouble {
            Some(None) => return,
            Some(Some(reason)) if record.set_failed(true) => {
                Event::DeviceFailed { device: record.name.clone(), reason }
            }
            None if record.set_failed(false) => {
                Event::DeviceResumed { device: record.name.clone() }
            }
            _ => return,
        };
        self.shared.events.tell(event);
    }

    /// The device tells one of us what concerns all: the others are told by us. Whoever asked has it.
    fn spread_attention(&mut self, volume: u32, except: u64, asc: u16) {
        let (about, whom) = (Subject::Volume(volume), Whom::AllBut(except));
        self.raise_attention(about, &whom, asc);
        for submitter in (0..self.shared.mailboxes.len()).filter(|other| *other != self.index) {
            self.shared.post(submitter, Message::Attention { about, whom: whom.clone(), asc });
        }
    }

    /// A passed command is given up: its device is told.
    pub(super) fn abort_passed(&mut self, session: &mut Session, index: u32, slot: Slot) {
        if let Some(volume) = Self::volume_of(session, slot) {
            self.links.abort(&volume, token(index, slot), self.now);
        }
    }
}

/// A passed command could not be sent. Returns what the books say of it.
pub(super) fn fail_passed(job: &mut Job, failure: Failure) -> i32 {
    let outcome = Outcome::failed(failure);
    if let Some(Program::Pass(pass)) = &mut job.program {
        pass.ended(outcome);
    }
    result_of(&outcome)
}

/// What the books say of it: what the device did not carry out says nothing about how long it takes.
fn result_of(outcome: &Outcome) -> i32 {
    match outcome.failure {
        None => i32::try_from(outcome.transferred_bytes).unwrap_or(i32::MAX),
        Some(Failure::Gone) => -libc::ENODEV,
        Some(_) => -libc::EIO,
    }
}
