//! Closed loops on a file: what they do to it, and how they end.

use fairlead_engine::calibration::{Calibration, CalibrationError, Load};
use fairlead_engine::crew::DriverChoice;
use fairlead_engine::kernel::Mode;
use fairlead_engine::volume::{Kind, OpenError, Spec};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BYTES: u64 = 1 << 20;
const SHORT: Duration = Duration::from_millis(60);
const READS: Load = Load { writes: false, is_sequential: false, length_bytes: 4096, depth: 8 };

/// A file of its own, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fairlead-calibration-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = File::create(&path).expect("a file");
        file.write_all_at(&vec![0x5A; BYTES as usize], 0).expect("room");
        Self(path)
    }

    fn spec(&self, read_only: bool) -> Spec {
        Spec {
            name: "scratch".into(),
            kind: Kind::File,
            path: Some(self.0.to_string_lossy().into_owned()),
            size_bytes: BYTES,
            logical_block_bytes: 512,
            read_only,
            thin: false,
            write_through: false,
            device: "disk".into(),
            simulated: None,
            kernel_context: Mode::Off,
            pass_through: None,
        }
    }

    fn open(&self, read_only: bool) -> Calibration {
        Calibration::open(self.spec(read_only), DriverChoice::Auto).expect("it opens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn reads_are_counted_and_leave_everything_as_it_is() {
    let scratch = Scratch::new();
    for choice in [DriverChoice::Auto, DriverChoice::Threads] {
        let calibration = Calibration::open(scratch.spec(true), choice).expect("it opens");
        assert!(calibration.depth_max() >= 8);
        for is_sequential in [false, true] {
            for length_bytes in [4096, 128 << 10] {
                let load = Load { is_sequential, length_bytes, ..READS };
                let sample = calibration.measure(load, SHORT, &mut || true).expect("it reads");
                assert!(sample.requests > 0 && sample.elapsed_ns > 0, "{load:?}");
                assert_eq!(sample.latency.count(), sample.requests);
                assert!(sample.latency.mean_ns() <= SHORT.as_nanos() as u64);
            }
        }
    }
    let bytes = std::fs::read(&scratch.0).expect("it is there");
    assert!(bytes.iter().all(|byte| *byte == 0x5A));
}

#[test]
fn writes_change_the_volume_and_only_where_they_may() {
    let scratch = Scratch::new();
    let writes = Load { writes: true, is_sequential: true, ..READS };
    let refused = scratch.open(true).measure(writes, SHORT, &mut || true);
    assert!(matches!(refused, Err(CalibrationError::Unfit(_))), "{refused:?}");
    let sample = scratch.open(false).measure(writes, SHORT, &mut || true).expect("it writes");
    assert!(sample.requests > 0);
    let bytes = std::fs::read(&scratch.0).expect("it is there");
    assert_eq!(bytes.len(), BYTES as usize, "nothing past the end");
    assert!(bytes.iter().filter(|byte| **byte != 0x5A).count() > 4000);
}

#[test]
fn a_volume_that_somebody_reads_is_in_use() {
    let scratch = Scratch::new();
    let reader = File::open(&scratch.0).expect("it opens");
    // SAFETY: a valid descriptor and a plain integer.
    assert_eq!(unsafe { libc::flock(reader.as_raw_fd(), libc::LOCK_SH) }, 0);
    let refused = Calibration::open(scratch.spec(true), DriverChoice::Auto);
    assert!(matches!(refused, Err(CalibrationError::Open(OpenError::Busy { .. }))), "{refused:?}");
}

#[test]
fn who_has_had_enough_need_not_wait() {
    let scratch = Scratch::new();
    let (began, mut asked) = (Instant::now(), 0);
    let outcome = scratch.open(true).measure(READS, Duration::from_secs(60), &mut || {
        asked += 1;
        asked < 3
    });
    assert!(matches!(outcome, Err(CalibrationError::Interrupted)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_request_that_fails_is_told() {
    let scratch = Scratch::new();
    let calibration = scratch.open(true);
    OpenOptions::new().write(true).open(&scratch.0).and_then(|f| f.set_len(0)).expect("cut");
    let outcome = calibration.measure(READS, SHORT, &mut || true);
    let error = outcome.expect_err("there is nothing to read").to_string();
    assert!(error.starts_with("a read of 4096 bytes at byte "), "{error}");
}

#[test]
fn a_load_that_does_not_fit_is_refused() {
    let scratch = Scratch::new();
    let calibration = scratch.open(true);
    for (length_bytes, depth) in [(0, 1), (1000, 1), (2 << 20, 1), (4096, 0)] {
        let load = Load { length_bytes, depth, ..READS };
        let outcome = calibration.measure(load, SHORT, &mut || true);
        assert!(matches!(outcome, Err(CalibrationError::Unfit(_))), "{load:?}");
    }
}

#[test]
fn there_has_to_be_a_device() {
    let scratch = Scratch::new();
    let spec = Spec { kind: Kind::Null, path: None, ..scratch.spec(false) };
    let refused = Calibration::open(spec, DriverChoice::Auto);
    assert!(matches!(refused, Err(CalibrationError::Unfit(_))), "{refused:?}");
}
