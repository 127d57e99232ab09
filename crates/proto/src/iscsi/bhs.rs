//! Basic header segments, viewed in place. Spec: RFC 7143 §11.
//!
//! Every type is 48 bytes, alignment 1, and valid for any bit pattern: a view needs no check.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a basic header segment.
pub const BHS_BYTES: usize = 48;
/// The reserved tag.
pub const NO_TAG: u32 = 0xFFFF_FFFF;

/// Operation codes.
pub mod opcode {
    /// NOP-Out.
    pub const NOP_OUT: u8 = 0x00;
    /// SCSI Command.
    pub const SCSI_COMMAND: u8 = 0x01;
    /// Task Management Function Request.
    pub const TASK_MANAGEMENT_REQUEST: u8 = 0x02;
    /// Login Request.
    pub const LOGIN_REQUEST: u8 = 0x03;
    /// Text Request.
    pub const TEXT_REQUEST: u8 = 0x04;
    /// SCSI Data-Out.
    pub const DATA_OUT: u8 = 0x05;
    /// Logout Request.
    pub const LOGOUT_REQUEST: u8 = 0x06;
    /// SNACK Request.
    pub const SNACK_REQUEST: u8 = 0x10;
    /// NOP-In.
    pub const NOP_IN: u8 = 0x20;
    /// SCSI Response.
    pub const SCSI_RESPONSE: u8 = 0x21;
    /// Task Management Function Response.
    pub const TASK_MANAGEMENT_RESPONSE: u8 = 0x22;
    /// Text Response.
    pub const TEXT_RESPONSE: u8 = 0x24;
    /// SCSI Data-In.
    pub const DATA_IN: u8 = 0x25;
    /// Logout Response.
    pub const LOGOUT_RESPONSE: u8 = 0x26;
    /// Ready To Transfer.
    pub const R2T: u8 = 0x31;
    /// Asynchronous Message.
    pub const ASYNC_MESSAGE: u8 = 0x32;
    /// Reject.
    pub const REJECT: u8 = 0x3F;
}

/// Reasons of a Reject PDU. Spec: RFC 7143 §11.17.1.
pub mod reject {
    /// Data (payload) digest error.
    pub const DATA_DIGEST_ERROR: u8 = 0x02;
    /// SNACK Reject.
    pub const SNACK: u8 = 0x03;
    /// Protocol error.
    pub const PROTOCOL_ERROR: u8 = 0x04;
    /// Command not supported.
    pub const COMMAND_NOT_SUPPORTED: u8 = 0x05;
    /// Too many immediate commands.
    pub const TOO_MANY_IMMEDIATE: u8 = 0x06;
    /// Task in progress: the tag is in use.
    pub const TASK_IN_PROGRESS: u8 = 0x07;
    /// Invalid PDU field.
    pub const INVALID_PDU_FIELD: u8 = 0x09;
    /// Long operation reject, out of resources.
    pub const OUT_OF_RESOURCES: u8 = 0x0A;
}

/// Any PDU from the initiator: the fields that all share.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Bhs {
    /// I bit and operation code.
    pub opcode: u8,
    /// F bit and flags.
    pub flags: u8,
    /// Bytes 2 and 3.
    pub specific: [u8; 2],
    /// TotalAHSLength in words of four bytes.
    pub ahs_words: u8,
    /// DataSegmentLength.
    pub data_segment_length: [u8; 3],
    /// LUN, where the PDU has one.
    pub lun: U64,
    /// Initiator Task Tag.
    pub initiator_task_tag: U32,
    /// Bytes 20 to 23: Target Transfer Tag, Referenced Task Tag, Expected Data Transfer Length.
    pub word_20: U32,
    /// CmdSN, except in Data-Out.
    pub cmd_sn: U32,
    /// ExpStatSN.
    pub exp_stat_sn: U32,
    /// Bytes 32 to 47.
    pub rest: [u8; 16],
}

impl Bhs {
    /// A header of zeroes.
    pub fn zeroed() -> Self {
        Self::read_from_bytes(&[0; BHS_BYTES]).expect("48 bytes are a BHS")
    }

    /// The operation code without the I bit.
    pub fn opcode(&self) -> u8 {
        self.opcode & 0x3F
    }

    /// I bit.
    pub fn is_immediate(&self) -> bool {
        self.opcode & 0x40 != 0
    }

