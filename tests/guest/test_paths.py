"""Two paths to one volume, and one of them is lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.guest import load
from tests.guest.relay import Relay
from tests.support.ports import lasting_port
from tests.support.settings import GUEST_MIB, GUEST_ROUNDS

if TYPE_CHECKING:
    from tests.guest.figures import Figures
    from tests.guest.initiator import Disk, Initiator
    from tests.guest.machine.guest import Guest
    from tests.guest.served import Served

CONFIGURATION = """
defaults {
    user_friendly_names yes
    find_multipaths no
    path_grouping_policy multibus
    path_selector "round-robin 0"
    polling_interval 1
    no_path_retry queue
}
"""
# A path that is lost is to fail soon: there is another one.
IMPATIENT = {"node.session.timeo.replacement_timeout": "2"}


def test_io_goes_on_while_a_path_is_lost(
    guest: Guest, initiator: Initiator, served: Served, figures: Figures
) -> None:
    target = served.target("solid")
    guest.write("/etc/multipath.conf", CONFIGURATION)
    guest.run("modprobe dm_multipath; modprobe dm_round_robin; multipathd")
    with Relay(served.portals[1], lasting_port()) as relay:
        direct = initiator.login(target, served.portals[0], IMPATIENT)
        relayed = initiator.login(target, relay.portal, IMPATIENT)
        device = _multipath_of(guest, direct, relayed)
        load.make_file_system(guest, "ext4", device)
        for _ in range(GUEST_ROUNDS):
            command = load.fio_command(f"{load.MOUNT}/data", mib=GUEST_MIB)
            writing = guest.start(command)
            for disk in (direct, relayed):
                load.wait_for_requests(guest, disk.name, 10)  # Both are in use.
            relay.cut()
            figures.fault()
            assert not writing.has_ended(), "fio was too fast for the fault"
            done = writing.wait(240)
            assert done.status == 0, done.output
            figures.verified(load.verified_bytes(done.output))
            _wait_for_paths(guest, active=1)
            relay.join()
            _wait_for_paths(guest, active=2)
        load.unmount(guest)
        load.check_file_system(guest, "ext4", device)
        guest.run("multipath -F; pkill multipathd")
        initiator.logout(direct)
        initiator.logout(relayed)
    served.wait_until_idle()


def _multipath_of(guest: Guest, *disks: Disk) -> str:
    """Wait until both disks are paths of one device, and return its name."""
    holders = " && ".join(f"ls /sys/block/{disk.name}/holders | grep dm-" for disk in disks)
    names = set(re.findall(r"dm-\d+", guest.wait_for(holders)))
    assert len(names) == 1, f"the disks are seen as different ones: {names}"
    (name,) = names
    _wait_for_paths(guest, active=len(disks))
    return f"/dev/{name}"


def _wait_for_paths(guest: Guest, *, active: int) -> None:
    guest.wait_for(
        f"[ $(multipathd show paths format '%t %o' | grep -c 'active *running') = {active} ]"
    )
