//! One SCSI task on the wire: the data that its initiator owes and the data that we owe.
//! Spec: RFC 7143 §4.2.5 and §11.7 to §11.8.

use super::ahs::ExtendedCdb;
use super::bhs::{Bhs, NO_TAG};
use crate::scsi::sense::Sense;

/// Place of a task in its connection's table.
pub type Slot = u16;

/// Largest number of slots: a Target Transfer Tag keeps the slot in its upper 12 bits.
pub const SLOTS_MAX: u16 = 4095;
/// Most R2Ts outstanding for one task, whatever was negotiated: their ends are kept in the task.
pub const R2TS_MAX: u16 = 8;
const TAG_SEQUENCE_BITS: u32 = 20;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody uses the slot.
    Free,
    /// Data or its turn in the command order is still to come.
    Collecting,
    /// The device server has it.
    Executing,
    /// The answer is in the outbox or on its way.
    Answered,
    /// Aborted: nothing more is sent, whatever comes is thrown away.
    Dead,
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// SCSI status.
    pub status: u8,
    /// With CHECK CONDITION: why.
    pub sense: Option<Sense>,
    /// Bytes that the CDB asked to transfer (or, on failure, that were transferred).
    pub cdb_bytes: u64,
}

/// A SCSI task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Distinguishes the users of one slot.
    pub sequence: u32,
    /// Where it stands.
    pub state: State,
    /// Initiator Task Tag.
    pub initiator_task_tag: u32,
    /// LUN field as it came.
    pub lun_field: u64,
    /// The command descriptor block.
    pub cdb: [u8; 16],
    /// What it has behind those.
    pub extended_cdb: ExtendedCdb,
    /// R bit.
    pub reads: bool,
    /// W bit.
    pub writes: bool,
    /// Task attribute: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA.
    pub attribute: u8,
    /// Not counted against the command window.
    pub is_immediate: bool,
    /// Expected Data Transfer Length.
    pub expected_bytes: u32,
    /// Its number.
    pub cmd_sn: u32,
    /// Data-Out bytes that have come, in order from offset 0.
    pub received_bytes: u32,
    /// Data-Out bytes up to here have a place.
    pub wanted_bytes: u32,
    /// Why the task fails although its data goes on coming.
    pub fault: Option<Sense>,
    /// What it was answered with.
    pub answer: Option<Answer>,
    /// Sense data that goes out as it is, in the place of the answer's.
    pub(super) sense_data: Box<[u8]>,
    /// Its turn in the command order has come.
    pub(super) in_order: bool,
    /// Execute waits to be told.
    pub(super) is_due: bool,
    /// A place in the outbox asks for its data.
    pub(super) is_soliciting: bool,
    /// The answer is known, and goes out when the data that is owed has come.
    pub(super) response_waits: bool,
    /// The command PDU or unsolicited data after it is still coming.
    unsolicited_open: bool,
    pub(super) data_in_sn: u32,
    next_r2t: u32,
    r2t_sn: u32,
    r2ts_done: u32,
    /// Where the outstanding R2Ts end, by R2TSN modulo the length.
    r2t_ends: [u32; R2TS_MAX as usize],
    burst_data_sn: u32,
}

/// A request for data, to be sent as R2T.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// First byte.
    pub offset_bytes: u32,
    /// How many.
    pub length_bytes: u32,
    /// Target Transfer Tag.
    pub target_transfer_tag: u32,
    /// R2TSN.
    pub r2t_sn: u32,
}

/// The negotiated lengths that bound Data-Out.
#[derive(Debug, Clone, Copy)]
pub struct BurstLimits {
    /// MaxBurstLength.
    pub max_burst_bytes: u32,
    /// FirstBurstLength.
    pub first_burst_bytes: u32,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u16,
}

