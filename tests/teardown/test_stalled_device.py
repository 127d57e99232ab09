"""A device stops answering: nobody else notices, nothing is answered too early, nothing stays."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.pdu_task import TaskManagementFunction, TaskManagementResponse
from fairlead.testing import cdb
from fairlead.testing.outcome import LoginRefused
from tests.support.bystander import Bystander
from tests.support.disk_client import why_no_fuse
from tests.support.fault_plan import DataOp
from tests.support.waiting import wait_until
from tests.teardown.stalled import BLOCK_BYTES, BLOCKS, CALM, STUCK, stall_setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fairlead.testing.client import Client
    from tests.support.bystander import BystanderProcess
    from tests.teardown.stalled import StallSetting

pytestmark = pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))

COMMANDS: Final = 100
CLIENTS: Final = 3
MEASURED_S: Final = 1.0
# Other volumes keep their p99: within this factor, or below what a loaded machine of two cores
# does to any process.
P99_FACTOR: Final = 10.0
P99_ALWAYS_GOOD_MS: Final = 20.0


@pytest.fixture(scope="module", params=["file", "direct"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the volume that can be stalled."""
    return str(request.param)


@pytest.fixture(scope="module")
def served(
    kind: str, driver: str, pool: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StallSetting]:
    """A stallable volume of each kind, and a calm one; what one test leaves the next one meets."""
    with stall_setting(driver, pool, kind, tmp_path_factory.mktemp("stalled")) as parts:
        yield parts


@pytest.fixture
def new_setting(kind: str, driver: str, pool: str, tmp_path: Path) -> Iterator[StallSetting]:
    """The same for one test alone."""
    with stall_setting(driver, pool, kind, tmp_path) as parts:
        yield parts


@pytest.fixture
def setting(served: StallSetting) -> Iterator[StallSetting]:
    """The same, with nobody there and the disk empty."""
    served.renew()
    yield served
    served.clear()


@pytest.mark.quiet
@pytest.mark.cell("teardown")
def test_other_volumes_keep_their_latency(
    setting: StallSetting, bystander_process: BystanderProcess
) -> None:
    """A disk holds its requests."""
    _others_keep_their_latency(setting, bystander_process, "hold")


@pytest.mark.quiet
@pytest.mark.cell("teardown")
@pytest.mark.parametrize("pool", ["shared"], scope="package")
def test_other_volumes_keep_their_latency_beside_a_frozen_disk(
    setting: StallSetting, bystander_process: BystanderProcess
) -> None:
    """A disk answers nothing at all; in the pool where most share a submitter with it."""
    _others_keep_their_latency(setting, bystander_process, "freeze")


def _others_keep_their_latency(setting: StallSetting, process: BystanderProcess, way: str) -> None:
    portal, calm_name = setting.target.portal, setting.target.target_name(CALM)
    with Bystander(process, portal, calm_name, "quiet") as quiet:
        time.sleep(MEASURED_S)
    clients = [setting.connect(STUCK, f"host-{number}") for number in range(CLIENTS)]
    setting.stall(way)
    tags = [(client, _mixed(client, number)) for client in clients for number in range(COMMANDS)]
    with Bystander(process, portal, calm_name, f"a stalled device ({way})") as during:
        time.sleep(MEASURED_S)
    setting.resume(way)
    for client, tag in tags:
        assert client.wait(tag).is_good
    for client in clients:
        client.close()
    limit_ms = max(P99_FACTOR * quiet.summary.p99_ms, P99_ALWAYS_GOOD_MS)
    assert during.summary.p99_ms <= limit_ms


@pytest.mark.cell("teardown")
def test_abort_is_answered_only_when_the_write_cannot_land_any_more(setting: StallSetting) -> None:
    with setting.connect(STUCK, "abort") as client:
        setting.disk.stall(DataOp.WRITE)
        tag = client.submit(0, cdb.rw_16(0x8A, 0, 1), b"o" * BLOCK_BYTES)
        wait_until(lambda: setting.disk.stats()["held_now"] == 1, "the write is held")
        function = TaskManagementFunction.ABORT_TASK
        abort = client.initiator.manage(function, referenced_task_tag=tag)
        client.flush()
        # The session is alive: these are answered, and come after the abort.
        for _ in range(3):
            client.ping(b"still there")
            assert client.read_16(8, 1).is_good
        assert not _has_ended(client, abort)
        assert not _has_ended(client, tag)
        setting.disk.resume()
        answer = client.wait_outcome(abort)
        assert isinstance(answer, TaskManagementResponse)
        assert answer.response == 0
        assert client.write_16(0, b"n" * BLOCK_BYTES).is_good
        setting.disk.trace()
        assert client.read_16(0, 1).data == b"n" * BLOCK_BYTES
        client.synchronize_cache_16()
        late = [entry for entry in setting.disk.trace() if entry[0] == DataOp.WRITE]
        assert late == []


