//! A ring of days, each a list of flows, of which the earliest is found without a search.
//!
//! A day holds the tags of one *step*; within it who came first goes first. Flows are linked through
//! a table beside the calendars, so that entering and leaving allocate nothing and any flow can leave
//! from the middle. Links are small and by themselves: those of very many flows stay in the cache.

use crate::ring::{DAYS, Ring, days_between};
use crate::table::Table;

const NONE: u32 = u32::MAX;
const NO_DAY: u16 = u16::MAX;

/// Of a flow in a calendar.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Who is behind it on its day.
    after: u32,
    day: u16,
    /// The day on which it enters the calendar of those eligible, if it is not in that.
    next_day: u16,
}

impl Default for Link {
    fn default() -> Self {
        Self { after: NONE, day: NO_DAY, next_day: NO_DAY }
    }
}

/// Of each flow, its place in a calendar.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Table<Link>,
    /// Who is before it on its day. By itself, because it is seldom read; that before the first is
    /// not kept: then a flow that leaves from the front touches no other.
    before: Table<u32>,
}

impl Links {
    /// Who is behind a flow on its day.
    pub(crate) fn behind(&self, flow: u32) -> u32 {
        self.links.get(flow).map_or(NONE, |link| link.after)
    }

    fn set_before(&mut self, flow: u32, before: u32) {
        if let Some(place) = self.before.slot(flow) {
            *place = before;
        }
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

    /// Enters a flow, whose link says on which day, at the end of that.
    fn enter(&mut self, links: &mut Links, flow: u32, number: usize) {
        let Some(day) = self.days.get_mut(number) else { return };
        let before = std::mem::replace(&mut day.last, flow);
        if let Some(link) = links.links.get_mut(before) {
            link.after = flow;
            links.set_before(flow, before);
        } else {
            day.first = flow;
            self.ring.mark(number);
        }
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
        let Some(before) = links.before.get(flow).copied() else { return };
        if let Some(link_before) = links.links.get_mut(before) {
            link_before.after = link.after;
        }
        if link.after == NONE {
            day.last = before;
        } else {
            links.set_before(link.after, before);
        }
    }

    /// Empties the first day from this one on and round, if it is one of so many; returns who is
    /// first on it.
    fn take(&mut self, from: usize, days: usize) -> Option<u32> {
        let number = self.ring.first(from).filter(|day| days_between(from, *day) <= days)?;
        self.ring.clear(number);
        let day = self.days.get_mut(number)?;
        Some(std::mem::replace(day, EMPTY).first)
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

    /// Nobody takes part.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.ring.is_empty() && self.eligible.ring.is_empty()
    }

    /// Enters a flow that is in none, by the days of its start and its finish tag.
    pub(crate) fn enter(&mut self, links: &mut Links, flow: u32, start: usize, finish: usize) {
        if let Some(link) = links.links.slot(flow) {
            *link = Link { after: NONE, day: start as u16, next_day: finish as u16 };
        }
        self.waiting.enter(links, flow, start);
    }

    /// Takes a flow out of that which it is in.
    pub(crate) fn leave(&mut self, links: &mut Links, flow: u32) {
        let Some(link) = links.links.get(flow).copied() else { return };
        let is_eligible = link.next_day == NO_DAY;
        let calendar = if is_eligible { &mut self.eligible } else { &mut self.waiting };
        calendar.leave(links, flow, link);
    }

    /// Makes those eligible whose start tag is on this day or one of so many after it.
    pub(crate) fn make_eligible(&mut self, links: &mut Links, from: usize, days: usize) {
        while let Some(mut flow) = self.waiting.take(from, days) {
            while let Some(link) = links.links.get_mut(flow) {
                let Link { after, next_day: day, .. } = *link;
                *link = Link { after: NONE, day, next_day: NO_DAY };
                self.eligible.enter(links, flow, usize::from(day));
                flow = after;
            }
        }
    }

    /// The eligible flow of the first day from this one on, who came first.
    pub(crate) fn first_eligible(&self, from: usize) -> Option<u32> {
        let number = self.eligible.ring.first(from)?;
        self.eligible.days.get(number).map(|day| day.first)
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
