//! A latency histogram with one writer and any number of readers.
//!
//! Log-linear: 16 steps an octave, so a reading is off by 3 % at most; from 64 ns to 68 s.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const UNIT_SHIFT: u32 = 6;
const STEP_BITS: u32 = 4;
const STEPS: u64 = 1 << STEP_BITS;
const OCTAVES: usize = 26;
const BUCKETS: usize = (OCTAVES + 1) << STEP_BITS;

/// Counts of durations. Writers do no read-modify-write: there is one.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

fn bucket_of(ns: u64) -> usize {
    let units = (ns >> UNIT_SHIFT).min((1 << (OCTAVES as u32 + STEP_BITS)) - 1);
    if units < STEPS {
        return units as usize;
    }
    let octave = units.ilog2() - STEP_BITS;
    ((octave + 1) << STEP_BITS) as usize + ((units >> octave) & (STEPS - 1)) as usize
}

/// The middle of a bucket in nanoseconds.
fn middle_ns(bucket: usize) -> u64 {
    let (octave, step) = ((bucket >> STEP_BITS) as u32, bucket as u64 & (STEPS - 1));
    match octave {
        0 => (step << UNIT_SHIFT) + (1 << (UNIT_SHIFT - 1)),
        octave => {
            let width = 1_u64 << (octave - 1 + UNIT_SHIFT);
            (STEPS + step) * width + width / 2
        }
    }
}

impl Histogram {
    /// Counts one duration. Only the thread that owns the histogram may call this.
    pub fn record(&self, ns: u64) {
        if let Some(count) = self.counts.get(bucket_of(ns)) {
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.sum_ns.store(self.sum_ns.load(Relaxed).wrapping_add(ns), Relaxed);
    }
}

/// Histograms of several writers, added up for reading.
#[derive(Debug, Clone)]
pub struct Reading {
    counts: Vec<u64>,
    sum_ns: u64,
}

impl Reading {
    /// Adds up.
    pub fn of<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut reading = Self { counts: vec![0; BUCKETS], sum_ns: 0 };
        for histogram in histograms {
            for (total, count) in reading.counts.iter_mut().zip(&histogram.counts) {
                *total += count.load(Relaxed);
            }
            reading.sum_ns = reading.sum_ns.wrapping_add(histogram.sum_ns.load(Relaxed));
        }
        reading
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Arithmetic mean in nanoseconds; 0 when nothing was counted.
    pub fn mean_ns(&self) -> u64 {
        self.sum_ns.checked_div(self.count()).unwrap_or(0)
    }

    /// The duration that `per_mille` of 1000 counted ones do not exceed; 0 when there is none.
    pub fn quantile_ns(&self, per_mille: u64) -> u64 {
        let rank = (self.count() * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_ns(bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, Reading, bucket_of, middle_ns};

    #[test]
    fn every_bucket_contains_its_middle() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(middle_ns(bucket)), bucket);
        }
    }

    #[test]
    fn a_reading_is_within_four_percent() {
        for ns in [1_000, 12_345, 250_000, 7_000_000, 30_000_000_000_u64] {
            let histogram = Histogram::default();
            histogram.record(ns);
            let read = Reading::of([&histogram]).quantile_ns(500);
            assert!(read.abs_diff(ns) * 25 <= ns, "{ns} was read as {read}");
        }
    }

    #[test]
    fn quantiles_and_mean_over_several_writers() {
        let (left, right) = (Histogram::default(), Histogram::default());
        (0..99).for_each(|_| left.record(1_000));
        right.record(1_000_000);
        let reading = Reading::of([&left, &right]);
        assert_eq!(reading.count(), 100);
        assert_eq!(reading.mean_ns(), 10_990);
        assert!(reading.quantile_ns(990) < 1_100);
        assert!(reading.quantile_ns(1000) > 900_000);
    }

    #[test]
    fn nothing_counted_reads_as_zero() {
        let reading = Reading::of([]);
        assert_eq!((reading.count(), reading.mean_ns(), reading.quantile_ns(990)), (0, 0, 0));
    }

    #[test]
    fn the_longest_durations_share_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
