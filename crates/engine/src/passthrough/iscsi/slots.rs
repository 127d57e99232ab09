//! The commands of a link: from when they are accepted until their end was told.

use super::session::OwnTask;
use crate::passthrough::{Command, Failure, Outcome};
use fairlead_sched::Nanos;
use std::cell::UnsafeCell;
use std::collections::VecDeque;

/// How far a command has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Free,
    /// It waits for a session. Nobody has seen it.
    Waiting,
    /// libiscsi has it, and the target may.
    Out,
    /// The target has answered, but libiscsi may still write from the command's memory.
    Over,
    /// The target has aborted it, and libiscsi still knows it.
    LetGo,
    /// Its end waits to be told.
    Ended,
    /// Its end was told; the answer to its ABORT TASK is still to come.
    Told,
}

impl Stage {
    /// It has its outcome, and libiscsi may still need its memory.
    pub(super) fn is_leaving(self) -> bool {
        matches!(self, Self::Over | Self::LetGo)
    }
}

/// One command.
pub(super) struct Slot {
    pub(super) stage: Stage,
    pub(super) token: u64,
    pub(super) command: Command,
    /// When something is done about it next: it is aborted, or the session is given up for it.
    pub(super) deadline_at: Nanos,
    /// Its place among all that were sent.
    pub(super) sequence: u64,
    pub(super) task: Option<OwnTask>,
    pub(super) outcome: Option<Outcome>,
    /// Why it is being given up, if it is.
    pub(super) given_up: Option<Failure>,
    /// ABORT TASK was sent for it...
    pub(super) is_abort_sent: bool,
    /// ...and not answered.
    pub(super) is_abort_out: bool,
}

impl Slot {
    fn free() -> Self {
        Self {
            stage: Stage::Free,
            token: 0,
            command: NO_COMMAND,
            deadline_at: Nanos::MAX,
            sequence: 0,
            task: None,
            outcome: None,
            given_up: None,
            is_abort_sent: false,
            is_abort_out: false,
        }
    }
}

/// All of a link's commands, at most so many, and in which order they wait.
pub(super) struct Slots {
    slots: Box<[Slot]>,
    /// Where libiscsi finds the data of each slot's command; it writes here while it reads or writes.
    parts: Box<[UnsafeCell<libc::iovec>]>,
    free: Vec<u32>,
    waiting: VecDeque<u32>,
    ended: VecDeque<u32>,
    /// Slots of which [`Stage::is_leaving`] is true.
    pub(super) leaving: usize,
    /// No slot's deadline is before that.
    pub(super) earliest_at: Nanos,
}

const NO_COMMAND: Command = Command {
    cdb: [0; crate::passthrough::CDB_BYTES_MAX],
    cdb_bytes: 0,
    direction: crate::passthrough::Direction::None,
    address: std::ptr::null_mut(),
    length_bytes: 0,
    timeout_ns: 0,
};

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        let part = || libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            slots: (0..count).map(|_| Slot::free()).collect(),
            parts: (0..count).map(|_| UnsafeCell::new(part())).collect(),
            free: (0..count).rev().collect(),
            waiting: VecDeque::with_capacity(count as usize),
            ended: VecDeque::with_capacity(count as usize),
            leaving: 0,
            earliest_at: Nanos::MAX,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)
    }

    pub(super) fn part(&self, index: u32) -> Option<*mut libc::iovec> {
        self.parts.get(index as usize).map(UnsafeCell::get)
    }

    /// Takes a command in. `None`: there are as many as there may be.
    pub(super) fn take_in(&mut self, token: u64, command: &Command, now: Nanos) -> Option<u32> {
        let index = self.free.pop()?;
        let deadline_at = now.saturating_add(command.timeout_ns);
        let slot = self.get(index)?;
        *slot =
            Slot { stage: Stage::Waiting, token, command: *command, deadline_at, ..Slot::free() };
        self.earliest_at = self.earliest_at.min(deadline_at);
        Some(index)
    }

    /// It is the last of those that wait.
    pub(super) fn wait(&mut self, index: u32) {
        self.waiting.push_back(index);
    }

    /// The first of those that wait.
    pub(super) fn next_waiting(&mut self) -> Option<u32> {
        self.waiting.pop_front()
    }

    /// Moves a deadline.
    pub(super) fn set_deadline(&mut self, index: u32, at: Nanos) {
        if let Some(slot) = self.get(index) {
            slot.deadline_at = at;
        }
        self.earliest_at = self.earliest_at.min(at);
    }

    /// Slots whose deadline has come; the others decide when the next one does.
    pub(super) fn expired(&mut self, now: Nanos, found: &mut Vec<u32>) {
        if self.earliest_at > now {
            return;
        }
        self.earliest_at = Nanos::MAX;
        for (index, slot) in (0..).zip(&self.slots) {
            match slot.stage {
                Stage::Free | Stage::Ended => {}
                _ if slot.deadline_at <= now => found.push(index),
                _ => self.earliest_at = self.earliest_at.min(slot.deadline_at),
            }
        }
    }

    /// The slots in such a stage.
    pub(super) fn in_stage(&self, is_it: impl Fn(Stage) -> bool, found: &mut Vec<u32>) {
        let slots = (0..).zip(&self.slots);
        found.extend(slots.filter(|(_, slot)| is_it(slot.stage)).map(|(index, _)| index));
    }

    /// A command that was out has its outcome, and waits for libiscsi.
    pub(super) fn leave(&mut self, index: u32, stage: Stage) {
        if let Some(slot) = self.get(index) {
            slot.stage = stage;
            self.leaving += 1;
        }
    }

    /// The slot of a command that is not over.
    pub(super) fn find(&self, token: u64) -> Option<u32> {
        let is_it =
            |slot: &Slot| matches!(slot.stage, Stage::Waiting | Stage::Out) && slot.token == token;
        (0..).zip(&self.slots).find(|(_, slot)| is_it(slot)).map(|(index, _)| index)
    }

    /// A command is over, and neither the target nor libiscsi has anything of it.
    pub(super) fn end(&mut self, index: u32, outcome: Outcome) {
        let Some(slot) = self.get(index) else { return };
        let before = std::mem::replace(&mut slot.stage, Stage::Ended);
        slot.task = None;
        slot.outcome = Some(outcome);
        match before {
            Stage::Waiting => self.waiting.retain(|waiting| *waiting != index),
            stage if stage.is_leaving() => self.leaving -= 1,
            _ => {}
        }
        self.ended.push_back(index);
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Tells the ends that were not told yet.
    pub(super) fn tell(&mut self, over: &mut dyn FnMut(u64, Outcome)) {
        while let Some(index) = self.ended.pop_front() {
            let Some(slot) = self.get(index) else { continue };
            let (token, outcome) = (slot.token, slot.outcome.take());
            if slot.is_abort_out {
                slot.stage = Stage::Told;
                let deadline_at = slot.deadline_at;
                self.set_deadline(index, deadline_at);
            } else {
                self.set_free(index);
            }
            if let Some(outcome) = outcome {
                over(token, outcome);
            }
        }
    }

    /// A slot may be used again.
    pub(super) fn set_free(&mut self, index: u32) {
        if let Some(slot) = self.get(index) {
            slot.stage = Stage::Free;
            slot.task = None;
            self.free.push(index);
        }
    }

    /// Drops every task. No context may be there.
    pub(super) fn forget_all(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.task = None);
    }
}
