"""SCSI disks of a Linux host, served as they are: their own answers, errors and ends."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from fairlead.testing.outcome import CHECK_CONDITION, GOOD
from tests.guest import storage as st
from tests.guest.storage import ANSWER_S, MEDIUM_ERROR_LBA, Disk, Storage, hear_out
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fairlead.testing.outcome import Result
    from tests.guest.figures import Figures
    from tests.guest.machine.guest import Running

pytestmark = pytest.mark.timeout(400)

RESERVATION_CONFLICT: Final = 0x18
READ_AT_0: Final = bytes.fromhex("28000000000000000800")
# Of errors with other sense keys, adapters need not say that nothing has moved; then we do.
KEYS_WITH_DATA: Final = (0x0, 0x1, 0x3, 0x8)
PAGES: Final = (0x00, 0x80, 0x83, 0x86, 0x89, 0xB1, 0xB2)
"""B0h is not among them: its MAXIMUM TRANSFER LENGTH is ours."""


def _read(*cdb: str, data_in_bytes: int) -> dict[str, Any]:
    return {"cdb": "".join(cdb), "data_in_bytes": data_in_bytes}


COMMANDS: Final[list[dict[str, Any]]] = [
    {"cdb": "000000000000"},
    _read("12000000ff00", data_in_bytes=255),
    *(_read(f"1201{page:02x}00ff00", data_in_bytes=255) for page in PAGES),
    _read("1201cc00ff00", data_in_bytes=255),
    _read("25000000000000000000", data_in_bytes=8),
    _read("9e100000000000000000000000200000", data_in_bytes=32),
    _read("1a003f00ff00", data_in_bytes=255),
    _read("5a003f0000000000ff00", data_in_bytes=255),
    _read("4d00000000000000ff00", data_in_bytes=255),
    _read("a30c0000000000001000" + "0000", data_in_bytes=4096),
    _read("9e12000000000000000000000018" + "0000", data_in_bytes=24),
    {"cdb": "0a000010" + "0100", "data_out": "5a" * 512},
    _read("080000100100", data_in_bytes=512),
    {"cdb": "2a000000002000000800", "data_out": "a5" * 4096},
    _read("28000000002000000800", data_in_bytes=4096),
    {"cdb": "8a000000000000000030000000080000", "data_out": "c3" * 4096},
    _read("a8000000003000000008" + "0000", data_in_bytes=4096),
    _read("88000000000000000030000000080000", data_in_bytes=4096),
    # READ (32): 7Fh, service action 9, an LBA of 48.
    _read(
        "7f000000000000180009000000000000000000300000000000000000000000" + "08", data_in_bytes=4096
    ),
    {"cdb": "35000000000000000000"},
    {
        "cdb": "42000000000000001800",
        "data_out": "0016001000000000" + "0000000000000030" + "00000008" + "00000000",
    },
    _read("28000000003000000800", data_in_bytes=4096),
    {"cdb": "93000000000000000040000000100000", "data_out": "77" * 512},
    _read("28000000004000001000", data_in_bytes=8192),
    {"cdb": "2f000000004000001000"},
    # More than there is.
    _read("120000002400", data_in_bytes=255),
    # Beyond the end; a field that is wrong; a command of a vendor; one of no length that there is.
    _read("28007fffffff00000800", data_in_bytes=4096),
    _read("1a003a00ff00", data_in_bytes=255),
    {"cdb": "c1000000000000000000"},
    {"cdb": "e0000000000000000000000000000001"},
]


class Error(NamedTuple):
    """A mistake of the disks: scsi_debug's options for it, where, and the sense key it gives."""

    opts: int
    every_nth: int
    lba: int
    key: int


@pytest.fixture(scope="module")
def disks(storage: Storage) -> dict[str, Disk]:
    """A disk for each volume."""
    first, *_ = storage.disks()
    return {"disk": first, "doomed": storage.add_disk(), "locked": storage.add_disk()}


@pytest.fixture(scope="module")
def target(storage: Storage, disks: dict[str, Disk]) -> Iterator[Running]:
    """All of them served."""
    volumes = {name: storage.passed(disk) for name, disk in disks.items()}
    volumes["locked"]["read_only"] = True
    with storage.serving(volumes) as running:
        yield running


