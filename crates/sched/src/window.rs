//! How much a device should have at a time: enough to keep it busy, and no more, because what it has
//! is served in its own order and not in ours.
//!
//! The measure is the product of the greatest rate at which the device has given work back and of
//! the shortest time in which it has done a piece of it (as congestion control by bottleneck bandwidth
//! and round trip does for a network path). A quarter more than that keeps it busy; if the device can do
//! more, the rate grows by that quarter a round, and the window with it. Requests are counted, and not
//! what they cost: whether a device serves a large one on one of its servers or on several, the
//! product comes out as the requests that keep it busy.
//!
//! That is for the sake of whoever has one request at a time and waits for each. Among contexts that
//! all have many, what counts is that together they get all that the device can do, and some devices do
//! more the more they have: then half of what is wanted is let through, and who gets that half is still
//! decided here. While one context has the device for itself there is nobody to protect, but somebody
//! may come, and what the device has then is ahead of him: it is about as much as the device does in
//! the time in which shares are to be right, and more only where more makes it faster.

use crate::{ContextId, Nanos};

/// Another context was here within this time: the device is shared.
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

/// The greatest value of this memory period and of the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Greatest {
    now: u64,
    before: u64,
}

impl Greatest {
    fn see(&mut self, value: u64) {
        self.now = self.now.max(value);
    }

    fn get(self) -> u64 {
        self.now.max(self.before)
    }

    fn forget(&mut self) {
        *self = Self { now: 0, before: self.now };
    }
}

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
    patient_from: Nanos,
    is_shared: bool,
    given_back: u64,
    round_began: Nanos,
    period_began: Nanos,
    probe_until: Nanos,
    alone: Climb,
    /// Requests in 2^40 ns.
    rate: Greatest,
    /// Requests that one after the other would fill a second: the shortest time, the other way round.
    speed: Greatest,
}

impl Window {
    /// For a device that always gets this many requests.
    pub fn new(floor: u64) -> Self {
        Self {
            floor: floor.max(1),
            last: None,
            shared_until: 0,
            patient_from: 0,
            is_shared: false,
            given_back: 0,
            round_began: 0,
            period_began: 0,
            probe_until: 0,
            alone: Climb::default(),
            rate: Greatest::default(),
            speed: Greatest::default(),
        }
    }

    /// A context wants something of the device, and has so many requests there already.
    pub fn arrived(&mut self, context: ContextId, outstanding: u32, now: Nanos) {
        if self.last.replace(context).is_some_and(|last| last != context) {
            self.shared_until = now + SHARED_NS;
        }
        if outstanding == 0 {
            self.patient_from = now + SHARED_NS;
        }
    }

    /// The device has given a request back, after this time.
    pub fn completed(&mut self, service_ns: Nanos) {
        self.given_back += 1;
        self.speed.see(1_000_000_000 / service_ns.max(1));
    }

    /// The window now, when the device has and is to have so many requests.
    pub fn size(&mut self, wanted: u64, now: Nanos) -> Size {
        let elapsed = now.saturating_sub(self.round_began);
        if elapsed >= ROUND_NS {
            let rate = (self.given_back << 40) / elapsed;
            self.rate.see(rate);
            if !self.is_shared && wanted > self.alone() {
                self.alone.step(rate);
            }
            self.given_back = 0;
            self.round_began = now;
        }
        let was_shared = std::mem::replace(&mut self.is_shared, now < self.shared_until);
        let has_company = self.is_shared && !was_shared;
        if has_company || now.saturating_sub(self.period_began) >= MEMORY_NS {
            self.period_began = now;
            self.probe_until = now + PROBE_NS;
            self.rate.forget();
            self.speed.forget();
            self.alone = if self.is_shared { Climb::default() } else { self.alone.back() };
        }
        let requests = if !self.is_shared {
            self.alone()
        } else if now < self.patient_from {
            self.target_shared(now)
        } else {
            self.target_shared(now).max(wanted / 2)
        };
        Size { requests: requests.max(self.floor), is_shared: self.is_shared }
    }

    fn shortest_ns(&self) -> Nanos {
        1_000_000_000 / self.speed.get().max(1)
    }

    fn alone(&self) -> u64 {
        self.target(DRAIN_NS).max(self.alone.requests)
    }

    fn target_shared(&self, now: Nanos) -> u64 {
        if now < self.probe_until { self.floor } else { self.target(self.shortest_ns()) }
    }

    /// A quarter more than the device does in this time.
    fn target(&self, time_ns: Nanos) -> u64 {
        let busy = (u128::from(self.rate.get()) * u128::from(time_ns)) >> 38;
        // Two bits of it are left: a quarter more is five of them, rounded up.
        u64::try_from((busy * 5).div_ceil(16)).unwrap_or(u64::MAX)
    }
}
