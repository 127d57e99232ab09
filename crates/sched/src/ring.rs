//! Which days of a ring have something: two bitmaps, in which the next is found without a search.

/// Days of the ring. Tags that are this many steps apart would meet.
pub(crate) const DAYS: usize = 4096;
const WORD: usize = 64;

/// The day that a step is in.
pub(crate) fn day_of(step: u64) -> usize {
    step as usize % DAYS
}

/// How many days one is behind another, going round.
pub(crate) fn days_between(from: usize, to: usize) -> usize {
    to.wrapping_sub(from) % DAYS
}

/// Days that have something, and words of these that are not zero.
#[derive(Debug)]
pub(crate) struct Ring {
    words: [u64; DAYS / WORD],
    summary: u64,
}

impl Ring {
    /// With nothing on any day.
    pub(crate) fn new() -> Self {
        Self { words: [0; DAYS / WORD], summary: 0 }
    }

    /// No day has anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.summary == 0
    }

    /// The day has something.
    pub(crate) fn mark(&mut self, day: usize) {
        if let Some(word) = self.words.get_mut(day / WORD) {
            *word |= 1 << (day % WORD);
            self.summary |= 1 << (day / WORD);
        }
    }

    /// The day has nothing any more.
    pub(crate) fn clear(&mut self, day: usize) {
        if let Some(word) = self.words.get_mut(day / WORD) {
            *word &= !(1 << (day % WORD));
            if *word == 0 {
                self.summary &= !(1 << (day / WORD));
            }
        }
    }

    /// The first day that has something, from this one on and round.
    pub(crate) fn first(&self, from: usize) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let (word, bit) = (from / WORD, from % WORD);
        let here = self.words.get(word)? & (!0 << bit);
        if here != 0 {
            return Some(word * WORD + here.trailing_zeros() as usize);
        }
        // The words behind this one, then round to this one again, whose early days are last.
        let behind = self.summary & (!0 << word << 1);
        let next = if behind != 0 { behind } else { self.summary };
        let word = next.trailing_zeros() as usize;
        Some(word * WORD + self.words.get(word)?.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAYS, Ring, day_of, days_between};

    #[test]
    fn the_ring_is_read_from_where_one_stands() {
        let mut ring = Ring::new();
        assert_eq!(ring.first(100), None);
        [99, 100, 3100].into_iter().for_each(|day| ring.mark(day));
        for expected in [100, 3100, 99] {
            assert_eq!(ring.first(100), Some(expected));
            ring.clear(expected);
        }
        assert_eq!(ring.first(100), None);
    }

    #[test]
    fn days_are_counted_round() {
        assert_eq!(days_between(day_of(DAYS as u64 - 1), day_of(DAYS as u64 + 1)), 2);
        assert_eq!(days_between(7, 7), 0);
    }
}
