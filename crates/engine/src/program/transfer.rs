//! READ, WRITE, WRITE AND VERIFY: piece by piece. Spec: SBC-3.

use super::{Expected, Input, PIECE_BYTES, Range, Step, Unit, check_condition, first_difference};
use crate::operation::{Kind, Operation};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Execution, Request};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the initiator.
    Read,
    /// To the medium.
    Write,
    /// To the medium and back for comparison.
    WriteAndVerify,
}

/// The state of a transfer.
#[derive(Debug)]
pub struct Transfer {
    direction: Direction,
    start_bytes: u64,
    cdb_bytes: u64,
    total_bytes: u32,
    block_bytes: u32,
    at: u32,
    stable: bool,
    flush_first: bool,
    verifying: bool,
    compares: bool,
}

impl Transfer {
    pub(super) fn new(
        request: &Request<'_>,
        range: Range,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        if range.blocks > unit.max_transfer_blocks {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let direction = match request.row.execution {
            Execution::Read => Direction::Read,
            Execution::WriteAndVerify => Direction::WriteAndVerify,
            _ => Direction::Write,
        };
        let byte_check = (request.flags >> 1) & 0x03;
        if direction == Direction::WriteAndVerify && byte_check > 1 {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let cdb_bytes = unit.bytes(range.blocks);
        let total_bytes = match direction {
            Direction::Read => clamp(cdb_bytes, expected.in_bytes),
            // A block that would come in part is not written.
            _ => clamp(cdb_bytes, expected.out_bytes) / unit.block_bytes * unit.block_bytes,
        };
        Ok(Self {
            direction,
            start_bytes: unit.bytes(range.lba),
            cdb_bytes,
            total_bytes,
            block_bytes: unit.block_bytes,
            at: 0,
            stable: request.fua || unit.write_through,
            flush_first: request.fua && direction == Direction::Read && unit.has_cache,
            verifying: false,
            compares: byte_check == 1,
        })
    }

    /// Which way the data goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Bytes that move, at most what the initiator expects.
    pub fn total_bytes(&self) -> u32 {
        self.total_bytes
    }

    pub(super) fn at(&self) -> u32 {
        self.at
    }

    fn piece_max(&self) -> u32 {
        if self.direction == Direction::WriteAndVerify { PIECE_BYTES / 2 } else { PIECE_BYTES }
    }

    fn piece_end(&self) -> u32 {
        self.total_bytes.min(self.at.saturating_add(self.piece_max()))
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        let piece = self.total_bytes.min(self.piece_max()).next_multiple_of(self.block_bytes);
        let piece = piece as usize;
        if self.direction == Direction::WriteAndVerify { 2 * piece } else { piece }
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        if self.direction == Direction::Read { 0 } else { self.piece_end() }
    }

    fn io(&self, kind: Kind, unit: &Unit, buffer_offset: usize) -> Step {
        let length = self.piece_end() - self.at;
        // The initiator may expect less than whole blocks; the medium gives whole ones.
        let length_bytes = u64::from(length).next_multiple_of(u64::from(unit.block_bytes));
        let offset_bytes = self.start_bytes + u64::from(self.at);
        Step::Io(Operation { kind, offset_bytes, length_bytes, buffer_offset })
    }

    fn write_kind(&self) -> Kind {
        if self.stable { Kind::WriteStable } else { Kind::Write }
    }

    pub(super) fn next(&mut self, input: Input, unit: &Unit, buffer: &mut [u8]) -> Step {
        if self.total_bytes == 0 {
            return Step::Answer(super::good(self.cdb_bytes));
        }
        let piece = (self.piece_end() - self.at) as usize;
        match (self.direction, input) {
            (Direction::Read, Input::Ready) if self.flush_first => {
                let kind = Kind::Flush;
                let operation =
                    Operation { kind, offset_bytes: 0, length_bytes: 0, buffer_offset: 0 };
                Step::Io(operation)
            }
            (Direction::Read, Input::Done) if self.flush_first => {
                self.flush_first = false;
                self.io(Kind::Read, unit, 0)
            }
            (Direction::Read, Input::Ready) => self.io(Kind::Read, unit, 0),
            (Direction::Read, Input::Done) => {
                let end = self.piece_end();
                let answer = (end == self.total_bytes).then(|| super::good(self.cdb_bytes));
                Step::Send(self.at, end, answer)
            }
            (Direction::Read, _) => {
                self.at = self.piece_end();
                self.io(Kind::Read, unit, 0)
            }
            (Direction::WriteAndVerify, Input::Done) if !self.verifying => {
                self.verifying = true;
                self.io(Kind::Read, unit, piece)
            }
            (_, Input::Done) => {
                let (sent, read) = buffer.split_at_mut(piece.min(buffer.len()));
                let read = read.get(..piece).unwrap_or_default();
                if self.verifying && self.compares {
                    if let Some(offset) = first_difference(sent, read) {
                        let sense = Sense::MISCOMPARE.with_information(self.at + offset);
                        let transferred = u64::from(self.piece_end());
                        return Step::Answer(check_condition(sense, transferred));
                    }
                }
                self.verifying = false;
                self.at = self.piece_end();
                if self.at < self.total_bytes {
                    return Step::Collect(self.piece_end());
                }
                Step::Answer(super::good(self.cdb_bytes))
            }
            (_, _) => self.io(self.write_kind(), unit, 0),
        }
    }
}

/// What both the CDB and the initiator want to move.
pub(super) fn clamp(cdb_bytes: u64, expected: u32) -> u32 {
    u32::try_from(cdb_bytes).unwrap_or(u32::MAX).min(expected)
}
