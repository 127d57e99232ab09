//! VERIFY. Spec: SBC-3, VERIFY; BYTCHK 00b, 01b and 11b.

use super::transfer::clamp;
use super::{Expected, Input, PIECE_BYTES, Range, Step, Unit, check_condition, good};
use crate::operation::{Kind, Operation};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Request;

const PIECE: u32 = PIECE_BYTES / 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteCheck {
    /// Only read the medium.
    Medium,
    /// Every block against its own data.
    Blocks,
    /// Every block against the one block that was sent.
    OneBlock,
}

/// The state of a verification.
#[derive(Debug)]
pub struct Verify {
    check: ByteCheck,
    start_bytes: u64,
    total_bytes: u64,
    data_bytes: u64,
    at: u64,
}

impl Verify {
    pub(super) fn new(
        request: &Request<'_>,
        range: Range,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        let check = match (request.flags >> 1) & 0x03 {
            0 => ByteCheck::Medium,
            1 => ByteCheck::Blocks,
            3 => ByteCheck::OneBlock,
            _ => return Err(Sense::INVALID_FIELD_IN_CDB),
        };
        if range.blocks > unit.max_transfer_blocks {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let mut total_bytes = unit.bytes(range.blocks);
        let data_bytes = match check {
            ByteCheck::Medium => 0,
            ByteCheck::Blocks => total_bytes,
            ByteCheck::OneBlock if range.blocks == 0 => 0,
            ByteCheck::OneBlock => u64::from(unit.block_bytes),
        };
        if check == ByteCheck::Blocks {
            let sent = clamp(total_bytes, expected.out_bytes) / unit.block_bytes;
            total_bytes = unit.bytes(u64::from(sent));
        } else if u64::from(expected.out_bytes) < data_bytes {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        Ok(Self { check, start_bytes: unit.bytes(range.lba), total_bytes, data_bytes, at: 0 })
    }

    pub(super) fn at(&self) -> u32 {
        if self.check == ByteCheck::Blocks { u32::try_from(self.at).unwrap_or(u32::MAX) } else { 0 }
    }

    fn piece(&self) -> u64 {
        (self.total_bytes - self.at).min(u64::from(PIECE))
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        let piece = usize::try_from(self.piece()).unwrap_or(0);
        match self.check {
            ByteCheck::Medium => piece,
            ByteCheck::Blocks => 2 * piece,
            ByteCheck::OneBlock => piece + usize::try_from(self.data_bytes).unwrap_or(0),
        }
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        match self.check {
            ByteCheck::Medium => 0,
            ByteCheck::Blocks => u32::try_from(self.piece()).unwrap_or(0),
            ByteCheck::OneBlock => u32::try_from(self.data_bytes).unwrap_or(0),
        }
    }

    fn data_in_buffer(&self) -> usize {
        match self.check {
            ByteCheck::Medium => 0,
            ByteCheck::Blocks => usize::try_from(self.piece()).unwrap_or(0),
            ByteCheck::OneBlock => usize::try_from(self.data_bytes).unwrap_or(0),
        }
    }

    fn difference(&self, unit: &Unit, buffer: &[u8]) -> Option<u64> {
        let piece = usize::try_from(self.piece()).unwrap_or(0);
        let (data, read) = buffer.split_at(self.data_in_buffer().min(buffer.len()));
        let read = read.get(..piece).unwrap_or_default();
        let offset = match self.check {
            ByteCheck::Medium => None,
            ByteCheck::Blocks => super::first_difference(data, read).map(u64::from),
            ByteCheck::OneBlock => {
                (0_u64..).zip(read.chunks(unit.block_bytes as usize)).find_map(|(block, bytes)| {
                    super::first_difference(data, bytes)
                        .map(|offset| unit.bytes(block) + u64::from(offset))
                })
            }
        };
        offset.map(|offset| self.at + offset)
    }

    pub(super) fn next(&mut self, input: Input, unit: &Unit, buffer: &mut [u8]) -> Step {
        if input == Input::Done {
            if let Some(offset) = self.difference(unit, buffer) {
                let information = u32::try_from(offset).unwrap_or(u32::MAX);
                let sense = Sense::MISCOMPARE.with_information(information);
                return Step::Answer(check_condition(sense, self.data_bytes));
            }
            self.at += self.piece();
            if self.at < self.total_bytes && self.check == ByteCheck::Blocks {
                return Step::Collect(u32::try_from(self.at + self.piece()).unwrap_or(u32::MAX));
            }
        }
        if self.at >= self.total_bytes {
            return Step::Answer(good(self.data_bytes));
        }
        Step::Io(Operation {
            kind: Kind::Read,
            offset_bytes: self.start_bytes + self.at,
            length_bytes: self.piece(),
            buffer_offset: self.data_in_buffer(),
        })
    }
}
