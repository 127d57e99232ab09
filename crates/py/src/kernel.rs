//! The kernel's own contexts, for Python.

use crate::item::item;
use fairlead_engine::kernel::{self, Kernel, KernelOptions, Mode};
use fairlead_sched::directory::Entry;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

pub(crate) fn to_mode(name: &str) -> PyResult<Mode> {
    Mode::from_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("unknown kernel context {name:?}")))
}

pub(crate) fn to_kernel_options(dict: &Bound<'_, PyDict>) -> PyResult<KernelOptions> {
    let is_polled: bool = item(dict, "is_polled")?;
    let poll_ms: u32 = item(dict, "poll_ms")?;
    Ok(KernelOptions {
        rings_max: item(dict, "rings_max")?,
        keepers_max: item(dict, "keepers_max")?,
        polled_ms: is_polled.then_some(poll_ms),
        cgroup: item(dict, "cgroup")?,
    })
}

/// What the kernel has of a context, as `fairlead.dataplane.kernel_record` reads it; `None` where it
/// has nothing and never had. Whether that means anything is up to the device's mode: requests are
/// steered by others than rings, too.
pub(crate) fn kernel_record<'py>(
    py: Python<'py>,
    kernel: &Kernel,
    entry: &Entry,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let steered = entry.accounts.total(|shard| &shard.steered);
    let record = match kernel.record(entry.id) {
        None if steered == 0 => return Ok(None),
        record => record.unwrap_or_default(),
    };
    let dict = PyDict::new(py);
    dict.set_item("steered", steered)?;
    dict.set_item("rings", record.rings.load(Ordering::Relaxed))?;
    dict.set_item("keeper", record.keeper)?;
    dict.set_item("is_kept", record.keeper.iter().chain(&record.polling).copied().any(is_running))?;
    dict.set_item("is_ending", record.is_ending)?;
    dict.set_item("reason", record.reason)?;
    Ok(Some(dict))
}

/// Whether a thread of this process is there.
fn is_running(thread: i32) -> bool {
    // What cannot be seen may be there.
    Path::new(&format!("/proc/self/task/{thread}")).try_exists().unwrap_or(true)
}

/// What works here: each `None`, or the kernel's reason.
#[pyfunction]
#[pyo3(signature = (cgroup, *, is_polled))]
pub(crate) fn probe_kernel_context(
    py: Python<'_>,
    cgroup: Option<PathBuf>,
    is_polled: bool,
) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(|| kernel::probe(cgroup.as_deref(), is_polled));
    let found = found.map_err(|error| PyOSError::new_err(error.to_string()))?;
    let dict = PyDict::new(py);
    for (name, tried) in found.tried() {
        dict.set_item(name, tried.as_ref().err().map(ToString::to_string))?;
    }
    Ok(dict)
}
