//! COMPARE AND WRITE: both as one, under the volume's range lock. Spec: SBC-3.

use super::{
    Expected, Input, PIECE_BYTES, Range, Step, Unit, check_condition, first_difference, good,
};
use crate::operation::{Kind, Operation};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Request;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Writing,
}

/// The state of a COMPARE AND WRITE. The buffer holds what to compare, what to write, and what
/// the medium has, one after another.
#[derive(Debug)]
pub struct CompareAndWrite {
    start_bytes: u64,
    half_bytes: u32,
    stable: bool,
    phase: Phase,
}

impl CompareAndWrite {
    pub(super) fn new(
        request: &Request<'_>,
        range: Range,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        let half_bytes = u32::try_from(unit.bytes(range.blocks)).unwrap_or(u32::MAX);
        // All three parts are in one buffer: a command that needs more would wait for it for ever.
        let fits = half_bytes <= PIECE_BYTES / 3;
        if range.blocks > unit.max_compare_and_write_blocks || !fits {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        // Neither more nor less may be sent, so that a CDB and its data never talk past each other.
        if u64::from(expected.out_bytes) != 2 * u64::from(half_bytes) {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        Ok(Self {
            start_bytes: unit.bytes(range.lba),
            half_bytes,
            stable: request.fua || unit.write_through,
            phase: Phase::Reading,
        })
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        3 * self.half_bytes as usize
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        2 * self.half_bytes
    }

    fn io(&self, kind: Kind, buffer_offset: u32) -> Step {
        Step::Io(Operation {
            kind,
            offset_bytes: self.start_bytes,
            length_bytes: u64::from(self.half_bytes),
            buffer_offset: buffer_offset as usize,
        })
    }

    pub(super) fn next(&mut self, input: Input, _unit: &Unit, buffer: &mut [u8]) -> Step {
        let half = self.half_bytes as usize;
        match (input, self.phase) {
            (_, _) if half == 0 => Step::Answer(good(0)),
            (Input::Ready, _) => Step::Lock(self.start_bytes, u64::from(self.half_bytes)),
            (Input::Locked, _) => self.io(Kind::Read, 2 * self.half_bytes),
            (_, Phase::Reading) => {
                let compare = buffer.get(..half).unwrap_or_default();
                let medium = buffer.get(2 * half..3 * half).unwrap_or_default();
                if let Some(offset) = first_difference(compare, medium) {
                    let sense = Sense::MISCOMPARE.with_information(offset);
                    return Step::Answer(check_condition(sense, u64::from(2 * self.half_bytes)));
                }
                self.phase = Phase::Writing;
                let kind = if self.stable { Kind::WriteStable } else { Kind::Write };
                self.io(kind, self.half_bytes)
            }
            (_, Phase::Writing) => Step::Answer(good(u64::from(2 * self.half_bytes))),
        }
    }
}
