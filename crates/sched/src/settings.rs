//! What a context is due: weight, class, limits, guarantees. Checked where people write it, in Python.

use crate::Nanos;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
const BLOCK_BYTES: u32 = 512;
/// Requests that one context may have waiting for one device, unless set lower.
pub const QUEUED_MAX: u32 = 8192;
/// How far a context may run ahead of its limit after a pause, unless set otherwise.
pub const BURST_NS: Nanos = SECOND / 100;

/// Who goes first. A class is served only while no higher one has anything that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// Before everybody.
    Urgent,
    /// As everybody.
    #[default]
    Normal,
    /// While nobody else wants the device.
    Idle,
}

impl Priority {
    /// Each class, the first to be served first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Idle];
}

/// Requests and bytes per second; `None`: not of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Requests per second, from 1 on.
    pub iops: Option<u64>,
    /// Bytes per second, from 2^20 on.
    pub bytes_per_s: Option<u64>,
}

impl Rate {
    /// True when it says nothing.
    pub fn is_none(self) -> bool {
        self.iops.is_none() && self.bytes_per_s.is_none()
    }
}

/// A rate's two theoretical arrival times: by requests and by bytes (GCRA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Arrivals {
    by_requests: Nanos,
    by_bytes: Nanos,
}

impl Arrivals {
    /// Moves on by what a request of this length lasts at this rate, from where it stands within
    /// these times. Rounded up for a limit and down for a guarantee, so that what is promised holds;
    /// a request that moves nothing counts for a block, and none lasts no time.
    pub(crate) fn advance(
        &mut self,
        rate: Rate,
        length_bytes: u32,
        within: (Nanos, Nanos),
        is_limit: bool,
    ) {
        let advance = |time: &mut Nanos, amount: u64, rate: Option<u64>| {
            let Some(rate) = rate else { return };
            let lasts = if is_limit { amount.div_ceil(rate) } else { amount / rate };
            *time = (*time).min(within.1).max(within.0) + lasts.max(1);
        };
        let amount = u64::from(length_bytes.max(BLOCK_BYTES)) * SECOND;
        advance(&mut self.by_requests, SECOND, rate.iops);
        advance(&mut self.by_bytes, amount, rate.bytes_per_s);
    }

    /// Saves up no more than since then.
    pub(crate) fn forget_before(&mut self, then: Nanos) {
        self.by_requests = self.by_requests.max(then);
        self.by_bytes = self.by_bytes.max(then);
    }

    /// Goes over to another rate: what is owed lasts shorter at a higher one, but never longer.
    pub(crate) fn change(&mut self, old: Rate, new: Rate, fresh: Nanos, now: Nanos) {
        let change = |time: &mut Nanos, old: Option<u64>, new: Option<u64>| match (old, new) {
            (None, _) => *time = fresh,
            (Some(old), Some(new)) if new > old && *time > now => {
                let owed = u128::from(*time - now) * u128::from(old) / u128::from(new);
                *time = now + u64::try_from(owed).unwrap_or(u64::MAX);
            }
            _ => {}
        };
        change(&mut self.by_requests, old.iops, new.iops);
        change(&mut self.by_bytes, old.bytes_per_s, new.bytes_per_s);
    }

    /// The later of those that the rate has.
    pub(crate) fn latest(&self, rate: Rate) -> Option<Nanos> {
        let by_requests = rate.iops.map(|_| self.by_requests);
        // None is less than every time.
        by_requests.max(rate.bytes_per_s.map(|_| self.by_bytes))
    }

    /// The earlier of those that the rate has.
    pub(crate) fn earliest(&self, rate: Rate) -> Option<Nanos> {
        let by_requests = rate.iops.map(|_| self.by_requests);
        let by_bytes = rate.bytes_per_s.map(|_| self.by_bytes);
        by_requests.into_iter().chain(by_bytes).min()
    }
}

/// What a context is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Its share while others want the device too, 1..=1000.
    pub weight: u32,
    /// Its class.
    pub priority: Priority,
    /// Never more than this.
    pub limit: Rate,
    /// How far it may run ahead of its limit after a pause.
    pub burst_ns: Nanos,
    /// At least this, whatever the weights.
    pub guarantee: Rate,
    /// Requests that may wait; the next is answered TASK SET FULL.
    pub queued_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weight: 1,
            priority: Priority::default(),
            limit: Rate::default(),
            burst_ns: BURST_NS,
            guarantee: Rate::default(),
            queued_max: QUEUED_MAX,
        }
    }
}
