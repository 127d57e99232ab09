//! The flows of one priority that count, and the clock of their virtual time.

use crate::calendar::{Calendars, Links};
use crate::flow::{Flow, State};
use crate::ring::{DAYS, Ring, day_of, days_between};

/// Virtual time counts in 1/65536 ns at weight 1: finely enough for a request of 1 ns at 1000.
pub(crate) const VIRTUAL_SHIFT: u32 = 16;
/// Days of the calendars that lie behind the clock: late flows are found there.
const BEHIND: u64 = 1024;

/// A flow's tags. They wrap, as the clock does; two tags are never half a turn apart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tags {
    /// How far it is: when its next request may be served.
    pub(crate) start: u64,
    /// When its first request should be done, while it takes part.
    pub(crate) finish: u64,
}

/// How far `left` is ahead of `right`; negative: behind.
pub(crate) fn ahead(left: u64, right: u64) -> i64 {
    left.wrapping_sub(right) as i64
}

/// Weights of the flows that are ahead, by the day on which the clock comes to where they are. Only
/// sums are kept: the clock goes on past any number of flows at once.
#[derive(Debug)]
struct Ahead {
    weights: Box<[u64]>,
    ring: Ring,
}

impl Ahead {
    fn new() -> Self {
        Self { weights: vec![0; DAYS].into_boxed_slice(), ring: Ring::new() }
    }

    fn enter(&mut self, day: usize, weight: u64) {
        if let Some(weights) = self.weights.get_mut(day) {
            *weights += weight;
            self.ring.mark(day);
        }
    }

    /// Takes this weight out, or what there is.
    fn leave(&mut self, day: usize, weight: u64) -> u64 {
        let Some(weights) = self.weights.get_mut(day) else { return 0 };
        let taken = weight.min(*weights);
        *weights -= taken;
        if *weights == 0 {
            self.ring.clear(day);
        }
        taken
    }

    /// Takes out all of so many days from this one on.
    fn pass(&mut self, from: usize, days: usize) -> u64 {
        let mut taken = 0;
        while let Some(day) = self.ring.first(from).filter(|day| days_between(from, *day) < days) {
            taken += self.leave(day, u64::MAX);
        }
        taken
    }
}

/// A class.
///
/// Who has nothing (more) to do, but has had more than its share, counts until the clock has come to
/// where it is; see the specification for why.
#[derive(Debug)]
pub(crate) struct Class {
    /// Of the flows that count.
    weights: u64,
    virtual_time: u64,
    remainder: u64,
    step_shift: u32,
    /// How far ahead of the clock a tag can be.
    bound: i64,
    /// Somebody may have become eligible: the clock has gone on, or who came may go at once.
    may_be_eligible: bool,
    calendars: Calendars,
    ahead: Ahead,
}

impl Class {
    pub(crate) fn new(step_shift: u32, bound: i64, clock: u64) -> Self {
        Self {
            weights: 0,
            virtual_time: clock,
            remainder: 0,
            step_shift,
            bound,
            may_be_eligible: false,
            calendars: Calendars::new(),
            ahead: Ahead::new(),
        }
    }

    /// Where the clock stands.
    pub(crate) fn clock(&self) -> u64 {
        self.virtual_time
    }

    /// Of all that take part, and of those that count because they are ahead.
    pub(crate) fn weights(&self) -> u64 {
        self.weights
    }

    /// A flow takes part, by its tags.
    pub(crate) fn enter(&mut self, links: &mut Links, flow: &mut Flow) {
        flow.state = State::TakesPart;
        self.weights += flow.weight();
        self.may_be_eligible |= self.steps_ahead(flow.tags.start) <= 0;
        let (start, finish) = (self.day(flow.tags.start), self.day(flow.tags.finish));
        self.calendars.enter(links, flow.id.index, start, finish);
    }

    /// A flow does not take part (any more); it counts if it is ahead.
    pub(crate) fn pause(&mut self, flow: &mut Flow) {
        if ahead(flow.tags.start, self.virtual_time) > 0 {
            flow.state = State::Ahead;
            self.weights += flow.weight();
            self.ahead.enter(self.day(flow.tags.start), flow.weight());
        }
    }

    /// Takes a flow out, wherever it is; from a pause it comes back at the clock.
    pub(crate) fn leave(&mut self, links: &mut Links, flow: &mut Flow) {
        let state = std::mem::replace(&mut flow.state, State::Out);
        if state == State::TakesPart {
            self.calendars.leave(links, flow.id.index);
            self.weights -= flow.weight();
            return;
        }
        let early = ahead(flow.tags.start, self.virtual_time);
        // A tag that is further is one of long ago, and the clock has come round.
        let is_late = early < 0 || early > self.bound;
        if state == State::Ahead && early <= self.bound && self.steps_ahead(flow.tags.start) >= 0 {
            self.weights -= self.ahead.leave(self.day(flow.tags.start), flow.weight());
        }
        if is_late {
            flow.tags.start = self.virtual_time;
        }
    }

