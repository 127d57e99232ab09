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
    /// It was reset by this host or adapter, with everything that was out.
    Reset,
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
            Self::Reset => Some("it was reset"),
            Self::Aborted | Self::Busy | Self::Unsendable => None,
        }
    }
}

/// The sense data that an initiator gets for a failure; `None`: the status is BUSY.
/// Spec: SPC-4, additional sense codes.
const SENSE_OF: [(Failure, Option<Sense>); 7] = [
    (Failure::Gone, Some(Sense::NOT_READY)),
    (Failure::TimedOut, Some(Sense::COMMAND_TIMEOUT)),
    (Failure::Aborted, Some(Sense::COMMAND_ABORTED)),
    (Failure::Busy, None),
    (Failure::Unsendable, Some(Sense::INVALID_FIELD_IN_CDB)),
    (Failure::Reset, Some(Sense::COMMAND_ABORTED)),
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
    pub fn unit_attention(&self) -> Option<u16> {
        (self.status == status::CHECK_CONDITION).then(|| attention_in(self.sense())).flatten()
    }

    /// What the device said where there was room for so much data, and an adapter or a target said
    /// that so much of it has not moved. Not all of them say so of commands that have failed.
    pub fn heard(status: u8, sense: &[u8], room_bytes: u32, residual_bytes: u32) -> Self {
        let has_failed = status == status::CHECK_CONDITION && residual_bytes == 0;
        let is_about_data = key_of(sense).is_some_and(|key| KEYS_WITH_DATA.contains(&key));
        let moved = match has_failed && !is_about_data {
            true => 0,
            false => room_bytes.saturating_sub(residual_bytes),
        };
        // Spec: RFC 7143 §11.4.7, with CHECK CONDITION there is sense data.
        match status == status::CHECK_CONDITION && sense.is_empty() {
            true => Self::said(status, &Sense::NONE.encode(), moved),
            false => Self::said(status, sense, moved),
        }
    }
}

/// Sense keys of commands that may have moved data: NO SENSE, RECOVERED ERROR, MEDIUM ERROR, BLANK
/// CHECK.
const KEYS_WITH_DATA: [u8; 4] = [0x0, 0x1, 0x3, 0x8];

/// The sense key of a current error. Spec: SPC-4, sense data.
fn key_of(sense: &[u8]) -> Option<u8> {
    let place = match sense.first()? & 0x7F {
        0x70 => 2,
        0x72 => 1,
        // Deferred errors are about earlier commands.
        _ => return None,
    };
    sense.get(place).map(|key| key & 0x0F)
}

/// Additional sense code and qualifier, where sense data tells a unit attention.
pub fn attention_in(sense: &[u8]) -> Option<u16> {
    const UNIT_ATTENTION: u8 = 0x6;
    let place = if sense.first()? & 0x7F == 0x70 { 12 } else { 2 };
    let code = sense.get(place..place + 2)?;
    (key_of(sense)? == UNIT_ATTENTION)
        .then(|| code.iter().fold(0, |code, byte| code << 8 | u16::from(*byte)))
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
    fn a_command_that_failed_without_a_residual_has_moved_what_its_error_is_about() {
        let heard = |status, sense: &[u8], residual| {
            Outcome::heard(status, sense, 4096, residual).transferred_bytes
        };
        assert_eq!(heard(status::GOOD, &[], 0), 4096);
        let refused = Sense::INVALID_FIELD_IN_CDB.encode();
        assert_eq!(heard(status::CHECK_CONDITION, &refused, 0), 0);
        assert_eq!(heard(status::CHECK_CONDITION, &refused, 1024), 3072, "somebody has counted");
        assert_eq!(heard(status::CHECK_CONDITION, &Sense::READ_ERROR.encode(), 0), 4096);
        assert_eq!(heard(status::CHECK_CONDITION, &[], 0), 0);
        let silent = Outcome::heard(status::CHECK_CONDITION, &[], 0, 0);
        assert_eq!(Sense::decode(silent.sense()), Some(Sense::NONE));
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
