//! The scheduler by itself, for simulations and for the test that holds it to its specification.

use fairlead_sched::ContextId;
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::scheduler::{Next, Request, Scheduler};
use fairlead_sched::settings::{Priority, Rate, Settings};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// `fairlead.sched.settings.Rate`.
#[derive(FromPyObject)]
struct PyRate {
    iops: Option<u64>,
    bytes_per_s: Option<u64>,
}

impl PyRate {
    fn into_rate(self) -> PyResult<Rate> {
        if self.iops == Some(0) || self.bytes_per_s == Some(0) {
            return Err(PyValueError::new_err("a rate of 0"));
        }
        Ok(Rate { iops: self.iops, bytes_per_s: self.bytes_per_s })
    }
}

/// `fairlead.sched.settings.Settings`.
#[derive(FromPyObject)]
pub(crate) struct PySettings {
    weight: u32,
    priority: usize,
    limit: PyRate,
    burst_ns: u64,
    guarantee: PyRate,
    queued_max: u32,
}

impl PySettings {
    pub(crate) fn into_settings(self) -> PyResult<Settings> {
        let priority = Priority::ALL.get(self.priority).copied();
        Ok(Settings {
            weight: self.weight,
            priority: priority.ok_or_else(|| PyValueError::new_err("unknown priority"))?,
            limit: self.limit.into_rate()?,
            burst_ns: self.burst_ns,
            guarantee: self.guarantee.into_rate()?,
            queued_max: self.queued_max,
        })
    }
}

/// The data plane's scheduler of one device.
#[pyclass(module = "fairlead._dataplane")]
pub(crate) struct FairScheduler(Fair);

fn context(index: u32) -> ContextId {
    ContextId { index, generation: 0 }
}

#[pymethods]
impl FairScheduler {
    #[new]
    #[pyo3(signature = (window_ns, cost_max_ns, small_ns, reserve_ns, place_ns, clock = 0))]
    fn new(
        window_ns: u64,
        cost_max_ns: u64,
        small_ns: u64,
        reserve_ns: u64,
        place_ns: Option<u64>,
        clock: u64,
    ) -> Self {
        let device = Device { window_ns, cost_max_ns, small_ns, reserve_ns, place_ns };
        Self(Fair::starting_at(device, clock))
    }

    fn set(&mut self, index: u32, settings: PySettings, now: u64) -> PyResult<()> {
        self.0.set(context(index), settings.into_settings()?, now);
        Ok(())
    }

    fn set_window(&mut self, window_ns: u64) {
        self.0.set_window(window_ns);
    }

    /// False: the queue is full.
    fn push(&mut self, index: u32, token: u64, cost_ns: u64, length_bytes: u32, now: u64) -> bool {
        let request = Request { context: context(index), token, cost_ns, length_bytes };
        self.0.push(request, now).is_ok()
    }

    /// True: it counts as submitted and was not queued.
    fn bypass(
        &mut self,
        index: u32,
        token: u64,
        cost_ns: u64,
        length_bytes: u32,
        now: u64,
    ) -> bool {
        self.0.bypass(&Request { context: context(index), token, cost_ns, length_bytes }, now)
    }

    /// Context, token, cost, length; or nothing.
    fn next(&mut self, now: u64) -> Option<(u32, u64, u64, u32)> {
        match self.0.next(now) {
            Next::Submit(request) => {
                Some((request.context.index, request.token, request.cost_ns, request.length_bytes))
            }
            Next::WindowFull | Next::Idle => None,
        }
    }

    fn complete(&mut self, cost_ns: u64) {
        self.0.complete(cost_ns);
    }

    fn remove(&mut self, index: u32, token: u64, now: u64) -> bool {
        self.0.remove(context(index), token, now)
    }

    fn close(&mut self, index: u32) -> Vec<u64> {
        self.0.close(context(index))
    }

    fn wake_at(&self) -> Option<u64> {
        self.0.wake_at()
    }
}
