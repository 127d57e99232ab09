//! Headers and data as they arrive. Spec: RFC 7143 §7 (errors), §11.3 (SCSI Command), §11.7
//! (Data-Out).

use super::{Connection, Event, Kind, Pending, Sink, Turn};
use crate::iscsi::bhs::{Bhs, NO_TAG, opcode, reject};
use crate::iscsi::reader::Violation;
use crate::iscsi::task::{BurstLimits, Slot, State, Task};
use crate::iscsi::window::Place;
use crate::scsi::sense::Sense;

impl Connection {
    /// The data that the stream holds next, where it can be received straight into its place:
    /// `(slot, offset, bytes)`.
    pub fn due(&self) -> Option<(Slot, u32, u32)> {
        let Sink::Task(slot) = self.sink else { return None };
        let (task, due) = (self.task(slot), self.reader.due_bytes());
        let fits = task.received_bytes.checked_add(due).is_some_and(|end| end <= task.wanted_bytes);
        (due > 0 && fits && takes_data(task)).then_some((slot, task.received_bytes, due))
    }

    /// Bytes that [`Self::due`] named were received in place.
    pub fn received_in_place(&mut self, bytes: &[u8]) {
        self.reader.received_in_place(bytes);
        if let Sink::Task(slot) = self.sink {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let task = self.task_mut(slot);
            task.received_bytes = task.received_bytes.saturating_add(length);
        }
    }

    /// Bytes that [`Self::due`] named were received, but their task was aborted meanwhile.
    pub fn skip_in_place(&mut self, bytes: u32) {
        self.reader.skip_in_place(bytes);
        if let Sink::Task(slot) = self.sink {
            let task = self.task_mut(slot);
            task.received_bytes = task.received_bytes.saturating_add(bytes);
        }
    }

    /// Data of this task up to here may come without being asked for, in the command PDU and
    /// after it.
    pub fn unsolicited_bytes_max(&self, slot: Slot) -> u32 {
        let (task, parameters) = (self.task(slot), &self.parameters);
        if task.writes && (parameters.immediate_data || !parameters.initial_r2t) {
            parameters.first_burst_bytes.min(task.expected_bytes)
        } else {
            0
        }
    }

    pub(super) fn limits(&self) -> BurstLimits {
        BurstLimits {
            max_burst_bytes: self.parameters.max_burst_bytes,
            first_burst_bytes: self.parameters.first_burst_bytes,
            max_outstanding_r2t: self.parameters.max_outstanding_r2t,
        }
    }

    /// The slot of a command that is new.
    pub(super) fn header_arrived(&mut self, bhs: &Bhs) -> Option<Slot> {
        self.header = *bhs;
        self.sink = Sink::Discard;
        match bhs.opcode() {
            opcode::SCSI_COMMAND => return self.command_arrived(bhs),
            opcode::DATA_OUT => self.data_out_arrived(bhs),
            opcode::NOP_OUT
            | opcode::TASK_MANAGEMENT_REQUEST
            | opcode::TEXT_REQUEST
            | opcode::LOGOUT_REQUEST => self.request_arrived(bhs),
            opcode::SNACK_REQUEST => {
                self.reject(bhs, reject::SNACK, "SNACK at error recovery level 0");
            }
            opcode::LOGIN_REQUEST => {
                self.reject(bhs, reject::PROTOCOL_ERROR, "Login Request in full-feature phase");
            }
            _ => self.reject(bhs, reject::COMMAND_NOT_SUPPORTED, "unknown operation code"),
        }
        None
    }

    /// Where a command or request falls; `None`: it is ignored silently, as the standard asks.
    pub(super) fn place_of(&self, bhs: &Bhs) -> Option<Place> {
        if bhs.is_immediate() {
            return Some(Place::Next);
        }
        match self.window.place(bhs.cmd_sn.get()) {
            Place::Outside => None,
            place => Some(place),
        }
    }

