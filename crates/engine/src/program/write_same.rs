//! WRITE SAME: one block over a range. Spec: SBC-3, WRITE SAME (10) and (16).

use super::{Expected, Input, RANGE_BYTES, Range, Step, Unit, good};
use crate::operation::{Kind, Operation};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Request;

const PATTERN_BYTES: u64 = 256 * 1024;

/// The state of a WRITE SAME.
#[derive(Debug)]
pub struct WriteSame {
    start_bytes: u64,
    total_bytes: u64,
    at: u64,
    block_bytes: u32,
    has_data: bool,
    unmaps: bool,
    kind: Kind,
    length_now: u64,
}

impl WriteSame {
    pub(super) fn new(
        request: &Request<'_>,
        range: Range,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        // Byte 1: UNMAP bit 3, ANCHOR bit 4; NDOB bit 0 (WRITE SAME (16) only, its 10-byte
        // sibling refuses the bit by its row).
        let has_data = request.flags & 0x01 == 0;
        let unmaps = request.flags & 0x08 != 0;
        if range.blocks > unit.max_write_same_blocks || request.flags & 0x10 != 0 {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        if unmaps && !unit.thin {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        if has_data && expected.out_bytes != unit.block_bytes {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        Ok(Self {
            start_bytes: unit.bytes(range.lba),
            total_bytes: unit.bytes(range.blocks),
            at: 0,
            block_bytes: unit.block_bytes,
            has_data,
            unmaps,
            kind: Kind::Write,
            length_now: 0,
        })
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        let pattern = self.total_bytes.min(PATTERN_BYTES).max(u64::from(self.block_bytes));
        usize::try_from(pattern).unwrap_or(usize::MAX)
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        if self.has_data { self.block_bytes } else { 0 }
    }

    /// Chooses how: deallocate, zero, or write the pattern, which fills the buffer.
    fn choose(&mut self, unit: &Unit, buffer: &mut [u8]) {
        let block = self.block_bytes as usize;
        if !self.has_data {
            if let Some(first) = buffer.get_mut(..block) {
                first.fill(0);
            }
        }
        let zeroes = buffer.get(..block).is_some_and(|data| data.iter().all(|byte| *byte == 0));
        self.kind = match (zeroes, unit.write_through) {
            // Reads after deallocation give zeroes, so only zeroes may be deallocated.
            // What a deallocation gives is not stable before a flush.
            (true, false) if self.unmaps => Kind::Discard,
            (true, false) if unit.can_zero => Kind::Zero,
            (_, true) => Kind::WriteStable,
            _ => Kind::Write,
        };
        if self.kind.moves_bytes() {
            let whole = usize::try_from(self.total_bytes.min(PATTERN_BYTES)).unwrap_or(block);
            let mut filled = block;
            while filled < whole {
                let more = filled.min(whole - filled);
                buffer.copy_within(..more, filled);
                filled += more;
            }
        }
    }

    pub(super) fn next(&mut self, input: Input, unit: &Unit, buffer: &mut [u8]) -> Step {
        match input {
            Input::Ready => {
                if self.total_bytes == 0 {
                    return Step::Answer(good(u64::from(self.first_data_bytes())));
                }
                self.choose(unit, buffer);
                return Step::Lock(self.start_bytes, self.total_bytes);
            }
            Input::Done => self.at += self.length_now,
            _ => {}
        }
        if self.at >= self.total_bytes {
            return Step::Answer(good(u64::from(self.first_data_bytes())));
        }
        let most = if self.kind.moves_bytes() { PATTERN_BYTES } else { RANGE_BYTES };
        self.length_now = (self.total_bytes - self.at).min(most);
        Step::Io(Operation {
            kind: self.kind,
            offset_bytes: self.start_bytes + self.at,
            length_bytes: self.length_now,
            buffer_offset: 0,
        })
    }
}
