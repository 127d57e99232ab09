//! How much a device should have at a time: enough to keep it busy, and no more, because what it has
//! is served in its own order and not in ours.
//!
//! What keeps it busy is measured ([`crate::busy`]); a quarter more than that leaves no server without
//! work. If the device can do more, the rate grows by that quarter a round, and the window with it.
//!
//! That is for the sake of whoever has one request at a time and waits for each. Where everybody has
//! more than one, what counts is that together they get all that the device can do, and some devices do
//! more the more they have. Who decides is the scheduler as long as nobody runs out of requests that
//! wait with it: so half of what each of them has is let through, by the one who, for his weight, has
//! the least. While one context has the device for itself there is nobody to protect, but somebody
//! may come, and what the device has then is ahead of him: it is about as much as the device does in
//! the time in which shares are to be right, and more only where more makes it faster.

use crate::busy::{Busy, Kind};
use crate::{ContextId, Nanos};

/// Another context was here within this time: the device is shared. Who has the least is looked for
/// over one to two of these.
const SHARED_NS: Nanos = 100_000_000;
/// Rates are taken over this time.
const ROUND_NS: Nanos = 20_000_000;
/// Old measurements are forgotten after one to two of these; then the shortest time is looked for
/// again, with as little in flight as makes sense.
const MEMORY_NS: Nanos = 10_000_000_000;
/// Who comes to a device that somebody had for himself waits about so long for what it has.
const DRAIN_NS: Nanos = 15_000_000;
/// A context alone always gets so many: a disk with a queue of its own sorts them.
const ALONE_FLOOR: u64 = 32;
/// For so long: half a per mille of the time.
const PROBE_NS: Nanos = 5_000_000;

/// How much a device may have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Requests.
    pub requests: u64,
    /// Several contexts want the device.
    pub is_shared: bool,
}

/// How much a context alone gets: more step by step, while that makes the device faster.
#[derive(Debug, Clone, Copy)]
struct Climb {
    requests: u64,
    /// At the last step.
    rate: u64,
}

impl Default for Climb {
    fn default() -> Self {
        Self { requests: ALONE_FLOOR, rate: 0 }
    }
}

impl Climb {
    /// All that it gets is in use, and this is the rate.
    fn step(&mut self, rate: u64) {
        if rate > self.rate.saturating_add(self.rate / 8) {
            *self = Self { requests: (self.requests * 5).div_ceil(4), rate };
        }
    }

    /// Some steps back, in case the device has changed.
    fn back(self) -> Self {
        Self { requests: (self.requests * 3 / 4).max(ALONE_FLOOR), rate: self.rate * 3 / 4 }
    }
}

/// The window of one device, in requests.
#[derive(Debug)]
pub struct Window {
    floor: u64,
    last: Option<ContextId>,
    shared_until: Nanos,
    is_shared: bool,
    round_began: Nanos,
    period_began: Nanos,
    probe_until: Nanos,
    alone: Climb,
    busy: Busy,
    /// The least that anybody had, if all had as much for their weight: lately, and before.
    depth: (u64, u64),
    depth_began: Nanos,
}

impl Window {
    /// For a device that always gets this many requests.
    pub fn new(floor: u64) -> Self {
        Self {
            floor: floor.max(1),
            last: None,
            shared_until: 0,
            is_shared: false,
            round_began: 0,
            period_began: 0,
            probe_until: 0,
            alone: Climb::default(),
            busy: Busy::default(),
            depth: (u64::MAX, u64::MAX),
            depth_began: 0,
        }
    }

    /// A context wants something of the device, and usually has so many requests there by then.
    /// `weights` are its own and that of all who want something.
    pub fn arrived(
        &mut self,
        context: ContextId,
        outstanding: u32,
        weights: (u64, u64),
        now: Nanos,
    ) {
        if self.last.replace(context).is_some_and(|last| last != context) {
            self.shared_until = now + SHARED_NS;
        }
        if now.saturating_sub(self.depth_began) >= SHARED_NS {
            self.depth = (u64::MAX, self.depth.0);
            self.depth_began = now;
        }
        let depth = u64::from(outstanding).saturating_mul(weights.1) / weights.0.max(1);
        self.depth.0 = self.depth.0.min(depth);
    }

    /// The device has given back a request of this estimated cost, after this time.
    pub fn completed(&mut self, kind: Kind, cost_ns: u64, service_ns: Nanos) {
        self.busy.completed(kind, cost_ns, service_ns);
    }

    /// The window now, when the device has and is to have so many requests.
    pub fn size(&mut self, wanted: u64, now: Nanos) -> Size {
        let elapsed = now.saturating_sub(self.round_began);
        if elapsed >= ROUND_NS {
            let rate = self.busy.end_round(elapsed);
            self.round_began = now;
            if !self.is_shared && wanted > self.alone() {
                self.alone.step(rate);
            }
        }
        let was_shared = std::mem::replace(&mut self.is_shared, now < self.shared_until);
        let has_company = self.is_shared && !was_shared;
        if has_company || now.saturating_sub(self.period_began) >= MEMORY_NS {
            self.period_began = now;
            self.probe_until = now + PROBE_NS;
            self.busy.forget();
            self.alone = if self.is_shared { Climb::default() } else { self.alone.back() };
        }
        let requests = if self.is_shared { self.shared(wanted, now) } else { self.alone() };
        Size { requests: requests.max(self.floor), is_shared: self.is_shared }
    }

    fn alone(&self) -> u64 {
        self.busy.done_in(DRAIN_NS).max(self.alone.requests)
    }

    fn shared(&self, wanted: u64, now: Nanos) -> u64 {
        let depth = self.depth.0.min(self.depth.1).min(wanted);
        // Large ones leave room for small ones; that must not keep them from growing.
        let large = u64::from(self.busy.has_large());
        let busy = if now < self.probe_until { 0 } else { self.busy.sixteenths() * 5 / 4 };
        (busy.div_ceil(16) + large).max(depth / 2)
    }
}
