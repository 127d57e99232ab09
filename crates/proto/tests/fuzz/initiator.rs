//! An initiator that mostly keeps the rules.

use crate::random::Random;
use fairlead_proto::iscsi::bhs::{BHS_BYTES, Bhs, opcode};
use fairlead_proto::iscsi::digest;
use fairlead_proto::iscsi::parameters::Parameters;
use std::collections::VecDeque;
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

const NO_TAG: u32 = u32::MAX;

/// A part of the data that the target has asked for, or that was announced.
struct Burst {
    initiator_task_tag: u32,
    target_transfer_tag: u32,
    offset_bytes: u32,
    end_bytes: u32,
    data_sn: u32,
}

pub(crate) struct Initiator {
    header_digest: bool,
    data_digest: bool,
    initial_r2t: bool,
    immediate_data: bool,
    first_burst_bytes: u32,
    data_segment_bytes_max: u32,
    cmd_sn: u32,
    max_cmd_sn: u32,
    next_tag: u32,
    bursts: VecDeque<Burst>,
    /// Breaks a rule now and then.
    is_sloppy: bool,
}

impl Initiator {
    pub(crate) fn new(parameters: &Parameters, is_sloppy: bool) -> Self {
        Self {
            header_digest: parameters.header_digest,
            data_digest: parameters.data_digest,
            initial_r2t: parameters.initial_r2t,
            immediate_data: parameters.immediate_data,
            first_burst_bytes: parameters.first_burst_bytes,
            data_segment_bytes_max: parameters.max_recv_data_segment_bytes,
            cmd_sn: parameters.exp_cmd_sn,
            max_cmd_sn: parameters
                .exp_cmd_sn
                .wrapping_add(u32::from(parameters.queue_depth))
                .wrapping_sub(1),
            next_tag: 1,
            bursts: VecDeque::new(),
            is_sloppy,
        }
    }

    /// The target has said how far the window is open.
    pub(crate) fn learn_window(&mut self, max_cmd_sn: u32) {
        if max_cmd_sn.wrapping_sub(self.max_cmd_sn) < 1 << 31 {
            self.max_cmd_sn = max_cmd_sn;
        }
    }

    /// The target asks for data.
    pub(crate) fn learn_r2t(&mut self, task_tag: u32, transfer_tag: u32, offset: u32, length: u32) {
        self.bursts.push_back(Burst {
            initiator_task_tag: task_tag,
            target_transfer_tag: transfer_tag,
            offset_bytes: offset,
            end_bytes: offset.saturating_add(length),
            data_sn: 0,
        });
    }

    /// The next PDU, whole, with its digests; sometimes damaged.
    pub(crate) fn next_pdu(&mut self, random: &mut Random) -> Vec<u8> {
        let (bhs, data) = match random.below(10) {
            // Unsolicited data follows its command without another burst in between: keep order.
            0..=4 if !self.bursts.is_empty() => self.data_out(random),
            0..=7 => self.command(random),
            _ => self.request(random),
        };
        let mut bytes = self.frame(bhs, &data);
        if self.is_sloppy && random.one_in(20) {
            random.damage(&mut bytes);
        }
        bytes
    }

    fn number(&mut self, random: &mut Random, bhs: &mut Bhs) {
        let is_open = self.max_cmd_sn.wrapping_sub(self.cmd_sn) < 1 << 31;
        bhs.cmd_sn = U32::new(self.cmd_sn);
        if random.one_in(8) || !is_open {
            bhs.opcode |= 0x40;
        } else if self.is_sloppy && random.one_in(10) {
            bhs.cmd_sn = U32::new(self.cmd_sn.wrapping_add(random.below(20)).wrapping_sub(10));
        } else {
            self.cmd_sn = self.cmd_sn.wrapping_add(1);
        }
    }

    fn tag(&mut self, random: &mut Random) -> u32 {
        self.next_tag = self.next_tag.wrapping_add(1);
        if self.is_sloppy && random.one_in(10) {
            return *random.pick(&[NO_TAG, self.next_tag.wrapping_sub(2), 0]);
        }
        self.next_tag
    }

