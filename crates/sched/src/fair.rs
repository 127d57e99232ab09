//! Weighted fair queueing with limits and guarantees. What it does and why is written in
//! `src/fairlead/sched/reference.py`, to which this is held decision by decision; here is how to do
//! the same in constant time, without allocating.

use crate::backlog::Backlog;
use crate::calendar::Place;
use crate::class::{Class, VIRTUAL_SHIFT};
pub use crate::flow::Device;
use crate::flow::{Flow, find, find_mut};
use crate::heap::Heap;
use crate::scheduler::{Full, Next, Request, Scheduler, Token};
use crate::settings::{Priority, Settings};
use crate::{ContextId, Nanos};

/// Steps of the calendar that the most expensive request of the smallest weight takes.
const STEPS: u64 = 1000;
/// Who has sent a small request within this time is expected to send another.
const SMALL_ACTIVE_NS: Nanos = 2_000_000;

/// What the device has at the moment.
#[derive(Debug, Default)]
struct InFlight {
    requests: usize,
    place_ns: u64,
    large_ns: u64,
}

/// The scheduler of one device.
#[derive(Debug)]
pub struct Fair {
    device: Device,
    /// By the context's index.
    flows: Vec<Option<Flow>>,
    backlog: Backlog,
    /// By priority.
    classes: [Class; Priority::ALL.len()],
    /// Flows held by their limits, by when they may go on.
    held: Heap,
    /// Flows in a calendar and with a guarantee, by when they fall behind it.
    guaranteed: Heap,
    in_flight: InFlight,
    small_seen: Option<Nanos>,
}

impl Fair {
    /// For an idle device. A window that is too small for some request is widened.
    pub fn new(device: Device) -> Self {
        Self::starting_at(device, 0)
    }

    /// The same with clocks that stand there: a clock comes round after months, and in tests.
    pub fn starting_at(device: Device, clock: u64) -> Self {
        let device = device.widened();
        // A step is a power of two: a tag's is found by a shift.
        let step_shift = u64::BITS - (device.virtual_cost_max() / STEPS).leading_zeros();
        Self {
            device,
            flows: Vec::new(),
            backlog: Backlog::new(),
            classes: std::array::from_fn(|_| Class::new(step_shift, clock)),
            held: Heap::default(),
            guaranteed: Heap::default(),
            in_flight: InFlight::default(),
            small_seen: None,
        }
    }

    /// What it knows of the device.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Makes the context's place if it is new; a released context's is taken over.
    fn admit(&mut self, id: ContextId) {
        let index = id.index as usize;
        if self.flows.len() <= index {
            self.flows.resize_with(index + 1, || None);
        }
        let Some(place) = self.flows.get_mut(index) else { return };
        if place.as_ref().is_none_or(|flow| flow.id != id) {
            debug_assert!(place.as_ref().is_none_or(|flow| flow.queue.is_empty()));
            let mut flow = Flow::new(id);
            flow.tags.start = class(&mut self.classes, &flow).clock();
            *place = Some(flow);
        }
    }

    fn knows(&self, id: ContextId) -> bool {
        find(&self.flows, id.index).is_some_and(|flow| flow.id == id)
    }

    /// Lets a flow take part, if it has something queued and its limit does not hold it.
    fn begin(&mut self, index: u32, now: Nanos) {
        let Some(flow) = find_mut(&mut self.flows, index) else { return };
        let (class, ends) = (class(&mut self.classes, flow), flow.limit_ends());
        match self.backlog.first(&flow.queue) {
            Some(first) if ends <= now => {
                flow.aim(self.device.charge(first.cost_ns));
                if let Some(due) = flow.guarantee_due() {
                    self.guaranteed.enter(due, index);
                }
                class.enter(&mut self.flows, index);
            }
            first => {
                if first.is_some() {
                    self.held.enter(ends, index);
                }
                class.pause(&mut self.flows, index);
            }
        }
    }

    /// Takes a flow out of the state that it is in.
    fn stop(&mut self, index: u32) {
        self.held.leave(index);
        self.guaranteed.leave(index);
        let Some(flow) = find(&self.flows, index) else { return };
        class(&mut self.classes, flow).leave(&mut self.flows, index, self.device.bound());
    }

