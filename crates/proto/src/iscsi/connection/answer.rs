//! What the device server says about a task.

use super::{Connection, Item, Kind, Pending};
use crate::iscsi::bhs::NO_TAG;
use crate::iscsi::task::{Answer, Slot, State};
use crate::scsi::sense::Sense;
use crate::scsi::status;

impl Connection {
    /// Data-Out up to `bytes` has a place now: ask for what was not sent unsolicited. The end
    /// never goes back, and is never beyond the Expected Data Transfer Length; a task that was
    /// executing collects again only where the end moves.
    pub fn want(&mut self, slot: Slot, bytes: u32) {
        let task = self.task_mut(slot);
        if !matches!(task.state, State::Collecting | State::Executing) {
            return;
        }
        let wanted_before = task.wanted_bytes;
        task.want(bytes);
        if task.wanted_bytes == wanted_before {
            return;
        }
        task.state = State::Collecting;
        if task.is_due && !task.is_ready() {
            task.is_due = false;
            self.forget_execute(slot);
        }
        self.settle(slot);
    }

    /// The task will fail with this sense: it executes once its data is over, and no more is
    /// asked for. A fault that is known stays.
    pub fn fail(&mut self, slot: Slot, sense: Sense) {
        let task = self.task_mut(slot);
        if matches!(task.state, State::Collecting | State::Executing) {
            task.fault.get_or_insert(sense);
            self.settle(slot);
        }
    }

    /// Data-In of `[offset, end)`, cut to what the initiator expects; with `answer` the command
    /// ends after it. What is said about a task that was aborted or answered goes nowhere.
    pub fn data_in(&mut self, slot: Slot, offset: u32, end: u32, answer: Option<Answer>) {
        let task = self.task_mut(slot);
        if !matches!(task.state, State::Collecting | State::Executing) {
            return;
        }
        let end = if task.reads { end.min(task.expected_bytes) } else { 0 };
        let waits = task.owes_data();
        // Phase collapse: GOOD rides on the last Data-In, everything else needs a response.
        let is_good = answer.is_some_and(|answer| answer.status == status::GOOD);
        let carries_status = is_good && end > offset && !waits;
        if end > offset {
            self.outbox.push_back(Item::DataIn { slot, offset, end, carries_status });
        }
        if let Some(answer) = answer {
            self.mark_answered(slot, answer);
            if waits {
                self.task_mut(slot).response_waits = true;
            } else if !carries_status {
                self.outbox.push_back(Item::Response(slot));
            }
        }
    }

    /// Ends a command without data.
    pub fn answer(&mut self, slot: Slot, answer: Answer) {
        self.data_in(slot, 0, 0, Some(answer));
    }

    /// The task's response is to carry this sense data, whatever its answer's sense is.
    pub fn set_sense_data(&mut self, slot: Slot, sense_data: &[u8]) {
        self.task_mut(slot).sense_data = Box::from(sense_data);
    }

    fn mark_answered(&mut self, slot: Slot, answer: Answer) {
        let task = self.task_mut(slot);
        task.answer = Some(answer);
        task.state = State::Answered;
        let was_due = std::mem::take(&mut task.is_due);
        let kind = Kind::of(task.is_immediate);
        if was_due {
            self.forget_execute(slot);
        }
        self.in_work.task_over(kind);
    }

    /// Aborts a task: nothing more is sent for it. Its slot stays until [`Self::release`].
    pub fn kill(&mut self, slot: Slot) {
        let task = self.task_mut(slot);
        if matches!(task.state, State::Free | State::Dead) {
            return;
        }
        let (was_answered, kind) = (task.state == State::Answered, Kind::of(task.is_immediate));
        task.state = State::Dead;
        task.is_due = false;
        self.set_tag(slot, NO_TAG);
        self.forget_execute(slot);
        self.outbox.retain(|item| match item {
            Item::DataIn { slot: of, .. } | Item::Response(of) | Item::Solicit(of) => *of != slot,
            Item::Other(_) => true,
        });
        if !was_answered {
            self.in_work.task_over(kind);
        }
    }

    fn forget_execute(&mut self, slot: Slot) {
        self.pending.retain(|pending| !matches!(pending, Pending::Execute(of) if *of == slot));
    }
}
