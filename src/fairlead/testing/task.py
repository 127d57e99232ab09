"""One SCSI task as the initiator sees it: what it has sent, and what may still come.

Spec: RFC 7143 §4.2.5 (ordered data), §11.4 (residuals), §11.7 and §11.8 (Data-In, Data-Out, R2T).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.proto.iscsi.pdu import RESERVED_TAG, DataOut, R2t, ScsiCommand
from fairlead.testing.outcome import CHECK_CONDITION, GOOD, Result, TargetViolation

if TYPE_CHECKING:
    from fairlead.proto.iscsi.pdu import DataIn, ScsiResponse
    from fairlead.testing.negotiated import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What a test asks a target to execute.

    Attributes:
        lun_field: 8 bytes, the LUN as it goes onto the wire.
        cdb: 6 to 260 bytes.
        data_out: what the command writes; its length is the expected data transfer length.
        data_in_bytes: how much it may read; the expected length where nothing is written, else
            that of a bidirectional command.
        immediate: I bit.
        attribute: task attribute, 0 to 7.
        sends_immediate_data: use ImmediateData where it is negotiated.
        sends_unsolicited_data: use unsolicited Data-Out where InitialR2T=No is negotiated.
        cmd_sn: send this CmdSN whatever its turn, at once, and use none up; None is lawful.
    """

    lun_field: bytes
    cdb: bytes
    data_out: bytes = b""
    data_in_bytes: int = 0
    immediate: bool = False
    attribute: int = 1
    sends_immediate_data: bool = True
    sends_unsolicited_data: bool = True
    cmd_sn: int | None = None


