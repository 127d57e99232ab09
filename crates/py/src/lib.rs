//! The Python face of the data plane: converts, releases the interpreter, calls, maps errors.
//!
//! No decisions are taken here, and no Python object is kept.

mod calibration;
mod convert;
mod devices;
mod item;
mod kernel;
mod lifecycle;
mod passthrough;
mod reservation;
mod scheduler;

use calibration::PyCalibration;
use convert::{
    Mapping, RowDict, contexts, driver_choice, event, sense_of, to_options, to_pages, to_spec,
};
use devices::SimulatedDevice;
use fairlead_engine::engine::{Engine, EngineError, Login, Placement};
use fairlead_engine::shared::Tables;
use fairlead_proto::iscsi::parameters::Parameters;
use fairlead_proto::scsi::table::CommandTable;
use fairlead_sched::ContextId;
use lifecycle::{ContextAccounts, ContextArena, ContextDirectory};
use passthrough::PassThroughLink;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use reservation::{RuleDict, to_whom};
use scheduler::{FairScheduler, PySettings};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

fn to_py_err(error: EngineError) -> PyErr {
    match error {
        EngineError::Start(error) => PyOSError::new_err(error.to_string()),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

/// The running data plane. Every method may be called from any Python thread.
#[pyclass(frozen, module = "fairlead._dataplane")]
struct DataPlane(Engine);

#[pymethods]
impl DataPlane {
    #[new]
    #[pyo3(signature = (*, driver, submitters, pool, commands, pages_without_unit, options))]
    fn new(
        py: Python<'_>,
        driver: &str,
        submitters: usize,
        pool: &str,
        commands: Vec<RowDict>,
        pages_without_unit: &Bound<'_, PyDict>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let choice = driver_choice(driver)?;
        let placement = match pool {
            "shared" => Placement::Shared,
            "per_device" => Placement::PerDevice,
            "per_context" => Placement::PerContext,
            other => return Err(PyValueError::new_err(format!("unknown pool {other:?}"))),
        };
        let rows = commands.into_iter().map(RowDict::into_row).collect::<PyResult<Vec<_>>>()?;
        let options = to_options(options)?;
        let pages_without_unit = to_pages(pages_without_unit)?;
        let tables = Tables { commands: CommandTable::new(rows), pages_without_unit };
        py.detach(|| Engine::start(choice, submitters, placement, tables, options))
            .map(Self)
            .map_err(to_py_err)
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.0.event_descriptor()
    }

    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = self.0.report();
        let dict = PyDict::new(py);
        dict.set_item("driver", report.driver)?;
        dict.set_item("driver_reason", report.driver_reason.clone())?;
        dict.set_item("submitters", report.submitters)?;
        dict.set_item("defer_taskrun", report.defer_taskrun)?;
        Ok(dict)
    }

    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for happened in self.0.take_events() {
            list.append(event(py, happened, self.0.kernel())?)?;
        }
        Ok(list)
    }

    fn add_volume<'py>(&self, py: Python<'py>, spec: &Bound<'py, PyDict>) -> PyResult<u32> {
        let spec = to_spec(spec)?;
        Ok(py.detach(|| self.0.add_volume(spec)).map_err(to_py_err)?.id)
    }

    fn remove_volume(&self, volume: u32) -> PyResult<()> {
        self.0.remove_volume(volume).map_err(to_py_err)
    }

    fn clear_fault(&self, volume: u32) -> PyResult<()> {
        self.0.clear_fault(volume).map_err(to_py_err)
    }

    fn add_logical_unit(&self, volume: u32, pages: &Bound<'_, PyDict>) -> PyResult<u32> {
        self.0.add_logical_unit(volume, to_pages(pages)?).map_err(to_py_err)
    }

    fn set_pages(&self, logical_unit: u32, pages: &Bound<'_, PyDict>) -> PyResult<()> {
        self.0.set_pages(logical_unit, to_pages(pages)?).map_err(to_py_err)
    }

    fn set_access_rule(&self, logical_unit: u32, rule: RuleDict) -> PyResult<()> {
        self.0.set_access_rule(logical_unit, rule.into_rule()?).map_err(to_py_err)
    }

    fn raise_attention(
        &self,
        logical_unit: u32,
        asc: u16,
        sessions: Option<Vec<u64>>,
        except_session: u64,
    ) -> PyResult<()> {
        let whom = to_whom(sessions, except_session);
        self.0.raise_attention(logical_unit, &whom, asc).map_err(to_py_err)
    }

    fn answer_settled(&self, upcall: u64, logical_unit: u32, aborted: Vec<u64>) -> PyResult<()> {
        self.0.answer_settled(upcall, logical_unit, aborted.into()).map_err(to_py_err)
    }

    fn adopt_iscsi(
        &self,
        py: Python<'_>,
        fd: i32,
        session: SessionDict,
        luns: Vec<Mapping>,
    ) -> PyResult<u64> {
        // SAFETY: by contract `fd` is the result of `socket.detach()`: it has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let login = session.into_login();
        let luns = luns.into_iter().map(Mapping::into_mapping).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.0.adopt(socket, login, &luns)).map_err(to_py_err)
    }

    fn set_context(&self, index: u32, generation: u32, settings: PySettings) -> PyResult<()> {
        let id = ContextId { index, generation };
        self.0.set_context(id, settings.into_settings()?).map_err(to_py_err)
    }

    fn end_session(&self, session: u64) {
        self.0.end_session(session);
    }

    #[pyo3(signature = (id, *, status, sense, data, peer_max_recv=None))]
    fn answer(&self, id: u64, status: u8, sense: &[u8], data: Vec<u8>, peer_max_recv: Option<u32>) {
        self.0.answer(id, status, sense_of(sense), data, peer_max_recv);
    }

    fn sessions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        convert::sessions(py, &self.0.sessions())
    }

    fn contexts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        contexts(py, &self.0.contexts(), self.0.kernel())
    }

    fn volumes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        convert::volumes(py, &self.0.volumes())
    }

    fn devices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        convert::devices(py, &self.0.devices())
    }

    fn set_elevator_sees(&self, device: &str, sees: bool) {
        self.0.set_elevator_sees(device, sees);
    }

    fn stop(&self, py: Python<'_>, drain_s: f64) -> bool {
        let patience = Duration::try_from_secs_f64(drain_s).unwrap_or(Duration::MAX);
        py.detach(|| self.0.stop(patience))
    }
}

