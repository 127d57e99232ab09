//! Unit attentions of one nexus. Spec: SAM-5, unit attention condition queueing.

/// Additional sense codes of those that we raise, the most important first.
const NAMED: [u16; 10] =
    [POWER_ON, 0x2903, 0x2F00, 0x2A05, 0x2A03, 0x2A04, 0x2A09, 0x2A01, 0x3F03, 0x3F0E];
/// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED: whatever else there was to hear, anything may be
/// otherwise now.
const POWER_ON: u16 = 0x2900;
/// Of others, which passed-through devices raise, so many may be pending.
const OTHERS_MAX: usize = 4;

/// What is pending: each kind is or is not, so there is no queue that could grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attentions {
    /// One bit for each of [`NAMED`].
    named: u16,
    /// In the order of their coming; 0: none.
    others: [u16; OTHERS_MAX],
}

impl Attentions {
    /// A new nexus.
    pub const NEW_NEXUS: Self = Self { named: 1, others: [0; OTHERS_MAX] };

    /// Adds one. Where there is no room for it, the most general one stands for all.
    pub fn raise(&mut self, asc: u16) {
        if let Some(place) = NAMED.iter().position(|known| *known == asc) {
            self.named |= 1 << place;
        } else if !self.others.contains(&asc) {
            match self.others.iter_mut().find(|other| **other == 0) {
                Some(place) => *place = asc,
                None => *self = Self::NEW_NEXUS,
            }
        }
    }

    /// Takes the most important one.
    pub fn take(&mut self) -> Option<u16> {
        let place = self.named.trailing_zeros();
        if let Some(asc) = NAMED.get(place as usize).copied() {
            self.named &= !(1 << place);
            return Some(asc);
        }
        let first = self.others[0];
        self.others.rotate_left(1);
        self.others[OTHERS_MAX - 1] = 0;
        (first != 0).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::{Attentions, OTHERS_MAX};

    fn taken(mut attentions: Attentions) -> Vec<u16> {
        std::iter::from_fn(|| attentions.take()).collect()
    }

    #[test]
    fn they_come_by_importance_and_once() {
        let mut attentions = Attentions::NEW_NEXUS;
        for asc in [0x3F01, 0x2F00, 0x2F00, 0x2903, 0x3F01, 0x5D00] {
            attentions.raise(asc);
        }
        assert_eq!(taken(attentions), [0x2900, 0x2903, 0x2F00, 0x3F01, 0x5D00]);
    }

    #[test]
    fn more_than_there_is_room_for_becomes_the_most_general() {
        let mut attentions = Attentions::NEW_NEXUS;
        attentions.take();
        for asc in 0..OTHERS_MAX as u16 {
            attentions.raise(0x5D01 + asc);
        }
        assert_eq!(taken(attentions), [0x5D01, 0x5D02, 0x5D03, 0x5D04]);
        attentions.raise(0x5DFF);
        assert_eq!(taken(attentions), [0x2900]);
    }
}
