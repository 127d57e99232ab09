//! Plain data between Python and the engine.

use crate::devices::to_parameters;
use crate::item::item;
use crate::kernel::{kernel_record, to_kernel_options, to_mode};
use crate::passthrough::to_pass_through;
use crate::scheduler::PySettings;
use fairlead_engine::engine::{DriverChoice, LunMapping};
use fairlead_engine::kernel::Kernel;
use fairlead_engine::shared::{DeviceRecord, Event, Options, Page, SessionRecord};
use fairlead_engine::submitter::Discipline;
use fairlead_engine::volume::{Kind, Spec, Volume};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::{Access, Execution, Field, Row, ZeroLength};
use fairlead_sched::cost::{CostModel, Line};
use fairlead_sched::directory::{Entry, State};
use fairlead_sched::histogram::Reading;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A row of `fairlead.scsi.commands.data_plane_rows`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct RowDict {
    opcode: u8,
    service_action: Option<u8>,
    execution: String,
    lba_offset: Option<u8>,
    lba_bytes: u8,
    lba_mask: u64,
    length_offset: Option<u8>,
    length_bytes: u8,
    allocation_offset: Option<u8>,
    allocation_bytes: u8,
    zero_length: String,
    page_key: Option<Vec<u8>>,
    refused: Vec<u8>,
    has_fua: bool,
    writes_medium: bool,
    unit_attention_passes: bool,
    access: u8,
    harmless_offset: u8,
    harmless_mask: u8,
}

impl RowDict {
    pub(crate) fn into_row(self) -> PyResult<Row> {
        let unknown =
            |what: &str| PyValueError::new_err(format!("unknown {what} in a command row"));
        let field =
            |offset: Option<u8>, bytes, mask| offset.map(|offset| Field { offset, bytes, mask });
        Ok(Row {
            opcode: self.opcode,
            service_action: self.service_action,
            execution: Execution::from_name(&self.execution)
                .ok_or_else(|| unknown(&format!("execution {:?}", self.execution)))?,
            lba: field(self.lba_offset, self.lba_bytes, self.lba_mask),
            length: field(self.length_offset, self.length_bytes, u64::MAX),
            allocation: field(self.allocation_offset, self.allocation_bytes, u64::MAX),
            zero_length: match self.zero_length.as_str() {
                "none" => ZeroLength::Nothing,
                "256" => ZeroLength::Blocks256,
                "rest" => ZeroLength::ToTheEnd,
                other => return Err(unknown(&format!("zero_length {other:?}"))),
            },
            refused: self.refused,
            has_fua: self.has_fua,
            page_key: self.page_key.unwrap_or_default(),
            writes_medium: self.writes_medium,
            passes_unit_attention: self.unit_attention_passes,
            access: Access::from_number(self.access)
                .ok_or_else(|| unknown(&format!("access {}", self.access)))?,
            harmless: (self.harmless_offset, self.harmless_mask),
        })
    }
}

/// A `LunMapping`.
#[derive(FromPyObject)]
pub(crate) struct Mapping {
    lun: u16,
    logical_unit: u32,
    context: String,
    settings: PySettings,
    read_only: bool,
}

impl Mapping {
    pub(crate) fn into_mapping(self) -> PyResult<LunMapping> {
        let Self { lun, logical_unit, context, settings, read_only } = self;
        let settings = settings.into_settings()?;
        Ok(LunMapping { lun, logical_unit, context, settings, read_only })
    }
}

/// A `DeviceCost`.
#[derive(FromPyObject)]
struct CostDict {
    read: LineDict,
    write: LineDict,
}

/// A `LinearCost`.
#[derive(FromPyObject)]
struct LineDict {
    base_ns: u64,
    per_kib_ns: u64,
}

impl CostDict {
    fn into_costs(self) -> CostModel {
        let line = |line: LineDict| Line { base_ns: line.base_ns, per_kib_ns: line.per_kib_ns };
        CostModel { read: line(self.read), write: line(self.write) }
    }
}

pub(crate) fn driver_choice(name: &str) -> PyResult<DriverChoice> {
    Ok(match name {
        "auto" => DriverChoice::Auto,
        "io_uring" => DriverChoice::Uring,
        "threads" => DriverChoice::Threads,
        other => return Err(PyValueError::new_err(format!("unknown driver {other:?}"))),
    })
}

pub(crate) fn to_options(dict: &Bound<'_, PyDict>) -> PyResult<Options> {
    let ns = |name: &str| -> PyResult<u64> {
        let seconds: f64 = item(dict, name)?;
        Ok((seconds.max(0.0) * 1e9) as u64)
    };
    Ok(Options {
        nop_interval_ns: ns("nop_interval_s")?,
        nop_timeout_ns: ns("nop_timeout_s")?,
        stall_ns: ns("stall_s")?,
        queue_depth: item(dict, "queue_depth")?,
        memory_limit_bytes: item(dict, "memory_limit_bytes")?,
        discipline: match item::<String>(dict, "scheduler")?.as_str() {
            "fair" => Discipline::Fair,
            "fifo" => Discipline::Fifo,
            other => return Err(PyValueError::new_err(format!("unknown scheduler {other:?}"))),
        },
        costs: item::<HashMap<String, CostDict>>(dict, "costs")?
            .into_iter()
            .map(|(device, costs)| (device, costs.into_costs()))
            .collect(),
        kernel: to_kernel_options(&item(dict, "kernel")?)?,
    })
}

