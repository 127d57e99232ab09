"""A LUN of another target behind ours: its answers, our contexts, and what comes of its absence."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.testing.client import Client, connect
from fairlead.testing.outcome import CHECK_CONDITION, GOOD
from tests.conformance.libiscsi import listed_tests, run_tests
from tests.support.ports import lasting_port
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fairlead.testing.outcome import Result

pytestmark = pytest.mark.e2e

MIB: Final = 1 << 20
TIMEOUT_S: Final = 2
LOGICAL_UNIT_RESET: Final = 5
RESERVATION_CONFLICT: Final = 0x18
RESERVED: Final = bytes(5)
# What a unit behind ours has to answer as it does by itself.
FAMILIES: Final = (
    *("SCSI.Inquiry", "SCSI.ReadCapacity16", "SCSI.ModeSense6", "SCSI.TestUnitReady"),
    *("SCSI.Read10", "SCSI.Read16", "SCSI.Write10", "SCSI.Write16", "SCSI.Verify16"),
    *("SCSI.Unmap", "SCSI.WriteSame16", "SCSI.CompareAndWrite", "SCSI.Prefetch10"),
)
# They move 32 MiB by one command whatever MAXIMUM TRANSFER LENGTH says; ours is 1 MiB.
BEYOND_THE_LIMIT: Final = ("SCSI.WriteSame16.Unmap",)
VOLUMES: Final[Mapping[str, Mapping[str, object]]] = {
    "lun": {},
    "own": {"identity": "own"},
    "locked": {"read_only": True},
    "erasable": {"allow": ["FORMAT UNIT"]},
}


class Scene:
    """A target with a volume, and one behind which that volume is."""

    def __init__(self, store: TargetProcess, gateway: TargetProcess) -> None:
        self.store = store
        self.gateway = gateway

    def log_in(self, name: str, volume: str = "lun") -> Client:
        """Log in at the gateway and hear all that a new nexus has to hear."""
        initiator = f"iqn.2026-01.example:{name}"
        client = connect(self.gateway.portal, self.gateway.target_name(volume), initiator)
        hear_out(client)
        return client


def hear_out(client: Client, *, limit_s: float = 10) -> None:
    """Take the unit attentions that are pending, and wait for a unit that is away."""
    wait_until(
        lambda: client.test_unit_ready().status == GOOD, "the unit is ready", limit_s=limit_s
    )


@contextlib.contextmanager
def scene(folder: Path, driver: str) -> Iterator[Scene]:
    disk = ServedVolume(name="disk", path=folder / "disk.img", size_bytes=64 * MIB)
    portal = f"127.0.0.1:{lasting_port()}"
    # A target for each volume of the gateway: two ways of it to one LUN would not know each other.
    targets = [
        {"name": target_of(name), "luns": [{"lun": 0, "volume": "disk"}]} for name in VOLUMES
    ]
    tables = {"portals": [portal], "targets": targets}
    with TargetProcess([disk], folder, driver="io_uring", tables=tables) as store:
        volumes = [
            ServedVolume(
                name=name,
                kind="iscsi",
                options={
                    "path": f"iscsi://{portal}/{target_of(name)}/0",
                    "timeout": f"{TIMEOUT_S}s",
                    **options,
                },
            )
            for name, options in VOLUMES.items()
        ]
        with TargetProcess(volumes, folder, driver=driver) as gateway:
            yield Scene(store, gateway)


@pytest.fixture(scope="module", params=["io_uring", "threads"])
def gate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("gateway"), request.param) as scene_:
        yield scene_


@contextlib.contextmanager
def standing_still(process: TargetProcess) -> Iterator[None]:
    """Stop a process, and let it go on afterwards."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        # Its threads stop when they next look.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def target_of(name: str) -> str:
    """Name of the target behind a volume of the gateway."""
    return f"iqn.2026-01.example.store:{name}"


def read_10(*, blocks: int) -> bytes:
    """READ (10) from LBA 0."""
    return b"\x28" + bytes(6) + blocks.to_bytes(2) + bytes(1)


def sense_of(result: Result) -> tuple[int, int]:
    """Sense key, and additional sense code with its qualifier."""
    assert result.status == CHECK_CONDITION, result
    assert result.sense[0] & 0x7F == 0x70
    return result.sense[2] & 0x0F, int.from_bytes(result.sense[12:14])


