//! Sense data. Spec: SPC-4, sense data, fixed format.

/// Length of encoded sense data in bytes.
pub const SENSE_BYTES: usize = 18;

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// Sense key, 0..=15.
    pub key: u8,
    /// Additional sense code and qualifier: `asc << 8 | ascq`.
    pub asc: u16,
    /// INFORMATION field, where the standard asks for one (e.g. the offset of a miscompare).
    pub information: Option<u32>,
}

impl Sense {
    const fn new(key: u8, asc: u16) -> Self {
        Self { key, asc, information: None }
    }

    /// No sense.
    pub const NONE: Self = Self::new(0x0, 0x0000);
    /// The operation code is not in the command table.
    pub const INVALID_OPCODE: Self = Self::new(0x5, 0x2000);
    /// A CDB field holds a value that is not supported.
    pub const INVALID_FIELD_IN_CDB: Self = Self::new(0x5, 0x2400);
    /// The parameter list is shorter than the command needs.
    pub const PARAMETER_LIST_LENGTH: Self = Self::new(0x5, 0x1A00);
    /// A field of the parameter list holds a value that is not supported.
    pub const INVALID_FIELD_IN_PARAMETERS: Self = Self::new(0x5, 0x2600);
    /// LBA or LBA + length is beyond the last block.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(0x5, 0x2100);
    /// No unit under this LUN for this initiator.
    pub const LUN_NOT_SUPPORTED: Self = Self::new(0x5, 0x2500);
    /// The unit is read only.
    pub const WRITE_PROTECTED: Self = Self::new(0x7, 0x2700);
    /// No room left behind a thin volume.
    pub const SPACE_ALLOCATION_FAILED: Self = Self::new(0x7, 0x2707);
    /// Data differs. INFORMATION is the byte offset.
    pub const MISCOMPARE: Self = Self::new(0xE, 0x1D00);
    /// The medium could not be read.
    pub const READ_ERROR: Self = Self::new(0x3, 0x1100);
    /// The medium could not be written.
    pub const WRITE_ERROR: Self = Self::new(0x3, 0x0C00);
    /// The volume refuses writes until an operator clears a failed flush.
    pub const WRITES_REFUSED: Self = Self::new(0x2, 0x0412);
    /// The device behind the volume is gone.
    pub const NOT_READY: Self = Self::new(0x2, 0x0400);
    /// The device did not answer in time. Spec: SPC-4, COMMAND TIMEOUT DURING PROCESSING.
    pub const COMMAND_TIMEOUT: Self = Self::new(0xB, 0x2E02);
    /// The device has given the command up; it may be sent again.
    pub const COMMAND_ABORTED: Self = Self::new(0xB, 0x0000);
    /// A data digest did not match. Spec: RFC 7143 §7.8 (protocol service CRC error).
    pub const CRC_ERROR: Self = Self::new(0xB, 0x4705);
    /// Data-Out came out of sequence. Spec: RFC 7143 §7.9.
    pub const DATA_PHASE_ERROR: Self = Self::new(0xB, 0x4B00);
    /// Unsolicited data where none was agreed. Spec: RFC 7143 §11.4.7.2.
    pub const UNEXPECTED_UNSOLICITED_DATA: Self = Self::new(0xB, 0x0C0C);
    /// Unsolicited data that is not FirstBurstLength long, or an answer to an R2T that is not as
    /// long as was asked for. Spec: RFC 7143 §11.4.7.2.
    pub const INCORRECT_AMOUNT_OF_DATA: Self = Self::new(0xB, 0x0C0D);
    /// The fault is ours.
    pub const INTERNAL_FAILURE: Self = Self::new(0x4, 0x4400);

    /// A unit attention with this additional sense code.
    pub const fn unit_attention(asc: u16) -> Self {
        Self::new(0x6, asc)
    }

    /// The same with an INFORMATION field.
    #[must_use]
    pub const fn with_information(self, information: u32) -> Self {
        Self { information: Some(information), ..self }
    }

    /// Encodes a current error in fixed format.
    pub fn encode(self) -> [u8; SENSE_BYTES] {
        let valid = if self.information.is_some() { 0x80 } else { 0 };
        let [i0, i1, i2, i3] = self.information.unwrap_or(0).to_be_bytes();
        let [asc, ascq] = self.asc.to_be_bytes();
        [0x70 | valid, 0, self.key, i0, i1, i2, i3, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]
    }

    /// Encodes a current error in descriptor format, without descriptors.
    pub fn encode_descriptor(self) -> [u8; 8] {
        let [asc, ascq] = self.asc.to_be_bytes();
        [0x72, self.key, asc, ascq, 0, 0, 0, 0]
    }

    /// Reads back fixed format sense, as Python supplies it; `None` where it is another format.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let data: &[u8; SENSE_BYTES] = data.get(..SENSE_BYTES)?.try_into().ok()?;
        if data[0] & 0x7F != 0x70 {
            return None;
        }
        let information = u32::from_be_bytes([data[3], data[4], data[5], data[6]]);
        Some(Self {
            key: data[2] & 0x0F,
            asc: u16::from_be_bytes([data[12], data[13]]),
            information: (data[0] & 0x80 != 0).then_some(information),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Sense;

    #[test]
    fn round_trip_with_and_without_information() {
        for sense in [Sense::MISCOMPARE.with_information(0x0102_0304), Sense::WRITE_PROTECTED] {
            assert_eq!(Sense::decode(&sense.encode()), Some(sense));
        }
    }

    #[test]
    fn descriptor_format_is_not_taken_for_fixed() {
        let mut bytes = Sense::READ_ERROR.encode();
        bytes[0] = 0x72;
        assert_eq!(Sense::decode(&bytes), None);
        assert_eq!(Sense::decode(&bytes[..4]), None);
    }
}
