//! A link's commands: how they go out, and how they come to their end.

use super::library::{self, TASK_CDB_BYTES_MAX};
use super::link::{IscsiLink, Phase};
use super::outcome_of;
use super::session::OwnTask;
use super::slots::Stage;
use crate::clock::SECOND;
use crate::passthrough::{Command, Direction, Failure, Link, Outcome, Watch};
use fairlead_sched::Nanos;
use std::ffi::c_int;
use std::os::fd::RawFd;

/// For the answer to ABORT TASK, and for what follows from it; then the session is given up.
const ABORT_NS: Nanos = 5 * SECOND;

/// Answers to ABORT TASK after which the target has nothing of the command: function complete, task
/// does not exist, LUN does not exist. Spec: RFC 7143 §11.6.1.
const LET_GO: [u8; 3] = [0, 1, 2];

impl IscsiLink {
    /// Gives a command to libiscsi.
    pub(super) fn send(&mut self, index: u32) -> Result<(), Failure> {
        let part = self.slots.part(index).ok_or(Failure::Broken)?;
        let session = self.session.as_ref().ok_or(Failure::Gone)?;
        let slot = self.slots.get(index).ok_or(Failure::Broken)?;
        let task = OwnTask::new(self.library, &slot.command, part).ok_or(Failure::Broken)?;
        if !session.send(&task, index, &self.mail) {
            return Err(Failure::Broken);
        }
        self.sequence += 1;
        slot.sequence = self.sequence;
        slot.stage = Stage::Out;
        slot.task = Some(task);
        Ok(())
    }

    /// libiscsi says that a command is over, and has forgotten it.
    pub(super) fn take_end(&mut self, index: u32, status: c_int) {
        let Some(slot) = self.slots.get(index).filter(|slot| slot.stage == Stage::Out) else {
            return;
        };
        if status == library::status::CANCELLED {
            // Nobody has asked for that: the session is gone.
            self.is_lost = true;
            return;
        }
        let Some(task) = &slot.task else { return };
        let outcome = outcome_of(&slot.command, slot.given_up, status, task);
        if slot.command.direction == Direction::Out {
            // A target that answers before it has all data leaves Data-Out in libiscsi's queue.
            slot.outcome = Some(outcome);
            self.slots.leave(index, Stage::Over);
        } else {
            self.slots.end(index, outcome);
        }
    }

    /// The target has answered to ABORT TASK.
    pub(super) fn take_abort(&mut self, index: u32, response: u8) {
        let Some(slot) = self.slots.get(index) else { return };
        if !std::mem::replace(&mut slot.is_abort_out, false) {
            return;
        }
        match slot.stage {
            Stage::Told => self.slots.set_free(index),
            // What it will not abort it may still answer: until the deadline.
            Stage::Out if LET_GO.contains(&response) => {
                slot.outcome = Some(Outcome::failed(slot.given_up.unwrap_or(Failure::Aborted)));
                self.slots.leave(index, Stage::LetGo);
            }
            _ => {}
        }
    }

    /// Ends the commands that libiscsi has nothing of any more.
    pub(super) fn settle(&mut self) {
        if self.slots.leaving == 0 {
            return;
        }
        let mut found = self.found_in(|stage| stage.is_leaving());
        for index in found.drain(..) {
            let Some(session) = &self.session else { break };
            let Some(slot) = self.slots.get(index) else { continue };
            if !session.has_written_all_it_may() {
                break;
            }
            if let (Stage::LetGo, Some(task)) = (slot.stage, &slot.task) {
                // Its callback is called; all else that was told has been taken in before.
                session.forget(task);
                self.mail.clear();
            }
            if let Some(outcome) = slot.outcome {
                self.slots.end(index, outcome);
            }
        }
        self.looked_at = found;
    }

    /// A command that is out is to be aborted: [`Self::send_aborts`].
    fn give_up(&mut self, index: u32, why: Failure, now: Nanos) {
        let is_new = |known: Option<Failure>| known.is_none() || why == Failure::TimedOut;
        let Some(slot) = self.slots.get(index).filter(|slot| is_new(slot.given_up)) else {
            return;
        };
        slot.given_up = Some(why);
        // Who loses interest may not end the session of others, however long the target takes.
        if why == Failure::TimedOut {
            self.slots.set_deadline(index, now.saturating_add(ABORT_NS));
        }
        self.are_aborts_due = true;
    }

