//! Weighted fair queueing with limits and guarantees. What it does and why is written in
//! `src/fairlead/sched/reference.py`, to which this is held decision by decision; here is how to do
//! the same in constant time, without allocating.

use crate::backlog::Backlog;
pub use crate::flow::Device;
use crate::flow::{Flow, Flows, State};
use crate::order::Order;
use crate::scheduler::{Full, Next, Request, Scheduler, Token};
use crate::settings::Settings;
use crate::{ContextId, Nanos};

/// Who has sent a small request within this time is expected to send another.
const SMALL_ACTIVE_NS: Nanos = 2_000_000;

/// The device, and what it has at the moment.
#[derive(Debug)]
struct Load {
    device: Device,
    requests: usize,
    place_ns: u64,
    large_ns: u64,
    small_seen: Option<Nanos>,
}

impl Load {
    /// Counts a request that goes to the device now; false: it has to wait for room.
    fn submit(&mut self, cost_ns: u64, now: Nanos) -> bool {
        let (place, is_small) = (self.device.place(cost_ns), self.device.is_small(cost_ns));
        if self.place_ns + place > self.device.window_ns {
            return false;
        }
        if !is_small {
            let small_come = self.small_seen.is_some_and(|seen| now - seen <= SMALL_ACTIVE_NS);
            let most = self.device.window_ns - self.device.reserve_ns;
            if small_come && self.large_ns + place > most {
                return false;
            }
            self.large_ns += place;
        }
        self.requests += 1;
        self.place_ns += place;
        true
    }

    /// Counts off one that is over.
    fn complete(&mut self, cost_ns: u64) {
        debug_assert!(self.requests > 0, "completed more often than submitted");
        let place = self.device.place(cost_ns);
        self.requests = self.requests.saturating_sub(1);
        self.place_ns = self.place_ns.saturating_sub(place);
        if !self.device.is_small(cost_ns) {
            self.large_ns = self.large_ns.saturating_sub(place);
        }
    }

    /// A request has come.
    fn see(&mut self, cost_ns: u64, now: Nanos) {
        if self.device.is_small(cost_ns) {
            self.small_seen = Some(now);
        }
    }
}

/// The scheduler of one device.
#[derive(Debug)]
pub struct Fair {
    load: Load,
    flows: Flows,
    backlog: Backlog,
    order: Order,
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
            load: Load { device, requests: 0, place_ns: 0, large_ns: 0, small_seen: None },
            flows: Flows::default(),
            backlog: Backlog::new(),
            order: Order::new(device, clock),
        }
    }

    /// What it knows of the device.
    pub fn device(&self) -> Device {
        self.load.device
    }
}

/// The context's flow, made if it is new; a released context's place is taken over.
fn admit<'a>(flows: &'a mut Flows, order: &mut Order, id: ContextId) -> Option<&'a mut Flow> {
    let flow = flows.slot(id.index)?;
    if flow.id != id || flow.state == State::Absent {
        debug_assert!(flow.queue.is_empty());
        order.rates.forget(id.index);
        *flow = Flow::new(id, order.clock(Settings::default().priority));
    }
    Some(flow)
}

/// The context's flow, if it is known.
fn known(flows: &mut Flows, id: ContextId) -> Option<&mut Flow> {
    flows.flow(id.index).filter(|flow| flow.id == id)
}

impl Scheduler for Fair {
    fn set(&mut self, context: ContextId, settings: Settings, now: Nanos) {
        let Self { load, flows, order, .. } = self;
        let Some(flow) = admit(flows, order, context) else { return };
        if order.rates.settings(context.index) == settings {
            return;
        }
        order.stop(flow);
        flow.set(&settings, order.clock(settings.priority), &load.device);
        order.rates.set(context.index, settings, now);
        order.begin(flow, now);
    }

    fn set_window(&mut self, window_ns: u64) {
        self.load.device = Device { window_ns, ..self.load.device }.widened();
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
        self.load.see(request.cost_ns, now);
        Ok(())
    }

    fn bypass(&mut self, request: &Request, now: Nanos) -> bool {
        if self.backlog.queued() > 0 {
            return false;
        }
        let order = &mut self.order;
        let Some(flow) = admit(&mut self.flows, order, request.context) else { return false };
        if order.rates.limit_ends(flow) > now || !self.load.submit(request.cost_ns, now) {
            return false;
        }
        // As if it were queued and picked: nobody else waits.
        order.rates.come_back(flow, now);
        let is_guaranteed = order.rates.is_behind(flow, now);
        order.stop(flow);
        order.jump(flow, request, is_guaranteed);
        order.serve(flow, request, now, is_guaranteed);
        order.begin(flow, now);
        self.load.see(request.cost_ns, now);
        true
    }

    fn next(&mut self, now: Nanos) -> Next {
        self.order.release(&mut self.flows, now);
        let Some((index, is_guaranteed)) = self.order.first(now) else { return Next::Idle };
        let Some(flow) = self.flows.flow(index) else { return Next::Idle };
        let Some(request) = flow.queue.first(flow.id) else { return Next::Idle };
        if !self.load.submit(request.cost_ns, now) {
            return Next::WindowFull;
        }
        let behind = self.order.behind(index);
        self.backlog.pop(&mut flow.queue);
        self.order.stop(flow);
        self.order.serve(flow, &request, now, is_guaranteed);
        self.order.begin(flow, now);
        self.flows.fetch(behind);
        Next::Submit(request)
    }

    fn complete(&mut self, cost_ns: u64) {
        self.load.complete(cost_ns);
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
        let tokens: Vec<Token> = std::iter::from_fn(|| {
            let first = flow.queue.first(context)?;
            self.backlog.pop(&mut flow.queue);
            Some(first.token)
        })
        .collect();
        *flow = Flow::default();
        tokens
    }

    fn wake_at(&self) -> Option<Nanos> {
        self.order.wake_at()
    }

    fn weights(&mut self, context: ContextId) -> (u64, u64) {
        let Some(flow) = self.flows.flow(context.index).filter(|flow| flow.id == context) else {
            return (1, 1);
        };
        let own = flow.weight();
        let counted = if flow.state == State::TakesPart { own } else { 0 };
        (own, self.order.weights(flow.priority) - counted + own)
    }

    fn queued(&self) -> usize {
        self.backlog.queued()
    }

    fn in_flight(&self) -> usize {
        self.load.requests
    }
}
