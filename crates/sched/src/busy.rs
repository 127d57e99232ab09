//! How many requests keep a device busy: what it gives back, times how long that takes at the least.
//!
//! By Little's law, requests in flight are the rate at which they are done times the time that each
//! takes. The greatest rate that was seen, at the shortest times, is what the device works on when it
//! is busy and nothing waits in it (congestion control measures bottleneck bandwidth and round trip
//! of a network path for the same reason). A time is the mean of several requests: the shortest of
//! single ones, where they differ by a fifth, makes a product that is too small for good. It is what
//! the device needs at the least. Reads and writes, small and large requests have times of
//! their own, each in proportion to what it was estimated to cost; whether a device serves a large
//! request on one of its servers or on several, the sum comes out as the requests that keep it busy.

use crate::Nanos;
use crate::cost::Direction;

/// Requests of which a mean is taken, at least.
const SAMPLES: u64 = 16;
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

type Times = [u64; KINDS];
const UNKNOWN: u64 = u64::MAX;

/// What was measured over a period.
#[derive(Debug, Clone, Copy)]
struct Period {
    /// In the two rounds in a row in which most was done, the lesser of them: estimated work per
    /// 2^20 ns, by kind. What is given back in one round may have been worked on before.
    work: [u64; KINDS],
    /// The shortest mean time for an estimated 2^10 ns of work, by kind.
    times: Times,
    /// The shortest time of a single request, likewise.
    shortest: Times,
    /// Requests in 2^40 ns, in the round with the most.
    rate: u64,
}

impl Period {
    const EMPTY: Self =
        Self { work: [0; KINDS], times: [UNKNOWN; KINDS], shortest: [UNKNOWN; KINDS], rate: 0 };
}

impl Period {
    fn time(&self, kind: Kind) -> u64 {
        self.times.get(kind.0).copied().unwrap_or(UNKNOWN)
    }
}

/// The measurement of one device, over this period and the one before.
#[derive(Debug)]
pub struct Busy {
    now: Period,
    before: Period,
    /// In this round: estimated work by kind, and requests.
    round_ns: [u64; KINDS],
    round_requests: u64,
    /// What was done in the round before.
    last_round: [u64; KINDS],
    /// In this round: the time that requests took, and that they take where nothing waits.
    round_took: (u64, u64),
    /// In the round before, sixteenths of the one in the other.
    stretch: u64,
    /// Since the last mean, by kind.
    samples: [Samples; KINDS],
}

/// Requests whose mean time is not yet taken.
#[derive(Debug, Clone, Copy, Default)]
struct Samples {
    requests: u64,
    cost_ns: u64,
    service_ns: u64,
}

impl Samples {
    /// The time for an estimated 2^10 ns of work.
    fn mean(&self) -> u64 {
        let mean = (u128::from(self.service_ns) << 10) / u128::from(self.cost_ns.max(1));
        u64::try_from(mean).unwrap_or(u64::MAX)
    }
}

impl Default for Busy {
    fn default() -> Self {
        let (now, before) = (Period::EMPTY, Period::EMPTY);
        let samples = [Samples::default(); KINDS];
        let last_round = [0; KINDS];
        Self {
            now,
            before,
            round_ns: [0; KINDS],
            round_requests: 0,
            last_round,
            round_took: (0, 0),
            stretch: 0,
            samples,
        }
    }
}

impl Busy {
    /// The device has given back a request of this estimated cost, after this time.
    pub fn completed(&mut self, kind: Kind, cost_ns: u64, service_ns: Nanos) {
        self.round_requests += 1;
        let best = self.now.time(kind).min(self.before.time(kind));
        let (Some(round), Some(samples), Some(shortest)) = (
            self.round_ns.get_mut(kind.0),
            self.samples.get_mut(kind.0),
            self.now.shortest.get_mut(kind.0),
        ) else {
            return;
        };
        *shortest = (*shortest).min((service_ns << 10) / cost_ns.max(1));
        if best != UNKNOWN {
            self.round_took.0 += service_ns;
            self.round_took.1 += cost_ns.saturating_mul(best) >> 10;
        }
        *round = round.saturating_add(cost_ns);
        samples.requests += 1;
        samples.cost_ns = samples.cost_ns.saturating_add(cost_ns);
        samples.service_ns = samples.service_ns.saturating_add(service_ns);
    }

