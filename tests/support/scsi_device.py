"""SCSI devices for tests of pass-through: they answer what is asked before serving."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairlead.dataplane.pass_through import LinkAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.dataplane.pass_through import LinkKind

UNIT_ATTENTION = bytes((0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0))
NOT_READY = bytes((0x72, 2, 0x3A, 0, 0, 0, 0, 0))
NOT_SUPPORTED = bytes((0x72, 5, 0x25, 0, 0, 0, 0, 0))
NAA = bytes.fromhex("5000c500a1b2c3d4")


def designators() -> bytes:
    """Page 83h with one NAA."""
    return bytes((1, 3, 0, len(NAA))) + NAA


@dataclass
class FakeScsiDevice:
    """A disk of 2 GiB by default. Also an `OpenLink` that opens itself.

    Attributes:
        peripheral: byte 0 of its INQUIRY data.
        version: byte 2.
        pages: VPD pages without header, by code; page 00h lists them.
        blocks: None: no medium.
        attentions: unit attentions that come first.
        trouble: raised when it is opened.
        failure: why it does not answer.
        inquiry: what it ends INQUIRY with, where that is not GOOD.
        link: what `about` says.
        opened: what it was opened with.
        asked: CDBs.
    """

    peripheral: int = 0
    version: int = 6
    pages: dict[int, bytes] = field(
        default_factory=lambda: {0x80: b" SN1 ", 0x83: designators(), 0xB0: bytes(60)}
    )
    blocks: int | None = 1 << 22
    block_bytes: int = 512
    attentions: int = 0
    trouble: OSError | None = None
    failure: str | None = None
    inquiry: LinkAnswer | None = None
    link: dict[str, str] = field(default_factory=lambda: {"interface": "made up"})
    opened: list[tuple[str, str]] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)

    def __call__(self, kind: LinkKind, path: str, initiator_name: str) -> FakeScsiDevice:
        """Open it."""
        assert initiator_name
        self.opened.append((kind, path))
        if self.trouble is not None:
            raise self.trouble
        return self

    def about(self) -> Mapping[str, str]:
        """Say what it goes by."""
        return self.link

    def execute(self, cdb: bytes, *, data_in_bytes: int, timeout_s: float) -> LinkAnswer:
        """Answer as a device would."""
        assert timeout_s > 0
        self.asked.append(cdb)
        if self.failure is not None:
            return LinkAnswer(status=0, failure=self.failure)
        if self.attentions and cdb[0] != 0x12:
            self.attentions -= 1
            return LinkAnswer(status=2, sense=UNIT_ATTENTION)
        data = self._data(cdb)
        if isinstance(data, LinkAnswer):
            return data
        return LinkAnswer(status=0, data=data[:data_in_bytes])

    def _data(self, cdb: bytes) -> bytes | LinkAnswer:
        if cdb[0] == 0x12 and not cdb[1]:
            names = b"ACME    " + b"Disk of 2 GiB   " + b"1.0 "
            head = bytes((self.peripheral, 0, self.version, 2, 31, 0, 0, 2))
            return self.inquiry or head + names
        if cdb[0] == 0x12:
            body = bytes(sorted((0, *self.pages))) if not cdb[2] else self.pages[cdb[2]]
            return bytes((self.peripheral, cdb[2])) + len(body).to_bytes(2) + body
        if self.blocks is None:
            return LinkAnswer(status=2, sense=NOT_READY)
        last = self.blocks - 1
        if cdb[0] == 0x25:
            return struct.pack(">II", min(last, 0xFFFFFFFF), self.block_bytes)
        return struct.pack(">QI", last, self.block_bytes) + bytes(20)
