//! A command that a device carries out itself: its data is collected whole, it goes down, and what
//! the device says comes back as it is.

use super::{Expected, Input, Step};
use crate::buffer::LARGEST;
use crate::operation::{Kind, Operation};
use crate::passthrough::{Direction, Failure, Outcome};
use fairlead_proto::iscsi::task::Answer;
use fairlead_proto::scsi::sense::Sense;

/// The state of a passed command.
#[derive(Debug)]
pub struct Pass {
    direction: Direction,
    length_bytes: u32,
    outcome: Option<Outcome>,
}

impl Pass {
    /// For a command with this data, at most `most_bytes`.
    ///
    /// # Errors
    /// There is more than can be passed on: INVALID FIELD IN CDB, as for every transfer beyond the
    /// limits of the Block Limits page.
    pub fn new(expected: Expected, most_bytes: u32) -> Result<Self, Sense> {
        let (direction, length_bytes) = match (expected.in_bytes, expected.out_bytes) {
            (0, 0) => (Direction::None, 0),
            (bytes, 0) => (Direction::In, bytes),
            (_, bytes) => (Direction::Out, bytes),
        };
        let most_bytes = most_bytes.min(LARGEST as u32);
        if length_bytes > most_bytes {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        Ok(Self { direction, length_bytes, outcome: None })
    }

    /// Which way its data goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How much data the initiator expects to move.
    pub fn length_bytes(&self) -> u32 {
        self.length_bytes
    }

    /// It has ended.
    pub fn ended(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// How it has ended; a command that has not is broken.
    pub fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or_else(|| Outcome::failed(Failure::Broken))
    }

    pub(super) fn first_data_bytes(&self) -> u32 {
        if self.direction == Direction::Out { self.length_bytes } else { 0 }
    }

    pub(super) fn next(&mut self, input: Input, buffer: &mut [u8]) -> Step {
        if input == Input::Ready {
            // The buffer had somebody else's data, and a device may say that it gave more than it did.
            if let (Direction::In, Some(place)) =
                (self.direction, buffer.get_mut(..self.length_bytes as usize))
            {
                place.fill(0);
            }
            let kind = Kind::Pass(self.direction);
            let length_bytes = u64::from(self.length_bytes);
            return Step::Io(Operation { kind, offset_bytes: 0, length_bytes, buffer_offset: 0 });
        }
        let outcome = self.outcome();
        let moved = outcome.transferred_bytes.min(self.length_bytes);
        let answer = Answer { status: outcome.status, sense: None, cdb_bytes: u64::from(moved) };
        match self.direction {
            // Data may come with an error, too: what was read before it.
            Direction::In if moved > 0 => Step::Send(0, moved, Some(answer)),
            _ => Step::Answer(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expected, Input, Step};
    use super::Pass;
    use crate::operation::{Kind, Operation};
    use crate::passthrough::{Direction, Outcome};
    use fairlead_proto::iscsi::task::Answer;
    use fairlead_proto::scsi::sense::Sense;
    use fairlead_proto::scsi::status;

    fn expected(in_bytes: u32, out_bytes: u32) -> Expected {
        Expected { in_bytes, out_bytes }
    }

    #[test]
    fn it_goes_down_whole_and_once() {
        for (expected, direction, first) in [
            (expected(0, 0), Direction::None, 0),
            (expected(700, 0), Direction::In, 0),
            (expected(0, 700), Direction::Out, 700),
        ] {
            let mut pass = Pass::new(expected, 4096).expect("it fits");
            assert_eq!(pass.first_data_bytes(), first);
            let length_bytes = u64::from(expected.in_bytes + expected.out_bytes);
            let kind = Kind::Pass(direction);
            let operation = Operation { kind, offset_bytes: 0, length_bytes, buffer_offset: 0 };
            assert_eq!(pass.next(Input::Ready, &mut []), Step::Io(operation));
        }
    }

    #[test]
    fn what_moved_is_told_and_data_comes_with_errors_too() {
        let mut pass = Pass::new(expected(700, 0), 4096).expect("it fits");
        pass.ended(Outcome::said(status::CHECK_CONDITION, &[0x72, 3], 512));
        let answer = Answer { status: status::CHECK_CONDITION, sense: None, cdb_bytes: 512 };
        assert_eq!(pass.next(Input::Done, &mut []), Step::Send(0, 512, Some(answer)));
        let mut pass = Pass::new(expected(0, 700), 4096).expect("it fits");
        pass.ended(Outcome::said(status::GOOD, &[], 700));
        let answer = Answer { status: status::GOOD, sense: None, cdb_bytes: 700 };
        assert_eq!(pass.next(Input::Done, &mut []), Step::Answer(answer));
    }

    #[test]
    fn nobody_gets_what_was_in_the_buffer_before() {
        let mut buffer = [7; 1024];
        let mut pass = Pass::new(expected(700, 0), 4096).expect("it fits");
        pass.next(Input::Ready, &mut buffer);
        assert_eq!((buffer[699], buffer[700]), (0, 7));
        let mut pass = Pass::new(expected(0, 700), 4096).expect("it fits");
        pass.next(Input::Ready, &mut buffer[700..]);
        assert_eq!(buffer[700], 7, "what an initiator has sent stays");
    }

    #[test]
    fn more_than_the_device_takes_is_refused() {
        assert!(Pass::new(expected(4096, 0), 4096).is_ok());
        let refused = Pass::new(expected(4097, 0), 4096).map(|_| ());
        assert_eq!(refused, Err(Sense::INVALID_FIELD_IN_CDB));
        let refused = Pass::new(expected(0, u32::MAX), u32::MAX).map(|_| ());
        assert_eq!(refused, Err(Sense::INVALID_FIELD_IN_CDB));
    }
}
