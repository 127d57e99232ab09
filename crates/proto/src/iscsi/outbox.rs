//! Frames: what goes out, in order, each with its header, its payload by reference and its digests.

use super::bhs::{BHS_BYTES, Reply, padding_bytes};
use super::digest::{DIGEST_BYTES, Digest, of};
use super::task::Slot;
use zerocopy::IntoBytes;

/// The largest sense payload: two bytes of length and fixed format sense.
pub const INLINE_BYTES: usize = 20;

/// The data of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// None.
    Empty,
    /// Data-In: bytes of a task's buffer.
    Task {
        /// Whose.
        slot: Slot,
        /// From where in the data of the command.
        offset_bytes: u32,
        /// How many.
        length_bytes: u32,
    },
    /// A few bytes, e.g. sense data.
    Inline([u8; INLINE_BYTES], u8),
    /// Ping data, text, a rejected header.
    Owned(Box<[u8]>),
}

/// One PDU ready for the wire: header, payload, tail (padding and digest).
#[derive(Debug, Clone)]
pub struct Frame {
    header: [u8; BHS_BYTES + DIGEST_BYTES],
    header_bytes: u8,
    /// The data segment.
    pub payload: Payload,
    tail: [u8; 8],
    tail_bytes: u8,
    /// With this frame the task of the slot is answered: its buffers are free once it is sent.
    pub ends: Option<Slot>,
    /// After this frame the connection closes.
    pub closes: bool,
}

impl Frame {
    /// Puts a frame together. The reply knows its DataSegmentLength; `data` are the payload's
    /// bytes and are read for a data digest only.
    pub(super) fn build(reply: &Reply, payload: Payload, data: &[u8], digests: Digests) -> Self {
        let length = reply.data_segment_bytes();
        let mut header = [0; BHS_BYTES + DIGEST_BYTES];
        let (bhs, digest) = header.split_at_mut(BHS_BYTES);
        bhs.copy_from_slice(reply.as_bytes());
        if digests.header {
            digest.copy_from_slice(&of(&[bhs]));
        }
        let padding = padding_bytes(length);
        let mut tail = [0; 8];
        let mut tail_bytes = u8::try_from(padding).unwrap_or(0);
        if digests.data && length > 0 {
            let mut digest = Digest::default();
            digest.update(data);
            digest.update([0; 3].get(..padding as usize).unwrap_or(&[]));
            let at = usize::from(tail_bytes);
            if let Some(room) = tail.get_mut(at..at + DIGEST_BYTES) {
                room.copy_from_slice(&digest.to_wire());
            }
            tail_bytes += 4;
        }
        let header_bytes = if digests.header { 52 } else { 48 };
        Self { header, header_bytes, payload, tail, tail_bytes, ends: None, closes: false }
    }

    /// Header and header digest.
    pub fn header(&self) -> &[u8] {
        self.header.get(..usize::from(self.header_bytes)).unwrap_or(&self.header)
    }

    /// Padding and data digest.
    pub fn tail(&self) -> &[u8] {
        self.tail.get(..usize::from(self.tail_bytes)).unwrap_or(&self.tail)
    }

    /// The payload's bytes, where the frame has them itself.
    pub fn own_payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Inline(bytes, length) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Payload::Owned(bytes) => bytes,
            Payload::Empty | Payload::Task { .. } => &[],
        }
    }
}

/// Which digests were negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// HeaderDigest=CRC32C.
    pub header: bool,
    /// DataDigest=CRC32C.
    pub data: bool,
}

#[cfg(test)]
mod tests {
    use super::{Digests, Frame, Payload};
    use crate::iscsi::bhs::{Reply, opcode};
    use crate::iscsi::digest::of;

    #[test]
    fn padding_and_digest_follow_the_data() {
        let mut reply = Reply::new(opcode::TEXT_RESPONSE, 7);
        reply.set_data_segment_bytes(5);
        let digests = Digests { header: true, data: true };
        let data = b"abcde";
        let frame = Frame::build(&reply, Payload::Owned(Box::from(&data[..])), data, digests);
        assert_eq!(frame.header().len(), 52);
        assert_eq!(frame.header().get(5..8), Some(&[0, 0, 5][..]));
        let digest = of(&[b"abcde\0\0\0"]);
        assert_eq!(frame.tail(), [&[0, 0, 0], &digest[..]].concat());
    }

    #[test]
    fn without_data_there_is_no_data_digest() {
        let reply = Reply::new(opcode::NOP_IN, 7);
        let digests = Digests { header: false, data: true };
        let frame = Frame::build(&reply, Payload::Empty, &[], digests);
        assert_eq!((frame.header().len(), frame.tail().len()), (48, 0));
    }
}
