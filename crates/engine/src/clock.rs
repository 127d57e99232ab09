//! The only place that reads a clock.

use fairlead_sched::Nanos;

/// Nanoseconds of the monotonic clock.
pub fn now() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that the call only writes to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