impl Task {
    /// An unused place.
    pub fn free() -> Self {
        Self {
            sequence: 0,
            state: State::Free,
            initiator_task_tag: NO_TAG,
            lun_field: 0,
            cdb: [0; 16],
            extended_cdb: ExtendedCdb::default(),
            reads: false,
            writes: false,
            attribute: 0,
            is_immediate: false,
            expected_bytes: 0,
            cmd_sn: 0,
            received_bytes: 0,
            wanted_bytes: 0,
            fault: None,
            answer: None,
            sense_data: Box::default(),
            in_order: false,
            is_due: false,
            is_soliciting: false,
            response_waits: false,
            unsolicited_open: false,
            data_in_sn: 0,
            next_r2t: 0,
            r2t_sn: 0,
            r2ts_done: 0,
            r2t_ends: [0; R2TS_MAX as usize],
            burst_data_sn: 0,
        }
    }

    /// Takes the slot for the command in `bhs`. Its data counts as unsolicited until
    /// [`Self::end_unsolicited`].
    pub(super) fn begin(&mut self, bhs: &Bhs, extended_cdb: ExtendedCdb, sequence: u32) {
        *self = Self {
            sequence,
            state: State::Collecting,
            initiator_task_tag: bhs.initiator_task_tag.get(),
            lun_field: bhs.lun.get(),
            cdb: bhs.rest,
            extended_cdb,
            reads: bhs.flags & 0x40 != 0,
            writes: bhs.flags & 0x20 != 0,
            attribute: bhs.flags & 0x07,
            is_immediate: bhs.is_immediate(),
            expected_bytes: bhs.word_20.get(),
            cmd_sn: bhs.cmd_sn.get(),
            unsolicited_open: true,
            ..Self::free()
        };
    }

    /// Data that was announced, or asked for, has not all come: no response may go out yet.
    ///
    /// Spec: RFC 7143 §11.4.2, the target waits for the F bit of the last expected sequence.
    pub fn owes_data(&self) -> bool {
        self.unsolicited_open || self.r2ts_outstanding() > 0
    }

