//! What a task does next: from its CDB to its answer.

use super::{Submitter, pass, token};
use crate::program::{Chosen, Expected, Input, Program, Simple, Step, Unit, check_condition};
use crate::session::{Job, Place, Session};
use crate::shared::{Event, Page, Tables, UPCALLS_MAX};
use fairlead_proto::iscsi::task::{Answer, Slot, Task};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Execution, Request};
use fairlead_proto::scsi::{lun, status};
use fairlead_sched::accounts::Operation as Accounted;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Waiting tasks that may find no buffer in one round; those behind them are not asked.
const FAILURES_MAX: usize = 16;
/// Parameter data that goes up to Python.
const PARAMETER_BYTES_MAX: u32 = 64 * 1024;

impl Submitter {
    /// A command's header is there: decide how to carry it out, and find a place for its data.
    pub(super) fn begin(&mut self, session: &mut Session, slot: Slot) {
        let tables = Arc::clone(&self.tables);
        let task = session.wire.task(slot);
        let lun = lun::decode(task.lun_field).and_then(|number| session.find_lun(number));
        let passed = pass::choose(session, lun, task, &tables);
        let chosen = match (passed, tables.commands.parse(&task.cdb)) {
            (Some(passed), _) => passed,
            (None, Ok(request)) => choose(session, lun, &request, task, &tables),
            (None, Err(sense)) => {
                let sense = if lun.is_none() { Sense::LUN_NOT_SUPPORTED } else { sense };
                Chosen { program: Err(sense), passes_attention: false, accounted: Accounted::Other }
            }
        };
        let context = lun.and_then(|lun| session.luns.get(lun)).map(|lun| lun.context);
        let mut job = Job {
            place: Place::Collecting,
            lun,
            context,
            arrived: self.now,
            passes_attention: chosen.passes_attention,
            accounted: (chosen.accounted, 0),
            ..Job::empty()
        };
        if session.live == 0 {
            session.progress = self.now;
        }
        session.live += 1;
        session.record.in_flight.add(1);
        let wanted = match chosen.program {
            Err(sense) => {
                job.refused = Some(check_condition(sense, 0));
                0
            }
            Ok(program) => {
                let bytes = program.buffer_bytes();
                let wanted = program.first_data_bytes();
                job.program = Some(program);
                let parameters = session.wire.parameters();
                let unasked = parameters.immediate_data || !parameters.initial_r2t;
                // Whoever waits is served first; only data that comes unasked cannot wait.
                let in_turn = self.wants_buffer.is_empty() || wanted > 0 && unasked;
                if bytes == 0 || in_turn && self.find_buffer(&mut job, bytes) {
                    wanted
                } else {
                    if wanted > 0 && unasked {
                        // Data may come unasked, and there is no place for it.
                        job.refused = Some(answer(status::TASK_SET_FULL));
                    }
                    0
                }
            }
        };
        *session.job(slot) = job;
        session.wire.want(slot, wanted);
    }

    fn find_buffer(&mut self, job: &mut Job, bytes: usize) -> bool {
        let held = job.context.map_or(0, |context| self.arena.held_bytes(context));
        let Some(buffer) = self.pool.take(bytes, held) else { return false };
        if let Some(context) = job.context {
            self.arena.hold(context, buffer.capacity() as i64);
        }
        job.buffer = Some(buffer);
        true
    }

    /// The command's turn has come, with all data that was asked for.
    pub(super) fn execute(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let task = session.wire.task(slot);
        let fault = task.fault;
        let job = session.job(slot);
        if let (false, Some(lun)) = (job.passes_attention, job.lun) {
            let lun = session.luns.get_mut(lun);
            if let Some(asc) = lun.and_then(|lun| lun.attentions.take()) {
                let sense = Sense::unit_attention(asc);
                return self.finish(session, index, slot, check_condition(sense, 0));
            }
        }
        if self.is_reserved_for_others(session, slot) {
            let conflict = answer(status::RESERVATION_CONFLICT);
            return self.finish(session, index, slot, conflict);
        }
        let job = session.job(slot);
        if let Some(sense) = fault {
            return self.finish(session, index, slot, check_condition(sense, 0));
        }
        if let Some(answer) = job.refused {
            return self.finish(session, index, slot, answer);
        }
        if job.passes_attention {
            self.tell_attention(session, slot);
        }
        let job = session.job(slot);
        let Some(program) = &job.program else { return };
        if job.buffer.is_none() && program.buffer_bytes() > 0 {
            job.place = Place::WantsBuffer;
            self.wants_buffer.push_back(token(index, slot));
            // There may be room by now: who comes to wait is asked once without anything freed.
            self.buffers_freed = true;
            return;
        }
        self.proceed(session, index, slot, Input::Ready);
    }