def test_libiscsi_gives_the_same_verdicts_through_the_gateway(gate: Scene) -> None:
    tests = [test for test in listed_tests(FAMILIES) if test not in BEYOND_THE_LIMIT]
    direct = run_tests(tests, [f"iscsi://{gate.store.portal}/{target_of('lun')}/0"])
    url = f"iscsi://{gate.gateway.portal}/{gate.gateway.target_name('lun')}/0"
    through = run_tests(tests, [url])
    assert [(o.test, o.verdict) for o in through] == [(o.test, o.verdict) for o in direct]
    assert sum(o.verdict == "passed" for o in through) > len(tests) // 2


def test_every_client_has_its_own_context(gate: Scene) -> None:
    with gate.log_in("one") as one, gate.log_in("two") as two:
        one.write_10(0, b"1" * 65536)
        for _ in range(3):
            assert two.read_10(0, 128).data == b"1" * 65536
        accounts = {str(c["key"]): c for c in gate.gateway.contexts()}
        found = {name: c for key, c in accounts.items() for name in ("one", "two") if name in key}
        assert found["one"]["bytes_written"] == 65536
        assert found["two"]["bytes_read"] == 3 * 65536
    wait_until(lambda: not gate.gateway.contexts(), "no context is left")


def test_a_unit_attention_reaches_every_nexus(gate: Scene) -> None:
    store_target = target_of("lun")
    with (
        connect(gate.store.portal, store_target, "iqn.2026-01.example:operator") as operator,
        gate.log_in("one") as one,
        gate.log_in("two") as two,
    ):
        hear_out(operator)
        assert operator.manage(LOGICAL_UNIT_RESET) == 0
        for client in (one, two):
            assert sense_of(client.read_10(0, 1)) == (0x6, 0x2903)
        # Each submitter of the gateway is a nexus there, and may hear it of its own as well.
        for client in (one, two):
            told = [client.read_10(0, 1) for _ in range(4)]
            assert all(r.status == GOOD or sense_of(r) == (0x6, 0x2903) for r in told)
            assert told[-1].status == GOOD


def test_a_client_that_comes_is_nobody_elses_business(gate: Scene) -> None:
    # Whatever submitters they are on: the gateway's sessions are not its clients'.
    with gate.log_in("one") as one, gate.log_in("two"), gate.log_in("three"):
        assert [one.test_unit_ready().status for _ in range(4)] == [GOOD] * 4


def test_reservations_hold_between_clients(gate: Scene) -> None:
    reserve, release = b"\x16" + RESERVED, b"\x17" + RESERVED
    with gate.log_in("one") as one, gate.log_in("two") as two:
        assert one.execute(0, reserve).status == GOOD
        assert two.write_10(0, bytes(512)).status == RESERVATION_CONFLICT
        assert two.inquiry().status == GOOD
        assert one.execute(0, release).status == GOOD
        assert two.write_10(0, bytes(512)).status == GOOD
    with gate.log_in("viewer", "locked") as viewer:
        assert sense_of(viewer.execute(0, reserve)) == (0x7, 0x2700), "it may only look"


def test_what_is_dangerous_goes_down_only_where_it_is_allowed_by_name(gate: Scene) -> None:
    def commands() -> int:
        return sum(int(session["commands"]) for session in gate.store.sessions())

    format_unit = b"\x04" + RESERVED
    for volume, goes_down in (("lun", 0), ("erasable", 1)):
        with gate.log_in("one", volume) as client:
            before = commands()
            # The unit behind does not know it either, and says so.
            assert sense_of(client.execute(0, format_unit)) == (0x5, 0x2000)
            assert commands() - before == goes_down


def test_a_volume_that_is_read_only_takes_what_is_harmless(gate: Scene) -> None:
    with gate.log_in("one", "locked") as client:
        assert client.read_10(0, 1).status == GOOD
        assert client.inquiry().status == GOOD
        assert sense_of(client.write_10(0, bytes(512))) == (0x7, 0x2700)
        vendor_specific = b"\xc1" + bytes(9)
        assert sense_of(client.execute(0, vendor_specific)) == (0x7, 0x2700)


