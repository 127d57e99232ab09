//! How much a device should have at a time: enough to keep it busy, and no more, because what it has
//! is served in its own order and not in ours.
//!
//! What keeps it busy is measured ([`crate::busy`]); a fifth more than that leaves no server without
//! work. If the device can do more, the rate grows by that fifth a round, and the window with it,
//! unless requests take a third longer: some devices do a little more the more they have, but
//! slower and slower.
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
const ROUND_NS: Nanos = 10_000_000;
/// Old measurements are forgotten after one to two of these; then the shortest time is looked for
/// again, with as little in flight as makes sense.
const MEMORY_NS: Nanos = 10_000_000_000;
/// Who comes to a device that somebody had for himself waits about so long for what it has.
const DRAIN_NS: Nanos = 15_000_000;
/// A context alone always gets so many: a disk with a queue of its own sorts them.
const ALONE_FLOOR: u64 = 32;
/// Requests should take no longer than so many sixteenths of what they take where nothing waits.
const STRETCH_MAX: u64 = 22;
/// Below this, a fifth more is not enough to grow beside what large requests leave free.
const SMALL_WINDOW: u64 = 8;
/// For so long, so that there is a whole round of it.
const PROBE_NS: Nanos = 2 * ROUND_NS;
/// For the sake of who comes and goes it is looked for no more often than this.
const PROBE_AGAIN_NS: Nanos = SHARED_NS * 10;
/// It begins when the device has done what it had before, but at the latest after this time.
const PROBE_LATEST_NS: Nanos = 200_000_000;

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
        Self { requests: (self.requests * 3 / 4).max(ALONE_FLOOR), rate: 0 }
    }
}

/// The shortest times are looked for.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// The device still has what it had before.
    Draining { since: Nanos },
    /// It has as little as makes sense.
    Measuring { until: Nanos },
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
    probe: Option<Probe>,
    probe_again: Nanos,
    alone: Climb,
    busy: Busy,
    /// Of what is between the least that the device needs and what keeps it busy.
    eighths: u64,
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
            probe: None,
            probe_again: 0,
            alone: Climb::default(),
            busy: Busy::default(),
            eighths: 8,
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

    /// The window now, when the device has so many requests, and so many more wait.
    pub fn size(&mut self, in_flight: u64, queued: u64, now: Nanos) -> Size {
        let wanted = in_flight + queued;
        let elapsed = now.saturating_sub(self.round_began);
        if elapsed >= ROUND_NS {
            let rate = self.busy.end_round(elapsed);
            self.round_began = now;
            if !self.is_shared && wanted > self.alone() {
                self.alone.step(rate);
            }
            // Requests wait in the device: fewer, but not fewer than it needs.
            self.eighths = match self.busy.stretch() {
                stretch if stretch > STRETCH_MAX => self.eighths.saturating_sub(1),
                _ => (self.eighths + 1).min(8),
            };
        }
        let was_shared = std::mem::replace(&mut self.is_shared, now < self.shared_until);
        let has_company = self.is_shared && !was_shared && now >= self.probe_again;
        if has_company || now.saturating_sub(self.period_began) >= MEMORY_NS {
            self.period_began = now;
            self.probe_again = now + PROBE_AGAIN_NS;
            self.probe = Some(Probe::Draining { since: now });
            self.busy.forget();
            self.eighths = 8;
            self.alone = if self.is_shared { Climb::default() } else { self.alone.back() };
        }
        self.go_on_probing(in_flight, now);
        let requests = if self.is_shared { self.shared(wanted) } else { self.alone() };
        Size { requests: requests.max(self.floor), is_shared: self.is_shared }
    }

    fn alone(&self) -> u64 {
        self.busy.done_in(DRAIN_NS).max(self.alone.requests)
    }

    fn go_on_probing(&mut self, in_flight: u64, now: Nanos) {
        self.probe = match self.probe.filter(|_| self.is_shared) {
            Some(Probe::Draining { since })
                if in_flight <= self.floor || now.saturating_sub(since) >= PROBE_LATEST_NS =>
            {
                self.busy.begin_means();
                Some(Probe::Measuring { until: now + PROBE_NS })
            }
            Some(Probe::Measuring { until }) if now >= until => None,
            probe => probe,
        };
    }

    fn shared(&self, wanted: u64) -> u64 {
        let depth = self.depth.0.min(self.depth.1).min(wanted);
        let (least, most) = (self.busy.least_sixteenths(), self.busy.sixteenths());
        let busy = least + most.saturating_sub(least) * self.eighths / 8;
        let busy = if self.probe.is_some() { 0 } else { busy * 6 / 5 };
        let mut requests = (busy + 8) / 16;
        // Large ones leave room for small ones; that must not keep a small window from growing.
        if requests < SMALL_WINDOW && self.busy.has_large() {
            requests += 1;
        }
        requests.max(depth / 2)
    }
}