    /// Lets a flow of which a request has gone go on with the next.
    fn go_on(&mut self, index: u32, now: Nanos) {
        self.stop(index);
        if let Some(flow) = find_mut(&mut self.flows, index) {
            flow.tags.start = flow.tags.finish;
        }
        self.begin(index, now);
    }

    /// Lets those go on whose limit has held them long enough.
    fn release(&mut self, now: Nanos) {
        while let Some((_, index)) = self.held.first().filter(|(ends, _)| *ends <= now) {
            self.stop(index);
            self.begin(index, now);
        }
    }

    fn fits(&self, request: &Request, now: Nanos) -> bool {
        let (place, window) = (self.device.place(request.cost_ns), self.device.window_ns);
        if self.in_flight.place_ns + place > window {
            return false;
        }
        let small_come = self.small_seen.is_some_and(|seen| now - seen <= SMALL_ACTIVE_NS);
        self.device.is_small(request.cost_ns)
            || !small_come
            || self.in_flight.large_ns + place <= window - self.device.reserve_ns
    }

    fn see(&mut self, request: &Request, now: Nanos) {
        if self.device.is_small(request.cost_ns) {
            self.small_seen = Some(now);
        }
    }

    /// The flow whose turn it is, and whether by its guarantee.
    fn choose(&mut self, now: Nanos) -> Option<(u32, bool)> {
        if let Some((_, index)) = self.guaranteed.first().filter(|(due, _)| *due <= now) {
            return Some((index, true));
        }
        let bound = self.device.bound();
        let first = self.classes.iter_mut().find_map(|class| class.first(&mut self.flows, bound));
        first.map(|index| (index, false))
    }

    /// Books a request that goes to the device now.
    fn book(&mut self, request: &Request, now: Nanos, is_guaranteed: bool) {
        let place = self.device.place(request.cost_ns);
        self.in_flight.requests += 1;
        self.in_flight.place_ns += place;
        if !self.device.is_small(request.cost_ns) {
            self.in_flight.large_ns += place;
        }
        let Some(flow) = find_mut(&mut self.flows, request.context.index) else { return };
        flow.book(request.length_bytes, now, is_guaranteed);
        let class = class(&mut self.classes, flow);
        if is_guaranteed {
            flow.forgive(class.clock(), &self.device);
        } else {
            let (finish, bound) = (flow.tags.finish, self.device.bound());
            let virtual_cost = self.device.charge(request.cost_ns) << VIRTUAL_SHIFT;
            class.advance(&mut self.flows, virtual_cost, finish, bound);
        }
    }
}

fn class<'a>(classes: &'a mut [Class; Priority::ALL.len()], flow: &Flow) -> &'a mut Class {
    of_priority(classes, flow.priority)
}

fn of_priority(classes: &mut [Class; Priority::ALL.len()], priority: Priority) -> &mut Class {
    let [urgent, normal, idle] = classes;
    match priority {
        Priority::Urgent => urgent,
        Priority::Normal => normal,
        Priority::Idle => idle,
    }
}

impl Scheduler for Fair {
    fn set(&mut self, context: ContextId, settings: Settings, now: Nanos) {
        self.admit(context);
        if find(&self.flows, context.index).is_some_and(|flow| flow.settings() == settings) {
            return;
        }
        self.stop(context.index);
        let Some(flow) = find_mut(&mut self.flows, context.index) else { return };
        let clock = of_priority(&mut self.classes, settings.priority).clock();
        flow.set(settings, clock, &self.device, now);
        self.begin(context.index, now);
    }

    fn set_window(&mut self, window_ns: u64) {
        self.device = Device { window_ns, ..self.device }.widened();
    }

    fn push(&mut self, request: Request, now: Nanos) -> Result<(), Full> {
        self.admit(request.context);
        let index = request.context.index;
        let Some(flow) = find_mut(&mut self.flows, index) else { return Err(Full) };
        if flow.is_full() {
            return Err(Full);
        }
        self.backlog.push(&mut flow.queue, request);
        let is_first = flow.queue.len() == 1;
        if is_first {
            flow.come_back(now);
        }
        self.see(&request, now);
        if is_first {
            self.stop(index);
            self.begin(index, now);
        }
        Ok(())
    }

