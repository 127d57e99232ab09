"""A small target in memory that keeps the rules, for tests of the initiator and its clients.

It knows TEST UNIT READY, READ (10) and WRITE (10) on one RAM disk, ABORT TASK of a write whose data
is due, NOP, Text and Logout, and agrees to every key it is offered. It is no reference for
anything: whatever is interesting about a target is tested against fairlead itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.proto.iscsi.pdu import (
    RESERVED_TAG,
    DataIn,
    DataOut,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Pdu,
    PduReader,
    R2t,
    ScsiCommand,
    ScsiResponse,
    TargetPdu,
    TaskManagementRequest,
    TaskManagementResponse,
    TextRequest,
    TextResponse,
    encode_sense_segment,
    frame,
)
from fairlead.testing.negotiated import Parameters, decode_keys, encode_keys

BLOCK_BYTES: Final = 512
OUT_OF_RANGE: Final = bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00 00 00")

_WINDOW: Final = 8


@dataclass(slots=True)
class _Write:
    """A write whose data is still coming."""

    command: ScsiCommand
    data: bytearray
    asked_bytes: int  # how far immediate, unsolicited and solicited data reach
    r2t_sn: int = 0
    open_r2ts: dict[int, int] = field(default_factory=dict)  # transfer tag to bytes to come


class RamTarget:
    """One connection of the target, without a network.

    Args:
        blocks: size of the disk in blocks of 512 bytes.
        max_recv_data_segment_bytes: what it declares.
    """

    def __init__(self, *, blocks: int = 256, max_recv_data_segment_bytes: int = 8192) -> None:
        self.disk = bytearray(blocks * BLOCK_BYTES)
        self.closed = False
        self.commands: list[ScsiCommand] = []
        self._declared_bytes = max_recv_data_segment_bytes
        self._reader = PduReader(max_recv_data_segment_bytes)
        self._outbox = bytearray()
        self._parameters: Parameters | None = None
        self._stat_sn = 0xFFFF_FFF0  # goes round soon
        self._exp_cmd_sn = 0
        self._writes: dict[int, _Write] = {}
        self._next_transfer_tag = 1

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the initiator and do what they ask for; nothing after a Logout."""
        self._reader.receive_data(data)
        while not self.closed and (pdu := self._reader.next_pdu()) is not None:
            self._receive(pdu)

    def data_to_send(self) -> bytes:
        """Return the bytes to send."""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    def _receive(self, pdu: Pdu) -> None:
        if isinstance(pdu, LoginRequest):
            self._exp_cmd_sn = pdu.cmd_sn
        elif not getattr(pdu, "immediate", True):
            assert getattr(pdu, "cmd_sn", None) == self._exp_cmd_sn
            self._exp_cmd_sn = (self._exp_cmd_sn + 1) % (1 << 32)
        match pdu:
            case LoginRequest():
                self._log_in(pdu)
            case ScsiCommand():
                self.commands.append(pdu)
                self._execute(pdu)
            case DataOut():
                self._take_data(pdu)
            case NopOut(initiator_task_tag=tag) if tag != RESERVED_TAG:
                self._say(NopIn, initiator_task_tag=tag, data=pdu.data)
            case TextRequest():
                self._say(
                    TextResponse,
                    final=True,
                    initiator_task_tag=pdu.initiator_task_tag,
                    data=encode_keys(dict.fromkeys(decode_keys(pdu.data), "NotUnderstood")),
                )
            case TaskManagementRequest():
                ended = self._writes.pop(pdu.referenced_task_tag, None)
                self._say(
                    TaskManagementResponse,
                    response=0 if ended else 1,
                    initiator_task_tag=pdu.initiator_task_tag,
                )
            case LogoutRequest():
                self._say(LogoutResponse, response=0, initiator_task_tag=pdu.initiator_task_tag)
                self.closed = True

    def _log_in(self, request: LoginRequest) -> None:
        keys = decode_keys(request.data)
        answers = {name: value.split(",")[0] for name, value in keys.items()}
        for name in ("InitiatorName", "TargetName", "SessionType"):
            answers.pop(name, None)
        if request.csg == 0:
            answers |= {"TargetPortalGroupTag": "1"}
        else:
            answers |= {"MaxRecvDataSegmentLength": str(self._declared_bytes)}
        self._say(
            LoginResponse,
            transit=True,
            csg=request.csg,
            nsg=request.nsg,
            isid=request.isid,
            tsih=1 if request.nsg == 3 else 0,
            initiator_task_tag=request.initiator_task_tag,
            data=encode_keys(answers),
        )
        if request.nsg == 3:
            # Seen from here, the initiator is the other side.
            declared = {"MaxRecvDataSegmentLength": keys["MaxRecvDataSegmentLength"]}
            self._parameters = Parameters.from_keys(answers, answers | declared)
            self._reader.header_digest = self._parameters.header_digest
            self._reader.data_digest = self._parameters.data_digest

    @property
    def _agreed(self) -> Parameters:
        assert self._parameters is not None
        return self._parameters

    def _execute(self, command: ScsiCommand) -> None:
        lba = int.from_bytes(command.cdb[2:6])
        end = (lba + int.from_bytes(command.cdb[7:9])) * BLOCK_BYTES
        opcode = command.cdb[0]
        if opcode and end > len(self.disk):
            self._end(command, status=2, sense=OUT_OF_RANGE)
        elif opcode == 0x28:
            self._read(command, bytes(self.disk[lba * BLOCK_BYTES : end]))
        elif opcode == 0x2A:
            unsolicited = len(command.data)
            if not command.final:
                unsolicited = min(command.expected_data_bytes, self._agreed.first_burst_bytes)
            write = _Write(command, bytearray(command.data), unsolicited)
            self._writes[command.initiator_task_tag] = write
            self._go_on(write)
        else:
            self._end(command)

    def _read(self, command: ScsiCommand, data: bytes) -> None:
        """Send Data-In in bursts; the status goes along with the last of them."""
        data = data[: command.expected_data_bytes]
        short_bytes = command.expected_data_bytes - len(data)
        burst, sent, data_sn = 0, 0, 0
        while sent < len(data):
            step = min(
                self._agreed.target_max_recv_data_segment_bytes,
                self._agreed.max_burst_bytes - burst,
                len(data) - sent,
            )
            is_last = sent + step == len(data)
            burst = (burst + step) % self._agreed.max_burst_bytes
            self._say(
                DataIn,
                final=is_last or burst == 0,
                has_status=is_last,
                underflow=is_last and short_bytes > 0,
                residual_bytes=short_bytes if is_last else 0,
                initiator_task_tag=command.initiator_task_tag,
                data_sn=data_sn,
                buffer_offset_bytes=sent,
                data=data[sent : sent + step],
            )
            sent, data_sn = sent + step, data_sn + 1
        if not data:
            self._end(command)

    def _take_data(self, pdu: DataOut) -> None:
        write = self._writes[pdu.initiator_task_tag]
        assert len(write.data) == pdu.buffer_offset_bytes
        write.data += pdu.data
        if pdu.target_transfer_tag != RESERVED_TAG:
            write.open_r2ts[pdu.target_transfer_tag] -= len(pdu.data)
            is_over = write.open_r2ts[pdu.target_transfer_tag] == 0
            assert is_over == pdu.final
            if is_over:
                del write.open_r2ts[pdu.target_transfer_tag]
        self._go_on(write)

    def _go_on(self, write: _Write) -> None:
        """Ask for more data, as much as may be outstanding; or end the command."""
        expected_bytes = write.command.expected_data_bytes
        if len(write.data) == expected_bytes:
            start = int.from_bytes(write.command.cdb[2:6]) * BLOCK_BYTES
            self.disk[start : start + expected_bytes] = write.data
            del self._writes[write.command.initiator_task_tag]
            self._end(write.command)
            return
        while (
            write.asked_bytes < expected_bytes
            and len(write.open_r2ts) < self._agreed.max_outstanding_r2t
        ):
            desired = min(self._agreed.max_burst_bytes, expected_bytes - write.asked_bytes)
            tag = self._next_transfer_tag
            self._next_transfer_tag += 1
            self._say(
                R2t,
                initiator_task_tag=write.command.initiator_task_tag,
                target_transfer_tag=tag,
                r2t_sn=write.r2t_sn,
                buffer_offset_bytes=write.asked_bytes,
                desired_bytes=desired,
            )
            write.open_r2ts[tag] = desired
            write.asked_bytes += desired
            write.r2t_sn += 1

    def _end(self, command: ScsiCommand, *, status: int = 0, sense: bytes = b"") -> None:
        residual = command.expected_data_bytes if status else 0
        self._say(
            ScsiResponse,
            status=status,
            underflow=residual > 0,
            residual_bytes=residual,
            initiator_task_tag=command.initiator_task_tag,
            data=encode_sense_segment(sense),
        )

    def _say(self, kind: type[TargetPdu], **values: Any) -> None:
        pdu = kind(
            stat_sn=self._stat_sn,
            exp_cmd_sn=self._exp_cmd_sn,
            max_cmd_sn=(self._exp_cmd_sn + _WINDOW - 1) % (1 << 32),
            **values,
        )
        if not isinstance(pdu, R2t) and getattr(pdu, "has_status", True):
            self._stat_sn = (self._stat_sn + 1) % (1 << 32)
        agreed = self._parameters
        self._outbox += (
            frame(pdu, agreed.header_digest, agreed.data_digest) if agreed else frame(pdu)
        )
