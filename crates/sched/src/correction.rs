//! Corrects what writes are said to cost a device against what reads are, while it runs.
//!
//! Shares are as right as the proportion of these two costs. What a device really takes for a request
//! cannot be seen: on one that serves many at a time the time of each is mostly waiting. But while it
//! is kept busy, all that it does in a round fills the round:
//!
//! ```text
//!     time = scale * (reads + ratio * writes)       reads, writes: estimated costs
//! ```
//!
//! The scale drops out of two rounds that follow one another, and a difference of their mixes tells the
//! ratio. Under fair shares, though, the mix is the same in every round, because it is what the
//! estimates make it. So the ratio is held a little above what is believed for two rounds and a little
//! below for the next two: where contexts differ in what they do, the mix follows, and where they
//! do not, nobody gets more or less by it. The less is known, the farther it swings.
//!
//! Each comparison moves the belief by as much as it is worth (a Kalman filter with one state, the
//! logarithm of the ratio). One kind of request alone has no difference of mixes and moves nothing,
//! whatever becomes of the device's speed.

use crate::Nanos;
use crate::cost::Direction;

/// The ratio stays between one and this, either way.
pub const FACTOR_MAX: u64 = 8;

/// A round lasts so long,
const ROUND_NS: Nanos = 100_000_000;
/// and longer until so many requests are through: a few say nothing.
const REQUESTS_MIN: u32 = 32;
/// A device that needs this long for them is not asked.
const ROUND_MAX_NS: Nanos = 2_000_000_000;
/// Rounds that are further apart are not compared: the device may be another by then.
const APART_MAX_NS: Nanos = 2 * ROUND_MAX_NS;
/// A device that lacked work for more than one part in this was not busy.
const IDLE_PARTS: u64 = 20;

/// Of the logarithm of the ratio: how far off it may be at the start, as a variance.
const DOUBT_START: f64 = 1.0;
/// And how much of that comes back with each comparison: devices change.
const DOUBT_GROWTH: f64 = 1e-4;
/// The same where one comparison after another says that it is farther off in the same direction.
const DOUBT_IN_TREND: f64 = 0.1;
/// How fast a trend is seen, and from where on (its square) it is one: chance stays below.
const TREND_GAIN: f64 = 0.125;
const TREND_MIN: f64 = 0.15;
/// The swing to each side, of the logarithm: in standard deviations of the belief, and its bounds.
const SWING: f64 = 0.75;
const SWING_MIN: f64 = 0.05;
const SWING_MAX: f64 = 0.4;
/// Variance of a difference of two rounds, beside what single requests bring into it: at the start,
/// and at least.
const NOISE_START: f64 = 0.005;
const NOISE_MIN: f64 = 8e-4;
/// The same for a whole difference of mixes, all reads to all writes: a device that does both is not
/// quite what it is with either, so what is near says more than what is far.
const NOISE_OF_MIX: f64 = 0.04;
/// How fast the noise that is seen becomes the noise that is expected.
const NOISE_GAIN: f64 = 0.125;
/// What is so many standard deviations off counts as if it were that many: a hiccup is no news.
const SURPRISE_MAX: f64 = 3.0;

/// A fixed point for what is done for every request.
const ONE: u64 = 1 << 16;

/// What came of a round: estimated costs of what was done, in parts of the time.
#[derive(Debug, Clone, Copy)]
struct Round {
    reads: f64,
    writes: f64,
    requests: f64,
    ended: Nanos,
}

impl Round {
    /// The logarithm of the device's speed as it looks with this ratio, and the part of writes.
    fn speed(&self, ratio: f64) -> (f64, f64) {
        let writes = ratio * self.writes;
        let all = self.reads + writes;
        (all.ln(), writes / all)
    }
}

/// A round that is going on.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    began: Option<Nanos>,
    read_ns: u64,
    write_ns: u64,
    requests: u32,
    idle_since: Option<Nanos>,
    idle_ns: Nanos,
    /// It had requests of which nobody can tell what they cost.
    is_spoilt: bool,
}

/// Where the ratio is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// At what is believed: the device is not busy.
    Middle,
    Above,
    Below,
}

/// The correction for one device.
#[derive(Debug)]
pub struct Correction {
    /// The logarithm of the ratio, as it is believed to be.
    belief: f64,
    doubt: f64,
    noise: f64,
    trend: f64,
    side: Side,
    /// The round follows a change of sides: it has requests from before.
    is_settling: bool,
    /// Draws when to change sides, so that nothing periodic in the device keeps step with it.
    draw: u64,
    last: Option<Round>,
    running: Running,
    /// What writes are multiplied with now.
    factor: u64,
}

impl Default for Correction {
    fn default() -> Self {
        Self {
            belief: 0.0,
            doubt: DOUBT_START,
            noise: NOISE_START,
            trend: 0.0,
            side: Side::Middle,
            is_settling: true,
            draw: 0x9E37_79B9_7F4A_7C15,
            last: None,
            running: Running::default(),
            factor: ONE,
        }
    }
}

