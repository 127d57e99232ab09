"""Hypothesis strategies for every PDU type, derived from the fields of its dataclass."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, Final, get_args

from hypothesis import strategies as st

from fairlead.proto.iscsi import pdu as iscsi
from fairlead.proto.iscsi.pdu import InitiatorPdu, Pdu, TargetPdu

PDU_TYPES: Final[tuple[type[Pdu], ...]] = (*get_args(InitiatorPdu), *get_args(TargetPdu))

# Width on the wire, in bits, of integers that are not 32 bits wide.
_WIDTHS: Final = {
    "attribute": 3,
    "cid": 16,
    "csg": 2,
    "event": 8,
    "function": 7,
    "nsg": 2,
    "parameter_1": 16,
    "parameter_2": 16,
    "parameter_3": 16,
    "reason": 7,
    "response": 8,
    "status": 8,
    "time2retain_s": 16,
    "time2wait_s": 16,
    "tsih": 16,
    "type_": 4,
    "vendor_code": 8,
    "version_active": 8,
    "version_max": 8,
    "version_min": 8,
}
_LENGTHS: Final = {"lun_field": (8, 8), "isid": (6, 6), "cdb": (16, 260), "data": (0, 70)}


def _values(field: Field[Any]) -> st.SearchStrategy[Any]:
    if field.type == "bool":
        return st.booleans()
    if field.type == "bytes":
        low, high = _LENGTHS[field.name]
        return st.binary(min_size=low, max_size=high)
    integers = st.integers(0, 2 ** _WIDTHS.get(field.name, 32) - 1)
    return st.none() | integers if field.type == "int | None" else integers


def pdus_of(kind: type[Pdu]) -> st.SearchStrategy[Pdu]:
    """Any PDU of one type."""
    return st.builds(kind, **{field.name: _values(field) for field in fields(kind)})


def pdus() -> st.SearchStrategy[Pdu]:
    """Any PDU of any type."""
    return st.sampled_from(PDU_TYPES).flatmap(pdus_of)


def type_named(name: str) -> type[Pdu]:
    """Return the PDU type of that name."""
    kind = getattr(iscsi, name)
    assert kind in PDU_TYPES
    return kind  # type: ignore[no-any-return]