    /// REQUEST SENSE tells the unit attention that is pending when its turn comes, and so clears
    /// it. Spec: SAM-5, unit attention conditions.
    fn tell_attention(&self, session: &mut Session, slot: Slot) {
        let task = session.wire.task(slot);
        let expected = if task.reads { task.expected_bytes } else { 0 };
        let Ok(request) = self.tables.commands.parse(&task.cdb) else { return };
        let lun =
            session.job(slot).lun.filter(|_| request.row.execution == Execution::RequestSense);
        let Some(lun) = lun.and_then(|lun| session.luns.get_mut(lun)) else { return };
        let attention = lun.attentions.take();
        // What else there is to tell a device tells itself.
        if attention.is_none() && lun.unit.volume.passes_to().is_some() {
            return;
        }
        let sense = attention.map_or(Sense::NONE, Sense::unit_attention);
        session.job(slot).program = Some(request_sense(sense, &request, expected));
    }

    /// Gives buffers that have become free to those who wait, in order.
    pub(super) fn serve_buffers(&mut self) {
        if !std::mem::replace(&mut self.buffers_freed, false) {
            return;
        }
        let mut failed = Vec::new();
        for _ in 0..self.wants_buffer.len() {
            let Some(token) = self.wants_buffer.pop_front() else { break };
            let (index, slot) = super::parts(token);
            let served = self.with_session(index, |this, session| {
                let job = session.job(slot);
                if job.place != Place::WantsBuffer || job.dead {
                    return true;
                }
                let Some(program) = &job.program else { return true };
                let (bytes, wanted) = (program.buffer_bytes(), program.first_data_bytes());
                let mut job = std::mem::replace(job, Job::empty());
                let found = this.find_buffer(&mut job, bytes);
                *session.job(slot) = job;
                if !found {
                    return false;
                }
                session.job(slot).place = Place::Collecting;
                if wanted > session.wire.task(slot).received_bytes {
                    session.wire.want(slot, wanted);
                } else {
                    this.proceed(session, index, slot, Input::Ready);
                }
                this.feed(session, index, &[]);
                true
            });
            if served == Some(false) {
                failed.push(token);
                if failed.len() == FAILURES_MAX {
                    break;
                }
            }
        }
        // They keep their places.
        failed.into_iter().rev().for_each(|token| self.wants_buffer.push_front(token));
    }

    /// Lets the program take its next step.
    pub(super) fn proceed(&mut self, session: &mut Session, index: u32, slot: Slot, input: Input) {
        let unit = unit_of(session, slot);
        let job = session.job(slot);
        let Some(program) = job.program.as_mut() else { return };
        let buffer = job.buffer.as_mut().map(|buffer| buffer.bytes_mut()).unwrap_or_default();
        match program.next(input, &unit, buffer) {
            Step::Collect(end) => {
                job.place = Place::Collecting;
                session.wire.want(slot, end);
                self.mark(session, index);
            }
            Step::Io(operation) => {
                job.operation = Some(operation);
                self.enqueue(session, index, slot);
            }
            Step::Lock(start, length) => {
                job.range = Some((start, length));
                self.lock_range(session, index, slot);
            }
            Step::Send(from, end, None) => {
                job.place = Place::Sending;
                job.piece_end = Some(end);
                session.wire.data_in(slot, from, end, None);
                self.mark(session, index);
            }
            Step::Send(from, end, Some(answer)) => {
                tell_sense(session, slot);
                self.close_books(session, index, slot, &answer);
                session.wire.data_in(slot, from, end, Some(answer));
                self.mark(session, index);
            }
            Step::Answer(answer) => {
                tell_sense(session, slot);
                self.finish(session, index, slot, answer);
            }
            Step::Upcall => self.upcall(session, index, slot),
        }
    }

    /// Answers a command without (more) data.
    pub(super) fn finish(&mut self, session: &mut Session, index: u32, slot: Slot, answer: Answer) {
        if let Some(reason) = answer.sense.and_then(misdirection) {
            self.note(session, reason);
        }
        self.close_books(session, index, slot, &answer);
        session.wire.answer(slot, answer);
        self.mark(session, index);
    }

    fn close_books(&mut self, session: &mut Session, index: u32, slot: Slot, answer: &Answer) {
        let now = self.now;
        let job = session.job(slot);
        job.place = Place::Sending;
        let (kind, _) = job.accounted;
        let (context, response_ns) = (job.context, job.age(now));
        if std::mem::replace(&mut job.holds_range, false) {
            self.release_range(session, slot, token(index, slot));
        }
        let moved = if answer.status == status::GOOD { answer.cdb_bytes } else { 0 };
        let bytes = moved.min(u64::from(session.wire.task(slot).expected_bytes));
        session.record.commands.add(1);
        match kind {
            Accounted::Read => session.record.bytes_read.add(bytes),
            Accounted::Write => session.record.bytes_written.add(bytes),
            Accounted::Other => {}
        }
        if let Some(shard) = context.and_then(|context| self.arena.shard(context)) {
            shard.command(kind, bytes, response_ns);
        }
    }

