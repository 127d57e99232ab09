//! How fast a volume's device is: closed loops of requests, through the driver that would serve it.
//!
//! One measurement at a time, on the thread that asks for it. Nobody else may use the volume
//! meanwhile: it is locked as a served one is.

use crate::buffer::{Buffer, LARGEST, Pool};
use crate::clock;
use crate::crew::{DriverChoice, make_driver};
use crate::driver::{Completion, Driver, FileRequest, Steer};
use crate::mailbox::Wakeup;
use crate::operation::Kind;
use crate::volume::{self, OpenError, Spec, Volume};
use fairlead_sched::Nanos;
use fairlead_sched::histogram::{Histogram, Reading};
use std::io;
use std::time::Duration;

/// The part of a measurement that comes before it: until the device has its queue.
const WARM_UP_PARTS: u64 = 8;
/// How often who waits is asked whether to go on.
const ASK_NS: Nanos = 20_000_000;
/// A device that gives nothing back for so long does not answer.
const SILENCE_NS: Nanos = 30_000_000_000;
/// Who has had enough does not wait that long.
const PATIENCE_NS: Nanos = 3_000_000_000;

/// What is asked of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Writes, which destroy what is there; otherwise reads.
    pub writes: bool,
    /// One request begins where the one before it ends; otherwise anywhere.
    pub is_sequential: bool,
    /// Of each request: whole pages, at most 1 MiB.
    pub length_bytes: usize,
    /// Requests at a time.
    pub depth: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Sample {
    /// Requests that came back.
    pub requests: u64,
    /// In this time.
    pub elapsed_ns: Nanos,
    /// How long each took.
    pub latency: Reading,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The volume cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A volume without a descriptor, or a load that does not fit it.
    #[error("{0}")]
    Unfit(&'static str),
    /// No driver, or a broken one.
    #[error("the data plane cannot go on: {0}")]
    Driver(#[from] io::Error),
    /// A request failed.
    #[error("a {what} of {length_bytes} bytes at byte {offset_bytes} failed: {source}")]
    Request {
        /// `read` or `write`.
        what: &'static str,
        /// How long it was.
        length_bytes: usize,
        /// Where.
        offset_bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The device does not answer.
    #[error("the device has not answered for {} s", .0.as_secs())]
    Silence(Duration),
    /// Who waited has had enough.
    #[error("interrupted")]
    Interrupted,
}

/// A volume that is measured.
#[derive(Debug)]
pub struct Calibration {
    volume: Volume,
    choice: DriverChoice,
    driver: &'static str,
    depth_max: usize,
}

impl Calibration {
    /// Opens and locks a volume. One that is opened read-only is locked against readers, too: they
    /// would be in the way.
    ///
    /// # Errors
    /// It cannot be opened, has no descriptor, or there is no such driver.
    pub fn open(spec: Spec, choice: DriverChoice) -> Result<Self, CalibrationError> {
        let volume = volume::open(0, 0, spec)?;
        let fd = volume.descriptor().ok_or(CalibrationError::Unfit("there is no device below"))?;
        // SAFETY: a valid descriptor and a plain integer.
        if unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let path = volume.spec.path.clone().unwrap_or_default();
            return Err(OpenError::Busy { path }.into());
        }
        let wakeup = Wakeup::new()?;
        let (driver, made) = make_driver(choice, wakeup.descriptor(), "calibration")?;
        let depth_max = driver.device_window(volume.may_block());
        Ok(Self { volume, choice, driver: made.name, depth_max })
    }

    /// `io_uring` or `threads`.
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// Requests that the driver lets a device have at a time.
    pub fn depth_max(&self) -> usize {
        self.depth_max
    }

    /// Keeps the device busy for this time, and counts.
    ///
    /// # Errors
    /// A request fails, the device does not answer, or `go_on` says no.
    pub fn measure(
        &self,
        load: Load,
        time: Duration,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Sample, CalibrationError> {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut bench = Loop::new(&self.volume, self.choice, load)?;
        let outcome = bench.run(time_ns, go_on);
        let is_idle = bench.drain(if outcome.is_ok() { SILENCE_NS } else { PATIENCE_NS });
        if !is_idle.as_ref().is_ok_and(|is_idle| *is_idle) {
            // The kernel may still write to its memory, whenever the device wakes up.
            std::mem::forget(bench);
        }
        match is_idle {
            Ok(false) if outcome.is_ok() => {
                Err(CalibrationError::Silence(Duration::from_nanos(SILENCE_NS)))
            }
            Err(error) if outcome.is_ok() => Err(error.into()),
            _ => outcome,
        }
    }
}

/// A request that is under way again and again.
struct Place {
    buffer: Buffer,
    offset_bytes: u64,
    since: Nanos,
}

/// A closed loop: what comes back goes out again.
struct Loop<'a> {
    volume: &'a Volume,
    load: Load,
    // Before the pool: the kernel must be done with buffers when their memory goes.
    driver: Box<dyn Driver>,
    _wakeup: Wakeup,
    places: Vec<Place>,
    _pool: Pool,
    in_flight: usize,
    slots: u64,
    next_slot: u64,
    random: Random,
}

impl<'a> Loop<'a> {
    fn new(volume: &'a Volume, choice: DriverChoice, load: Load) -> Result<Self, CalibrationError> {
        let unfit = CalibrationError::Unfit;
        if load.length_bytes == 0 || load.length_bytes > LARGEST || load.length_bytes % 4096 != 0 {
            return Err(unfit("requests are whole pages of 4 KiB, at most 1 MiB"));
        }
        let slots = volume.spec.size_bytes / load.length_bytes as u64;
        if slots == 0 || load.depth == 0 {
            return Err(unfit("the volume is smaller than one request"));
        }
        if load.writes && volume.spec.read_only {
            return Err(unfit("the volume is opened read-only"));
        }
        let wakeup = Wakeup::new()?;
        let (driver, _) = make_driver(choice, wakeup.descriptor(), "calibration")?;
        let mut pool = Pool::new(2 * load.depth * load.length_bytes.next_power_of_two())?;
        let mut random = Random(clock::now() | 1);
        let mut places = Vec::with_capacity(load.depth);
        for _ in 0..load.depth {
            let buffer = pool.take(load.length_bytes, 0);
            let mut buffer = buffer.ok_or(unfit("there is no memory for so many requests"))?;
            if load.writes {
                // Zeroes would be cheap for a device that compresses.
                random.fill(buffer.bytes_mut());
            }
            places.push(Place { buffer, offset_bytes: 0, since: 0 });
        }
        Ok(Self {
            volume,
            load,
            driver,
            _wakeup: wakeup,
            places,
            _pool: pool,
            in_flight: 0,
            slots,
            next_slot: 0,
            random,
        })
    }

    fn run(
        &mut self,
        time_ns: Nanos,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Sample, CalibrationError> {
        let began = clock::now();
        (0..self.places.len()).for_each(|index| self.submit(index, began));
        let (counts_from, ends) = (began + time_ns / WARM_UP_PARTS, began + time_ns);
        let (latency, mut requests, mut counted_from) = (Histogram::default(), 0, None);
        let mut completions = Vec::with_capacity(self.places.len());
        let (mut heard, mut asked, mut failed) = (began, began, None);
        loop {
            self.driver.wait(Duration::from_nanos(ASK_NS), &mut completions)?;
            let now = clock::now();
            let is_over = now >= ends;
            let is_counting = counted_from.is_some();
            for completion in completions.drain(..) {
                let Completion::Io { token, result } = completion else { continue };
                heard = now;
                let index = usize::try_from(token).unwrap_or(usize::MAX);
                match self.take_back(index, result, now) {
                    Ok(took_ns) if is_counting => {
                        requests += 1;
                        latency.record(took_ns);
                    }
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
                if !is_over && failed.is_none() {
                    self.submit(index, now);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if is_over {
                break;
            }
            if now >= counts_from && heard == now {
                // From one completion to another: on a slow device the time between is long.
                counted_from.get_or_insert(now);
            }
            if now - asked >= ASK_NS {
                asked = now;
                if !go_on() {
                    return Err(CalibrationError::Interrupted);
                }
            }
            if now - heard >= SILENCE_NS {
                return Err(CalibrationError::Silence(Duration::from_nanos(now - heard)));
            }
        }
        let elapsed_ns = heard.saturating_sub(counted_from.unwrap_or(heard));
        Ok(Sample { requests, elapsed_ns, latency: Reading::of([&latency]) })
    }

    /// Waits for what is in flight; false: the device does not give it back.
    fn drain(&mut self, patience_ns: Nanos) -> io::Result<bool> {
        let deadline = clock::now() + patience_ns;
        let mut completions = Vec::new();
        while self.in_flight > 0 {
            if clock::now() >= deadline {
                return Ok(false);
            }
            self.driver.wait(Duration::from_nanos(ASK_NS), &mut completions)?;
            let back = completions.drain(..).filter(|c| matches!(c, Completion::Io { .. })).count();
            self.in_flight = self.in_flight.saturating_sub(back);
        }
        Ok(true)
    }

    fn submit(&mut self, index: usize, now: Nanos) {
        let slot = if self.load.is_sequential {
            let slot = self.next_slot;
            self.next_slot = (slot + 1) % self.slots;
            slot
        } else {
            self.random.below(self.slots)
        };
        let (fd, place) = (self.volume.descriptor(), self.places.get_mut(index));
        let (Some(fd), Some(place)) = (fd, place) else { return };
        let length_bytes = self.load.length_bytes as u64;
        place.offset_bytes = slot * length_bytes;
        place.since = now;
        let request = FileRequest {
            kind: if self.load.writes { Kind::Write } else { Kind::Read },
            fd,
            offset_bytes: place.offset_bytes,
            length_bytes,
            address: place.buffer.address(0),
            device: 0,
            blocking: self.volume.blocking,
            steer: Steer::None,
        };
        self.in_flight += 1;
        self.driver.submit(index as u64, request);
    }

    /// A request is over; how long it took.
    fn take_back(
        &mut self,
        index: usize,
        result: i32,
        now: Nanos,
    ) -> Result<Nanos, CalibrationError> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(place) = self.places.get(index) else { return Ok(0) };
        let length_bytes = self.load.length_bytes;
        if usize::try_from(result) == Ok(length_bytes) {
            return Ok(now.saturating_sub(place.since));
        }
        // Part of it only: the end of a file that somebody has cut.
        let errno = if result < 0 { -result } else { libc::EIO };
        Err(CalibrationError::Request {
            what: if self.load.writes { "write" } else { "read" },
            length_bytes,
            offset_bytes: place.offset_bytes,
            source: io::Error::from_raw_os_error(errno),
        })
    }
}

/// Numbers that follow no pattern a device could know; xorshift, never 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        (product >> 64) as u64
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_ne_bytes();
            chunk.iter_mut().zip(word).for_each(|(byte, random)| *byte = random);
        }
    }
}
