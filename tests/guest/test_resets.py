"""Linux resets the logical unit and the target while it writes; what was written is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest import load
from tests.support.settings import GUEST_MIB, GUEST_ROUNDS

if TYPE_CHECKING:
    from tests.guest.figures import Figures
    from tests.guest.initiator import Initiator
    from tests.guest.machine.guest import Guest
    from tests.guest.served import Served


@pytest.mark.parametrize("what", ["--device", pytest.param("--target", marks=pytest.mark.slow)])
def test_io_goes_on_over_resets(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures, what: str
) -> None:
    disk = initiator.login(served.target("solid"), served.portal)
    before = [session["session"] for session in served.process.sessions()]
    for _ in range(GUEST_ROUNDS):
        writing = guest.start(load.fio_command(disk.path, mib=GUEST_MIB, options="--loops=2"))
        for _ in range(3):
            load.wait_for_requests(guest, disk.name, 10)
            assert not writing.has_ended(), "fio was too fast for the resets"
            guest.run(f"sg_reset {what} --no-esc {disk.path}")
            figures.fault()
        done = writing.wait(240)
        assert done.status == 0, done.output
        figures.verified(load.verified_bytes(done.output))
    # The resets were answered: Linux did not have to drop the session to be rid of its commands.
    assert [session["session"] for session in served.process.sessions()] == before
    initiator.logout(disk)
    served.wait_until_idle()