    // ---- Python ---------------------------------------------------------------------------

    fn upcall(&mut self, session: &mut Session, index: u32, slot: Slot) {
        if self.shared.upcalls.fetch_add(1, Ordering::Relaxed) >= UPCALLS_MAX {
            self.shared.upcalls.fetch_sub(1, Ordering::Relaxed);
            return self.finish(session, index, slot, answer(status::BUSY));
        }
        let id = self.number();
        self.upcalls.insert(id, Some(token(index, slot)));
        let cdb = session.wire.task(slot).cdb;
        let job = session.job(slot);
        job.place = Place::Upcall;
        job.upcall = id;
        let length = job.program.as_ref().map_or(0, |program| program.buffer_bytes());
        let bytes = job.buffer.as_ref().and_then(|buffer| buffer.bytes().get(..length));
        let data = bytes.unwrap_or_default().to_vec();
        let Some(lun) = job.lun.and_then(|lun| session.luns.get(lun)) else { return };
        let (logical_unit, lun, session) = (lun.unit.id, lun.number, session.record.id);
        self.shared.events.tell(Event::Upcall { id, session, logical_unit, lun, cdb, data });
    }

    pub(super) fn answered_by_python(
        &mut self,
        id: u64,
        status: u8,
        sense: Option<Sense>,
        data: Vec<u8>,
        peer_max_recv: Option<u32>,
    ) {
        if let Some((index, tag)) = self.texts.remove(&id) {
            self.shared.upcalls.fetch_sub(1, Ordering::Relaxed);
            self.with_session(index, |this, session| {
                session.wire.answer_text(tag, u32::MAX, 0x80, &data);
                if let Some(bytes) = peer_max_recv {
                    session.wire.set_peer_max_recv_data_segment_bytes(bytes);
                }
                this.mark(session, index);
            });
            return;
        }
        let Some(owner) = self.upcalls.remove(&id) else { return };
        self.shared.upcalls.fetch_sub(1, Ordering::Relaxed);
        let Some(token) = owner else { return };
        let (index, slot) = super::parts(token);
        self.with_session(index, |this, session| {
            let task = session.wire.task(slot);
            let expected = if task.reads { task.expected_bytes } else { 0 };
            let job = session.job(slot);
            if job.upcall != id || job.place != Place::Upcall || job.dead {
                return;
            }
            if status != status::GOOD {
                let answer = Answer { status, sense, cdb_bytes: 0 };
                return this.finish(session, index, slot, answer);
            }
            // Python has cut the data to the allocation length.
            let program = Simple::page(Arc::from(data), u64::MAX, expected);
            let program = Program::Simple(program);
            let bytes = program.buffer_bytes();
            let enough = job.buffer.as_ref().map_or(0, |buffer| buffer.capacity()) >= bytes;
            job.program = Some(program);
            if !enough {
                let mut job = std::mem::replace(job, Job::empty());
                if let (Some(old), Some(context)) = (job.buffer.take(), job.context) {
                    this.arena.hold(context, -(old.capacity() as i64));
                    this.pool.give_back(old);
                }
                let found = this.find_buffer(&mut job, bytes);
                *session.job(slot) = job;
                if !found {
                    return this.finish(session, index, slot, answer(status::BUSY));
                }
            }
            this.proceed(session, index, slot, Input::Ready);
        });
    }

    /// Forgets whose an upcall was: its task was aborted. It counts until Python has answered,
    /// because until then its event may wait to be read.
    pub(super) fn drop_upcall(&mut self, id: u64) {
        if let Some(owner) = self.upcalls.get_mut(&id) {
            *owner = None;
        }
    }
}

/// The sense data of a device goes out as it came.
fn tell_sense(session: &mut Session, slot: Slot) {
    if let Some(Program::Pass(pass)) = &session.job(slot).program {
        let outcome = pass.outcome();
        session.wire.set_sense_data(slot, outcome.sense());
    }
}

/// What an operator should hear of: the initiator's idea of the target is not ours.
fn misdirection(sense: Sense) -> Option<&'static str> {
    match sense {
        Sense::LUN_NOT_SUPPORTED => Some("command for a LUN that is not mapped"),
        Sense::LBA_OUT_OF_RANGE => Some("command beyond the last LBA"),
        _ => None,
    }
}

