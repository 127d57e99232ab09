//! Devices that carry commands out themselves, from Python.

use crate::item::item;
use fairlead_engine::passthrough::{
    Failure, Rule, Rules, Settings, Single, Treatment, Whereabouts,
};
use fairlead_engine::volume::Kind;
use fairlead_proto::scsi::table::Access;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::Mutex;
use std::time::Duration;

/// A `PassThroughSpec` as a dictionary.
pub(crate) fn to_pass_through(dict: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut rules = Rules::default();
    for rule in item::<Vec<Bound<'_, PyDict>>>(dict, "rules")? {
        let treatment: String = item(&rule, "treatment")?;
        let found = Treatment::from_name(&treatment);
        let unknown = || PyValueError::new_err(format!("unknown treatment {treatment:?}"));
        let what = Rule {
            treatment: found.ok_or_else(unknown)?,
            is_harmless: item(&rule, "is_harmless")?,
            attention: item(&rule, "attention")?,
            access: item::<Option<u8>>(&rule, "access")?.and_then(Access::from_number),
        };
        rules.add(item(&rule, "opcode")?, item(&rule, "service_action")?, what);
    }
    Ok(Settings {
        rules,
        timeout_ns: item(dict, "timeout_ns")?,
        transfer_bytes_max: item(dict, "transfer_bytes_max")?,
        commands_max: item(dict, "commands_max")?,
        initiator_name: item(dict, "initiator_name")?,
    })
}

/// A device that is asked what it is; see `fairlead.dataplane`.
#[pyclass(frozen, name = "PassThroughLink", module = "fairlead._dataplane")]
pub(crate) struct PassThroughLink {
    single: Mutex<Single>,
    interface: &'static str,
}

fn name_of(failure: Failure) -> &'static str {
    match failure {
        Failure::Gone => "gone",
        Failure::TimedOut => "timed out",
        Failure::Aborted => "aborted",
        Failure::Busy => "busy",
        Failure::Unsendable => "not sendable",
        Failure::Reset => "reset",
        Failure::Broken => "broken",
    }
}

fn to_py_err(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(errno) => PyOSError::new_err((errno, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

#[pymethods]
impl PassThroughLink {
    #[new]
    fn new(py: Python<'_>, kind: &str, path: String, initiator_name: String) -> PyResult<Self> {
        let unknown = || PyValueError::new_err(format!("unknown volume kind {kind:?}"));
        let kind = Kind::from_name(kind).ok_or_else(unknown)?;
        let interface = match kind {
            Kind::Sg => "sg v3: write, poll, read",
            _ => "libiscsi",
        };
        let at = Whereabouts { kind, path, initiator_name };
        let single = py.detach(|| Single::open(&at)).map_err(to_py_err)?;
        Ok(Self { single: Mutex::new(single), interface })
    }

    fn execute<'py>(
        &self,
        py: Python<'py>,
        cdb: Vec<u8>,
        data_in_bytes: usize,
        timeout_s: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::MAX);
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut data = vec![0; data_in_bytes];
        let (outcome, trouble) = py.detach(|| {
            let mut single = self.single.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let outcome = single.execute(&cdb, &mut data, timeout_ns);
            if outcome.is_err() {
                // The device may still write to it.
                std::mem::forget(std::mem::take(&mut data));
            }
            (outcome, single.trouble().map(String::from))
        });
        let outcome = outcome.map_err(to_py_err)?;
        let words = |failure| trouble.unwrap_or_else(|| String::from(name_of(failure)));
        let moved = data.get(..outcome.transferred_bytes as usize).unwrap_or(&data);
        let dict = PyDict::new(py);
        dict.set_item("status", outcome.status)?;
        dict.set_item("sense", PyBytes::new(py, outcome.sense()))?;
        dict.set_item("data", PyBytes::new(py, moved))?;
        dict.set_item("failure", outcome.failure.map(words))?;
        Ok(dict)
    }

    fn about<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("interface", self.interface)?;
        Ok(dict)
    }
}
