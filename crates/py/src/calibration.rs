//! Measuring a device, from Python.

use crate::convert::{driver_choice, latency, to_spec};
use fairlead_engine::calibration::{Calibration, CalibrationError, Load};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::time::Duration;

fn to_py_err(error: CalibrationError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// A volume that is measured; see `fairlead.dataplane.calibration`.
#[pyclass(frozen, name = "Calibration", module = "fairlead._dataplane")]
pub(crate) struct PyCalibration(Calibration);

#[pymethods]
impl PyCalibration {
    #[new]
    fn new(py: Python<'_>, spec: &Bound<'_, PyDict>, driver: &str) -> PyResult<Self> {
        let (spec, choice) = (to_spec(spec)?, driver_choice(driver)?);
        py.detach(|| Calibration::open(spec, choice)).map(Self).map_err(to_py_err)
    }

    #[getter]
    fn driver(&self) -> &'static str {
        self.0.driver()
    }

    #[getter]
    fn depth_max(&self) -> usize {
        self.0.depth_max()
    }

    #[pyo3(signature = (*, writes, is_sequential, length_bytes, depth, seconds))]
    fn measure<'py>(
        &self,
        py: Python<'py>,
        writes: bool,
        is_sequential: bool,
        length_bytes: usize,
        depth: usize,
        seconds: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let load = Load { writes, is_sequential, length_bytes, depth };
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let mut signal = None;
        let outcome = py.detach(|| {
            let mut go_on = || {
                signal = Python::attach(|py| py.check_signals()).err();
                signal.is_none()
            };
            self.0.measure(load, time, &mut go_on)
        });
        if let Some(signal) = signal {
            return Err(signal);
        }
        let sample = outcome.map_err(to_py_err)?;
        let dict = PyDict::new(py);
        dict.set_item("requests", sample.requests)?;
        dict.set_item("elapsed_ns", sample.elapsed_ns)?;
        dict.set_item("latency_us", latency(&sample.latency))?;
        Ok(dict)
    }
}