    fn command(&mut self, random: &mut Random) -> (Bhs, Vec<u8>) {
        let mut bhs = Bhs::zeroed();
        bhs.opcode = opcode::SCSI_COMMAND;
        let tag = self.tag(random);
        bhs.initiator_task_tag = U32::new(tag);
        bhs.lun = U64::new(u64::from(random.below(3)) << 48);
        let expected_bytes = *random.pick(&[0, 1, 512, 4096, 20000, u32::MAX]);
        bhs.word_20 = U32::new(expected_bytes);
        let writes = random.one_in(2);
        bhs.flags = (if writes { 0x20 } else { 0x40 }) | u8::from(random.one_in(4));
        self.number(random, &mut bhs);
        let allowed = self.first_burst_bytes.min(expected_bytes);
        let mut data = Vec::new();
        if writes && self.immediate_data && random.one_in(2) {
            let most = allowed.min(self.data_segment_bytes_max);
            let length = random.below(most.saturating_add(1));
            data = random.bytes(length as usize);
        }
        let sent = u32::try_from(data.len()).unwrap_or(0);
        if writes && !self.initial_r2t && sent < allowed && random.one_in(2) {
            self.bursts.push_front(Burst {
                initiator_task_tag: tag,
                target_transfer_tag: NO_TAG,
                offset_bytes: sent,
                end_bytes: allowed,
                data_sn: 0,
            });
        } else {
            bhs.flags |= 0x80;
        }
        (bhs, data)
    }

    fn data_out(&mut self, random: &mut Random) -> (Bhs, Vec<u8>) {
        let mut burst = self.bursts.pop_front().expect("a burst is due");
        let left = burst.end_bytes - burst.offset_bytes;
        let length = left.min(self.data_segment_bytes_max).min(random.below(8192) + 1);
        let mut bhs = Bhs::zeroed();
        bhs.opcode = opcode::DATA_OUT;
        bhs.initiator_task_tag = U32::new(burst.initiator_task_tag);
        bhs.word_20 = U32::new(burst.target_transfer_tag);
        for (place, value) in
            bhs.rest.iter_mut().skip(4).zip(
                burst.data_sn.to_be_bytes().into_iter().chain(burst.offset_bytes.to_be_bytes()),
            )
        {
            *place = value;
        }
        burst.offset_bytes += length;
        burst.data_sn += 1;
        if burst.offset_bytes >= burst.end_bytes {
            bhs.flags = 0x80;
        } else {
            self.bursts.push_front(burst);
        }
        (bhs, random.bytes(length as usize))
    }

    fn request(&mut self, random: &mut Random) -> (Bhs, Vec<u8>) {
        let mut bhs = Bhs::zeroed();
        let kinds = [
            opcode::NOP_OUT,
            opcode::NOP_OUT,
            opcode::TASK_MANAGEMENT_REQUEST,
            opcode::TEXT_REQUEST,
            opcode::SNACK_REQUEST,
            opcode::LOGIN_REQUEST,
            0x3A,
        ];
        let most = if self.is_sloppy { kinds.len() } else { 4 };
        bhs.opcode = *random.pick(kinds.get(..most).unwrap_or(&kinds));
        bhs.flags = 0x80 | (random.byte() % 9);
        let tag = self.tag(random);
        bhs.initiator_task_tag = U32::new(tag);
        bhs.word_20 = U32::new(self.next_tag.wrapping_sub(random.below(6)));
        let is_ours = matches!(bhs.opcode, 0x00..=0x04);
        if is_ours {
            self.number(random, &mut bhs);
        }
        let carries_data = matches!(bhs.opcode & 0x3F, opcode::NOP_OUT | opcode::TEXT_REQUEST);
        let length = if carries_data { random.below(300) } else { 0 };
        (bhs, random.bytes(length as usize))
    }

    fn frame(&self, mut bhs: Bhs, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap_or(0).to_be_bytes();
        bhs.data_segment_length = [length[1], length[2], length[3]];
        let mut bytes = bhs.as_bytes().to_vec();
        assert_eq!(bytes.len(), BHS_BYTES);
        if self.header_digest {
            bytes.extend_from_slice(&digest::of(&[bhs.as_bytes()]));
        }
        let mut padded = data.to_vec();
        padded.resize(data.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&padded);
        if self.data_digest && !data.is_empty() {
            bytes.extend_from_slice(&digest::of(&[&padded]));
        }
        bytes
    }
}
