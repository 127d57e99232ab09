//! What a context is due: weight, class, limits, guarantees. Checked where people write it, in Python.

use crate::Nanos;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
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
    /// Moves on by what a request of this length lasts at this rate.
    pub(crate) fn advance(&mut self, rate: Rate, length_bytes: u32, not_before: Nanos) {
        if let Some(iops) = rate.iops {
            self.by_requests = self.by_requests.max(not_before) + SECOND / iops;
        }
        if let Some(bytes_per_s) = rate.bytes_per_s {
            let time = u64::from(length_bytes) * SECOND / bytes_per_s;
            self.by_bytes = self.by_bytes.max(not_before) + time;
        }
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
