//! A ring of days, each a list of flows: the earliest is found by two bitmaps, without a search.
//!
//! A day holds the tags of one *step*; within it who came first goes first. Flows are linked through
//! an array beside the calendar, so that entering and leaving allocate nothing and any flow can leave
//! from the middle.

/// Days of the ring. Tags that are this many steps apart would meet.
pub(crate) const DAYS: usize = 4096;
const WORD: usize = 64;
const NONE: u32 = u32::MAX;

/// Which calendar a flow is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// None: it is paused, and not ahead.
    Out,
    /// Its start tag is ahead of the clock.
    Waiting,
    /// It may be served.
    Eligible,
    /// It has nothing queued or is held, and has had more than its share so far.
    Ahead,
}

/// Where the links are: each flow has one.
pub(crate) trait Links {
    /// A flow's link.
    fn link(&mut self, flow: u32) -> Option<&mut Link>;
}

/// A flow's neighbours in its day. That before the first is not kept: then a flow that leaves from
/// the front touches no other, and whether a flow is the first is asked of its day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    before: u32,
    after: u32,
    day: u16,
    pub(crate) place: Place,
}

impl Link {
    /// Of a flow in no calendar.
    pub(crate) const OUT: Self = Self { before: NONE, after: NONE, day: 0, place: Place::Out };
}

#[derive(Debug, Clone, Copy)]
struct Day {
    first: u32,
    last: u32,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Calendar {
    place: Place,
    days: Box<[Day]>,
    /// Days that are not empty, and words of this that are not zero.
    words: [u64; DAYS / WORD],
    summary: u64,
}

fn day_of(step: u64) -> usize {
    step as usize % DAYS
}

impl Calendar {
    /// An empty one, for the flows of this place.
    pub(crate) fn new(place: Place) -> Self {
        let days = vec![Day { first: NONE, last: NONE }; DAYS].into_boxed_slice();
        Self { place, days, words: [0; DAYS / WORD], summary: 0 }
    }

    /// Enters a flow at the end of its step's day.
    pub(crate) fn enter<L: Links + ?Sized>(&mut self, links: &mut L, flow: u32, step: u64) {
        let number = day_of(step);
        let Some(day) = self.days.get_mut(number) else { return };
        let before = std::mem::replace(&mut day.last, flow);
        match links.link(before) {
            Some(link) => link.after = flow,
            None => day.first = flow,
        }
        if let Some(link) = links.link(flow) {
            *link = Link { before, after: NONE, day: number as u16, place: self.place };
        }
        if let Some(word) = self.words.get_mut(number / WORD) {
            *word |= 1 << (number % WORD);
        }
        self.summary |= 1 << (number / WORD);
    }

    /// Takes a flow out, wherever it stands.
    pub(crate) fn leave<L: Links + ?Sized>(&mut self, links: &mut L, flow: u32) {
        let Some(link) = links.link(flow) else { return };
        debug_assert_eq!(link.place, self.place);
        let Link { before, after, day: number, .. } = std::mem::replace(link, Link::OUT);
        let number = usize::from(number);
        let Some(day) = self.days.get_mut(number) else { return };
        if day.first == flow {
            day.first = after;
            if after == NONE {
                day.last = NONE;
            }
        } else {
            if let Some(link) = links.link(before) {
                link.after = after;
            }
            match links.link(after) {
                Some(link) => link.before = before,
                None => day.last = before,
            }
        }
        if day.first == NONE {
            if let Some(word) = self.words.get_mut(number / WORD) {
                *word &= !(1 << (number % WORD));
                if *word == 0 {
                    self.summary &= !(1 << (number / WORD));
                }
            }
        }
    }

    /// The first flow, counted from this step on and round the ring.
    pub(crate) fn first(&self, from_step: u64) -> Option<u32> {
        let from = day_of(from_step);
        let (word, bit) = (from / WORD, from % WORD);
        let here = self.words.get(word)? & (!0 << bit);
        let number = if here != 0 {
            word * WORD + here.trailing_zeros() as usize
        } else {
            // The words behind this one, then round to this one again, whose early days are last.
            let behind = self.summary & (!0 << word << 1);
            let next = if behind != 0 { behind } else { self.summary };
            let word = next.trailing_zeros() as usize;
            word * WORD + self.words.get(word)?.trailing_zeros() as usize
        };
        self.days.get(number).map(|day| day.first)
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, DAYS, Link, Links, Place};

    impl Links for [Link] {
        fn link(&mut self, flow: u32) -> Option<&mut Link> {
            self.get_mut(flow as usize)
        }
    }

    #[test]
    fn the_earliest_step_is_first_and_within_a_step_who_came_first() {
        let mut links = [Link::OUT; 6];
        let mut calendar = Calendar::new(Place::Waiting);
        let steps = [70, 3, 4000, 3, 64, 69];
        for (flow, step) in (0..).zip(steps) {
            calendar.enter(&mut links[..], flow, step);
        }
        let mut seen = Vec::new();
        while let Some(flow) = calendar.first(0) {
            calendar.leave(&mut links[..], flow);
            seen.push(flow);
        }
        assert_eq!(seen, [1, 3, 4, 5, 0, 2]);
        assert!(links.iter().all(|link| link.place == Place::Out));
    }

    #[test]
    fn the_ring_is_read_from_where_one_stands() {
        let mut links = [Link::OUT; 3];
        let mut calendar = Calendar::new(Place::Eligible);
        let base = 5 * DAYS as u64 + 100;
        calendar.enter(&mut links[..], 0, base + DAYS as u64 - 1); // day 99
        calendar.enter(&mut links[..], 1, base + 3000);
        assert_eq!(calendar.first(base), Some(1));
        calendar.enter(&mut links[..], 2, base);
        assert_eq!(calendar.first(base), Some(2));
        calendar.leave(&mut links[..], 2);
        calendar.leave(&mut links[..], 1);
        assert_eq!(calendar.first(base), Some(0));
        calendar.leave(&mut links[..], 0);
        assert_eq!(calendar.first(base), None);
    }

    #[test]
    fn a_flow_leaves_from_the_middle_of_its_day() {
        let mut links = [Link::OUT; 3];
        let mut calendar = Calendar::new(Place::Waiting);
        (0..3).for_each(|flow| calendar.enter(&mut links[..], flow, 9));
        calendar.leave(&mut links[..], 1);
        assert_eq!(calendar.first(0), Some(0));
        calendar.leave(&mut links[..], 0);
        assert_eq!(calendar.first(0), Some(2));
        // The last one, then the only one, and one that comes after.
        calendar.enter(&mut links[..], 0, 9);
        calendar.leave(&mut links[..], 0);
        calendar.leave(&mut links[..], 2);
        assert_eq!(calendar.first(0), None);
        calendar.enter(&mut links[..], 1, 9);
        calendar.enter(&mut links[..], 2, 9);
        calendar.leave(&mut links[..], 1);
        assert_eq!(calendar.first(0), Some(2));
    }
}