    /// Runs the clock: this much, at weight 1, was given of what is due to those who count and to
    /// this flow. It does not pass the finish tag of what was given, which is the smallest.
    pub(crate) fn advance(&mut self, flow: &Flow, virtual_cost: u64) {
        let weights = self.weights + flow.weight();
        // The weights may be fewer than those of which something remained.
        let work = self.remainder.min(weights) + virtual_cost;
        self.remainder = work % weights;
        let most = u64::try_from(ahead(flow.tags.finish, self.virtual_time)).unwrap_or(0);
        self.go_to(self.virtual_time.wrapping_add((work / weights).min(most)));
    }

    /// Nobody is eligible: the clock goes on to the step of the first who waits.
    pub(crate) fn skip_to(&mut self, start: u64) {
        if self.steps_ahead(start) > 0 {
            self.skip_steps(day_of(self.step(start)));
        }
    }

    /// The eligible flow with the smallest finish tag.
    pub(crate) fn first(&mut self, links: &mut Links) -> Option<u32> {
        if self.calendars.is_empty() {
            return None;
        }
        self.make_eligible(links);
        self.calendars.first_eligible(self.horizon()).or_else(|| {
            let day = self.calendars.first_waiting_day(self.horizon())?;
            self.skip_steps(day);
            self.make_eligible(links);
            self.calendars.first_eligible(self.horizon())
        })
    }

    fn make_eligible(&mut self, links: &mut Links) {
        if std::mem::take(&mut self.may_be_eligible) {
            self.calendars.make_eligible(links, self.horizon(), BEHIND as usize);
        }
    }

    /// To the beginning of the next step of that day.
    fn skip_steps(&mut self, day: usize) {
        let step = self.step(self.virtual_time);
        let steps = days_between(day_of(step), day) as u64;
        self.remainder = 0;
        self.go_to(step.wrapping_add(steps) << self.step_shift);
    }

    fn go_to(&mut self, clock: u64) {
        let from = self.day(self.virtual_time);
        let days = days_between(from, self.day(clock));
        self.virtual_time = clock;
        if days > 0 {
            self.may_be_eligible = true;
            self.weights -= self.ahead.pass(from, days);
        }
    }

    /// How far a tag's step is ahead of the clock's. Steps are compared, not tags: the specification
    /// does, and the calendars know no more.
    fn steps_ahead(&self, tag: u64) -> i64 {
        let (tag, clock) = (self.step(tag), self.step(self.virtual_time));
        ahead(tag << self.step_shift, clock << self.step_shift)
    }

    fn step(&self, tag: u64) -> u64 {
        tag >> self.step_shift
    }

    fn day(&self, tag: u64) -> usize {
        day_of(self.step(tag))
    }

    /// Where the calendars begin.
    fn horizon(&self) -> usize {
        day_of(self.step(self.virtual_time).wrapping_sub(BEHIND))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ahead, Class};
    use crate::ContextId;
    use crate::calendar::Links;
    use crate::flow::{Flow, State};

    #[test]
    fn the_clock_passes_all_of_a_day_at_once() {
        let mut ahead = Ahead::new();
        for (day, weight) in [(4095, 1), (0, 2), (0, 3), (2, 4)] {
            ahead.enter(day, weight);
        }
        assert_eq!(ahead.leave(0, 3), 3);
        assert_eq!(ahead.pass(4095, 3), 1 + 2);
        assert_eq!(ahead.pass(4095, 3), 0);
        assert_eq!(ahead.leave(2, 9), 4, "no more than there is");
    }

    /// Ahead by 10 steps of 16, and long ago by now: the clock has come round to shortly before.
    #[test]
    fn who_was_passed_long_ago_takes_no_weight_along() {
        let (mut class, mut links) = (Class::new(4, 1 << 15, 0), Links::default());
        let mut flow = Flow::new(ContextId { index: 0, generation: 0 }, 160);
        class.pause(&mut flow);
        assert_eq!((flow.state, class.weights), (State::Ahead, 1));
        class.go_to(176);
        assert_eq!((flow.state, class.weights), (State::Ahead, 0));
        class.virtual_time = 0;
        class.leave(&mut links, &mut flow);
        assert_eq!((flow.state, class.weights), (State::Out, 0));
    }
}
