//! UNMAP. Spec: SBC-3, UNMAP and its parameter list.

use super::{Expected, Input, RANGE_BYTES, Range, Step, Unit, check_condition, good};
use crate::operation::{Kind, Operation};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Request;

const HEADER_BYTES: usize = 8;
const DESCRIPTOR_BYTES: usize = 16;

/// The state of an UNMAP.
#[derive(Debug)]
pub struct Unmap {
    list_bytes: u32,
    descriptors: usize,
    next: usize,
    current: Option<Range>,
}

impl Unmap {
    pub(super) fn new(
        request: &Request<'_>,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        // ANCHOR, byte 1 bit 0.
        if request.flags & 0x01 != 0 {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        if !unit.thin {
            return Err(Sense::INVALID_OPCODE);
        }
        let most = HEADER_BYTES as u64 + unit.max_unmap_descriptors * DESCRIPTOR_BYTES as u64;
        let list_bytes = u32::try_from(request.length.min(most)).unwrap_or(u32::MAX);
        if expected.out_bytes < list_bytes {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        Ok(Self { list_bytes, descriptors: 0, next: 0, current: None })
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.list_bytes as usize
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        self.list_bytes
    }

    /// Checks the whole list before anything is deallocated.
    fn check(&mut self, unit: &Unit, buffer: &[u8]) -> Result<(), Sense> {
        if self.list_bytes == 0 {
            return Ok(());
        }
        let list = buffer.get(..self.list_bytes as usize).unwrap_or_default();
        let header = list.get(..HEADER_BYTES).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        let announced = match header {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        let there = list.len() - HEADER_BYTES;
        // An incomplete last descriptor is ignored, as the standard says.
        self.descriptors = announced.min(there) / DESCRIPTOR_BYTES;
        if announced > there || self.descriptors as u64 > unit.max_unmap_descriptors {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS);
        }
        let mut total = 0_u64;
        for index in 0..self.descriptors {
            let range = descriptor(buffer, index).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
            match range.lba.checked_add(range.blocks) {
                Some(end) if end <= unit.blocks => total += range.blocks,
                _ => return Err(Sense::LBA_OUT_OF_RANGE),
            }
        }
        if total > unit.max_unmap_blocks {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS);
        }
        Ok(())
    }

    pub(super) fn next(&mut self, input: Input, unit: &Unit, buffer: &mut [u8]) -> Step {
        if input == Input::Ready {
            if let Err(sense) = self.check(unit, buffer) {
                return Step::Answer(check_condition(sense, u64::from(self.list_bytes)));
            }
        }
        let per_request = RANGE_BYTES / u64::from(unit.block_bytes);
        loop {
            match self.current.take() {
                Some(range) if range.blocks > 0 => {
                    let blocks = range.blocks.min(per_request);
                    self.current =
                        Some(Range { lba: range.lba + blocks, blocks: range.blocks - blocks });
                    return Step::Io(Operation {
                        kind: Kind::Discard,
                        offset_bytes: unit.bytes(range.lba),
                        length_bytes: unit.bytes(blocks),
                        buffer_offset: 0,
                    });
                }
                _ if self.next >= self.descriptors => {
                    return Step::Answer(good(u64::from(self.list_bytes)));
                }
                _ => {
                    self.current = descriptor(buffer, self.next);
                    self.next += 1;
                }
            }
        }
    }
}

fn descriptor(list: &[u8], index: usize) -> Option<Range> {
    let start = HEADER_BYTES + index * DESCRIPTOR_BYTES;
    let (lba, rest) = list.get(start..start + DESCRIPTOR_BYTES)?.split_first_chunk::<8>()?;
    let blocks = rest.first_chunk::<4>()?;
    let (lba, blocks) = (u64::from_be_bytes(*lba), u64::from(u32::from_be_bytes(*blocks)));
    Some(Range { lba, blocks })
}