    fn bypass(&mut self, request: &Request, now: Nanos) -> bool {
        if self.backlog.queued() > 0 || !self.fits(request, now) {
            return false;
        }
        self.admit(request.context);
        let Some(flow) = find_mut(&mut self.flows, request.context.index) else { return false };
        if flow.limit_ends() > now {
            return false;
        }
        // As if it were queued and picked: nobody else waits.
        flow.come_back(now);
        let (index, is_guaranteed) = (request.context.index, flow.is_behind(now));
        self.see(request, now);
        self.stop(index);
        let Some(flow) = find_mut(&mut self.flows, index) else { return false };
        flow.aim(self.device.charge(request.cost_ns));
        let (start, class) = (flow.tags.start, class(&mut self.classes, flow));
        if !is_guaranteed {
            class.skip_to(&mut self.flows, start, self.device.bound());
        }
        class.enter(&mut self.flows, index);
        self.book(request, now, is_guaranteed);
        self.go_on(index, now);
        true
    }

    fn next(&mut self, now: Nanos) -> Next {
        self.release(now);
        let Some((index, is_guaranteed)) = self.choose(now) else { return Next::Idle };
        let Some(flow) = find_mut(&mut self.flows, index) else { return Next::Idle };
        let Some(request) = self.backlog.first(&flow.queue).copied() else { return Next::Idle };
        if !self.fits(&request, now) {
            return Next::WindowFull;
        }
        let Some(flow) = find_mut(&mut self.flows, index) else { return Next::Idle };
        self.backlog.pop(&mut flow.queue);
        self.book(&request, now, is_guaranteed);
        self.go_on(index, now);
        Next::Submit(request)
    }

    fn complete(&mut self, cost_ns: u64) {
        debug_assert!(self.in_flight.requests > 0, "completed more often than submitted");
        let place = self.device.place(cost_ns);
        self.in_flight.requests = self.in_flight.requests.saturating_sub(1);
        self.in_flight.place_ns = self.in_flight.place_ns.saturating_sub(place);
        if !self.device.is_small(cost_ns) {
            self.in_flight.large_ns = self.in_flight.large_ns.saturating_sub(place);
        }
    }

    fn remove(&mut self, context: ContextId, token: Token, now: Nanos) -> bool {
        if !self.knows(context) {
            return false;
        }
        let Some(flow) = find_mut(&mut self.flows, context.index) else { return false };
        let removed = self.backlog.remove(&mut flow.queue, token);
        if removed == Some(true) {
            self.stop(context.index);
            self.begin(context.index, now);
        }
        removed.is_some()
    }

    fn close(&mut self, context: ContextId) -> Vec<Token> {
        if !self.knows(context) {
            return Vec::new();
        }
        self.stop(context.index);
        let place = self.flows.get_mut(context.index as usize).and_then(Option::take);
        let mut queue = place.map(|flow| flow.queue).unwrap_or(crate::backlog::List::EMPTY);
        let backlog = &mut self.backlog;
        std::iter::from_fn(|| backlog.pop(&mut queue)).map(|request| request.token).collect()
    }

    fn wake_at(&self) -> Option<Nanos> {
        self.held.first().map(|(ends, _)| ends)
    }

    fn weights(&self, context: ContextId) -> (u64, u64) {
        let Some(flow) = find(&self.flows, context.index).filter(|flow| flow.id == context) else {
            return (1, 1);
        };
        let [urgent, normal, idle] = &self.classes;
        let class = match flow.priority {
            Priority::Urgent => urgent,
            Priority::Normal => normal,
            Priority::Idle => idle,
        };
        let takes_part = flow.link.place != Place::Out;
        let others = class.weights() - if takes_part { flow.weight() } else { 0 };
        (flow.weight(), others + flow.weight())
    }

    fn queued(&self) -> usize {
        self.backlog.queued()
    }

    fn in_flight(&self) -> usize {
        self.in_flight.requests
    }
}