def test_identity_is_the_devices_or_our_own(gate: Scene) -> None:
    store_target = target_of("lun")
    with connect(gate.store.portal, store_target, "iqn.2026-01.example:x") as direct:
        theirs = {page: direct.inquiry(page=page).data for page in (0x80, 0x83)}
    for page, data in theirs.items():
        with gate.log_in("one") as client, gate.log_in("one", "own") as own:
            assert client.inquiry(page=page).data == data
            assert own.inquiry(page=page).data != data


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        pytest.param(b"\xc1" + bytes(9), (0x5, 0x2000), id="vendor specific"),
        pytest.param(b"\x7f" + bytes(6) + b"\x18\x00\x09" + bytes(22), (0x5, 0x2400), id="32"),
        pytest.param(b"\x7f" + bytes(6) + b"\xfc\x00\x09" + bytes(250), (0x5, 0x2400), id="260"),
        pytest.param(b"\x7f" + bytes(6) + b"\x18\x00\x09" + bytes(6), (0x5, 0x2400), id="cut off"),
        pytest.param(b"\x12" + bytes(4) + b"\x04", (0x5, 0x2400), id="NACA"),
        pytest.param(b"\x83" + bytes(15), (0x5, 0x2000), id="third party copy"),
    ],
)
def test_cdbs_that_do_not_go_through_are_answered(
    gate: Scene, cdb: bytes, expected: tuple[int, int]
) -> None:
    with gate.log_in("one") as client:
        assert sense_of(client.execute(0, cdb)) == expected
        assert client.read_10(0, 1).status == GOOD


@pytest.mark.parametrize(("out", "in_bytes"), [(bytes(4096), 0), (b"", 512), (b"", 0)])
def test_data_that_does_not_fit_the_cdb_is_refused(gate: Scene, out: bytes, in_bytes: int) -> None:
    with gate.log_in("one") as client:
        assert sense_of(client.execute(0, read_10(blocks=8), out, in_bytes)) == (0x5, 0x2400)
        assert client.read_10(0, 8).status == GOOD


def test_more_data_than_is_passed_on_is_refused(gate: Scene) -> None:
    with gate.log_in("one") as client:
        assert client.write_10(0, b"m" * MIB).status == GOOD
        assert client.read_10(0, 2048).data == b"m" * MIB
        assert sense_of(client.read_10(0, 4096)) == (0x5, 0x2400)


def test_a_device_that_hangs_is_given_up_in_time_and_comes_back(gate: Scene) -> None:
    with gate.log_in("one") as client:
        with standing_still(gate.store):
            result = client.read_10(0, 1)
        assert sense_of(result) in {(0xB, 0x2E02), (0x2, 0x0400)}
        wait_until(lambda: bool(gate.gateway.log_lines("device.failed")), "an operator is told")
        hear_out(client)
        assert client.read_10(0, 1).status == GOOD
        wait_until(lambda: bool(gate.gateway.log_lines("device.resumed")), "and told again")


def test_a_target_that_dies_under_load_fails_what_is_out_and_is_found_again(gate: Scene) -> None:
    with gate.log_in("one") as client, gate.log_in("two") as other:
        client.write_10(0, b"a" * 512)
        tags = [
            client.submit(0, b"\x28" + bytes(6) + b"\x00\x80\x00", b"", 65536) for _ in range(32)
        ]
        gate.store.kill()
        statuses = Counter(client.wait(tag).status for tag in tags)
        assert sum(statuses.values()) == len(tags), "every command ends once"
        assert sense_of(other.read_10(0, 1))[0] in {0x2, 0xB}
        gate.store.start()
        for survivor in (client, other):
            hear_out(survivor, limit_s=40)
            assert survivor.read_10(0, 1).data[:512] == b"a" * 512
    wait_until(lambda: not gate.gateway.contexts(), "no context is left")


def test_clients_that_leave_with_commands_out_leave_nothing(gate: Scene) -> None:
    clients = [gate.log_in(f"client-{number}") for number in range(4)]
    with standing_still(gate.store):
        for client in clients:
            for _ in range(8):
                client.submit(0, read_10(blocks=8), b"", 4096)
            client.close()
        wait_until(
            lambda: not gate.gateway.contexts(), "no context is left", limit_s=10 * TIMEOUT_S
        )
    assert not gate.gateway.sessions()
