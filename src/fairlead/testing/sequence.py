"""Numbering of one connection, seen and checked by the initiator. Spec: RFC 7143 §4.2.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.proto.iscsi.serial import advance, distance
from fairlead.testing.outcome import TargetViolation

if TYPE_CHECKING:
    from fairlead.proto.iscsi.pdu import TargetPdu


class Sequence:
    """The next CmdSN, the command window and the expected StatSN.

    Attributes:
        next_cmd_sn: CmdSN of the next command that is not immediate.
        exp_cmd_sn: what the target said last that it expects.
        max_cmd_sn: the last CmdSN the target takes.
        exp_stat_sn: StatSN of the next status; None before the first Login Response.
    """

    def __init__(self, *, cmd_sn: int) -> None:
        self.next_cmd_sn = cmd_sn
        self.exp_cmd_sn = cmd_sn
        self.max_cmd_sn = cmd_sn
        self.exp_stat_sn: int | None = None

    @property
    def acknowledged_stat_sn(self) -> int:
        """ExpStatSN for the next PDU we send; 0 before the target has sent a status."""
        return self.exp_stat_sn or 0

    @property
    def window_is_open(self) -> bool:
        """Whether the target takes one more command that is not immediate."""
        return distance(self.next_cmd_sn, self.max_cmd_sn) >= 0

    def take_cmd_sn(self) -> int:
        """Use up one CmdSN."""
        cmd_sn = self.next_cmd_sn
        self.next_cmd_sn = advance(cmd_sn)
        return cmd_sn

    def skip_cmd_sn(self, cmd_sn: int) -> None:
        """Account for a CmdSN that a test sent by itself: used up if it was the next one."""
        if cmd_sn == self.next_cmd_sn:
            self.take_cmd_sn()

    def receive_status(self, stat_sn: int) -> None:
        """Account for a PDU that uses up a StatSN.

        Raises:
            TargetViolation: it is not the next one. The first Login Response may begin anywhere.
        """
        if self.exp_stat_sn is not None and stat_sn != self.exp_stat_sn:
            raise TargetViolation(f"StatSN {stat_sn}, expected {self.exp_stat_sn}")
        self.exp_stat_sn = advance(stat_sn)

    def receive_next_status(self, stat_sn: int) -> None:
        """Check a PDU that shows the next StatSN without using it up (R2T, the target's NOP-In).

        Raises:
            TargetViolation: it is not the next one.
        """
        if stat_sn != self.exp_stat_sn:
            raise TargetViolation(f"StatSN {stat_sn} shown, expected {self.exp_stat_sn}")

    def receive_window(self, pdu: TargetPdu) -> None:
        """Account for ExpCmdSN and MaxCmdSN, which every PDU of a target carries.

        Raises:
            TargetViolation: one of them goes back; the target expects a command that we have not
                sent; or MaxCmdSN is below ExpCmdSN - 1.
        """
        kind = type(pdu).__name__
        if distance(self.exp_cmd_sn, pdu.exp_cmd_sn) < 0:
            raise TargetViolation(f"{kind}: ExpCmdSN {pdu.exp_cmd_sn} after {self.exp_cmd_sn}")
        if distance(pdu.exp_cmd_sn, self.next_cmd_sn) < 0:
            raise TargetViolation(
                f"{kind}: ExpCmdSN {pdu.exp_cmd_sn}, but our next CmdSN is {self.next_cmd_sn}"
            )
        if distance(advance(pdu.exp_cmd_sn, -1), pdu.max_cmd_sn) < 0:
            raise TargetViolation(
                f"{kind}: MaxCmdSN {pdu.max_cmd_sn} below ExpCmdSN {pdu.exp_cmd_sn} - 1"
            )
        if distance(self.max_cmd_sn, pdu.max_cmd_sn) < 0:
            raise TargetViolation(f"{kind}: MaxCmdSN {pdu.max_cmd_sn} after {self.max_cmd_sn}")
        self.exp_cmd_sn = pdu.exp_cmd_sn
        self.max_cmd_sn = pdu.max_cmd_sn