@pytest.mark.cell("teardown")
def test_reset_of_the_unit_waits_for_everything_submitted(setting: StallSetting) -> None:
    """Many writes: some are held by the disk, some wait in queues. None may land afterwards."""
    with setting.connect(STUCK, "reset") as client:
        setting.disk.stall(DataOp.WRITE)
        for lba in range(COMMANDS):
            client.submit(0, cdb.rw_16(0x8A, lba, 1), b"o" * BLOCK_BYTES)
        wait_until(lambda: setting.disk.stats()["held_now"] >= 1, "a write is held")
        reset = client.initiator.manage(TaskManagementFunction.LOGICAL_UNIT_RESET)
        client.flush()
        client.ping(b"still there")
        assert not _has_ended(client, reset)
        setting.disk.resume(shuffle_seed=1)
        answer = client.wait_outcome(reset)
        assert isinstance(answer, TaskManagementResponse)
        assert answer.response == 0
        setting.disk.trace()
        client.test_unit_ready()
        whole = b"n" * (COMMANDS * BLOCK_BYTES)
        assert client.write_16(0, whole).is_good
        assert client.read_16(0, COMMANDS).data == whole
        written = [length for op, _, length in setting.disk.trace() if op == DataOp.WRITE]
        assert sum(written) == len(whole), "a write that was reset away has landed"


@pytest.mark.cell("teardown")
def test_data_sent_after_the_abort_never_reaches_the_medium(setting: StallSetting) -> None:
    """The command waits for its Data-Out, is aborted, and the data comes all the same."""
    keys = {"ImmediateData": "No", "InitialR2T": "Yes"}
    with setting.connect(STUCK, "late-data", **keys) as client:
        client.initiator.hold_data_out = True
        written = setting.disk.stats()["write"]
        tag = client.submit(0, cdb.rw_16(0x8A, 0, 4), b"o" * (4 * BLOCK_BYTES))
        bursts = client.initiator._session.due_bursts
        client.pump(lambda: bool(bursts))
        late = [pdu for burst in bursts for pdu in burst.build()]
        function = TaskManagementFunction.ABORT_TASK
        assert client.manage(function, referenced_task_tag=tag) == 0
        assert late
        for pdu in late:
            client.send(pdu)
        client.ping(b"after the data")
        assert client.read_16(0, 4).data == bytes(4 * BLOCK_BYTES)
        assert setting.disk.stats()["write"] == written


@pytest.mark.cell("teardown")
@pytest.mark.parametrize("way", ["hold", "freeze"])
def test_session_ends_while_its_device_stalls(setting: StallSetting, way: str) -> None:
    """The client and everybody else are free at once; the context stays visible until the end."""
    target = setting.target
    # The first session of a device or context starts its submitter, which stays.
    names = [(STUCK, f"host-{number}") for number in range(CLIENTS)]
    warm = [setting.connect(volume, name) for volume, name in [*names, (CALM, "somebody-else")]]
    for client in warm:
        client.close()
    wait_until(lambda: not target.contexts(), "nothing is there at first")
    before = target.reading()
    clients = [setting.connect(STUCK, f"host-{number}") for number in range(CLIENTS)]
    setting.stall(way)
    for client in clients:
        for number in range(COMMANDS):
            _mixed(client, number)
        client.close()
    wait_until(
        lambda: all(session["state"] == "ending" for session in target.sessions()),
        "the closed connections are noticed",
    )
    closing = setting.stuck_contexts()
    assert closing
    assert {context["state"] for context in closing} == {"closing"}
    assert sum(int(str(context["in_flight"])) for context in closing) > 0
    with setting.connect(CALM, "somebody-else") as other:
        assert other.write_16(0, b"c" * BLOCK_BYTES).is_good
        assert other.read_16(0, 1).data == b"c" * BLOCK_BYTES
        other.logout()
    setting.resume(way)
    wait_until(lambda: not target.sessions(), "every session is over")
    wait_until(lambda: not target.contexts(), "every context is released")
    events = [event for event in target.events() if event["event"] == "ContextReleased"]
    assert all(event["context"]["entered"] == event["context"]["left"] for event in events)
    wait_until(lambda: target.reading().has_spare_workers_only, "workers have ended", limit_s=30)
    assert target.reading().descriptors == before.descriptors
    assert target.reading().threads.total() == before.threads.total()