    /// A command that is rejected uses up no number (RFC 7143 §7.3): all checks come before
    /// its number is taken.
    fn command_arrived(&mut self, bhs: &Bhs) -> Option<Slot> {
        let place = self.place_of(bhs)?;
        let tag = bhs.initiator_task_tag.get();
        let (is_final, writes) = (bhs.is_final(), bhs.flags & 0x20 != 0);
        if tag == NO_TAG || !(is_final || writes) {
            self.reject(bhs, reject::INVALID_PDU_FIELD, "SCSI Command with invalid tag or flags");
            return None;
        }
        if self.is_tag_in_use(tag) {
            self.reject(bhs, reject::TASK_IN_PROGRESS, "Initiator Task Tag in use");
            return None;
        }
        if bhs.is_immediate() && self.is_full_of_immediate() {
            self.reject(bhs, reject::TOO_MANY_IMMEDIATE, "too many immediate commands");
            return None;
        }
        let Some(slot) = self.allocate() else {
            self.reject(bhs, reject::OUT_OF_RESOURCES, "more commands than the window has places");
            return None;
        };
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let (initial_r2t, immediate_data) =
            (self.parameters.initial_r2t, self.parameters.immediate_data);
        let first_burst = self.parameters.first_burst_bytes;
        let extended_cdb = self.reader.extended_cdb();
        let task = self.task_mut(slot);
        task.begin(bhs, extended_cdb, sequence);
        task.in_order = place == Place::Next;
        let data = bhs.data_segment_bytes();
        if data > 0 && (!immediate_data || !writes || data > first_burst.min(task.expected_bytes))
            || !is_final && initial_r2t
        {
            task.fault = Some(Sense::UNEXPECTED_UNSOLICITED_DATA);
        }
        self.set_tag(slot, tag);
        self.in_work.task_begins(Kind::of(bhs.is_immediate()));
        if place == Place::Early {
            self.window.hold(bhs.cmd_sn.get(), Turn::Command { slot, sequence });
        } else if !bhs.is_immediate() {
            self.window.arrive(bhs.cmd_sn.get());
        }
        self.sink = Sink::Task(slot);
        Some(slot)
    }

    fn data_out_arrived(&mut self, bhs: &Bhs) {
        let tag = bhs.initiator_task_tag.get();
        let slot = match bhs.word_20.get() {
            NO_TAG => self.find(tag),
            ours => Some(Task::slot_of_tag(ours)).filter(|slot| {
                let task = self.tasks.get(usize::from(*slot));
                task.is_some_and(|task| task.initiator_task_tag == tag)
            }),
        };
        // Data for a task that was answered or aborted meanwhile is thrown away.
        let Some(slot) = slot else { return };
        let limits = self.limits();
        let task = self.task_mut(slot);
        let is_followed = match task.state {
            State::Collecting | State::Executing if task.fault.is_none() => true,
            State::Collecting | State::Executing | State::Answered => task.owes_data(),
            State::Free | State::Dead => false,
        };
        if !is_followed {
            return;
        }
        match task.check_data_out(slot, bhs, &limits) {
            Ok(()) => self.sink = Sink::Task(slot),
            Err(what) => {
                // The stream itself is intact: only this task's data can no longer be trusted.
                task.give_up(Sense::DATA_PHASE_ERROR);
                self.pending.push_back(Pending::Rejected(what));
                self.settle(slot);
            }
        }
    }

    pub(super) fn data_arrived<'a>(&mut self, bytes: &'a [u8]) -> Option<Event<'a>> {
        match self.sink {
            Sink::Discard => None,
            Sink::Control => {
                self.control.extend_from_slice(bytes);
                None
            }
            Sink::Task(slot) => {
                let task = self.task_mut(slot);
                let offset_bytes = task.received_bytes;
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                task.received_bytes = offset_bytes.saturating_add(length);
                let room = task.wanted_bytes.saturating_sub(offset_bytes) as usize;
                let bytes = bytes.get(..room.min(bytes.len()))?;
                let is_told = takes_data(task) && !bytes.is_empty();
                is_told.then_some(Event::Data { slot, offset_bytes, bytes })
            }
        }
    }

    /// Spec: RFC 7143 §7.8 for a data digest that does not match.
    pub(super) fn end_of_pdu(&mut self, intact: bool) {
        let (bhs, sink) = (self.header, std::mem::replace(&mut self.sink, Sink::Discard));
        if !intact {
            self.reject(&bhs, reject::DATA_DIGEST_ERROR, "data digest does not match");
        }
        match sink {
            Sink::Discard => {}
            Sink::Control if intact => self.request_complete(&bhs),
            Sink::Control => {}
            Sink::Task(_) if !intact && bhs.opcode() == opcode::SCSI_COMMAND => {
                // Its number would count as missing, and an initiator without error recovery
                // never sends it again: the session would stand still.
                self.breaks(Violation::Sequence("data digest of a command does not match"));
            }
            Sink::Task(slot) => self.task_data_complete(slot, &bhs, intact),
        }
        self.take_turns();
    }

    fn task_data_complete(&mut self, slot: Slot, bhs: &Bhs, intact: bool) {
        let task = self.task_mut(slot);
        if !intact {
            task.fault.get_or_insert(Sense::CRC_ERROR);
        }
        if bhs.is_final() {
            let is_unsolicited =
                bhs.opcode() == opcode::SCSI_COMMAND || bhs.word_20.get() == NO_TAG;
            task.end_of_burst(is_unsolicited);
        }
        self.settle(slot);
    }

    pub(super) fn reject(&mut self, bhs: &Bhs, reason: u8, what: &'static str) {
        self.push_reject(bhs, reason, None);
        self.pending.push_back(Pending::Rejected(what));
    }
}

/// Data goes to a task only while it is of use to it.
fn takes_data(task: &Task) -> bool {
    task.state == State::Collecting && task.fault.is_none()
}
