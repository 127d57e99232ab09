//! Frames out. Spec: RFC 7143 §11.4 (SCSI Response), §11.7 (Data-In), §11.8 (R2T).

use super::{Connection, Item, Other};
use crate::iscsi::bhs::{NO_TAG, Reply, opcode};
use crate::iscsi::outbox::{Digests, Frame, INLINE_BYTES, Payload};
use crate::iscsi::task::Slot;
use crate::scsi::sense::SENSE_BYTES;
use zerocopy::big_endian::U32;

impl Connection {
    /// True when there is nothing to send.
    pub fn is_quiet(&self) -> bool {
        self.outbox.is_empty() && !self.owes_window()
    }

    /// The initiator knows only a closed window, and there are places again.
    fn owes_window(&self) -> bool {
        self.told_max_cmd_sn.wrapping_add(1) == self.window.exp_cmd_sn()
            && (!self.window.is_closed() || self.free_places() > 0)
    }

    /// The next PDU to send. `data` lends the bytes of a task's Data-In (only with data digests).
    pub fn next_frame<'d>(
        &mut self,
        data: impl FnOnce(Slot, u32, u32) -> &'d [u8],
    ) -> Option<Frame> {
        self.window.open(self.free_places());
        while let Some(item) = self.outbox.pop_front() {
            match item {
                Item::DataIn { slot, offset, end, carries_status } => {
                    return Some(self.data_in_frame(slot, offset, end, carries_status, data));
                }
                Item::Response(slot) => return Some(self.response_frame(slot)),
                Item::Solicit(slot) => {
                    if let Some(frame) = self.r2t_frame(slot) {
                        self.outbox.push_front(Item::Solicit(slot));
                        return Some(frame);
                    }
                    self.task_mut(slot).is_soliciting = false;
                }
                Item::Other(other) => return Some(self.other_frame(*other)),
            }
        }
        if self.owes_window() {
            let mut reply = Reply::new(opcode::NOP_IN, NO_TAG);
            reply.word_20 = U32::new(NO_TAG);
            self.stamp(&mut reply, false);
            return Some(Frame::build(&reply, Payload::Empty, &[], self.digests()));
        }
        None
    }

    fn digests(&self) -> Digests {
        Digests { header: self.parameters.header_digest, data: self.parameters.data_digest }
    }

    fn stamp(&mut self, reply: &mut Reply, counts: bool) {
        reply.stat_sn = U32::new(self.stat_sn);
        reply.exp_cmd_sn = U32::new(self.window.exp_cmd_sn());
        reply.max_cmd_sn = U32::new(self.window.max_cmd_sn());
        self.told_max_cmd_sn = self.window.max_cmd_sn();
        if counts {
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
    }

    fn data_in_frame<'d>(
        &mut self,
        slot: Slot,
        offset_bytes: u32,
        end: u32,
        carries_status: bool,
        data: impl FnOnce(Slot, u32, u32) -> &'d [u8],
    ) -> Frame {
        let burst = self.parameters.max_burst_bytes;
        let to_burst_end = burst - offset_bytes % burst;
        let most = self.parameters.peer_max_recv_data_segment_bytes.min(to_burst_end);
        let length_bytes = most.min(end - offset_bytes);
        let rest = offset_bytes + length_bytes;
        if rest < end {
            self.outbox.push_front(Item::DataIn { slot, offset: rest, end, carries_status });
        }
        let task = self.task_mut(slot);
        let mut reply = Reply::new(opcode::DATA_IN, task.initiator_task_tag);
        reply.flags = if rest == end || length_bytes == to_burst_end { 0x80 } else { 0 };
        reply.word_20 = U32::new(NO_TAG);
        reply.word_36 = U32::new(task.data_in_sn);
        reply.word_40 = U32::new(offset_bytes);
        reply.set_data_segment_bytes(length_bytes);
        task.data_in_sn = task.data_in_sn.wrapping_add(1);
        let with_status = carries_status && rest == end;
        if with_status {
            let cdb_bytes = task.answer.map_or(0, |answer| answer.cdb_bytes);
            let residual = Residual::of(task.expected_bytes, cdb_bytes);
            reply.flags |= 0x01 | residual.flags;
            reply.word_44 = U32::new(residual.count);
        }
        self.stamp(&mut reply, with_status);
        if !with_status {
            reply.stat_sn = U32::new(0);
        }
        let payload = Payload::Task { slot, offset_bytes, length_bytes };
        let digests = self.digests();
        let bytes = if digests.data { data(slot, offset_bytes, length_bytes) } else { &[] };
        let mut frame = Frame::build(&reply, payload, bytes, digests);
        if with_status {
            self.ends(&mut frame, slot);
        }
        frame
    }

    fn response_frame(&mut self, slot: Slot) -> Frame {
        let task = self.task(slot);
        let answer = task.answer.expect("a response is queued with its answer");
        let residual = Residual::of(task.expected_bytes, answer.cdb_bytes);
        let mut reply = Reply::new(opcode::SCSI_RESPONSE, task.initiator_task_tag);
        reply.flags |= residual.flags;
        reply.byte_3 = answer.status;
        reply.word_36 = U32::new(task.exp_data_sn());
        reply.word_44 = U32::new(residual.count);
        self.stamp(&mut reply, true);
        let sense_data = std::mem::take(&mut self.task_mut(slot).sense_data);
        let mut frame = if sense_data.is_empty() {
            let mut inline = [0; INLINE_BYTES];
            let payload = match answer.sense {
                None => Payload::Empty,
                Some(sense) => {
                    let (length, body) = inline.split_at_mut(2);
                    length.copy_from_slice(&sense_length(SENSE_BYTES));
                    body.copy_from_slice(&sense.encode());
                    Payload::Inline(inline, INLINE_BYTES as u8)
                }
            };
            let bytes = if answer.sense.is_some() { &inline[..] } else { &[] };
            reply.set_data_segment_bytes(bytes.len() as u32);
            Frame::build(&reply, payload, bytes, self.digests())
        } else {
            let bytes = [&sense_length(sense_data.len())[..], &sense_data].concat();
            reply.set_data_segment_bytes(u32::try_from(bytes.len()).unwrap_or(0));
            let mut frame = Frame::build(&reply, Payload::Empty, &bytes, self.digests());
            frame.payload = Payload::Owned(bytes.into_boxed_slice());
            frame
        };
        self.ends(&mut frame, slot);
        frame
    }

    /// The initiator may use the tag again as soon as it has this frame, which may be before the
    /// caller hears that it was sent.
    fn ends(&mut self, frame: &mut Frame, slot: Slot) {
        frame.ends = Some(slot);
        self.set_tag(slot, NO_TAG);
    }

    fn r2t_frame(&mut self, slot: Slot) -> Option<Frame> {
        let limits = self.limits();
        let task = self.task_mut(slot);
        let solicitation = task.solicit(slot, &limits)?;
        let mut reply = Reply::new(opcode::R2T, task.initiator_task_tag);
        reply.lun = task.lun_field.into();
        reply.word_20 = U32::new(solicitation.target_transfer_tag);
        reply.word_36 = U32::new(solicitation.r2t_sn);
        reply.word_40 = U32::new(solicitation.offset_bytes);
        reply.word_44 = U32::new(solicitation.length_bytes);
        self.stamp(&mut reply, false);
        Some(Frame::build(&reply, Payload::Empty, &[], self.digests()))
    }

    fn other_frame(&mut self, other: Other) -> Frame {
        let Other { mut reply, data, counts, closes, over } = other;
        match over {
            Some(kind) => self.in_work.request_over(kind),
            None => self.loose = self.loose.saturating_sub(1),
        }
        self.window.open(self.free_places());
        self.stamp(&mut reply, counts);
        reply.set_data_segment_bytes(u32::try_from(data.len()).unwrap_or(0));
        let mut frame = Frame::build(&reply, Payload::Empty, &data, self.digests());
        if !data.is_empty() {
            frame.payload = Payload::Owned(data);
        }
        frame.closes = closes;
        frame
    }
}

/// SenseLength. Spec: RFC 7143 §11.4.7.
fn sense_length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(0).to_be_bytes()
}

/// Residual flags and count. Spec: RFC 7143 §11.4.5.
struct Residual {
    flags: u8,
    count: u32,
}

impl Residual {
    fn of(expected_bytes: u32, cdb_bytes: u64) -> Self {
        let expected = u64::from(expected_bytes);
        let (flags, count) = match cdb_bytes.cmp(&expected) {
            std::cmp::Ordering::Greater => (0x04, cdb_bytes - expected),
            std::cmp::Ordering::Less => (0x02, expected - cdb_bytes),
            std::cmp::Ordering::Equal => (0, 0),
        };
        Self { flags, count: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}