    /// F bit.
    pub fn is_final(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// DataSegmentLength, padding excluded.
    pub fn data_segment_bytes(&self) -> u32 {
        let [high, middle, low] = self.data_segment_length;
        u32::from_be_bytes([0, high, middle, low])
    }

    /// Length of the additional header segments in bytes.
    pub fn ahs_bytes(&self) -> usize {
        4 * usize::from(self.ahs_words)
    }

    /// Bytes 36 to 39: DataSN of a Data-Out, RefCmdSN is at 32.
    pub fn word_36(&self) -> u32 {
        u32::from_be_bytes([self.rest[4], self.rest[5], self.rest[6], self.rest[7]])
    }

    /// Bytes 40 to 43: Buffer Offset of a Data-Out.
    pub fn word_40(&self) -> u32 {
        u32::from_be_bytes([self.rest[8], self.rest[9], self.rest[10], self.rest[11]])
    }

    /// Bytes 32 to 35: RefCmdSN.
    pub fn word_32(&self) -> u32 {
        u32::from_be_bytes([self.rest[0], self.rest[1], self.rest[2], self.rest[3]])
    }
}

/// Any PDU to the initiator. Unused fields are zero. Spec: RFC 7143 §11.4 to §11.19.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Reply {
    /// Operation code.
    pub opcode: u8,
    /// F bit and flags.
    pub flags: u8,
    /// Response, reason.
    pub byte_2: u8,
    /// SCSI status.
    pub byte_3: u8,
    /// TotalAHSLength: always zero.
    pub ahs_words: u8,
    /// DataSegmentLength.
    pub data_segment_length: [u8; 3],
    /// LUN.
    pub lun: U64,
    /// Initiator Task Tag.
    pub initiator_task_tag: U32,
    /// Bytes 20 to 23: Target Transfer Tag.
    pub word_20: U32,
    /// StatSN.
    pub stat_sn: U32,
    /// ExpCmdSN.
    pub exp_cmd_sn: U32,
    /// MaxCmdSN.
    pub max_cmd_sn: U32,
    /// Bytes 36 to 39: DataSN, R2TSN, ExpDataSN.
    pub word_36: U32,
    /// Bytes 40 to 43: Buffer Offset; Time2Wait and Time2Retain.
    pub word_40: U32,
    /// Bytes 44 to 47: Residual Count, Desired Data Transfer Length.
    pub word_44: U32,
}

const _: () = assert!(size_of::<Bhs>() == BHS_BYTES && size_of::<Reply>() == BHS_BYTES);

impl Reply {
    /// A reply of this kind, final, for this task.
    pub fn new(opcode: u8, initiator_task_tag: u32) -> Self {
        let mut reply = Self::read_from_bytes(&[0; BHS_BYTES]).expect("48 bytes are a BHS");
        reply.opcode = opcode;
        reply.flags = 0x80;
        reply.initiator_task_tag = U32::new(initiator_task_tag);
        reply
    }

    /// DataSegmentLength, padding excluded.
    pub fn data_segment_bytes(&self) -> u32 {
        let [high, middle, low] = self.data_segment_length;
        u32::from_be_bytes([0, high, middle, low])
    }

    /// Sets DataSegmentLength.
    pub fn set_data_segment_bytes(&mut self, bytes: u32) {
        let [_, high, middle, low] = bytes.to_be_bytes();
        self.data_segment_length = [high, middle, low];
    }

    /// Sets AsyncEvent and AsyncVCode (bytes 36 and 37) and Parameter1 to 3.
    pub fn set_async(&mut self, event: u8, code: u8, parameters: [u16; 3]) {
        let [first, second, third] = parameters;
        let [p1, p2] = U16::new(first).to_bytes();
        self.word_36 = U32::from_bytes([event, code, p1, p2]);
        self.word_40 = U32::new(u32::from(second) << 16 | u32::from(third));
    }
}

/// A data segment is padded to a multiple of four bytes.
pub const fn padding_bytes(length: u32) -> u32 {
    length.wrapping_neg() & 3
}

#[cfg(test)]
mod tests {
    use super::{Bhs, padding_bytes};
    use zerocopy::FromBytes;

    #[test]
    fn a_write_command_reads_field_by_field() {
        let bytes: [u8; 48] = [
            0x41, 0xA1, 0, 0, 0, 0, 0x02, 0x00, // I, F W simple, 512 bytes of data
            0, 7, 0, 0, 0, 0, 0, 0, // LUN 7
            0, 0, 0, 9, 0, 0, 0x10, 0x00, // ITT, 4096 bytes expected
            0, 0, 0, 3, 0, 0, 0, 4, // CmdSN, ExpStatSN
            0x2A, 0, 0, 0, 0, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
        ];
        let bhs = Bhs::read_from_bytes(&bytes).expect("48 bytes");
        assert!(bhs.is_immediate() && bhs.is_final());
        assert_eq!(bhs.opcode(), 0x01);
        assert_eq!(bhs.data_segment_bytes(), 512);
        assert_eq!(bhs.lun.get(), 0x0007_0000_0000_0000);
        assert_eq!((bhs.word_20.get(), bhs.cmd_sn.get(), bhs.exp_stat_sn.get()), (4096, 3, 4));
        assert_eq!(bhs.rest[0], 0x2A);
    }

    #[test]
    fn padding_completes_a_word() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(padding_bytes), [0, 3, 2, 1, 0, 3]);
    }
}