class Task:
    """One SCSI task. Checks each PDU that the target sends for it.

    Attributes:
        tag: Initiator Task Tag.
        request: what was asked for.
        cmd_sn: CmdSN it went out with; None while it waits for the command window.
        open_r2ts: R2Ts not yet answered, by Target Transfer Tag.
    """

    def __init__(self, tag: int, request: TaskRequest, parameters: Parameters) -> None:
        self.tag = tag
        self.request = request
        self.cmd_sn: int | None = None
        self.open_r2ts: dict[int, R2t] = {}
        self._parameters = parameters
        self._expected_data_sn = 0  # Data-In and R2T share it
        self._has_data_in = False
        self._data_in = bytearray()
        self._burst_bytes = 0  # of the Data-In sequence that is still open
        self._immediate_bytes = self._plan_immediate()
        self._solicited_from_bytes = self._plan_unsolicited()
        self._next_r2t_offset_bytes = self._solicited_from_bytes

    def _plan_immediate(self) -> int:
        if not (self._parameters.immediate_data and self.request.sends_immediate_data):
            return 0
        return min(
            len(self.request.data_out),
            self._parameters.first_burst_bytes,
            self._parameters.target_max_recv_data_segment_bytes,
        )

    def _plan_unsolicited(self) -> int:
        if self._parameters.initial_r2t or not self.request.sends_unsolicited_data:
            return self._immediate_bytes
        return min(len(self.request.data_out), self._parameters.first_burst_bytes)

    @property
    def has_unsolicited_data(self) -> bool:
        """Whether Data-Out PDUs follow the command unasked."""
        return self._immediate_bytes < self._solicited_from_bytes

    def command(self, *, cmd_sn: int, exp_stat_sn: int) -> ScsiCommand:
        """Return the SCSI Command PDU, with its immediate data."""
        self.cmd_sn = cmd_sn
        request = self.request
        writes, reads = bool(request.data_out), bool(request.data_in_bytes)
        return ScsiCommand(
            immediate=request.immediate,
            final=not self.has_unsolicited_data,
            read=reads,
            write=writes,
            attribute=request.attribute,
            lun_field=request.lun_field,
            initiator_task_tag=self.tag,
            expected_data_bytes=len(request.data_out) if writes else request.data_in_bytes,
            cmd_sn=cmd_sn,
            exp_stat_sn=exp_stat_sn,
            cdb=request.cdb,
            bidirectional_read_bytes=request.data_in_bytes if writes and reads else None,
            data=request.data_out[: self._immediate_bytes],
        )

    def unsolicited_data(self, *, exp_stat_sn: int) -> list[DataOut]:
        """Return the Data-Out PDUs that follow the command unasked."""
        return self._burst(
            self._immediate_bytes, self._solicited_from_bytes, RESERVED_TAG, exp_stat_sn
        )

    def answer_r2t(self, r2t: R2t, *, exp_stat_sn: int) -> list[DataOut]:
        """Return the Data-Out PDUs that an R2T asks for; the R2T is no longer open."""
        del self.open_r2ts[r2t.target_transfer_tag]
        end_bytes = r2t.buffer_offset_bytes + r2t.desired_bytes
        return self._burst(r2t.buffer_offset_bytes, end_bytes, r2t.target_transfer_tag, exp_stat_sn)

    def _burst(self, start: int, end: int, transfer_tag: int, exp_stat_sn: int) -> list[DataOut]:
        step = self._parameters.target_max_recv_data_segment_bytes
        return [
            DataOut(
                final=offset + step >= end,
                lun_field=self.request.lun_field,
                initiator_task_tag=self.tag,
                target_transfer_tag=transfer_tag,
                exp_stat_sn=exp_stat_sn,
                data_sn=data_sn,
                buffer_offset_bytes=offset,
                data=self.request.data_out[offset : min(offset + step, end)],
            )
            for data_sn, offset in enumerate(range(start, end, step))
        ]

    def receive_r2t(self, r2t: R2t) -> None:
        """Check an R2T and keep it open.

        Raises:
            TargetViolation: its number, range or tag breaks a rule. Spec: RFC 7143 §11.8.
        """
        end_bytes = r2t.buffer_offset_bytes + r2t.desired_bytes
        self._require(self.cmd_sn is not None, "R2T before the command was sent")
        self._require(
            r2t.r2t_sn == self._expected_data_sn,
            f"R2TSN {r2t.r2t_sn}, expected {self._expected_data_sn}",
        )
        self._require(r2t.target_transfer_tag != RESERVED_TAG, "R2T with the reserved transfer tag")
        self._require(
            r2t.target_transfer_tag not in self.open_r2ts,
            f"R2T with transfer tag {r2t.target_transfer_tag:#x}, which is in use",
        )
        self._require(
            0 < r2t.desired_bytes <= self._parameters.max_burst_bytes,
            f"R2T for {r2t.desired_bytes} bytes, range 1 to {self._parameters.max_burst_bytes}",
        )
        self._require(
            r2t.buffer_offset_bytes == self._next_r2t_offset_bytes,
            f"R2T at {r2t.buffer_offset_bytes}, expected {self._next_r2t_offset_bytes}",
        )
        self._require(
            end_bytes <= len(self.request.data_out),
            f"R2T up to byte {end_bytes} of {len(self.request.data_out)}",
        )
        self._require(
            len(self.open_r2ts) < self._parameters.max_outstanding_r2t,
            f"more than {self._parameters.max_outstanding_r2t} R2Ts outstanding",
        )
        self._require(not r2t.data, "R2T with a data segment")
        self._expected_data_sn += 1
        self._next_r2t_offset_bytes = end_bytes
        self.open_r2ts[r2t.target_transfer_tag] = r2t

    def receive_data_in(self, pdu: DataIn) -> Result | None:
        """Take a Data-In PDU; return the result where it brings the status along.

        Raises:
            TargetViolation: number, offset, length or flags break a rule. Spec: RFC 7143 §11.7.
        """
        self._require(
            pdu.data_sn == self._expected_data_sn,
            f"Data-In DataSN {pdu.data_sn}, expected {self._expected_data_sn}",
        )
        self._require(
            pdu.buffer_offset_bytes == len(self._data_in),
            f"Data-In at {pdu.buffer_offset_bytes}, expected {len(self._data_in)}",
        )
        end_bytes = pdu.buffer_offset_bytes + len(pdu.data)
        self._require(
            end_bytes <= self.request.data_in_bytes,
            f"Data-In up to byte {end_bytes} of {self.request.data_in_bytes}",
        )
        self._burst_bytes += len(pdu.data)
        self._require(
            self._burst_bytes <= self._parameters.max_burst_bytes,
            f"Data-In sequence of {self._burst_bytes} bytes, "
            f"limit {self._parameters.max_burst_bytes}",
        )
        self._require(not pdu.acknowledge, "Data-In with the A bit at ErrorRecoveryLevel 0")
        self._expected_data_sn += 1
        self._has_data_in = True
        self._data_in += pdu.data
        if pdu.final:
            self._burst_bytes = 0
        if not pdu.has_status:
            return None
        self._require(pdu.final, "Data-In with status but without the F bit")
        self._require(pdu.status != CHECK_CONDITION, "CHECK CONDITION in a Data-In")
        return self._finish(
            Result(
                status=pdu.status,
                data=bytes(self._data_in),
                residual_bytes=pdu.residual_bytes,
                overflow=pdu.overflow,
                underflow=pdu.underflow,
            )
        )

    def receive_response(self, pdu: ScsiResponse) -> Result:
        """Take the SCSI Response and return the result.

        Raises:
            TargetViolation: data is missing, or numbers, sense length or residuals break a rule.
        """
        if pdu.response == 0:
            # R2Ts count only beside Data-In: without any Data-In the field is 0 (§11.4.8).
            exp_data_sn = self._expected_data_sn if self._has_data_in else 0
            self._require(
                pdu.exp_data_sn == exp_data_sn,
                f"ExpDataSN {pdu.exp_data_sn}, expected {exp_data_sn}",
            )
            sense_bytes = int.from_bytes(pdu.data[:2])
            self._require(
                len(pdu.data) == 0 or len(pdu.data) >= 2 + sense_bytes,
                f"SenseLength {sense_bytes} in a data segment of {len(pdu.data)} bytes",
            )
            self._require(
                pdu.status != CHECK_CONDITION or bool(pdu.sense),
                "CHECK CONDITION without sense data",
            )
        self._require(self._burst_bytes == 0, "SCSI Response inside a Data-In sequence")
        return self._finish(
            Result(
                status=pdu.status,
                sense=pdu.sense,
                data=bytes(self._data_in),
                residual_bytes=pdu.residual_bytes,
                overflow=pdu.overflow,
                underflow=pdu.underflow,
                response=pdu.response,
                bidirectional_residual_bytes=pdu.bidirectional_residual_bytes,
            )
        )

    def _finish(self, result: Result) -> Result:
        """Check the residual count. Spec: RFC 7143 §11.4.5."""
        self._require(not (result.overflow and result.underflow), "both the O and the U bit")
        flagged = result.overflow or result.underflow
        self._require(
            bool(result.residual_bytes) == flagged,
            f"residual count {result.residual_bytes}, O {result.overflow}, U {result.underflow}",
        )
        expected_bytes = len(self.request.data_out) or self.request.data_in_bytes
        if result.underflow:
            self._require(
                result.residual_bytes <= expected_bytes,
                f"underflow of {result.residual_bytes} of {expected_bytes} bytes",
            )
        if result.status == GOOD and result.response == 0:
            self._check_amount(result, expected_bytes)
        return result

    def _check_amount(self, result: Result, expected_bytes: int) -> None:
        """Check that a good command moved what its residual count leaves over."""
        moved_bytes = expected_bytes - (result.residual_bytes if result.underflow else 0)
        if self.request.data_out:
            self._require(not self.open_r2ts, "GOOD while an R2T is unanswered")
            self._require(
                self._next_r2t_offset_bytes >= moved_bytes,
                f"GOOD after taking {self._next_r2t_offset_bytes} of {moved_bytes} bytes",
            )
        else:
            self._require(
                len(self._data_in) == moved_bytes,
                f"GOOD after sending {len(self._data_in)} of {moved_bytes} bytes",
            )

    def _require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise TargetViolation(f"task {self.tag:#x}, CDB {self.request.cdb.hex(' ')}: {rule}")
