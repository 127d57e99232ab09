"""The Python and the Rust codec read the same fields from the same bytes.

PDUs that the Python codec encodes, and headers of random bits, go to the example program
``describe_pdu`` of the crate ``fairlead-proto``, which prints what the Rust codec sees.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.proto.iscsi.bhs import BHS_BYTES, Bhs
from fairlead.proto.iscsi.framing import InitiatorPdu, Pdu, TargetPdu, decode_pdu, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
TYPES: Final[tuple[type[Pdu], ...]] = get_args(InitiatorPdu) + get_args(TargetPdu)

# Widths in bits of the fields that are not 32 bits wide.
WIDTHS: Final = {
    "attribute": 3,
    "cid": 16,
    "csg": 2,
    "event": 8,
    "function": 7,
    "nsg": 2,
    "parameter_1": 16,
    "parameter_2": 16,
    "parameter_3": 16,
    "reason": 8,
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
    ("LoginResponse", "status"): 16,
    ("LogoutRequest", "reason"): 7,
}
BYTES: Final = {
    "cdb": st.binary(min_size=16, max_size=40),
    "data": st.binary(max_size=70),
    "isid": st.binary(min_size=6, max_size=6),
    "lun_field": st.binary(min_size=8, max_size=8),
}


@pytest.fixture(scope="session")
def describe_pdu() -> Path:
    """The example program, built."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    command = [cargo, "build", "--locked", "-p", "fairlead-proto", "--example", "describe_pdu"]
    command.append("--message-format=json")
    built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return Path(next(m["executable"] for m in messages if m.get("executable")))


def field_values(pdu: type[Pdu], field: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    if field.name in BYTES:
        return BYTES[field.name]
    if field.type == "bool":
        return st.booleans()
    bits = WIDTHS.get((pdu.__name__, field.name), WIDTHS.get(field.name, 32))
    return st.integers(0, (1 << bits) - 1)


def pdus_of(pdu: type[Pdu]) -> st.SearchStrategy[Pdu]:
    fields = [f for f in dataclasses.fields(pdu) if f.name != "bidirectional_read_bytes"]
    return st.builds(pdu, **{field.name: field_values(pdu, field) for field in fields})


def as_text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(int(value))
        case bytes():
            return value.hex()
        case _:
            raise TypeError(f"no field is {value!r}")


def expected(pdu: Pdu) -> dict[str, str]:
    """What ``describe_pdu`` should print; it leaves out what an AHS carries."""
    values = {f.name: getattr(pdu, f.name) for f in dataclasses.fields(pdu)}
    values.pop("bidirectional_read_bytes", None)
    if "cdb" in values:
        values["cdb"] = values["cdb"][:16]
    return {"pdu": type(pdu).__name__} | {name: as_text(v) for name, v in values.items()}


def described(program: Path, lines: Sequence[str]) -> list[dict[str, str]]:
    output = subprocess.run(
        [program], input="\n".join(lines), text=True, check=True, capture_output=True, timeout=60
    ).stdout
    return [dict(pair.split("=", 1) for pair in line.split()) for line in output.splitlines()]


@given(
    pdus=st.lists(st.one_of([pdus_of(pdu) for pdu in TYPES]), min_size=1, max_size=30),
    header_digest=st.booleans(),
    data_digest=st.booleans(),
)
def test_encoded_pdus_are_read_alike(
    describe_pdu: Path, pdus: list[Pdu], header_digest: bool, data_digest: bool
) -> None:
    digests = "H" * header_digest + "D" * data_digest
    wire = [frame(pdu, header_digest=header_digest, data_digest=data_digest) for pdu in pdus]
    seen = described(describe_pdu, [f"{digests} {data.hex()}" for data in wire])
    assert seen == [expected(pdu) for pdu in pdus]


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.binary(min_size=BHS_BYTES, max_size=BHS_BYTES)),
        min_size=1,
        max_size=30,
    )
)
def test_headers_of_random_bits_are_read_alike(
    describe_pdu: Path, drawn: list[tuple[type[Pdu], bytes]]
) -> None:
    """Reserved bits are set too: both codecs ignore them."""
    headers = [
        # No AHS and no data.
        bytes((bits[0] & 0xC0 | pdu.OPCODE,)) + bits[1:4] + bytes(4) + bits[8:]
        for pdu, bits in drawn
    ]
    seen = described(describe_pdu, [header.hex() for header in headers])
    assert seen == [expected(decode_pdu(Bhs.decode(header), b"")) for header in headers]


def test_every_type_has_a_table(describe_pdu: Path) -> None:
    headers = [bytes((pdu.OPCODE,)) + bytes(47) for pdu in TYPES]
    names = [seen["pdu"] for seen in described(describe_pdu, [header.hex() for header in headers])]
    assert names == [pdu.__name__ for pdu in TYPES]
