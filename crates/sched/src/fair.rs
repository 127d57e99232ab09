//! Weighted fair queueing with limits and guarantees. What it does and why is written in
//! `src/fairlead/sched/reference.py`, to which this is held decision by decision; here is how to do
//! the same in constant time, without allocating.

use crate::backlog::Backlog;
pub use crate::flow::Device;
use crate::flow::{Flow, Flows};
use crate::order::Order;
use crate::scheduler::{Full, Next, Request, Scheduler, Token};
use crate::settings::Settings;
use crate::{ContextId, Nanos};

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
    flows: Flows,
    backlog: Backlog,
    order: Order,
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
        Self {
            device,
            flows: Flows::default(),
            backlog: Backlog::new(),
            order: Order::new(device, clock),
            in_flight: InFlight::default(),
            small_seen: None,
        }
    }

    /// What it knows of the device.
    pub fn device(&self) -> Device {
        self.device
    }

    fn fits(&self, cost_ns: u64, now: Nanos) -> bool {
        let (place, window) = (self.device.place(cost_ns), self.device.window_ns);
        if self.in_flight.place_ns + place > window {
            return false;
        }
        let small_come = self.small_seen.is_some_and(|seen| now - seen <= SMALL_ACTIVE_NS);
        self.device.is_small(cost_ns)
            || !small_come
            || self.in_flight.large_ns + place <= window - self.device.reserve_ns
    }

    fn see(&mut self, request: &Request, now: Nanos) {
        if self.device.is_small(request.cost_ns) {
            self.small_seen = Some(now);
        }
    }

    /// Counts a request that goes to the device now.
    fn submit(&mut self, cost_ns: u64) {
        let place = self.device.place(cost_ns);
        self.in_flight.requests += 1;
        self.in_flight.place_ns += place;
        if !self.device.is_small(cost_ns) {
            self.in_flight.large_ns += place;
        }
    }
}

/// The context's flow, made if it is new; a released context's place is taken over.
fn admit<'a>(flows: &'a mut Flows, order: &mut Order, id: ContextId) -> Option<&'a mut Flow> {
    let place = flows.slot(id.index)?;
    if place.as_ref().is_none_or(|flow| flow.id != id) {
        debug_assert!(place.as_ref().is_none_or(|flow| flow.queue.is_empty()));
        order.rates.forget(id.index);
        *place = Some(Flow::new(id, order.clock(Settings::default().priority)));
    }
    place.as_mut()
}

/// The context's flow, if it is known.
fn known(flows: &mut Flows, id: ContextId) -> Option<&mut Flow> {
    flows.flow(id.index).filter(|flow| flow.id == id)
}

impl Scheduler for Fair {
    fn set(&mut self, context: ContextId, settings: Settings, now: Nanos) {
        let Self { device, flows, order, .. } = self;
        let Some(flow) = admit(flows, order, context) else { return };
        if order.rates.settings(context.index) == settings {
            return;
        }
        order.stop(flow);
        flow.set(&settings, order.clock(settings.priority), device);
        order.rates.set(context.index, settings, now);
        order.begin(flow, now);
    }

    fn set_window(&mut self, window_ns: u64) {
        self.device = Device { window_ns, ..self.device }.widened();
    }

    fn push(&mut self, request: Request, now: Nanos) -> Result<(), Full> {
        let flow = admit(&mut self.flows, &mut self.order, request.context).ok_or(Full)?;
        if flow.is_full() {
            return Err(Full);
        }
        self.backlog.push(&mut flow.queue, &request);
        if flow.queue.len() == 1 {
            self.order.rates.come_back(flow, now);
            self.order.stop(flow);
            self.order.begin(flow, now);
        }
        self.see(&request, now);
        Ok(())
    }

    fn bypass(&mut self, request: &Request, now: Nanos) -> bool {
        if self.backlog.queued() > 0 || !self.fits(request.cost_ns, now) {
            return false;
        }
        let order = &mut self.order;
        let Some(flow) = admit(&mut self.flows, order, request.context) else { return false };
        if order.rates.limit_ends(flow) > now {
            return false;
        }
        // As if it were queued and picked: nobody else waits.
        order.rates.come_back(flow, now);
        let is_guaranteed = order.rates.is_behind(flow, now);
        order.stop(flow);
        order.jump(flow, request, is_guaranteed);
        order.serve(flow, request, now, is_guaranteed);
        order.begin(flow, now);
        self.see(request, now);
        self.submit(request.cost_ns);
        true
    }

    fn next(&mut self, now: Nanos) -> Next {
        self.order.release(&mut self.flows, now);
        let Some((index, is_guaranteed)) = self.order.first(now) else { return Next::Idle };
        let Some(flow) = self.flows.flow(index) else { return Next::Idle };
        let Some(request) = flow.queue.first(flow.id) else { return Next::Idle };
        if !self.fits(request.cost_ns, now) {
            return Next::WindowFull;
        }
        let Some(flow) = self.flows.flow(index) else { return Next::Idle };
        self.backlog.pop(&mut flow.queue);
        self.order.stop(flow);
        self.order.serve(flow, &request, now, is_guaranteed);
        self.order.begin(flow, now);
        self.submit(request.cost_ns);
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
        let Some(flow) = known(&mut self.flows, context) else { return false };
        let removed = self.backlog.remove(&mut flow.queue, token);
        if removed == Some(true) {
            self.order.stop(flow);
            self.order.begin(flow, now);
        }
        removed.is_some()
    }

    fn close(&mut self, context: ContextId) -> Vec<Token> {
        let Some(flow) = known(&mut self.flows, context) else { return Vec::new() };
        self.order.stop(flow);
        self.order.rates.forget(context.index);
        let tokens = std::iter::from_fn(|| {
            let first = flow.queue.first(context)?;
            self.backlog.pop(&mut flow.queue);
            Some(first.token)
        })
        .collect();
        if let Some(place) = self.flows.get_mut(context.index) {
            *place = None;
        }
        tokens
    }

    fn wake_at(&self) -> Option<Nanos> {
        self.order.wake_at()
    }

    fn queued(&self) -> usize {
        self.backlog.queued()
    }

    fn in_flight(&self) -> usize {
        self.in_flight.requests
    }
}
