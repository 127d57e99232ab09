//! What a dictionary holds under a name.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// That, or an error with the name.
pub(crate) fn item<'py, T: FromPyObjectOwned<'py>>(
    dict: &Bound<'py, PyDict>,
    name: &str,
) -> PyResult<T> {
    let value =
        dict.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("{name} is missing")))?;
    value.extract().map_err(Into::into)
}
