//! How many requests keep a device busy: what it gives back, times how long that takes at the least.
//!
//! By Little's law, requests in flight are the rate at which they are done times the time that each
//! takes. The greatest rate that was seen, at the shortest times, is what the device works on when it
//! is busy and nothing waits in it (congestion control measures bottleneck bandwidth and round trip
//! of a network path for the same reason). Reads and writes, small and large requests have times of
//! their own, each in proportion to what it was estimated to cost; whether a device serves a large
//! request on one of its servers or on several, the sum comes out as the requests that keep it busy.

use crate::Nanos;
use crate::cost::Direction;

/// Kinds of requests that are measured apart.
const KINDS: usize = 4;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(usize);

impl Kind {
    /// Of this direction, small or large.
    pub fn of(direction: Direction, is_small: bool) -> Self {
        Self(2 * usize::from(direction == Direction::Write) + usize::from(!is_small))
    }

    fn is_large(number: usize) -> bool {
        number % 2 == 1
    }
}

/// What was measured over a period.
#[derive(Debug, Clone, Copy)]
struct Period {
    /// In the round in which most was done: estimated work per 2^20 ns, by kind.
    work: [u64; KINDS],
    /// The shortest time for an estimated 2^10 ns of work, by kind.
    times: [u64; KINDS],
    /// Requests in 2^40 ns, in the round with the most.
    rate: u64,
}

impl Period {
    const EMPTY: Self = Self { work: [0; KINDS], times: [u64::MAX; KINDS], rate: 0 };
}

/// The measurement of one device, over this period and the one before.
#[derive(Debug)]
pub struct Busy {
    now: Period,
    before: Period,
    /// In this round: estimated work by kind, and requests.
    round_ns: [u64; KINDS],
    round_requests: u64,
}

impl Default for Busy {
    fn default() -> Self {
        let (now, before) = (Period::EMPTY, Period::EMPTY);
        Self { now, before, round_ns: [0; KINDS], round_requests: 0 }
    }
}

impl Busy {
    /// The device has given back a request of this estimated cost, after this time.
    pub fn completed(&mut self, kind: Kind, cost_ns: u64, service_ns: Nanos) {
        self.round_requests += 1;
        let (Some(round), Some(time)) =
            (self.round_ns.get_mut(kind.0), self.now.times.get_mut(kind.0))
        else {
            return;
        };
        *round = round.saturating_add(cost_ns);
        *time = (*time).min((service_ns << 10) / cost_ns.max(1));
    }

    /// A round is over; returns its rate, in requests per 2^40 ns.
    pub fn end_round(&mut self, elapsed_ns: Nanos) -> u64 {
        let elapsed_ns = elapsed_ns.max(1);
        let work = std::mem::take(&mut self.round_ns).map(|ns| (ns << 20) / elapsed_ns);
        if self.of(&work) > self.of(&self.now.work) {
            self.now.work = work;
        }
        let rate = (std::mem::take(&mut self.round_requests) << 40) / elapsed_ns;
        self.now.rate = self.now.rate.max(rate);
        rate
    }

    /// A period is over: what was measured before it is forgotten.
    pub fn forget(&mut self) {
        self.before = std::mem::replace(&mut self.now, Period::EMPTY);
    }

    /// Requests that keep the device busy, in sixteenths.
    pub fn sixteenths(&self) -> u64 {
        self.of(self.most()) >> 26
    }

    /// There are large requests among them.
    pub fn has_large(&self) -> bool {
        self.most().iter().enumerate().any(|(kind, work)| Kind::is_large(kind) && *work > 0)
    }

    /// Requests that the device does in this time.
    pub fn done_in(&self, time_ns: Nanos) -> u64 {
        let rate = u128::from(self.now.rate.max(self.before.rate));
        u64::try_from((rate * u128::from(time_ns)) >> 40).unwrap_or(u64::MAX)
    }

    fn most(&self) -> &[u64; KINDS] {
        let (now, before) = (&self.now.work, &self.before.work);
        if self.of(now) >= self.of(before) { now } else { before }
    }

    /// Requests in flight for so much work, times 2^30.
    fn of(&self, work: &[u64; KINDS]) -> u64 {
        let times = self.now.times.iter().zip(&self.before.times);
        let shortest = times.map(|(now, before)| (*now).min(*before));
        let parts = work.iter().zip(shortest).map(|(work, time)| match work {
            0 => 0,
            work => work.saturating_mul(time),
        });
        parts.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::{Busy, Kind};
    use crate::cost::Direction::{Read, Write};

    /// A round of 1 ms with these requests: kind, estimated cost, time.
    fn round(busy: &mut Busy, requests: &[(Kind, u64, u64)]) {
        requests.iter().for_each(|(kind, cost, time)| busy.completed(*kind, *cost, *time));
        busy.end_round(1_000_000);
    }

    #[test]
    fn kinds_have_times_of_their_own() {
        let (small, large) = (Kind::of(Read, true), Kind::of(Write, false));
        let mut busy = Busy::default();
        // Four servers: two do small reads in 100 us, two do large writes in 500 us, and some waited.
        let smalls = (0..20).map(|i| (small, 100_000, 100_000 + i * 1_000));
        let larges = (0..4).map(|i| (large, 250_000, 500_000 + i * 100_000));
        round(&mut busy, &smalls.chain(larges).collect::<Vec<_>>());
        assert!((63..=64).contains(&busy.sixteenths()), "{}", busy.sixteenths());
        assert!(busy.has_large());
    }

    #[test]
    fn the_busiest_round_counts_and_is_forgotten_after_two_periods() {
        let small = Kind::of(Read, true);
        let mut busy = Busy::default();
        round(&mut busy, &[(small, 100_000, 100_000); 80]);
        round(&mut busy, &[(small, 100_000, 100_000); 10]);
        assert_eq!((busy.sixteenths(), busy.done_in(2_000_000)), (128, 159));
        busy.forget();
        round(&mut busy, &[(small, 100_000, 100_000); 10]);
        assert_eq!(busy.sixteenths(), 128);
        busy.forget();
        assert_eq!(busy.sixteenths(), 16);
    }
}