pub(crate) fn to_spec(dict: &Bound<'_, PyDict>) -> PyResult<Spec> {
    let kind: String = item(dict, "kind")?;
    Ok(Spec {
        name: item(dict, "name")?,
        kind: Kind::from_name(&kind)
            .ok_or_else(|| PyValueError::new_err(format!("unknown volume kind {kind:?}")))?,
        path: item(dict, "path")?,
        size_bytes: item(dict, "size_bytes")?,
        logical_block_bytes: item(dict, "logical_block_bytes")?,
        read_only: item(dict, "read_only")?,
        thin: item(dict, "thin")?,
        write_through: item(dict, "write_through")?,
        device: item(dict, "device")?,
        simulated: item::<Option<Bound<'_, PyDict>>>(dict, "simulated")?
            .map(|simulated| to_parameters(&simulated))
            .transpose()?,
        kernel_context: to_mode(&item::<String>(dict, "kernel_context")?)?,
        pass_through: match dict.get_item("pass_through")? {
            Some(settings) if !settings.is_none() => Some(to_pass_through(&settings.extract()?)?),
            _ => None,
        },
    })
}

/// Pages by key; a value of `(sense,)` is the sense of a refusal.
pub(crate) fn to_pages(dict: &Bound<'_, PyDict>) -> PyResult<HashMap<Box<[u8]>, Page>> {
    let mut pages: HashMap<Box<[u8]>, Page> = HashMap::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        let key: Vec<u8> = key.extract()?;
        let page = match value.cast::<PyBytes>() {
            Ok(bytes) => Ok(Arc::from(bytes.as_bytes())),
            Err(_) => {
                let (sense,): (Vec<u8>,) = value.extract()?;
                Err(sense_of(&sense).unwrap_or(Sense::INVALID_FIELD_IN_CDB))
            }
        };
        pages.insert(key.into_boxed_slice(), page);
    }
    Ok(pages)
}

pub(crate) fn sense_of(bytes: &[u8]) -> Option<Sense> {
    Sense::decode(bytes)
}

pub(crate) fn event<'py>(
    py: Python<'py>,
    event: Event,
    kernel: &Kernel,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match event {
        Event::SessionEnded { session, reason, peer } => {
            dict.set_item("kind", "session_ended")?;
            dict.set_item("session", session)?;
            dict.set_item("reason", reason)?;
            dict.set_item("peer", peer)?;
        }
        Event::ContextReleased(entry) => {
            dict.set_item("kind", "context_released")?;
            dict.set_item("context", context(py, &entry, "released", kernel)?)?;
        }
        Event::Upcall { id, session, logical_unit, lun, cdb, data } => {
            dict.set_item("kind", "upcall")?;
            dict.set_item("id", id)?;
            dict.set_item("session", session)?;
            dict.set_item("logical_unit", logical_unit)?;
            dict.set_item("lun", lun)?;
            dict.set_item("cdb", PyBytes::new(py, &cdb))?;
            dict.set_item("data", PyBytes::new(py, &data))?;
        }
        Event::NexusLost { session } => {
            dict.set_item("kind", "nexus_lost")?;
            dict.set_item("session", session)?;
        }
        Event::UnitReset { logical_unit } => {
            dict.set_item("kind", "unit_reset")?;
            dict.set_item("logical_unit", logical_unit)?;
        }
        Event::Text { id, session, data } => {
            dict.set_item("kind", "text")?;
            dict.set_item("id", id)?;
            dict.set_item("session", session)?;
            dict.set_item("data", PyBytes::new(py, &data))?;
        }
        Event::DeviceStalled { device, commands, clients, age_ns } => {
            dict.set_item("kind", "device_stalled")?;
            dict.set_item("device", device)?;
            dict.set_item("commands", commands)?;
            dict.set_item("clients", clients)?;
            dict.set_item("age_s", age_ns as f64 / 1e9)?;
        }
        Event::DeviceFailed { device, reason } => {
            dict.set_item("kind", "device_failed")?;
            dict.set_item("device", device)?;
            dict.set_item("reason", reason)?;
        }
        Event::DeviceResumed { device } => {
            dict.set_item("kind", "device_resumed")?;
            dict.set_item("device", device)?;
        }
        Event::KernelContextFailed { key, reason } => {
            dict.set_item("kind", "kernel_context_failed")?;
            dict.set_item("key", key.client)?;
            dict.set_item("device", key.device)?;
            dict.set_item("reason", reason)?;
        }
        Event::VolumeFault { volume, reason } => {
            dict.set_item("kind", "volume_fault")?;
            dict.set_item("volume", volume)?;
            dict.set_item("reason", reason)?;
        }
        Event::ProtocolNote { session, peer, reason } => {
            dict.set_item("kind", "protocol_note")?;
            dict.set_item("session", session)?;
            dict.set_item("peer", peer)?;
            dict.set_item("reason", reason)?;
        }
    }
    Ok(dict)
}