    /// Sends ABORT TASK for commands that are given up and have gone out. Before them it would go
    /// past them: a target answers that there is no such task, and carries it out when it comes.
    pub(super) fn send_aborts(&mut self) {
        if !std::mem::take(&mut self.are_aborts_due) {
            return;
        }
        let mut found = self.found_in(|stage| stage == Stage::Out);
        for index in found.drain(..) {
            let Some(session) = &self.session else { break };
            let Some(slot) = self.slots.get(index) else { continue };
            let (Some(_), false, Some(task)) = (slot.given_up, slot.is_abort_sent, &slot.task)
            else {
                continue;
            };
            if slot.sequence > self.written {
                self.are_aborts_due = true;
                continue;
            }
            slot.is_abort_sent = session.abort(task, index, &self.mail);
            slot.is_abort_out = slot.is_abort_sent;
            self.is_lost |= !slot.is_abort_sent;
        }
        self.looked_at = found;
    }

    /// Does what is due.
    fn expire(&mut self, now: Nanos) {
        match self.phase {
            Phase::Down(until) if until <= now => self.connect_again(now),
            Phase::Coming(until) if until <= now => {
                self.refuse("no answer to connection and login".to_owned(), now);
            }
            _ => {}
        }
        let mut found = std::mem::take(&mut self.looked_at);
        found.clear();
        self.slots.expired(now, &mut found);
        for index in found.drain(..) {
            match self.slots.get(index).map(|slot| (slot.stage, slot.given_up)) {
                Some((Stage::Waiting, _)) => {
                    self.slots.end(index, Outcome::failed(Failure::Gone));
                }
                Some((Stage::Out, None | Some(Failure::Aborted))) => {
                    self.give_up(index, Failure::TimedOut, now);
                }
                _ => self.is_lost = true,
            }
        }
        self.looked_at = found;
        self.send_aborts();
        if self.is_lost {
            self.lose("a command was not let go of".to_owned(), now);
        }
    }
}

impl Link for IscsiLink {
    fn submit(&mut self, token: u64, command: &Command, now: Nanos) -> Result<(), Failure> {
        let is_short = usize::from(command.cdb_bytes) <= TASK_CDB_BYTES_MAX;
        if !is_short || c_int::try_from(command.length_bytes).is_err() {
            return Err(Failure::Unsendable);
        }
        let index = self.slots.take_in(token, command, now).ok_or(Failure::Busy)?;
        if !self.is_up() {
            self.slots.wait(index);
            return Ok(());
        }
        let sent = self.send(index);
        if sent.is_err() {
            self.slots.set_free(index);
        }
        sent
    }

    fn abort(&mut self, token: u64, now: Nanos) {
        let Some(index) = self.slots.find(token) else { return };
        match self.slots.get(index).map(|slot| slot.stage) {
            Some(Stage::Out) => {
                self.give_up(index, Failure::Aborted, now);
                self.send_aborts();
            }
            _ => self.slots.end(index, Outcome::failed(Failure::Aborted)),
        }
    }

    fn watches(&self, watches: &mut Vec<Watch>) {
        let seen = self.session.as_ref().map(|session| (session.fd(), session.events()));
        if let Some((fd, events)) = seen.filter(|(fd, _)| *fd >= 0) {
            watches.push(Watch { fd, events });
        }
    }

    fn ready(&mut self, fd: RawFd, events: i16, now: Nanos, over: &mut dyn FnMut(u64, Outcome)) {
        if self.session.as_ref().is_some_and(|session| session.fd() == fd) {
            // What has come is read before the connection's end is looked at.
            let comes = events & libc::POLLIN != 0;
            self.serve(if comes { libc::POLLIN } else { events }, now);
            // What is to be sent next, an answer to R2T or a command that has waited for its window,
            // is sent at once.
            let has_more = |session: &super::session::Session| !session.has_written_all_it_may();
            if self.is_up() && self.session.as_ref().is_some_and(has_more) {
                self.serve(libc::POLLOUT, now);
            }
        }
        self.slots.tell(over);
    }

    fn tick(&mut self, now: Nanos, over: &mut dyn FnMut(u64, Outcome)) {
        self.expire(now);
        self.slots.tell(over);
    }

    fn next_at(&self) -> Option<Nanos> {
        if self.is_lost || self.slots.has_ended() {
            return Some(0);
        }
        let phase_at = match self.phase {
            Phase::Down(until) | Phase::Coming(until) => until,
            Phase::Up => Nanos::MAX,
        };
        let at = phase_at.min(self.slots.earliest_at);
        (at < Nanos::MAX).then_some(at)
    }

    fn sessions(&self) -> u32 {
        self.sessions
    }

    fn trouble(&self) -> Option<&str> {
        Some(self.last_trouble()).filter(|trouble| !self.is_up() && !trouble.is_empty())
    }

    fn commands_max(&self) -> usize {
        self.slots.count()
    }
}

impl Drop for IscsiLink {
    fn drop(&mut self) {
        // Nobody is told anything; the tasks go when the context does not know them any more.
        self.session = None;
        self.slots.forget_all();
    }
}
