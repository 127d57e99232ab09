//! Bytes of PDUs, from the initiator's side.

use fairlead_proto::iscsi::bhs::opcode;
use fairlead_proto::iscsi::digest;
use fairlead_proto::iscsi::parameters::Parameters;

pub(crate) const NO_TAG: u32 = u32::MAX;

/// A PDU under construction.
pub(crate) struct Pdu {
    pub(crate) bhs: [u8; 48],
    pub(crate) data: Vec<u8>,
}

impl Pdu {
    pub(crate) fn new(code: u8, flags: u8, tag: u32) -> Self {
        let mut pdu = Self { bhs: [0; 48], data: Vec::new() };
        (pdu.bhs[0], pdu.bhs[1]) = (code, flags);
        pdu.word(16, tag)
    }

    pub(crate) fn nop(tag: u32, cmd_sn: u32) -> Self {
        Self::new(opcode::NOP_OUT, 0x80, tag).word(20, NO_TAG).word(24, cmd_sn)
    }

    pub(crate) fn word(mut self, at: usize, value: u32) -> Self {
        self.bhs[at..at + 4].copy_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn immediate(mut self, immediate: bool) -> Self {
        self.bhs[0] |= if immediate { 0x40 } else { 0 };
        self
    }

    pub(crate) fn data(mut self, data: Vec<u8>) -> Self {
        self.bhs[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
        self.data = data;
        self
    }

    pub(crate) fn encode(&self, parameters: &Parameters) -> Vec<u8> {
        let mut bytes = self.bhs.to_vec();
        if parameters.header_digest {
            bytes.extend(digest::of(&[&self.bhs]));
        }
        let mut data = self.data.clone();
        data.resize(data.len().next_multiple_of(4), 0);
        bytes.extend(&data);
        if parameters.data_digest && !data.is_empty() {
            bytes.extend(digest::of(&[&data]));
        }
        bytes
    }
}

/// The byte that a write with this tag has at an offset.
pub(crate) fn pattern(tag: u32, offset: u32) -> u8 {
    (tag.wrapping_mul(31).wrapping_add(offset) % 253) as u8
}

pub(crate) fn patterns(tag: u32, offset: u32, length: u32) -> Vec<u8> {
    (offset..offset + length).map(|at| pattern(tag, at)).collect()
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
