//! Task management, text and logout. Spec: RFC 7143 §11.5, §11.10, §11.14; SAM-5, task management
//! functions.
//!
//! A function is answered when the tasks it is about can no longer touch the medium: queued ones
//! are taken back, submitted ones waited for, because the kernel cannot take them back.

use super::{Submitter, token};
use crate::message::{Message, Whom};
use crate::session::{Place, Session};
use crate::shared::{Event, UPCALLS_MAX, lock};
use fairlead_proto::iscsi::bhs::{opcode, reject};
use fairlead_proto::iscsi::connection::Request;
use fairlead_proto::iscsi::task::{Slot, State};
use fairlead_proto::scsi::{lun, status};
use std::sync::atomic::Ordering;

/// Function codes.
mod function {
    pub(super) const ABORT_TASK: u8 = 1;
    pub(super) const ABORT_TASK_SET: u8 = 2;
    pub(super) const CLEAR_TASK_SET: u8 = 4;
    pub(super) const LOGICAL_UNIT_RESET: u8 = 5;
    pub(super) const TARGET_WARM_RESET: u8 = 6;
    pub(super) const TARGET_COLD_RESET: u8 = 7;
    pub(super) const TASK_REASSIGN: u8 = 8;
}

/// Response codes.
mod response {
    pub(super) const COMPLETE: u8 = 0;
    pub(super) const NO_SUCH_TASK: u8 = 1;
    pub(super) const NO_SUCH_LUN: u8 = 2;
    pub(super) const NO_REASSIGNMENT: u8 = 4;
    pub(super) const NOT_SUPPORTED: u8 = 5;
}

/// No upcall has this number.
const NOTHING: u64 = 0;

/// COMMANDS CLEARED BY ANOTHER INITIATOR.
pub(super) const COMMANDS_CLEARED: u16 = 0x2F00;
/// BUS DEVICE RESET FUNCTION OCCURRED.
pub(super) const RESET_OCCURRED: u16 = 0x2903;

/// An abort that waits for tasks to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct AbortGroup {
    pub(super) left: usize,
    pub(super) then: Then,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// Answer this session's request.
    Answer { session: u64, tag: u32, ends_target: bool },
    /// Tell the submitter that asked.
    Tell { submitter: usize, group: u64 },
    /// Answer this upcall with GOOD.
    AnswerUpcall(u64),
}

impl Submitter {
    pub(super) fn request(&mut self, session: &mut Session, index: u32, request: Request) {
        match request {
            Request::Management {
                function,
                lun_field,
                initiator_task_tag,
                referenced_task_tag,
                ref_cmd_sn,
            } => {
                let about = (referenced_task_tag, ref_cmd_sn);
                self.manage(session, index, function, lun_field, initiator_task_tag, about);
            }
            Request::Text { initiator_task_tag: tag, flags, data, .. } => {
                self.text(session, index, tag, flags, &data);
            }
            Request::Logout { initiator_task_tag: tag, reason } => {
                // 0 and 1 are the same with one connection; 2 is for recovery that we do not offer.
                if reason < 2 {
                    self.lose_nexus(session);
                }
                session.wire.answer_logout(tag, if reason < 2 { 0 } else { 2 });
            }
        }
        self.mark(session, index);
    }

    fn text(&mut self, session: &mut Session, index: u32, tag: u32, flags: u8, data: &[u8]) {
        // C bit: more than 16 KiB of keys in full-feature phase, which nothing needs.
        let continues = flags & 0x40 != 0;
        if continues || self.shared.upcalls.load(Ordering::Relaxed) >= UPCALLS_MAX {
            let reason = reject::OUT_OF_RESOURCES;
            session.wire.reject_request(tag, opcode::TEXT_REQUEST, reason);
            return;
        }
        self.shared.upcalls.fetch_add(1, Ordering::Relaxed);
        let id = self.number();
        self.texts.insert(id, (index, tag));
        let (session, data) = (session.record.id, data.to_vec());
        self.shared.events.tell(Event::Text { id, session, data });
    }