pub(crate) fn sessions<'py>(
    py: Python<'py>,
    records: &[Arc<SessionRecord>],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for record in records {
        let dict = PyDict::new(py);
        dict.set_item("session", record.id)?;
        dict.set_item("initiator_name", &record.initiator_name)?;
        dict.set_item("target_name", &record.target_name)?;
        dict.set_item("isid", PyBytes::new(py, &record.isid))?;
        dict.set_item("tsih", record.tsih)?;
        dict.set_item("peer", &record.peer)?;
        let state = if record.ending.load(Ordering::Relaxed) { "ending" } else { "active" };
        dict.set_item("state", state)?;
        dict.set_item("commands", record.commands.get())?;
        dict.set_item("bytes_read", record.bytes_read.get())?;
        dict.set_item("bytes_written", record.bytes_written.get())?;
        dict.set_item("in_flight", record.in_flight.get())?;
        list.append(dict)?;
    }
    Ok(list)
}

pub(crate) fn volumes<'py>(
    py: Python<'py>,
    volumes: &[Arc<Volume>],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for volume in volumes {
        let dict = PyDict::new(py);
        dict.set_item("volume", volume.id)?;
        dict.set_item("name", &volume.spec.name)?;
        dict.set_item("kind", volume.spec.kind.name())?;
        dict.set_item("path", volume.spec.path.as_deref())?;
        dict.set_item("size_bytes", volume.spec.size_bytes)?;
        dict.set_item("device", &volume.spec.device)?;
        dict.set_item("thin", volume.spec.thin)?;
        dict.set_item("may_block", volume.blocking.name())?;
        dict.set_item("fault", volume.fault())?;
        list.append(dict)?;
    }
    Ok(list)
}

pub(crate) fn devices<'py>(
    py: Python<'py>,
    records: &[Arc<DeviceRecord>],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for record in records {
        let dict = PyDict::new(py);
        dict.set_item("name", &record.name)?;
        dict.set_item("is_measured", record.costs.is_some())?;
        dict.set_item("write_factor", record.write_factor())?;
        list.append(dict)?;
    }
    Ok(list)
}

pub(crate) fn contexts<'py>(
    py: Python<'py>,
    entries: &[Entry],
    kernel: &Kernel,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for entry in entries {
        let state = match entry.state() {
            State::Active => "active",
            State::Closing => "closing",
        };
        list.append(context(py, entry, state, kernel)?)?;
    }
    Ok(list)
}

fn context<'py>(
    py: Python<'py>,
    entry: &Entry,
    state: &str,
    kernel: &Kernel,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let accounts = &entry.accounts;
    dict.set_item("index", entry.id.index)?;
    dict.set_item("generation", entry.id.generation)?;
    dict.set_item("key", &entry.key.client)?;
    dict.set_item("device", &entry.key.device)?;
    dict.set_item("state", state)?;
    dict.set_item("sessions", entry.attached)?;
    dict.set_item("commands_read", accounts.total(|shard| &shard.commands_read))?;
    dict.set_item("commands_write", accounts.total(|shard| &shard.commands_write))?;
    dict.set_item("commands_other", accounts.total(|shard| &shard.commands_other))?;
    dict.set_item("bytes_read", accounts.total(|shard| &shard.bytes_read))?;
    dict.set_item("bytes_written", accounts.total(|shard| &shard.bytes_written))?;
    dict.set_item("in_flight", accounts.total(|shard| &shard.in_flight))?;
    dict.set_item("submitted", accounts.total(|shard| &shard.submitted))?;
    dict.set_item("completed", accounts.total(|shard| &shard.completed))?;
    dict.set_item("cost_ns", accounts.total(|shard| &shard.cost_ns))?;
    dict.set_item("entered", accounts.total(|shard| &shard.entered))?;
    dict.set_item("left", accounts.total(|shard| &shard.left))?;
    dict.set_item("kernel", kernel_record(py, kernel, entry)?)?;
    dict.set_item("queue_time_us", latency(&accounts.reading(|shard| &shard.queue_time)))?;
    dict.set_item("service_time_us", latency(&accounts.reading(|shard| &shard.service_time)))?;
    dict.set_item("response_time_us", latency(&accounts.reading(|shard| &shard.response_time)))?;
    Ok(dict)
}

/// p50, p99 and mean in microseconds.
pub(crate) fn latency(reading: &Reading) -> (f64, f64, f64) {
    let us = |ns: u64| ns as f64 / 1e3;
    (us(reading.quantile_ns(500)), us(reading.quantile_ns(990)), us(reading.mean_ns()))
}
