//! Reservations as plain data.

use fairlead_engine::message::Whom;
use fairlead_engine::reservation::Rule;
use fairlead_proto::scsi::table::Access;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// An `AccessRule`.
#[derive(FromPyObject)]
pub(crate) struct RuleDict {
    permits: u8,
    nexuses: Vec<u16>,
    ends_with_session: bool,
}

impl RuleDict {
    pub(crate) fn into_rule(self) -> PyResult<Rule> {
        let Self { permits, nexuses, ends_with_session } = self;
        let permits = Access::from_number(permits)
            .ok_or_else(|| PyValueError::new_err(format!("unknown access {permits}")))?;
        Ok(Rule { permits, nexuses, ends_with_session })
    }
}

/// These sessions, or all but one.
pub(crate) fn to_whom(sessions: Option<Vec<u64>>, except_session: u64) -> Whom {
    sessions.map_or(Whom::AllBut(except_session), |sessions| Whom::These(sessions.into()))
}