def sense_of(result: Result) -> tuple[int, int]:
    """Sense key, and additional sense code with its qualifier."""
    assert result.status == CHECK_CONDITION, result
    if result.sense[0] & 0x7F >= 0x72:
        return result.sense[1] & 0x0F, int.from_bytes(result.sense[2:4])
    return result.sense[2] & 0x0F, int.from_bytes(result.sense[12:14])


def through(storage: Storage, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send commands to the served disk, and return how they ended, as `Storage.locally` does."""
    answers = []
    with storage.log_in("disk") as client:
        for command in commands:
            out = bytes.fromhex(command.get("data_out", ""))
            length = command.get("data_in_bytes", 0)
            result = client.execute(0, bytes.fromhex(command["cdb"]), out, length)
            said = {"status": result.status, "sense": result.sense.hex(), "data": result.data.hex()}
            answers.append(said)
    return answers


@pytest.mark.usefixtures("target")
def test_every_answer_is_the_disks_own(
    storage: Storage, disks: dict[str, Disk], figures: Figures
) -> None:
    # Which blocks are mapped changes with the first time.
    storage.locally(disks["disk"], COMMANDS)
    by_itself = storage.locally(disks["disk"], COMMANDS)
    passed_on = through(storage, COMMANDS)
    for command, own, ours in zip(COMMANDS, by_itself, passed_on, strict=True):
        assert own.pop("host_status") == 0, command
        if own["status"] == CHECK_CONDITION and int(own["sense"][4:6], 16) not in KEYS_WITH_DATA:
            own["data"] = ""
        assert ours == own, command
        figures.verified(len(ours["data"]) // 2)
    statuses = Counter(own["status"] for own in by_itself)
    assert set(statuses) == {GOOD, CHECK_CONDITION}, "a corpus that errs nowhere shows little"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Error(st.OPT_MEDIUM_ERROR, 0, MEDIUM_ERROR_LBA, 0x3), id="medium error"),
        pytest.param(Error(st.OPT_RECOVERED_ERROR, 1, 0, 0x1), id="recovered error"),
    ],
)
@pytest.mark.usefixtures("target")
def test_its_errors_are_its_own(
    storage: Storage,
    disks: dict[str, Disk],
    figures: Figures,
    error: Error,
) -> None:
    command = _read(f"2800{error.lba:08x}00000800", data_in_bytes=4096)
    mistakes = storage.options(error.opts, every_nth=error.every_nth)
    with storage.log_in("disk") as client, mistakes:
        [own] = storage.locally(disks["disk"], [command])
        result = client.read_10(error.lba, 8)
        figures.fault()
    assert own.pop("host_status") == 0
    ours = {"status": result.status, "sense": result.sense.hex(), "data": result.data.hex()}
    assert ours == own
    assert sense_of(result)[0] == error.key


@pytest.mark.usefixtures("target")
def test_a_unit_attention_reaches_every_nexus(storage: Storage, figures: Figures) -> None:
    with storage.log_in("disk", "one") as one, storage.log_in("disk", "two") as two:
        # More capacity for all disks of the driver: each raises CAPACITY DATA HAS CHANGED.
        storage.set("virtual_gb", 1)
        figures.fault()
        for client in (one, two):
            assert sense_of(client.test_unit_ready()) == (0x6, 0x2A09)
            hear_out(client)
        capacity = int.from_bytes(one.read_capacity_16().data[:8]) + 1
        assert capacity * 512 > st.DISK_MIB << 20
        # This host may hear of it before us.
        storage.set("virtual_gb", 0)


def test_a_command_that_hangs_is_aborted_in_time(
    storage: Storage, target: Running, figures: Figures
) -> None:
    with storage.log_in("disk", "one") as one, storage.log_in("disk", "two") as two:
        with storage.options(st.OPT_TIMEOUT, every_nth=1):
            tag = one.submit(0, bytes.fromhex("28000000000000000800"), b"", 4096)
            result = one.wait(tag)
            figures.fault()
        assert sense_of(result) == (0xB, 0x2E02)
        target.wait_for("device.failed", ANSWER_S)
        for client in (one, two):
            hear_out(client)
            assert client.read_10(0, 8).status == GOOD
        target.wait_for("device.resumed", ANSWER_S)


@pytest.mark.usefixtures("target")
def test_an_abort_is_answered_when_the_disk_has_let_go(storage: Storage, figures: Figures) -> None:
    with storage.log_in("disk") as client:
        with storage.options(st.OPT_TIMEOUT, every_nth=1):
            tag = client.submit(0, bytes.fromhex("28000000000000000800"), b"", 4096)
            assert client.manage(1, referenced_task_tag=tag) == 0
            figures.fault()
        hear_out(client)
        assert client.read_10(0, 8).status == GOOD


@pytest.mark.usefixtures("target")
def test_of_two_initiators_that_reserve_one_waits(storage: Storage) -> None:
    reserve, release = bytes.fromhex("160000000000"), bytes.fromhex("170000000000")
    with storage.log_in("disk", "one") as one, storage.log_in("disk", "two") as two:
        assert one.execute(0, reserve).status == GOOD
        assert two.execute(0, reserve).status == RESERVATION_CONFLICT
        for command in ("28000000000000000800", "c1000000000000000000"):
            result = two.execute(0, bytes.fromhex(command), b"", 4096)
            assert result.status == RESERVATION_CONFLICT
        assert two.inquiry().status == GOOD
        assert one.write_10(0, bytes(512)).status == GOOD
        assert one.execute(0, release).status == GOOD
        assert two.read_10(0, 8).status == GOOD


@pytest.mark.usefixtures("target")
def test_a_read_only_disk_gets_nothing_that_may_change_it(storage: Storage) -> None:
    with storage.log_in("locked") as client:
        assert client.read_10(0, 8).status == GOOD
        for cdb, out in (("2a000000000000000100", bytes(512)), ("c1000000000000000000", b"")):
            assert sense_of(client.execute(0, bytes.fromhex(cdb), out)) == (0x7, 0x2700)


@pytest.mark.usefixtures("target")
def test_this_host_cannot_mount_what_it_serves(storage: Storage, disks: dict[str, Disk]) -> None:
    disk = disks["disk"]
    done = storage.guest.run(f"mount /dev/{disk.block} /mnt", check=False)
    assert done.status != 0
    assert "busy" in done.output


@pytest.mark.usefixtures("target")
def test_it_serves_no_disk_that_this_host_has_mounted(storage: Storage) -> None:
    disk = storage.add_disk()
    guest = storage.guest
    guest.run(f"mke2fs -q -F /dev/{disk.block} && mount /dev/{disk.block} /mnt", timeout=120)
    refused = guest.run(
        f"{st.FAIRLEAD} serve --no-socket --portal 127.0.0.1:0 sg:/dev/{disk.sg}",
        timeout=st.START_S,
        check=False,
    )
    guest.run("umount /mnt")
    assert refused.status == 2
    assert "mounted" in refused.output, refused.output
    assert "Traceback" not in refused.output


def test_a_disk_that_is_pulled_under_load_ends_what_is_out(
    storage: Storage, disks: dict[str, Disk], target: Running, figures: Figures
) -> None:
    # It takes a while for everything, so that there is something to end.
    storage.set("delay", 25)
    with storage.log_in("doomed", "one") as one, storage.log_in("doomed", "two") as two:
        storage.guest.start(f"echo 1 > /sys/class/scsi_generic/{disks['doomed'].sg}/device/delete")
        figures.fault()
        for client in (one, two):
            deadline = time.monotonic() + ANSWER_S
            results: list[Result] = []
            while not any(result.status == CHECK_CONDITION for result in results):
                assert time.monotonic() < deadline, "the disk has not been pulled"
                tags = [client.submit(0, READ_AT_0, b"", 4096) for _ in range(16)]
                results = [client.wait(tag) for tag in tags]
            assert sense_of(client.read_10(0, 8))[0] in {0x2, 0x5, 0xB}
        target.wait_for("device.failed device=", ANSWER_S)
    storage.set("delay", 0)
    wait_until(lambda: not storage.contexts(), "no context is left", limit_s=ANSWER_S)
    with storage.log_in("disk") as client:
        assert client.read_10(0, 8).status == GOOD, "other disks are served as before"
