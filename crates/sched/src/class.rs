//! The flows of one priority that have something queued, and the clock of their virtual time.

use crate::calendar::{Calendar, Place};
use crate::flow::{Flow, find};

/// Virtual time counts in 1/256 ns at weight 1.
pub(crate) const VIRTUAL_SHIFT: u32 = 8;
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
#[derive(Debug)]
pub(crate) struct Class {
    /// Of the flows in its calendars.
    pub(crate) weights: u64,
    virtual_time: u64,
    remainder: u64,
    step_shift: u32,
    waiting: Calendar,
    eligible: Calendar,
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
        }
    }

    /// Where the clock stands.
    pub(crate) fn clock(&self) -> u64 {
        self.virtual_time
    }

    /// Runs the clock: this much, at weight 1, was given to those who wait.
    pub(crate) fn advance(&mut self, virtual_cost: u64) {
        self.remainder += virtual_cost;
        let weights = self.weights.max(1);
        self.virtual_time = self.virtual_time.wrapping_add(self.remainder / weights);
        self.remainder %= weights;
    }

    /// The clock goes on to a tag that is ahead of it: nobody who waits is eligible.
    pub(crate) fn skip_to(&mut self, start: u64) {
        if !self.is_eligible(start) {
            self.virtual_time = start;
            self.remainder = 0;
        }
    }

    /// A flow takes part, by its tags.
    pub(crate) fn enter(&mut self, flows: &mut [Option<Flow>], flow: u32) {
        let Some(start) = find(flows, flow).map(|flow| flow.tags.start) else { return };
        self.waiting.enter(flows, flow, start >> self.step_shift);
    }

    /// A flow does not take part any more.
    pub(crate) fn leave(&mut self, flows: &mut [Option<Flow>], flow: u32) {
        match find(flows, flow).map(|flow| flow.link.place) {
            Some(Place::Waiting) => self.waiting.leave(flows, flow),
            Some(Place::Eligible) => self.eligible.leave(flows, flow),
            Some(Place::Out) | None => {}
        }
    }

    /// The eligible flow with the smallest finish tag.
    pub(crate) fn first(&mut self, flows: &mut [Option<Flow>]) -> Option<u32> {
        self.make_eligible(flows);
        self.eligible.first(self.horizon()).or_else(|| {
            let flow = self.waiting.first(self.horizon())?;
            self.skip_to(find(flows, flow)?.tags.start);
            self.make_eligible(flows);
            self.eligible.first(self.horizon())
        })
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

    /// Steps are compared, not tags: the reference does, and the calendar knows no more.
    fn is_eligible(&self, start: u64) -> bool {
        let (start, clock) = (start >> self.step_shift, self.virtual_time >> self.step_shift);
        ahead(start << self.step_shift, clock << self.step_shift) <= 0
    }

    /// Where the calendar begins.
    fn horizon(&self) -> u64 {
        (self.virtual_time >> self.step_shift).wrapping_sub(BEHIND)
    }
}
