//! Simulated devices: the tables of `fairlead.devices`, and the model by itself for the test that
//! holds it to its readable form.

use crate::item::item;
use fairlead_devices::disk::{DiskParameters, Rotation};
use fairlead_devices::ssd::{Buffer, Line, SsdParameters};
use fairlead_devices::{Device, Operation, Parameters, Request};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const MB: u64 = 1_000_000;

/// `DeviceParameters.plain()`.
pub(crate) fn to_parameters(dict: &Bound<'_, PyDict>) -> PyResult<Parameters> {
    match item::<String>(dict, "family")?.as_str() {
        "ssd" => ssd(dict).map(Parameters::Ssd),
        "disk" => disk(dict).map(Parameters::Disk),
        other => Err(PyValueError::new_err(format!("unknown family of devices {other:?}"))),
    }
}

fn ssd(dict: &Bound<'_, PyDict>) -> PyResult<SsdParameters> {
    let number = |name: &str| item::<u64>(dict, name);
    let base_ns = number("base_us")? * US;
    let line = |page_us: u64| Line { base_ns, page_ns: (page_us * US).saturating_sub(base_ns) };
    let buffer = if dict.contains("buffer")? {
        Some(Buffer {
            size_bytes: number("buffer")?,
            bytes_per_s: number("drain_mb_per_s")? * MB,
            collect_every_bytes: number("gc_every")?,
            collect_ns: number("gc_ms")? * MS,
            collect_channels: number("gc_channels")?,
        })
    } else {
        None
    };
    Ok(SsdParameters {
        channels: number("channels")?,
        read: line(number("read_us")?),
        write: line(number("write_us")?),
        flush_ns: number("flush_us")? * US,
        spread_percent: number("spread_percent")?,
        buffer,
    })
}

fn disk(dict: &Bound<'_, PyDict>) -> PyResult<DiskParameters> {
    let number = |name: &str| item::<u64>(dict, name);
    let rotation = match item::<String>(dict, "rotation")?.as_str() {
        "mean" => Rotation::Mean,
        "angular" => Rotation::Angular,
        other => return Err(PyValueError::new_err(format!("unknown rotation {other:?}"))),
    };
    Ok(DiskParameters {
        size_bytes: number("size")?,
        bytes_per_s: number("mb_per_s")? * MB,
        inner_percent: number("inner_percent")?,
        turn_ns: number("revolution_us")? * US,
        track_ns: number("track_us")? * US,
        average_ns: number("average_us")? * US,
        full_ns: number("full_us")? * US,
        overhead_ns: number("overhead_us")? * US,
        rotation,
        queue: item(dict, "queue")?,
        age_ns: number("age_ms")? * MS,
    })
}

/// `fairlead.devices.interface.SimulatedDevice`.
#[pyclass(module = "fairlead._dataplane")]
pub(crate) struct SimulatedDevice(Device);

#[pymethods]
impl SimulatedDevice {
    #[new]
    fn new(parameters: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(Self(Device::new(to_parameters(parameters)?)))
    }

    fn submit(
        &mut self,
        token: u64,
        operation: u8,
        offset_bytes: u64,
        length_bytes: u64,
        now_ns: u64,
    ) -> PyResult<()> {
        let operation = match operation {
            0 => Operation::Read,
            1 => Operation::Write,
            2 => Operation::Flush,
            other => return Err(PyValueError::new_err(format!("unknown operation {other}"))),
        };
        self.0.submit(Request { token, operation, offset_bytes, length_bytes }, now_ns);
        Ok(())
    }

    fn next_completion_ns(&self) -> Option<u64> {
        self.0.next_completion()
    }

    fn complete(&mut self) -> Option<u64> {
        self.0.complete()
    }
}