impl Correction {
    /// An estimate as it is to be counted.
    pub fn cost_ns(&self, direction: Direction, estimate_ns: u64) -> u64 {
        match direction {
            Direction::Read => estimate_ns,
            Direction::Write => (estimate_ns.saturating_mul(self.factor) / ONE).max(1),
        }
    }

    /// How many times their estimate writes cost, beside reads: what is believed.
    pub fn ratio(&self) -> f64 {
        self.belief.exp()
    }

    /// The device has done a request of this estimate.
    pub fn completed(&mut self, direction: Direction, estimate_ns: u64) {
        match direction {
            Direction::Read => self.running.read_ns += estimate_ns,
            Direction::Write => self.running.write_ns += estimate_ns,
        }
        self.running.requests += 1;
    }

    /// The device has done something of which nobody can tell what it cost.
    pub fn spoil(&mut self) {
        self.running.is_spoilt = true;
    }

    /// From now on the device has all that it should have and more waits, or not. True: the round
    /// is over, and the ratio may be another.
    pub fn look(&mut self, is_busy: bool, now: Nanos) -> bool {
        let running = &mut self.running;
        if let Some(since) = running.idle_since.take() {
            running.idle_ns += now.saturating_sub(since);
        }
        running.idle_since = (!is_busy).then_some(now);
        let elapsed_ns = now.saturating_sub(*running.began.get_or_insert(now));
        let is_long = elapsed_ns >= ROUND_NS && running.requests >= REQUESTS_MIN;
        if !is_long && elapsed_ns < ROUND_MAX_NS {
            return false;
        }
        let over = std::mem::replace(
            running,
            Running { began: Some(now), idle_since: running.idle_since, ..Running::default() },
        );
        let was_busy = over.idle_ns.saturating_mul(IDLE_PARTS) <= elapsed_ns && !over.is_spoilt;
        if is_long && was_busy {
            let busy_ns = elapsed_ns.saturating_sub(over.idle_ns).max(1) as f64;
            self.conclude(Round {
                reads: over.read_ns as f64 / busy_ns,
                writes: over.write_ns as f64 / busy_ns,
                requests: f64::from(over.requests),
                ended: now,
            });
        } else {
            self.side = Side::Middle;
            self.is_settling = true;
        }
        self.aim();
        true
    }

    /// A busy round is over.
    fn conclude(&mut self, round: Round) {
        if std::mem::replace(&mut self.is_settling, false) && self.side != Side::Middle {
            return;
        }
        let before = self.last.replace(round);
        if let Some(before) = before.filter(|before| round.ended - before.ended <= APART_MAX_NS) {
            self.compare(&before, &round);
        }
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        if self.side == Side::Middle || self.draw % 4 > 0 {
            self.side = if self.side == Side::Above { Side::Below } else { Side::Above };
            self.is_settling = true;
        }
    }

    /// Two rounds in which the device was as fast, whatever it did.
    fn compare(&mut self, before: &Round, round: &Round) {
        let ratio = self.ratio();
        let ((speed_before, writes_before), (speed, writes)) =
            (before.speed(ratio), round.speed(ratio));
        let (difference, slope) = (speed - speed_before, writes - writes_before);
        let of_requests = 1.0 / before.requests + 1.0 / round.requests;
        let noise = self.noise.max(NOISE_MIN) + of_requests + slope * slope * NOISE_OF_MIX;
        let variance = slope * slope * self.doubt + noise;
        let most = SURPRISE_MAX * variance.sqrt();
        let difference = difference.clamp(-most, most);
        let gain = self.doubt * slope / variance;
        let bound = (FACTOR_MAX as f64).ln();
        self.belief = (self.belief - gain * difference).clamp(-bound, bound);
        self.trend += TREND_GAIN * (difference * slope.signum() / variance.sqrt() - self.trend);
        let in_trend = DOUBT_IN_TREND * (self.trend * self.trend - TREND_MIN).max(0.0);
        let doubt = self.doubt * (1.0 - gain * slope) + DOUBT_GROWTH + in_trend;
        self.doubt = doubt.min(DOUBT_START);
        // What is left of the difference is noise; its product with the whole has its variance.
        let seen = difference * difference * (1.0 - gain * slope) - of_requests;
        self.noise += NOISE_GAIN * (seen - self.noise);
    }

    /// Holds the ratio where it is to be.
    fn aim(&mut self) {
        let swing = (self.doubt.sqrt() * SWING).clamp(SWING_MIN, SWING_MAX);
        let aim = match self.side {
            Side::Middle => self.belief,
            Side::Above => self.belief + swing,
            Side::Below => self.belief - swing,
        };
        let factor = (aim.exp() * ONE as f64) as u64;
        self.factor = factor.clamp(ONE / FACTOR_MAX, ONE * FACTOR_MAX);
    }
}
