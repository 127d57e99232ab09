//! A volume in memory that takes as long for everything as a simulated device would.
//!
//! Data is moved when a request is submitted; its completion comes when the device's model is done
//! with it. The model runs in the time of the clock, but a completion that is noticed late does not
//! delay the device: what comes next began when it was due. One lock guards the model, because
//! submitters share the device; this kind of volume is for trying things out and not for speed.

use super::{Memory, Waiter};
use crate::operation::{Kind, Operation};
use fairlead_devices::{self as devices, Device, Parameters, Request};
use fairlead_sched::Nanos;
use std::io;
use std::sync::{Mutex, MutexGuard};

/// A request that the device has, and what its answer will be.
#[derive(Debug, Clone, Copy)]
struct Pending {
    waiter: Waiter,
    result: i32,
}

#[derive(Debug)]
struct Model {
    device: Device,
    /// By the token that the device knows.
    pending: Vec<Option<Pending>>,
    free: Vec<usize>,
    done: Vec<Pending>,
    /// Submitters read the clock at their own times.
    now: Nanos,
}

/// Memory behind a simulated device.
#[derive(Debug)]
pub struct Simulated {
    memory: Memory,
    model: Mutex<Model>,
}

impl Simulated {
    /// Reserves the address space; pages become real when they are written.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn new(size_bytes: u64, parameters: Parameters) -> io::Result<Self> {
        let model = Model {
            device: Device::new(parameters),
            pending: Vec::new(),
            free: Vec::new(),
            done: Vec::new(),
            now: 0,
        };
        Ok(Self { memory: Memory::new(size_bytes)?, model: Mutex::new(model) })
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives the device a request; [`Self::take`] gives the result back when it is due.
    pub fn submit(&self, operation: &Operation, buffer: &mut [u8], waiter: Waiter, now: Nanos) {
        let result = match self.memory.execute(operation, buffer) {
            Ok(()) => i32::try_from(operation.length_bytes).unwrap_or(i32::MAX),
            Err(errno) => -errno,
        };
        let (what, length_bytes) = match operation.kind {
            Kind::Read => (devices::Operation::Read, operation.length_bytes),
            Kind::Write | Kind::WriteStable => (devices::Operation::Write, operation.length_bytes),
            // These move nothing, so they take what a request takes beside its data.
            Kind::Prefetch => (devices::Operation::Read, 0),
            Kind::Discard | Kind::Zero => (devices::Operation::Write, 0),
            Kind::Flush | Kind::Pass(_) => (devices::Operation::Flush, 0),
        };
        let mut model = self.lock();
        let now = model.advance(now);
        let pending = Some(Pending { waiter, result });
        let token = match model.free.pop() {
            Some(token) => token,
            None => {
                model.pending.push(None);
                model.pending.len() - 1
            }
        };
        if let Some(place) = model.pending.get_mut(token) {
            *place = pending;
        }
        let (token, offset_bytes) = (token as u64, operation.offset_bytes);
        model.device.submit(Request { token, operation: what, offset_bytes, length_bytes }, now);
    }

    /// Gives back every request that is over by now, whoever's it is.
    pub fn take(&self, now: Nanos, mut give: impl FnMut(Waiter, i32)) {
        let mut model = self.lock();
        model.advance(now);
        model.done.drain(..).for_each(|done| give(done.waiter, done.result));
    }

    /// When [`Self::take`] will next have something; `None`: the device is idle.
    pub fn next_at(&self) -> Option<Nanos> {
        let model = self.lock();
        if model.done.is_empty() { model.device.next_completion() } else { Some(0) }
    }
}

impl Model {
    /// Lets everything come that is due by now; returns a time that never goes back.
    fn advance(&mut self, now: Nanos) -> Nanos {
        self.now = self.now.max(now);
        while self.device.next_completion().is_some_and(|ends| ends <= self.now) {
            let Some(token) = self.device.complete() else { continue };
            let token = usize::try_from(token).unwrap_or(usize::MAX);
            if let Some(pending) = self.pending.get_mut(token).and_then(Option::take) {
                self.free.push(token);
                self.done.push(pending);
            }
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::Simulated;
    use crate::operation::{Kind, Operation};
    use crate::volume::Waiter;
    use fairlead_devices::Parameters;
    use fairlead_devices::ssd::{Line, SsdParameters};

    const US: u64 = 1_000;

    fn simulated() -> Simulated {
        let line = Line { base_ns: 10 * US, page_ns: 90 * US };
        let parameters = SsdParameters {
            channels: 1,
            read: line,
            write: line,
            flush_ns: 50 * US,
            spread_percent: 0,
            buffer: None,
        };
        Simulated::new(1 << 20, Parameters::Ssd(parameters)).expect("memory")
    }

    fn taken(simulated: &Simulated, now: u64) -> Vec<(u64, i32)> {
        let mut taken = Vec::new();
        simulated.take(now, |waiter, result| taken.push((waiter.token, result)));
        taken
    }

    #[test]
    fn data_is_kept_and_answers_come_when_the_device_is_done() {
        let simulated = simulated();
        let waiter = |token| Waiter { submitter: 0, token };
        let operation = |kind, length_bytes| Operation {
            kind,
            offset_bytes: 0,
            length_bytes,
            buffer_offset: 0,
        };
        let mut data = vec![7; 4096];
        simulated.submit(&operation(Kind::Write, 4096), &mut data, waiter(1), 1_000 * US);
        let mut read = vec![0; 4096];
        simulated.submit(&operation(Kind::Read, 4096), &mut read, waiter(2), 1_000 * US);
        simulated.submit(&operation(Kind::Flush, 0), &mut [], waiter(3), 1_000 * US);
        assert_eq!(read, data);
        assert_eq!(simulated.next_at(), Some(1_100 * US));
        assert_eq!(taken(&simulated, 1_099 * US), []);
        assert_eq!(taken(&simulated, 1_100 * US), [(1, 4096)]);
        // Noticed late: the read was done at 1200, and the flush began then.
        assert_eq!(taken(&simulated, 1_240 * US), [(2, 4096)]);
        assert_eq!(taken(&simulated, 1_250 * US), [(3, 0)]);
        assert_eq!(simulated.next_at(), None);
    }

    #[test]
    fn a_submitter_whose_clock_is_behind_stops_nothing() {
        let simulated = simulated();
        let operation =
            Operation { kind: Kind::Read, offset_bytes: 0, length_bytes: 4096, buffer_offset: 0 };
        let mut data = vec![0; 4096];
        simulated.submit(&operation, &mut data, Waiter { submitter: 0, token: 1 }, 500 * US);
        simulated.submit(&operation, &mut data, Waiter { submitter: 1, token: 1 }, 600 * US);
        assert_eq!(simulated.next_at(), Some(0), "the first is done");
        simulated.submit(&operation, &mut data, Waiter { submitter: 1, token: 2 }, 550 * US);
        assert_eq!(taken(&simulated, 600 * US), [(1, 4096)]);
        assert_eq!(simulated.next_at(), Some(700 * US));
    }
}
