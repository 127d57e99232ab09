//! Commands of one step: a flush, a page, an upcall, an answer known from the start.

use super::{Input, Range, Step, Unit, good};
use crate::operation::{Kind, Operation};
use fairlead_proto::iscsi::task::Answer;
use std::sync::Arc;

/// The state of a one-step command.
#[derive(Debug)]
pub enum Simple {
    /// One request to the volume, then GOOD.
    Io(Operation),
    /// Data that is known already.
    Page {
        /// The whole page.
        page: Arc<[u8]>,
        /// Bytes of it to send.
        send_bytes: u32,
        /// Bytes that the CDB allows for.
        cdb_bytes: u64,
    },
    /// Python answers; parameter data of this length goes with it.
    Upcall(u32),
    /// An answer.
    Known(Answer),
}

impl Simple {
    /// Flush the volume.
    pub fn flush() -> Self {
        let kind = Kind::Flush;
        Self::Io(Operation { kind, offset_bytes: 0, length_bytes: 0, buffer_offset: 0 })
    }

    /// Read ahead.
    pub fn prefetch(range: Range, unit: &Unit) -> Self {
        let (offset_bytes, length_bytes) = (unit.bytes(range.lba), unit.bytes(range.blocks));
        Self::Io(Operation { kind: Kind::Prefetch, offset_bytes, length_bytes, buffer_offset: 0 })
    }

    /// GOOD at once.
    pub fn good() -> Self {
        Self::Known(good(0))
    }

    /// A page cut to its allocation length and to what the initiator expects.
    pub fn page(page: Arc<[u8]>, allocation: u64, expected_in_bytes: u32) -> Self {
        let cdb_bytes = (page.len() as u64).min(allocation);
        let send_bytes = super::transfer::clamp(cdb_bytes, expected_in_bytes);
        Self::Page { page, send_bytes, cdb_bytes }
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        match self {
            Self::Page { send_bytes, .. } => *send_bytes as usize,
            Self::Upcall(bytes) => *bytes as usize,
            Self::Io(_) | Self::Known(_) => 0,
        }
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        if let Self::Upcall(bytes) = self { *bytes } else { 0 }
    }

    pub(super) fn next(&mut self, input: Input, buffer: &mut [u8]) -> Step {
        match self {
            Self::Io(_) if input == Input::Done => Step::Answer(good(0)),
            Self::Io(operation) => Step::Io(*operation),
            Self::Known(answer) => Step::Answer(*answer),
            Self::Upcall(_) => Step::Upcall,
            Self::Page { page, send_bytes, cdb_bytes } => {
                let length = *send_bytes as usize;
                if let (Some(to), Some(from)) = (buffer.get_mut(..length), page.get(..length)) {
                    to.copy_from_slice(from);
                }
                match *send_bytes {
                    0 => Step::Answer(good(*cdb_bytes)),
                    end => Step::Send(0, end, Some(good(*cdb_bytes))),
                }
            }
        }
    }
}
