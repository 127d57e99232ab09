//! A ring of days, each a list of flows, of which the earliest is found without a search.
//!
//! A day holds the tags of one *step*; within it who came first goes first. Flows are linked through
//! a table beside the calendar, so that entering and leaving allocate nothing and any flow can leave
//! from the middle. Links are small and by themselves: those of very many flows stay in the cache.

use crate::ring::{DAYS, Ring, days_between};
use crate::table::Table;

const NONE: u32 = u32::MAX;

/// Of each flow, its place in a calendar.
pub(crate) type Links = Table<Link>;

/// A flow's neighbours in its day. That before the first is not kept: then a flow that leaves from
/// the front touches no other, and whether a flow is the first is asked of its day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    before: u32,
    after: u32,
    day: u16,
    /// The day on which it enters the next calendar.
    next_day: u16,
    /// It is in that one.
    is_next: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { before: NONE, after: NONE, day: 0, next_day: 0, is_next: false }
    }
}

#[derive(Debug, Clone, Copy)]
struct Day {
    first: u32,
    last: u32,
}

const EMPTY: Day = Day { first: NONE, last: NONE };

/// One ring.
#[derive(Debug)]
struct Calendar {
    days: Box<[Day]>,
    ring: Ring,
}

impl Calendar {
    fn new() -> Self {
        Self { days: vec![EMPTY; DAYS].into_boxed_slice(), ring: Ring::new() }
    }

    /// Enters a flow at the end of a day; returns who was the last.
    fn enter(&mut self, links: &mut Links, flow: u32, number: usize) -> u32 {
        let Some(day) = self.days.get_mut(number) else { return NONE };
        let before = std::mem::replace(&mut day.last, flow);
        match links.get_mut(before) {
            Some(link) => link.after = flow,
            None => {
                day.first = flow;
                self.ring.mark(number);
            }
        }
        before
    }

    fn leave(&mut self, links: &mut Links, flow: u32, link: Link) {
        let number = usize::from(link.day);
        let Some(day) = self.days.get_mut(number) else { return };
        if day.first == flow {
            day.first = link.after;
            if link.after == NONE {
                day.last = NONE;
                self.ring.clear(number);
            }
            return;
        }
        if let Some(before) = links.get_mut(link.before) {
            before.after = link.after;
        }
        match links.get_mut(link.after) {
            Some(after) => after.before = link.before,
            None => day.last = link.before,
        }
    }

    /// The first day that is not empty, from this one on and round, and who is first on it.
    fn first(&self, from: usize) -> Option<(usize, u32)> {
        let number = self.ring.first(from)?;
        self.days.get(number).map(|day| (number, day.first))
    }

    /// Empties a day.
    fn clear(&mut self, number: usize) {
        if let Some(day) = self.days.get_mut(number) {
            *day = EMPTY;
        }
        self.ring.clear(number);
    }
}

/// Flows that take part: first *waiting*, by their start tags, then *eligible*, by their finish tags.
#[derive(Debug)]
pub(crate) struct Calendars {
    waiting: Calendar,
    eligible: Calendar,
}

impl Calendars {
    /// Without flows.
    pub(crate) fn new() -> Self {
        Self { waiting: Calendar::new(), eligible: Calendar::new() }
    }

    /// Enters a flow that is in none, by the days of its start and its finish tag.
    pub(crate) fn enter(&mut self, links: &mut Links, flow: u32, start: usize, finish: usize) {
        let before = self.waiting.enter(links, flow, start);
        if let Some(link) = links.slot(flow) {
            let (day, next_day) = (start as u16, finish as u16);
            *link = Link { before, after: NONE, day, next_day, is_next: false };
        }
    }

    /// Takes a flow out of that which it is in.
    pub(crate) fn leave(&mut self, links: &mut Links, flow: u32) {
        let Some(link) = links.get(flow).copied() else { return };
        let calendar = if link.is_next { &mut self.eligible } else { &mut self.waiting };
        calendar.leave(links, flow, link);
    }