    /// All data wanted so far is there, or none is of use, and the command may run.
    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Collecting
            && self.in_order
            && !self.owes_data()
            && (self.received_bytes >= self.wanted_bytes || self.fault.is_some())
    }

    /// Data is wanted that is not asked for yet, and one more R2T may be outstanding.
    pub(super) fn may_solicit(&self, limits: &BurstLimits) -> bool {
        self.state == State::Collecting
            && self.in_order
            && !self.unsolicited_open
            && self.fault.is_none()
            && self.next_r2t < self.wanted_bytes
            && self.r2ts_outstanding() < u32::from(limits.max_outstanding_r2t)
    }

    /// Moves the end of the data that has a place; it never goes back.
    pub(super) fn want(&mut self, bytes: u32) {
        let bytes = if self.writes { bytes.min(self.expected_bytes) } else { 0 };
        if bytes <= self.wanted_bytes {
            return;
        }
        if self.received_bytes > self.wanted_bytes {
            // What came before it was wanted is gone; writing the rest would leave a hole.
            self.fault.get_or_insert(Sense::INTERNAL_FAILURE);
        }
        self.wanted_bytes = bytes;
    }

    /// Unsolicited data has ended: what is missing is asked for from here.
    pub(super) fn end_unsolicited(&mut self) {
        self.unsolicited_open = false;
        self.next_r2t = self.received_bytes;
        self.burst_data_sn = 0;
    }

    /// The next R2T that may be sent, if any.
    pub(super) fn solicit(&mut self, slot: Slot, limits: &BurstLimits) -> Option<Solicitation> {
        if !self.may_solicit(limits) {
            return None;
        }
        let offset_bytes = self.next_r2t;
        let length_bytes = limits.max_burst_bytes.min(self.wanted_bytes - offset_bytes);
        let r2t_sn = self.r2t_sn;
        let target_transfer_tag = self.tag(slot, r2t_sn);
        self.next_r2t += length_bytes;
        self.r2t_sn = r2t_sn.wrapping_add(1);
        let end = self.next_r2t;
        if let Some(place) = self.r2t_ends.get_mut(ring(r2t_sn)) {
            *place = end;
        }
        Some(Solicitation { offset_bytes, length_bytes, target_transfer_tag, r2t_sn })
    }

    fn tag(&self, slot: Slot, r2t_sn: u32) -> u32 {
        // Far apart for the users of one slot, one after another for one task.
        let sequence = self.sequence.wrapping_mul(0x9E5).wrapping_add(r2t_sn);
        u32::from(slot) << TAG_SEQUENCE_BITS | sequence & ((1 << TAG_SEQUENCE_BITS) - 1)
    }

    /// The slot that a Target Transfer Tag of ours names.
    pub(super) fn slot_of_tag(target_transfer_tag: u32) -> Slot {
        Slot::try_from(target_transfer_tag >> TAG_SEQUENCE_BITS).unwrap_or(SLOTS_MAX)
    }

    /// Checks a Data-Out header against what is due. An amount of data that was not agreed fails
    /// the task; its data is still followed, to the F bit of the last sequence.
    ///
    /// # Errors
    /// What is wrong with it; without error recovery the connection ends.
    pub(super) fn check_data_out(
        &mut self,
        slot: Slot,
        bhs: &Bhs,
        limits: &BurstLimits,
    ) -> Result<(), &'static str> {
        let tag = bhs.word_20.get();
        if tag == NO_TAG && !self.unsolicited_open {
            return Err("unsolicited Data-Out that was not announced");
        }
        let is_due = self.r2ts_outstanding() > 0 && tag == self.tag(slot, self.r2ts_done);
        if tag != NO_TAG && !is_due {
            return Err("Data-Out with a Target Transfer Tag that is not the one due");
        }
        // The data of a task that fails is only counted.
        if self.fault.is_some() {
            return Ok(());
        }
        if bhs.word_40() != self.received_bytes {
            return Err("Data-Out with a buffer offset that is not the next one");
        }
        if bhs.word_36() != self.burst_data_sn {
            return Err("Data-Out with a DataSN that is not the next one");
        }
        self.burst_data_sn = self.burst_data_sn.wrapping_add(1);
        let end = u64::from(self.received_bytes) + u64::from(bhs.data_segment_bytes());
        let due = u64::from(match tag {
            NO_TAG => limits.first_burst_bytes.min(self.expected_bytes),
            _ => self.r2t_ends.get(ring(self.r2ts_done)).copied().unwrap_or(0),
        });
        // Where FirstBurstLength does not bound it, unsolicited data may also be less.
        let may_be_less = tag == NO_TAG && self.expected_bytes <= limits.first_burst_bytes;
        if end > due || (end < due && bhs.is_final() && !may_be_less) {
            self.fault = Some(Sense::INCORRECT_AMOUNT_OF_DATA);
        }
        Ok(())
    }

    /// A Data-Out with the F bit is complete: its burst has ended.
    pub(super) fn end_of_burst(&mut self, was_unsolicited: bool) {
        if was_unsolicited {
            self.end_unsolicited();
        } else if self.r2ts_outstanding() > 0 {
            self.burst_data_sn = 0;
            self.r2ts_done = self.r2ts_done.wrapping_add(1);
        }
    }

    /// ExpDataSN of the response: Data-In and R2T PDUs sent, zero where no Data-In was.
    ///
    /// Spec: RFC 7143 §11.4.8.
    pub(super) fn exp_data_sn(&self) -> u32 {
        if self.data_in_sn == 0 { 0 } else { self.data_in_sn.wrapping_add(self.r2t_sn) }
    }

    /// Nothing more is expected of the initiator: the task fails, and what still comes for it is
    /// thrown away.
    pub(super) fn give_up(&mut self, sense: Sense) {
        self.fault.get_or_insert(sense);
        self.unsolicited_open = false;
        self.r2ts_done = self.r2t_sn;
    }

    /// R2Ts that the initiator has not finished answering.
    pub fn r2ts_outstanding(&self) -> u32 {
        self.r2t_sn.wrapping_sub(self.r2ts_done)
    }
}

fn ring(r2t_sn: u32) -> usize {
    (r2t_sn % u32::from(R2TS_MAX)) as usize
}
