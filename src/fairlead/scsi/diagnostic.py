"""SEND DIAGNOSTIC. Spec: SPC-4 r37, SEND DIAGNOSTIC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.scsi.request import Request


def send_diagnostic(_request: Request) -> bytes:
    """Run the default self-test: that the command came up here and is answered is the test.

    No diagnostic page is served; the command table has the data plane refuse a parameter list and
    the other self-tests. UNITOFFL and DEVOFFL allow the test to disturb, which it does not.
    """
    return b""