    /// A round is over; returns its rate, in requests per 2^40 ns.
    pub fn end_round(&mut self, elapsed_ns: Nanos) -> u64 {
        let elapsed_ns = elapsed_ns.max(1);
        self.take_means();
        let (took, best) = std::mem::take(&mut self.round_took);
        self.stretch = took.saturating_mul(16) / best.max(1);
        let work = std::mem::take(&mut self.round_ns).map(|ns| (ns << 20) / elapsed_ns);
        let last = std::mem::replace(&mut self.last_round, work);
        let lesser = if self.of(&work) < self.of(&last) { work } else { last };
        if self.of(&lesser) > self.of(&self.now.work) {
            self.now.work = lesser;
        }
        let rate = (std::mem::take(&mut self.round_requests) << 40) / elapsed_ns;
        self.now.rate = self.now.rate.max(rate);
        rate
    }

    /// Takes the mean time of each kind of which there are enough requests.
    fn take_means(&mut self) {
        for (samples, time) in self.samples.iter_mut().zip(&mut self.now.times) {
            if samples.requests >= SAMPLES {
                *time = (*time).min(std::mem::take(samples).mean());
            }
        }
    }

    /// What was done so far is not typical: the next means are of what is done from now on.
    pub fn begin_means(&mut self) {
        self.samples = [Samples::default(); KINDS];
    }

    /// A period is over: what was measured before it is forgotten.
    pub fn forget(&mut self) {
        self.before = std::mem::replace(&mut self.now, Period::EMPTY);
    }

    /// Requests that keep the device busy, in sixteenths.
    pub fn sixteenths(&self) -> u64 {
        self.of(self.most()) >> 26
    }

    /// Requests that it needs at the least, in sixteenths.
    pub fn least_sixteenths(&self) -> u64 {
        product(self.most(), &self.now.shortest, &self.before.shortest) >> 26
    }

    /// How long requests took in the last round, in sixteenths of what they take where nothing waits.
    pub fn stretch(&self) -> u64 {
        self.stretch
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
        product(work, &self.now.times, &self.before.times)
    }
}

/// Work, times the shorter of the times that it takes.
fn product(work: &[u64; KINDS], now: &Times, before: &Times) -> u64 {
    let shortest = now.iter().zip(before).map(|(now, before)| (*now).min(*before));
    let parts = work.iter().zip(shortest).map(|(work, time)| match time {
        UNKNOWN => 0, // Too few yet.
        time => work.saturating_mul(time),
    });
    parts.fold(0, u64::saturating_add)
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
        // Four servers: two do small reads in 100 us, two do large writes in 500 us.
        let smalls = (0..20).map(|i| (small, 100_000, 90_500 + i * 1_000));
        let larges = (0..4).map(|i| (large, 250_000, 350_000 + i * 100_000));
        let both: Vec<_> = smalls.chain(larges).collect();
        // A mean is taken of 16: by the fourth round there are so many large ones.
        (0..4).for_each(|_| round(&mut busy, &both));
        assert!((63..=64).contains(&busy.sixteenths()), "{}", busy.sixteenths());
        assert!(busy.has_large());
    }

    #[test]
    fn the_busiest_rounds_count_and_are_forgotten_after_two_periods() {
        let small = Kind::of(Read, true);
        let mut busy = Busy::default();
        round(&mut busy, &[(small, 100_000, 100_000); 99]);
        round(&mut busy, &[(small, 100_000, 100_000); 80]);
        round(&mut busy, &[(small, 100_000, 100_000); 10]);
        assert_eq!((busy.sixteenths(), busy.done_in(2_000_000)), (128, 197));
        busy.forget();
        round(&mut busy, &[(small, 100_000, 100_000); 20]);
        round(&mut busy, &[(small, 100_000, 100_000); 20]);
        assert_eq!(busy.sixteenths(), 128);
        busy.forget();
        assert_eq!(busy.sixteenths(), 32);
    }
}
