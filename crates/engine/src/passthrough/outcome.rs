//! How a passed-on command ends: what the device said, or why it said nothing.

use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;

/// Longest sense data that is passed on; the kernel keeps no more either.
pub const SENSE_BYTES_MAX: usize = 96;

/// Why a device gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is gone, or cannot be reached.
    Gone,
    /// It did not answer in time; the command was aborted.
    TimedOut,
    /// It was reset, or the command was aborted on the way, and may be sent again.
    Aborted,
    /// It, or the way to it, is busy.
    Busy,
    /// The command is not one that can be sent this way (too long, too much data).
    Unsendable,
    /// Something else on the way: an adapter's or a driver's error.
    Broken,
}

impl Failure {
    /// What an operator should hear; `None`: it happens, and initiators know what to do.
    pub fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Gone => Some("it is gone, or cannot be reached"),
            Self::TimedOut => Some("a command did not end in time, and was aborted"),
            Self::Broken => Some("the way to it is broken"),
            Self::Aborted | Self::Busy | Self::Unsendable => None,
        }
    }
}

/// The sense data that an initiator gets for a failure; `None`: the status is BUSY.
/// Spec: SPC-4, additional sense codes.
const SENSE_OF: [(Failure, Option<Sense>); 6] = [
    (Failure::Gone, Some(Sense::NOT_READY)),
    (Failure::TimedOut, Some(Sense::COMMAND_TIMEOUT)),
    (Failure::Aborted, Some(Sense::COMMAND_ABORTED)),
    (Failure::Busy, None),
    (Failure::Unsendable, Some(Sense::INVALID_FIELD_IN_CDB)),
    (Failure::Broken, Some(Sense::INTERNAL_FAILURE)),
];

/// How a command has ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// SCSI status.
    pub status: u8,
    /// Data that really moved, at most what there was room for.
    pub transferred_bytes: u32,
    /// The device did not say this: it is what we make of a failure.
    pub failure: Option<Failure>,
    sense: [u8; SENSE_BYTES_MAX],
    sense_bytes: u8,
}

impl Outcome {
    /// What the device said. Sense data beyond [`SENSE_BYTES_MAX`] is cut.
    pub fn said(status: u8, sense: &[u8], transferred_bytes: u32) -> Self {
        let mut outcome = Self {
            status,
            transferred_bytes,
            failure: None,
            sense: [0; SENSE_BYTES_MAX],
            sense_bytes: 0,
        };
        let length = sense.len().min(SENSE_BYTES_MAX);
        if let (Some(to), Some(from)) = (outcome.sense.get_mut(..length), sense.get(..length)) {
            to.copy_from_slice(from);
            outcome.sense_bytes = u8::try_from(length).unwrap_or(0);
        }
        outcome
    }

    /// What an initiator is told where the device said nothing.
    pub fn failed(failure: Failure) -> Self {
        let found = SENSE_OF.iter().find(|(known, _)| *known == failure);
        let outcome = match found.and_then(|(_, sense)| *sense) {
            Some(sense) => Self::said(status::CHECK_CONDITION, &sense.encode(), 0),
            None => Self::said(status::BUSY, &[], 0),
        };
        Self { failure: Some(failure), ..outcome }
    }

    /// Sense data, as the device gave it: fixed or descriptor format, current or deferred.
    pub fn sense(&self) -> &[u8] {
        self.sense.get(..usize::from(self.sense_bytes)).unwrap_or_default()
    }

    /// Additional sense code and qualifier of a unit attention, `asc << 8 | ascq`.
    /// Spec: SPC-4, sense data.
    pub fn unit_attention(&self) -> Option<u16> {
        const UNIT_ATTENTION: u8 = 0x6;
        let sense = self.sense();
        let (key, place) = match sense.first()? & 0x7F {
            0x70 => (*sense.get(2)?, 12),
            0x72 => (*sense.get(1)?, 2),
            // Deferred errors are about earlier commands.
            _ => return None,
        };
        let is_one = self.status == status::CHECK_CONDITION && key & 0x0F == UNIT_ATTENTION;
        let code = sense.get(place..place + 2)?;
        is_one.then(|| code.iter().fold(0, |code, byte| code << 8 | u16::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Outcome, SENSE_BYTES_MAX, SENSE_OF};
    use fairlead_proto::scsi::sense::Sense;
    use fairlead_proto::scsi::status;

    #[test]
    fn unit_attentions_are_found_in_both_formats() {
        let sense = Sense::unit_attention(0x2A09);
        let said = |sense: &[u8]| Outcome::said(status::CHECK_CONDITION, sense, 0);
        assert_eq!(said(&sense.encode()).unit_attention(), Some(0x2A09));
        assert_eq!(said(&sense.encode_descriptor()).unit_attention(), Some(0x2A09));
        let mut deferred = sense.encode();
        deferred[0] = 0x71;
        assert_eq!(said(&deferred).unit_attention(), None);
        assert_eq!(said(&Sense::READ_ERROR.encode()).unit_attention(), None);
        assert_eq!(said(&[0x70, 0, 6]).unit_attention(), None, "cut off");
    }

    #[test]
    fn every_failure_has_an_answer() {
        for (failure, sense) in SENSE_OF {
            let outcome = Outcome::failed(failure);
            assert_eq!(outcome.failure, Some(failure));
            let is_busy = outcome.status == status::BUSY;
            assert_eq!(is_busy, sense.is_none());
            assert_eq!(Sense::decode(outcome.sense()), sense);
        }
        assert_eq!(SENSE_OF.len(), Failure::Broken as usize + 1);
    }

    #[test]
    fn sense_that_is_too_long_is_cut() {
        let outcome = Outcome::said(status::CHECK_CONDITION, &[7; 252], 0);
        assert_eq!(outcome.sense(), [7; SENSE_BYTES_MAX]);
    }
}
