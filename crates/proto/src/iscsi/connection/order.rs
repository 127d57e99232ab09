//! Whose turn it is: commands are told in the order of their numbers. Spec: RFC 7143 §4.2.2.1.

use super::{Connection, Item, Pending, Turn};
use crate::iscsi::bhs::opcode;
use crate::iscsi::task::{Slot, State};
use crate::iscsi::window::{Place, precedes};

impl Connection {
    /// Tells the command if it can run, else asks for what is missing. A response that waited
    /// for the end of data goes out.
    pub(super) fn settle(&mut self, slot: Slot) {
        let limits = self.limits();
        let task = self.task_mut(slot);
        if task.is_ready() {
            if !task.is_due {
                task.is_due = true;
                self.pending.push_back(Pending::Execute(slot));
            }
        } else if task.may_solicit(&limits) {
            if !task.is_soliciting {
                task.is_soliciting = true;
                self.outbox.push_back(Item::Solicit(slot));
            }
        } else if task.state == State::Answered && task.response_waits && !task.owes_data() {
            task.response_waits = false;
            self.outbox.push_back(Item::Response(slot));
        }
    }

    /// Tells everything that waited for a number that has come.
    pub(super) fn take_turns(&mut self) {
        while let Some(turn) = self.window.take_next() {
            match turn {
                Turn::Nothing => {}
                Turn::Request(bhs, data) => self.request_in_order(&bhs, data),
                Turn::Command { slot, sequence } => {
                    let task = self.task_mut(slot);
                    // Aborted meanwhile, its slot perhaps used again: only its number counts.
                    if task.sequence == sequence && task.state != State::Free {
                        task.in_order = true;
                        self.settle(slot);
                    }
                }
            }
        }
    }

    /// True when ABORT TASK may count a command that has not come as received: its number is in
    /// the window, and before that of a task management request in work.
    ///
    /// Spec: RFC 7143 §11.5.1, ABORT TASK.
    pub fn skip(&mut self, cmd_sn: u32) -> bool {
        let is_before_request = self.requests.iter().any(|(bhs, _)| {
            bhs.opcode() == opcode::TASK_MANAGEMENT_REQUEST && precedes(cmd_sn, bhs.cmd_sn.get())
        });
        if !is_before_request {
            return false;
        }
        match self.window.arrive(cmd_sn) {
            Place::Outside => false,
            Place::Early => {
                self.window.hold(cmd_sn, Turn::Nothing);
                true
            }
            Place::Next => {
                self.take_turns();
                true
            }
        }
    }
}
