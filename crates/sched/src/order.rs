//! Whose turn it is: the classes, and the flows that limits hold back or guarantees bring forward.

use crate::Nanos;
use crate::calendar::Links;
use crate::class::{Class, VIRTUAL_SHIFT};
use crate::flow::{Device, Flow, Flows};
use crate::heap::Heap;
use crate::rates::Rates;
use crate::scheduler::Request;
use crate::settings::Priority;

/// Steps of the calendar that the most expensive request of the smallest weight takes.
const STEPS: u64 = 1000;

/// Which flow is next.
#[derive(Debug)]
pub(crate) struct Order {
    device: Device,
    /// By priority.
    classes: [Class; Priority::ALL.len()],
    links: Links,
    pub(crate) rates: Rates,
    /// Flows held by their limits, by when they may go on.
    held: Heap,
    /// Flows that take part and have a guarantee, by when they fall behind it.
    guaranteed: Heap,
}

impl Order {
    /// Without flows, with clocks that stand there.
    pub(crate) fn new(device: Device, clock: u64) -> Self {
        // A step is a power of two: a tag's is found by a shift.
        let step_shift = u64::BITS - (device.virtual_cost_max() / STEPS).leading_zeros();
        Self {
            device,
            classes: std::array::from_fn(|_| Class::new(step_shift, device.bound(), clock)),
            links: Links::default(),
            rates: Rates::default(),
            held: Heap::default(),
            guaranteed: Heap::default(),
        }
    }

    /// Where the clock of a class stands.
    pub(crate) fn clock(&self, priority: Priority) -> u64 {
        self.class(priority).clock()
    }

    /// Of all that take part in a class, and of those that count because they are ahead.
    pub(crate) fn weights(&self, priority: Priority) -> u64 {
        self.class(priority).weights()
    }

    fn class(&self, priority: Priority) -> &Class {
        let [urgent, normal, idle] = &self.classes;
        match priority {
            Priority::Urgent => urgent,
            Priority::Normal => normal,
            Priority::Idle => idle,
        }
    }

    /// Lets a flow take part, if it has something queued and its limit does not hold it.
    pub(crate) fn begin(&mut self, flow: &mut Flow, now: Nanos) {
        let ends = self.rates.limit_ends(flow);
        match flow.queue.first_cost_ns() {
            Some(cost_ns) if ends <= now => {
                flow.aim(self.device.charge(cost_ns));
                if let Some(due) = self.rates.guarantee_due(flow) {
                    self.guaranteed.enter(due, flow.id.index);
                }
                class(&mut self.classes, flow).enter(&mut self.links, flow);
            }
            first => {
                if first.is_some() {
                    self.held.enter(ends, flow.id.index);
                }
                class(&mut self.classes, flow).pause(flow);
            }
        }
    }

    /// Takes a flow out of the state that it is in.
    pub(crate) fn stop(&mut self, flow: &mut Flow) {
        if flow.has_rates {
            self.held.leave(flow.id.index);
            self.guaranteed.leave(flow.id.index);
        }
        class(&mut self.classes, flow).leave(&mut self.links, flow);
    }

    /// Lets those go on whose limit has held them long enough.
    pub(crate) fn release(&mut self, flows: &mut Flows, now: Nanos) {
        while let Some((_, index)) = self.held.first().filter(|(ends, _)| *ends <= now) {
            let Some(flow) = flows.flow(index) else { return };
            self.stop(flow);
            self.begin(flow, now);
        }
    }

    /// The flow whose turn it is, and whether by its guarantee.
    pub(crate) fn first(&mut self, now: Nanos) -> Option<(u32, bool)> {
        if let Some((_, index)) = self.guaranteed.first().filter(|(due, _)| *due <= now) {
            return Some((index, true));
        }
        let first = self.classes.iter_mut().find_map(|class| class.first(&mut self.links));
        first.map(|index| (index, false))
    }

    /// Who, of those that take part, is often the next after a flow.
    pub(crate) fn behind(&self, flow: u32) -> u32 {
        self.links.behind(flow)
    }

    /// Prepares a request for [`Self::serve`] whose flow was stopped and is alone.
    pub(crate) fn jump(&mut self, flow: &mut Flow, request: &Request, is_guaranteed: bool) {
        flow.aim(self.device.charge(request.cost_ns));
        if !is_guaranteed {
            class(&mut self.classes, flow).skip_to(flow.tags.start);
        }
    }

    /// Books the first request, which goes now, of a flow that was stopped.
    pub(crate) fn serve(
        &mut self,
        flow: &mut Flow,
        request: &Request,
        now: Nanos,
        is_guaranteed: bool,
    ) {
        self.rates.book(flow, request.length_bytes, now, is_guaranteed);
        let class = class(&mut self.classes, flow);
        if is_guaranteed {
            flow.forgive(class.clock(), &self.device);
        } else {
            class.advance(flow, self.device.charge(request.cost_ns) << VIRTUAL_SHIFT);
        }
        flow.tags.start = flow.tags.finish;
    }

    /// When the first of those held may go on.
    pub(crate) fn wake_at(&self) -> Option<Nanos> {
        self.held.first().map(|(ends, _)| ends)
    }
}

fn class<'a>(classes: &'a mut [Class; Priority::ALL.len()], flow: &Flow) -> &'a mut Class {
    let [urgent, normal, idle] = classes;
    match flow.priority {
        Priority::Urgent => urgent,
        Priority::Normal => normal,
        Priority::Idle => idle,
    }
}