    fn manage(
        &mut self,
        session: &mut Session,
        index: u32,
        function: u8,
        lun_field: u64,
        tag: u32,
        (referenced_task_tag, ref_cmd_sn): (u32, u32),
    ) {
        let lun = lun::decode(lun_field).and_then(|number| session.find_lun(number));
        let answer = match (function, lun) {
            (function::TASK_REASSIGN, _) => Some(response::NO_REASSIGNMENT),
            (function::ABORT_TASK..=function::TARGET_COLD_RESET, _) if function == 3 => {
                Some(response::NOT_SUPPORTED)
            }
            (function::TARGET_WARM_RESET | function::TARGET_COLD_RESET, _) => None,
            (function::ABORT_TASK..=function::LOGICAL_UNIT_RESET, None) => {
                Some(response::NO_SUCH_LUN)
            }
            (function::ABORT_TASK..=function::LOGICAL_UNIT_RESET, Some(_)) => None,
            _ => Some(response::NOT_SUPPORTED),
        };
        if let Some(answer) = answer {
            session.wire.answer_management(tag, answer);
            return;
        }
        let group = self.number();
        let ends_target = function == function::TARGET_COLD_RESET;
        let then = Then::Answer { session: session.record.id, tag, ends_target };
        // One place is ours, so that the group cannot be over before everything was aborted.
        self.aborts.insert(group, AbortGroup { left: 1, then });
        match function {
            function::ABORT_TASK => {
                let found = session.wire.find(referenced_task_tag);
                let slot = found
                    .filter(|slot| session.wire.task(*slot).state != State::Answered)
                    .or_else(|| session.find_dead(referenced_task_tag));
                match slot {
                    Some(slot) => self.abort(session, index, slot, Some(group)),
                    None if found.is_none() && session.wire.skip(ref_cmd_sn) => {}
                    None => {
                        self.aborts.remove(&group);
                        session.wire.answer_management(tag, response::NO_SUCH_TASK);
                        return;
                    }
                }
            }
            function::ABORT_TASK_SET => {
                let lun = lun.into_iter().collect::<Vec<_>>();
                self.abort_unit_of(session, index, &lun, group, NOTHING);
            }
            function::CLEAR_TASK_SET => {
                self.abort_unit_everywhere(session, index, lun, COMMANDS_CLEARED, group);
            }
            function::LOGICAL_UNIT_RESET => {
                self.abort_unit_everywhere(session, index, lun, RESET_OCCURRED, group);
            }
            _ => {
                for lun in 0..session.luns.len() {
                    self.abort_unit_everywhere(session, index, Some(lun), RESET_OCCURRED, group);
                }
            }
        }
        self.one_aborted_here(session, index, group);
    }

    /// Aborts the tasks of these LUNs of one session, except the one of this upcall. Returns whether
    /// there were any.
    fn abort_unit_of(
        &mut self,
        session: &mut Session,
        index: u32,
        luns: &[usize],
        group: u64,
        spared: u64,
    ) -> bool {
        let mut has_any = false;
        for slot in 0..session.jobs.len() as Slot {
            let job = session.job(slot);
            let is_spared = job.place == Place::Upcall && job.upcall == spared;
            let is_of_it = job.lun.is_some_and(|lun| luns.contains(&lun));
            let is_meant = job.place != Place::Empty && is_of_it && !is_spared;
            if is_meant && !session.is_answered(slot) {
                self.abort(session, index, slot, Some(group));
                has_any = true;
            }
        }
        has_any
    }

    fn abort_unit_everywhere(
        &mut self,
        session: &mut Session,
        index: u32,
        lun: Option<usize>,
        attention: u16,
        group: u64,
    ) {
        let found = lun.and_then(|lun| session.luns.get(lun));
        let Some(volume) = found.map(|lun| lun.unit.volume.id) else { return };
        if attention == RESET_OCCURRED {
            self.reset_reservation(session, lun);
        }
        let luns = session.luns_of(volume);
        self.abort_unit_of(session, index, &luns, group, NOTHING);
        // It has done so itself.
        let others = Whom::AllBut(session.record.id);
        self.abort_unit_of_those(volume, &others, attention, group, NOTHING);
        self.have_others_abort(volume, &others, attention, group);
    }

    /// The same on all other submitters.
    pub(super) fn have_others_abort(
        &mut self,
        volume: u32,
        whom: &Whom,
        attention: u16,
        group: u64,
    ) {
        for submitter in 0..self.shared.mailboxes.len() {
            let (me, whom) = (self.index, whom.clone());
            let message = Message::AbortUnit { volume, whom, attention, submitter: me, group };
            if submitter != me && self.shared.post(submitter, message) {
                if let Some(group) = self.aborts.get_mut(&group) {
                    group.left += 1;
                }
            }
        }
    }

    /// Aborts the tasks of a volume in these sessions, as far as they are this submitter's: its units
    /// are one logical unit to SCSI, by whatever targets and LUNs it is reached.
    pub(super) fn abort_unit_of_those(
        &mut self,
        volume: u32,
        whom: &Whom,
        attention: u16,
        group: u64,
        spared: u64,
    ) {
        for index in 0..self.sessions.len() as u32 {
            self.with_session(index, |this, session| {
                let luns = session.luns_of(volume);
                if !whom.includes(session.record.id) || luns.is_empty() {
                    return;
                }
                // A session that is ending may still have writes with the kernel.
                let is_own = session.has_upcall(spared);
                let has_lost = this.abort_unit_of(session, index, &luns, group, spared);
                // A preemption is told to those who have lost a task by it, the others to all.
                let is_told = matches!(whom, Whom::AllBut(_)) || has_lost && !is_own;
                for lun in luns.iter().filter(|_| is_told) {
                    if let Some(lun) = session.luns.get_mut(*lun) {
                        lun.attentions.raise(attention);
                    }
                }
                this.mark(session, index);
            });
        }
    }

