"""Reads the byte vectors that Python's and Rust's tests share: tests/vectors/README says how."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors"
_COMMENT: Final = re.compile(r"#.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One case of a vector file.

    Attributes:
        pdu: the PDU type's name; empty where the file has none.
        name: what the case shows.
        bytes: the bytes on the wire.
        fields: the decoded fields; bytes are bytes here, hex in the file.
        extra: every other key of the case.
    """

    pdu: str
    name: str
    bytes: bytes
    fields: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, bool]:
        """Which digests the bytes have, as keyword arguments."""
        return {name: self.extra.get(name, False) for name in ("header_digest", "data_digest")}

    @property
    def is_canonical(self) -> bool:
        """Whether an encoder has to produce exactly these bytes."""
        return bool(self.extra.get("canonical", True))


def vector_names(family: str) -> list[str]:
    """Name every vector file of a family, as ``vectors`` takes them."""
    return [f"{family}/{path.stem}" for path in sorted((_VECTORS / family).glob("*.toml"))]


def vectors(name: str) -> list[Vector]:
    """Read one file, as in ``vectors("iscsi/login_request")``."""
    document = tomllib.loads((_VECTORS / f"{name}.toml").read_text())
    return [_vector(document.get("pdu", ""), case) for case in document["case"]]


def _vector(pdu: str, case: dict[str, Any]) -> Vector:
    named = {"name", "bytes", "fields"}
    return Vector(
        pdu=pdu,
        name=case["name"],
        bytes=bytes.fromhex(_COMMENT.sub("", case.get("bytes", ""))),
        fields={key: _value(value) for key, value in case.get("fields", {}).items()},
        extra={key: value for key, value in case.items() if key not in named},
    )


def _value(value: str | int) -> bytes | int:
    return bytes.fromhex(value) if isinstance(value, str) else value