    /// Makes those eligible whose start tag is on this day or one of so many after it.
    pub(crate) fn make_eligible(&mut self, links: &mut Links, from: usize, days: usize) {
        while let Some((day, first)) = self.waiting.first(from) {
            if days_between(from, day) > days {
                return;
            }
            self.waiting.clear(day);
            let mut flow = first;
            while let Some(link) = links.get_mut(flow) {
                let (number, after) = (link.next_day, link.after);
                (link.day, link.after, link.is_next) = (number, NONE, true);
                let before = self.eligible.enter(links, flow, usize::from(number));
                if let Some(link) = links.get_mut(flow) {
                    link.before = before;
                }
                flow = after;
            }
        }
    }

    /// The eligible flow of the first day from this one on, who came first.
    pub(crate) fn first_eligible(&self, from: usize) -> Option<u32> {
        self.eligible.first(from).map(|(_, flow)| flow)
    }

    /// The first day from this one on on which somebody becomes eligible.
    pub(crate) fn first_waiting_day(&self, from: usize) -> Option<usize> {
        self.waiting.ring.first(from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendars, Links};
    use crate::ring::DAYS;

    /// All eligible flows in their order.
    fn drain(calendars: &mut Calendars, links: &mut Links) -> Vec<u32> {
        let mut seen = Vec::new();
        while let Some(flow) = calendars.first_eligible(0) {
            calendars.leave(links, flow);
            seen.push(flow);
        }
        seen
    }

    #[test]
    fn the_earliest_day_is_first_and_within_a_day_who_came_first() {
        let (mut links, mut calendars) = (Links::default(), Calendars::new());
        for (flow, finish) in (0..).zip([70, 3, 4000, 3, 64, 69]) {
            calendars.enter(&mut links, flow, 0, finish);
        }
        assert_eq!(calendars.first_eligible(0), None);
        calendars.make_eligible(&mut links, 0, 0);
        assert_eq!(drain(&mut calendars, &mut links), [1, 3, 4, 5, 0, 2]);
        assert_eq!(calendars.first_waiting_day(0), None);
    }

    #[test]
    fn who_starts_earlier_becomes_eligible_before() {
        let (mut links, mut calendars) = (Links::default(), Calendars::new());
        for (flow, start) in (0..).zip([2, 1, 3, 1, DAYS - 1]) {
            calendars.enter(&mut links, flow, start, 9);
        }
        assert_eq!(calendars.first_waiting_day(DAYS - 2), Some(DAYS - 1));
        calendars.make_eligible(&mut links, DAYS - 2, 4);
        assert_eq!(calendars.first_waiting_day(DAYS - 2), Some(3));
        assert_eq!(drain(&mut calendars, &mut links), [4, 1, 3, 0]);
    }

    #[test]
    fn a_flow_leaves_from_the_middle_of_its_day() {
        let (mut links, mut calendars) = (Links::default(), Calendars::new());
        let enter = |calendars: &mut Calendars, links: &mut Links, flows: &[u32]| {
            flows.iter().for_each(|flow| calendars.enter(links, *flow, 5, 9));
        };
        enter(&mut calendars, &mut links, &[0, 1, 2, 3]);
        [1, 3].into_iter().for_each(|flow| calendars.leave(&mut links, flow));
        enter(&mut calendars, &mut links, &[1]);
        calendars.make_eligible(&mut links, 5, 0);
        calendars.leave(&mut links, 2);
        enter(&mut calendars, &mut links, &[3, 2]);
        calendars.make_eligible(&mut links, 5, 0);
        calendars.leave(&mut links, 2);
        assert_eq!(drain(&mut calendars, &mut links), [0, 1, 3]);
        // The last one, then the only one, and one that comes after.
        enter(&mut calendars, &mut links, &[0, 1]);
        [1, 0].into_iter().for_each(|flow| calendars.leave(&mut links, flow));
        assert_eq!(calendars.first_waiting_day(0), None);
        enter(&mut calendars, &mut links, &[2]);
        assert_eq!(calendars.first_waiting_day(0), Some(5));
    }
}