    /// Another submitter asks for the abort of a volume's tasks here.
    pub(super) fn abort_for(
        &mut self,
        volume: u32,
        whom: &Whom,
        attention: u16,
        submitter: usize,
        asked: u64,
    ) {
        let group = self.number();
        let then = Then::Tell { submitter, group: asked };
        self.aborts.insert(group, AbortGroup { left: 1, then });
        self.abort_unit_of_those(volume, whom, attention, group, NOTHING);
        self.one_aborted(group);
    }

    /// Aborts one task. It is gone when nothing pins it; until then it is dead.
    pub(super) fn abort(
        &mut self,
        session: &mut Session,
        index: u32,
        slot: Slot,
        group: Option<u64>,
    ) {
        let job = session.job(slot);
        if job.place == Place::Empty {
            return;
        }
        if let Some(number) = group.filter(|number| !job.abort_groups.contains(number)) {
            job.abort_groups.push(number);
            if let Some(group) = self.aborts.get_mut(&number) {
                group.left += 1;
            }
        }
        if !std::mem::replace(&mut job.dead, true) {
            let (place, upcall) = (job.place, job.upcall);
            session.wire.kill(slot);
            match place {
                Place::Queued => {
                    let token = token(index, slot);
                    self.take_back(session, slot, token);
                    session.job(slot).place = Place::Collecting;
                }
                Place::Asked => self.withdraw(session, slot, token(index, slot)),
                Place::Submitted => self.abort_passed(session, index, slot),
                Place::Upcall => self.drop_upcall(upcall),
                Place::WantsBuffer => self.wants_buffer.retain(|t| *t != token(index, slot)),
                Place::WantsRange => self.wants_range.retain(|t| *t != token(index, slot)),
                _ => {}
            }
        }
        self.reap(session, index, slot);
    }

    /// One of a group's tasks is over; the session that is lent may be the one to be answered.
    pub(super) fn one_aborted_here(&mut self, session: &mut Session, index: u32, group: u64) {
        let Some(then) = self.count_down(group) else { return };
        match then {
            Then::Answer { session: id, tag, ends_target } if id == session.record.id => {
                self.answer_abort(session, index, tag, ends_target);
            }
            then => self.conclude(then),
        }
    }

    /// One of a group's tasks is over.
    pub(super) fn one_aborted(&mut self, group: u64) {
        if let Some(then) = self.count_down(group) {
            self.conclude(then);
        }
    }

    fn count_down(&mut self, number: u64) -> Option<Then> {
        let group = self.aborts.get_mut(&number)?;
        group.left = group.left.saturating_sub(1);
        if group.left > 0 {
            return None;
        }
        self.aborts.remove(&number).map(|group| group.then)
    }

    /// Does what an abort's end calls for; not now, because the session that it is about may be
    /// lent.
    fn conclude(&mut self, then: Then) {
        self.concluded.push(then);
    }

    pub(super) fn conclude_aborts(&mut self) {
        while let Some(then) = self.concluded.pop() {
            self.conclude_now(then);
        }
    }

    fn conclude_now(&mut self, then: Then) {
        match then {
            Then::Tell { submitter, group } => {
                self.shared.post(submitter, Message::Aborted(group));
            }
            Then::AnswerUpcall(id) => {
                self.answered_by_python(id, status::GOOD, None, Vec::new(), None);
            }
            Then::Answer { session, tag, ends_target } => {
                if let Some(index) = self.by_id.get(&session).copied() {
                    self.with_session(index, |this, session| {
                        this.answer_abort(session, index, tag, ends_target);
                    });
                }
            }
        }
    }

    fn answer_abort(&mut self, session: &mut Session, index: u32, tag: u32, ends_target: bool) {
        session.wire.answer_management(tag, response::COMPLETE);
        self.mark(session, index);
        if ends_target {
            session.closes = true;
            let records = lock(&self.shared.sessions);
            let own = session.record.id;
            let same = |target: &str| target == session.record.target_name;
            for record in records.values().filter(|r| r.id != own && same(&r.target_name)) {
                let message = Message::EndSession(record.id, "target cold reset");
                self.shared.post(record.submitter, message);
            }
        }
    }
}

impl Session {
    /// An aborted task that the kernel still holds.
    fn find_dead(&self, initiator_task_tag: u32) -> Option<Slot> {
        (0..).zip(&self.jobs).find_map(|(slot, job)| {
            let tag = self.wire.task(slot).initiator_task_tag;
            (job.dead && tag == initiator_task_tag).then_some(slot)
        })
    }

    /// By which LUNs it has a volume.
    fn luns_of(&self, volume: u32) -> Vec<usize> {
        let luns = self.luns.iter().enumerate();
        luns.filter(|(_, lun)| lun.unit.volume.id == volume).map(|(place, _)| place).collect()
    }

    /// The task of an upcall is one of this session's.
    fn has_upcall(&self, upcall: u64) -> bool {
        self.jobs.iter().any(|job| job.place == Place::Upcall && job.upcall == upcall)
    }

    fn is_answered(&self, slot: Slot) -> bool {
        self.wire.task(slot).state == State::Answered
    }
}
