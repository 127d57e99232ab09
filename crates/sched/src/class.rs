//! The flows of one priority that have something queued, and the clock of their virtual time.

use crate::calendar::{Calendar, Place};
use crate::flow::{Flow, find, find_mut};

/// Virtual time counts in 1/65536 ns at weight 1: finely enough for a request of 1 ns at 1000.
pub(crate) const VIRTUAL_SHIFT: u32 = 16;
/// Days of the calendar that lie behind the clock: late flows are found there.
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

/// A class.
///
/// Who has nothing (more) to do, but has had more than its share, counts until the clock has come to
/// where it is; see the specification for why.
#[derive(Debug)]
pub(crate) struct Class {
    /// Of the flows in its calendars.
    weights: u64,
    virtual_time: u64,
    remainder: u64,
    step_shift: u32,
    waiting: Calendar,
    eligible: Calendar,
    ahead: Calendar,
}

impl Class {
    pub(crate) fn new(step_shift: u32, clock: u64) -> Self {
        Self {
            weights: 0,
            virtual_time: clock,
            remainder: 0,
            step_shift,
            waiting: Calendar::new(Place::Waiting),
            eligible: Calendar::new(Place::Eligible),
            ahead: Calendar::new(Place::Ahead),
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
    pub(crate) fn enter(&mut self, flows: &mut [Option<Flow>], index: u32) {
        let Some(flow) = find(flows, index) else { return };
        let step = flow.tags.start >> self.step_shift;
        self.weights += flow.weight();
        self.waiting.enter(flows, index, step);
    }

    /// A flow does not take part (any more); it counts if it is ahead.
    pub(crate) fn pause(&mut self, flows: &mut [Option<Flow>], index: u32) {
        let Some(flow) = find(flows, index) else { return };
        if ahead(flow.tags.start, self.virtual_time) > 0 {
            let step = flow.tags.start >> self.step_shift;
            self.weights += flow.weight();
            self.ahead.enter(flows, index, step);
        }
    }

    /// Takes a flow out, wherever it is; from a pause it comes back at the clock. `bound` is how far
    /// ahead it can be: a tag that is further is one of long ago, and the clock has come round.
    pub(crate) fn leave(&mut self, flows: &mut [Option<Flow>], index: u32, bound: i64) {
        let Some(flow) = find_mut(flows, index) else { return };
        let (place, weight) = (flow.link.place, flow.weight());
        if matches!(place, Place::Out | Place::Ahead) {
            let early = ahead(flow.tags.start, self.virtual_time);
            if !(0..=bound).contains(&early) {
                flow.tags.start = self.virtual_time;
            }
        }
        let calendar = match place {
            Place::Out => return,
            Place::Waiting => &mut self.waiting,
            Place::Eligible => &mut self.eligible,
            Place::Ahead => &mut self.ahead,
        };
        calendar.leave(flows, index);
        self.weights -= weight;
    }

    /// Runs the clock: this much, at weight 1, was given of what is due to those who count. It does
    /// not pass the finish tag of what was given, which is the smallest.
    pub(crate) fn advance(
        &mut self,
        flows: &mut [Option<Flow>],
        virtual_cost: u64,
        finish: u64,
        bound: i64,
    ) {
        let weights = self.weights.max(1);
        // The weights may be fewer than those of which something remained.
        let work = self.remainder.min(weights) + virtual_cost;
        self.remainder = work % weights;
        let most = u64::try_from(ahead(finish, self.virtual_time)).unwrap_or(0);
        self.go_to(flows, self.virtual_time.wrapping_add((work / weights).min(most)), bound);
    }

    /// Nobody is eligible: the clock goes on to the step of the first who waits.
    pub(crate) fn skip_to(&mut self, flows: &mut [Option<Flow>], start: u64, bound: i64) {
        if !self.is_eligible(start) {
            self.remainder = 0;
            self.go_to(flows, start >> self.step_shift << self.step_shift, bound);
        }
    }

    /// The eligible flow with the smallest finish tag.
    pub(crate) fn first(&mut self, flows: &mut [Option<Flow>], bound: i64) -> Option<u32> {
        self.make_eligible(flows);
        self.eligible.first(self.horizon()).or_else(|| {
            let flow = self.waiting.first(self.horizon())?;
            self.skip_to(flows, find(flows, flow)?.tags.start, bound);
            self.make_eligible(flows);
            self.eligible.first(self.horizon())
        })
    }

    fn go_to(&mut self, flows: &mut [Option<Flow>], clock: u64, bound: i64) {
        // Those that it passes are found from where it was.
        let from = self.horizon();
        self.virtual_time = clock;
        while let Some(flow) = self.ahead.first(from) {
            let Some(start) = find(flows, flow).map(|flow| flow.tags.start) else { return };
            if self.steps_ahead(start) >= 0 {
                return;
            }
            self.leave(flows, flow, bound);
        }
    }

    fn make_eligible(&mut self, flows: &mut [Option<Flow>]) {
        while let Some(flow) = self.waiting.first(self.horizon()) {
            let Some(tags) = find(flows, flow).map(|flow| flow.tags) else { break };
            if !self.is_eligible(tags.start) {
                break;
            }
            self.waiting.leave(flows, flow);
            self.eligible.enter(flows, flow, tags.finish >> self.step_shift);
        }
    }

    fn is_eligible(&self, start: u64) -> bool {
        self.steps_ahead(start) <= 0
    }

    /// How far a tag's step is ahead of the clock's. Steps are compared, not tags: the specification
    /// does, and the calendar knows no more.
    fn steps_ahead(&self, tag: u64) -> i64 {
        let (tag, clock) = (tag >> self.step_shift, self.virtual_time >> self.step_shift);
        ahead(tag << self.step_shift, clock << self.step_shift)
    }

    /// Where the calendar begins.
    fn horizon(&self) -> u64 {
        (self.virtual_time >> self.step_shift).wrapping_sub(BEHIND)
    }
}