@pytest.mark.cell("teardown")
def test_reinstatement_gives_up_on_a_stalled_device(setting: StallSetting) -> None:
    """The login that replaces a session waits for its I/O, but not for ever."""
    client = setting.connect(STUCK, "again")
    setting.disk.stall(DataOp.WRITE)
    client.submit(0, cdb.rw_16(0x8A, 0, 1), b"o" * BLOCK_BYTES)
    wait_until(lambda: setting.disk.stats()["held_now"] == 1, "the write is held")
    with pytest.raises(LoginRefused) as refused:
        setting.connect(STUCK, "again")
    assert refused.value.status == LoginStatus.SERVICE_UNAVAILABLE
    setting.disk.resume()
    client.close()
    with setting.connect(STUCK, "again") as successor:
        assert successor.write_16(0, b"n" * BLOCK_BYTES).is_good
        assert successor.read_16(0, 1).data == b"n" * BLOCK_BYTES


@pytest.mark.cell("teardown")
def test_buffers_of_a_stalled_device_are_not_used_again(new_setting: StallSetting) -> None:
    """The frozen disk still reads from and writes to the dead session's memory; nobody may have it.

    A write's data is copied when the disk takes the request, so reused memory would be written; a
    read's data is copied into it at the thaw, so reused memory would be overwritten. With a target
    whose memory is whole yet, so that a write is one request to the disk: all of it or nothing.
    """
    setting = new_setting
    rng = random.Random(3)
    chunk = 16
    setting.disk.freeze()
    with setting.connect(STUCK, "dead") as client:
        for index in range(32):
            data = bytes((index + 1,)) * (chunk * BLOCK_BYTES)
            client.submit(0, cdb.rw_16(0x8A, index * chunk, chunk), data)
        for index in range(32):
            lba, length = 1024 + index * chunk, chunk * BLOCK_BYTES
            client.submit(0, cdb.rw_16(0x88, lba, chunk), b"", length)
        client.ping(b"all of them have arrived")
    wait_until(
        lambda: all(session["state"] == "ending" for session in setting.target.sessions()),
        "the closed connection is noticed",
    )
    with setting.connect(CALM, "busy") as busy:
        for turn in range(200):
            lba = rng.randrange(BLOCKS - chunk)
            data = rng.randbytes(chunk * BLOCK_BYTES)
            assert busy.write_16(lba, data).is_good
            if turn == 100:
                setting.disk.thaw()
            assert busy.read_16(lba, chunk).data == data
    wait_until(lambda: not setting.stuck_contexts(), "the stalled context is released")
    with setting.connect(STUCK, "reader") as reader:
        for index in range(32):
            found = reader.read_16(index * chunk, chunk).data
            legal = (bytes(chunk * BLOCK_BYTES), bytes((index + 1,)) * (chunk * BLOCK_BYTES))
            assert found in legal, f"write {index}: foreign data {found[:16].hex()}"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_stalled_device_is_reported(driver: str, tmp_path: Path) -> None:
    with (
        stall_setting(driver, "shared", "file", tmp_path) as setting,
        setting.connect(STUCK, "waiting") as client,
    ):
        log = setting.target.log_lines
        setting.disk.stall(DataOp.READ)
        tags = [_read(client, lba) for lba in range(4)]

        def is_reported() -> bool:
            client.ping(b"still there")
            return bool(log("device.stalled", "4 commands of 1 client"))

        wait_until(is_reported, "the stall is reported", limit_s=30)
        setting.disk.resume()
        assert all(client.wait(tag).is_good for tag in tags)
        wait_until(lambda: bool(log("device.resumed")), "its return is reported")


def _mixed(client: Client, number: int) -> int:
    """Send a read, a write or a flush; return its tag."""
    if number % 10 == 9:
        return client.submit(0, cdb.rw_16(0x91, 0, 0))
    if number % 2:
        return _read(client, number)
    return client.submit(0, cdb.rw_16(0x8A, number, 1), bytes((number,)) * BLOCK_BYTES)


def _read(client: Client, lba: int) -> int:
    return client.submit(0, cdb.rw_16(0x88, lba, 1), b"", BLOCK_BYTES)


def _has_ended(client: Client, tag: int) -> bool:
    client._mailbox.collect()
    return tag in client._mailbox.outcomes