fn answer(status: u8) -> Answer {
    Answer { status, sense: None, cdb_bytes: 0 }
}

/// The unit of a task, with this session's restrictions.
fn unit_of(session: &mut Session, slot: Slot) -> Unit {
    let lun = session.job(slot).lun.and_then(|lun| session.luns.get(lun));
    lun.map_or(NO_MEDIUM, |lun| lun.unit.unit)
}

const NO_MEDIUM: Unit = Unit {
    blocks: 0,
    block_bytes: 512,
    read_only: true,
    thin: false,
    can_zero: false,
    write_through: false,
    has_cache: false,
    max_transfer_blocks: 0,
    max_unmap_blocks: 0,
    max_unmap_descriptors: 0,
    max_write_same_blocks: 0,
    max_compare_and_write_blocks: 0,
};

fn choose(
    session: &Session,
    lun: Option<usize>,
    request: &Request<'_>,
    task: &Task,
    tables: &Tables,
) -> Chosen {
    let expected = Expected::of(task);
    let accounted = match request.row.execution {
        Execution::Read => Accounted::Read,
        Execution::Write | Execution::WriteAndVerify => Accounted::Write,
        _ => Accounted::Other,
    };
    let found = lun.and_then(|lun| session.luns.get(lun));
    let program = match (request.row.execution, found) {
        _ if task.reads && task.writes => Err(Sense::INVALID_FIELD_IN_CDB),
        (Execution::ReportLuns, _) => report_luns(session, request, task, expected),
        (Execution::RequestSense, found) => {
            let sense = found.map_or(Sense::LUN_NOT_SUPPORTED, |_| Sense::NONE);
            Ok(request_sense(sense, request, expected.in_bytes))
        }
        (Execution::Page, None) => {
            let pages = &tables.pages_without_unit;
            page(pages, request, task, expected).unwrap_or(Err(Sense::LUN_NOT_SUPPORTED))
        }
        (_, None) => Err(Sense::LUN_NOT_SUPPORTED),
        (Execution::Page, Some(lun)) => {
            let pages = lun.unit.pages.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            page(&pages, request, task, expected).unwrap_or(Err(Sense::INVALID_FIELD_IN_CDB))
        }
        (Execution::Upcall, Some(_)) => {
            let bytes = u32::try_from(request.length).unwrap_or(u32::MAX).min(expected.out_bytes);
            if bytes > PARAMETER_BYTES_MAX {
                Err(Sense::PARAMETER_LIST_LENGTH)
            } else {
                Ok(Program::Simple(Simple::Upcall(bytes)))
            }
        }
        (Execution::StartStopUnit, Some(_)) => Ok(Program::Simple(match task.cdb[4] & 0x01 {
            0 => Simple::flush(),
            _ => Simple::good(),
        })),
        (Execution::TestUnitReady, Some(_)) => Ok(Program::Simple(Simple::good())),
        (_, Some(lun)) => {
            let mut unit = lun.unit.unit;
            unit.read_only |= lun.read_only;
            Program::for_medium(request, &unit, expected)
        }
    };
    Chosen { program, passes_attention: request.row.passes_unit_attention, accounted }
}

/// Sense as data, in the format that the CDB asks for.
fn request_sense(sense: Sense, request: &Request<'_>, expected_in_bytes: u32) -> Program {
    let page: Arc<[u8]> = match request.flags & 0x01 {
        0 => Arc::from(&sense.encode()[..]),
        _ => Arc::from(&sense.encode_descriptor()[..]),
    };
    Program::Simple(Simple::page(page, request.allocation, expected_in_bytes))
}

/// The page that the CDB selects; `None`: there is no such page.
fn page(
    pages: &HashMap<Box<[u8]>, Page>,
    request: &Request<'_>,
    task: &Task,
    expected: Expected,
) -> Option<Result<Program, Sense>> {
    let (key, length) = request.page_key(&task.cdb);
    let page = pages.get(key.get(..length)?)?;
    Some(
        page.clone()
            .map(|page| Program::Simple(Simple::page(page, request.allocation, expected.in_bytes))),
    )
}

fn report_luns(
    session: &Session,
    request: &Request<'_>,
    task: &Task,
    expected: Expected,
) -> Result<Program, Sense> {
    if request.allocation < 16 {
        return Err(Sense::INVALID_FIELD_IN_CDB);
    }
    let page = match task.cdb[2] {
        0x00 | 0x02 => Arc::clone(&session.report_luns),
        // Well known units: there are none.
        0x01 => Arc::from([0; 8]),
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    Ok(Program::Simple(Simple::page(page, request.allocation, expected.in_bytes)))
}