/// What `adopt_iscsi` takes: the fields of `SessionParameters` and what goes with them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct SessionDict {
    initiator_name: String,
    target_name: String,
    isid: [u8; 6],
    tsih: u16,
    exp_cmd_sn: u32,
    stat_sn: u32,
    max_recv_data_segment_bytes: u32,
    peer_max_recv_data_segment_bytes: u32,
    max_burst_bytes: u32,
    first_burst_bytes: u32,
    initial_r2t: bool,
    immediate_data: bool,
    max_outstanding_r2t: u16,
    header_digest: bool,
    data_digest: bool,
    queue_depth: u16,
    peer: String,
    report_luns: Vec<u8>,
    unread: Vec<u8>,
}

impl SessionDict {
    fn into_login(self) -> Login {
        Login {
            initiator_name: self.initiator_name,
            target_name: self.target_name,
            isid: self.isid,
            peer: self.peer,
            parameters: Parameters {
                tsih: self.tsih,
                exp_cmd_sn: self.exp_cmd_sn,
                stat_sn: self.stat_sn,
                max_recv_data_segment_bytes: self.max_recv_data_segment_bytes,
                peer_max_recv_data_segment_bytes: self.peer_max_recv_data_segment_bytes,
                max_burst_bytes: self.max_burst_bytes,
                first_burst_bytes: self.first_burst_bytes,
                initial_r2t: self.initial_r2t,
                immediate_data: self.immediate_data,
                max_outstanding_r2t: self.max_outstanding_r2t,
                header_digest: self.header_digest,
                data_digest: self.data_digest,
                queue_depth: self.queue_depth,
            },
            report_luns: self.report_luns,
            unread: self.unread,
        }
    }
}

#[pymodule(gil_used = false)]
fn _dataplane(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<DataPlane>()?;
    module.add_class::<PassThroughLink>()?;
    module.add_class::<PyCalibration>()?;
    module.add_class::<FairScheduler>()?;
    module.add_class::<ContextAccounts>()?;
    module.add_class::<ContextDirectory>()?;
    module.add_class::<ContextArena>()?;
    module.add_function(wrap_pyfunction!(kernel::probe_kernel_context, module)?)?;
    module.add_class::<SimulatedDevice>()
}
