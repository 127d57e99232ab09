"""The kernel's own contexts with real sessions: they come, tell clients apart, leave nothing."""

from __future__ import annotations

import contextlib
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from bench.fairness import kernel_io
from fairlead.testing import cdb
from fairlead.testing.client import connect
from tests.support.disk_client import FuseDisk, why_no_fuse
from tests.support.loop_device import loop_device, why_no_loop_device
from tests.support.target_process import ServedVolume, TargetProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fairlead.testing.client import Client

VOLUME: Final = "v"
SIZE_BYTES: Final = 16 << 20
BLOCK_BYTES: Final = 4096
BLKIO: Final = Path("/sys/fs/cgroup/blkio")
# The control plane looks at elevators this often, and a loaded machine takes its time.
NOTICED_S: Final = 20.0


def _why_no_bfq() -> str | None:
    """Say why no loop device here can have BFQ; None where it can."""
    if (reason := why_no_loop_device()) is not None:
        return reason
    known = [path.read_text() for path in Path("/sys/block").glob("loop*/queue/scheduler")]
    return None if any("bfq" in elevators for elevators in known) else "the kernel has no BFQ"


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.quiet,
    pytest.mark.root,
    pytest.mark.skipif(_why_no_bfq() is not None, reason=str(_why_no_bfq())),
]


class Setting:
    """A target on a disk under BFQ, and its clients."""

    def __init__(self, target: TargetProcess, disk: Path) -> None:
        self.target = target
        self.disk = disk
        self.clients = contextlib.ExitStack()

    def connect(self, name: str) -> Client:
        """Log in under a name, with no unit attention pending."""
        initiator, target_name = _initiator(name), self.target.target_name(VOLUME)
        client = connect(self.target.portal, target_name, initiator)
        self.clients.callback(client.close)
        client.block_bytes = BLOCK_BYTES
        client.test_unit_ready()
        return client

    def kernel_of(self, name: str) -> dict[str, Any]:
        """What the kernel has of a client's context."""
        found = [c for c in self.target.contexts() if _initiator(name) in str(c["key"])]
        return found[0]["kernel"] or {} if found else {}

    def elevator(self, name: str) -> None:
        """Give the disk an elevator."""
        (kernel_io.disk_of(self.disk) / "queue/scheduler").write_text(name)

    def read_until(self, clients: list[Client], condition: Callable[[], bool], what: str) -> None:
        """All read in turn until something holds."""

        def holds() -> bool:
            for client in clients:
                assert client.read_16(0, 1).is_good
            return condition()

        wait_until(holds, what, limit_s=NOTICED_S)

    def has_task(self, thread: int) -> bool:
        """Whether the target has this thread."""
        return Path(f"/proc/{self.target.pid}/task/{thread}").exists()


def _initiator(name: str) -> str:
    return f"iqn.2026-11.example.kernel:{name}"


@contextlib.contextmanager
def _setting(
    folder: Path, file: Path, engine: Mapping[str, Any], **tables: Any
) -> Iterator[Setting]:
    with loop_device(file, logical_block_bytes=BLOCK_BYTES) as disk:
        (kernel_io.disk_of(disk) / "queue/scheduler").write_text("bfq")
        volume = ServedVolume(name=VOLUME, kind="direct", path=disk)
        target = TargetProcess(
            [volume],
            folder,
            driver="io_uring",
            engine={"kernel_context": "ring", **engine},
            tables=tables,
        )
        with target:
            setting = Setting(target, disk)
            with setting.clients:
                yield setting


@pytest.fixture(params=[False, True], ids=["entered", "polled"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    """Rings that keepers enter, and rings that the kernel polls; one client weighs four times."""
    file = tmp_path / "disk.img"
    with file.open("wb") as image:
        image.truncate(SIZE_BYTES)
    heavy = {"contexts": f"*{_initiator('heavy')}*", "weight": 4}
    engine = {"kernel_rings_polled": request.param}
    with _setting(tmp_path, file, engine, shares=[heavy]) as parts:
        yield parts


# Where it makes no difference who enters the rings.
ENTERED: Final = pytest.mark.parametrize("setting", [False], indirect=True, ids=["entered"])


def test_each_client_has_a_ring_and_nothing_of_it_is_left(setting: Setting) -> None:
    heavy, light = setting.connect("heavy"), setting.connect("light")
    setting.read_until(
        [heavy, light],
        lambda: all(setting.kernel_of(name).get("ring_requests") for name in ("heavy", "light")),
        "both have rings",
    )
    keepers = {name: int(setting.kernel_of(name)["keeper"]) for name in ("heavy", "light")}
    assert all(setting.kernel_of(name)["state"] == "ring" for name in keepers)
    assert all(setting.has_task(keeper) for keeper in keepers.values())
    data = random.Random(4).randbytes(256 * BLOCK_BYTES)
    assert heavy.write_16(8, data).is_good
    assert light.read_16(8, 256).data == data
    if (BLKIO / "blkio.bfq.io_serviced").exists():
        groups = sorted(BLKIO.glob(f"fairlead.{setting.target.pid}.*"))
        weights = sorted(int((group / "blkio.bfq.weight").read_text()) for group in groups)
        assert weights == [250, 1000]
    heavy.close()
    light.close()
    wait_until(lambda: setting.target.contexts() == [], "both contexts are released")
    assert not any(setting.has_task(keeper) for keeper in keepers.values())
    assert "io_uring" in setting.target.reading().descriptors
    names = setting.target.reading().threads
    assert not [name for name in names if name.startswith(("keeper", "iou-sqp"))], names
    assert not list(BLKIO.glob(f"fairlead.{setting.target.pid}.*"))


def test_where_requests_carry_priorities_nothing_is_said_of_rings(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    with file.open("wb") as image:
        image.truncate(SIZE_BYTES)
    with _setting(tmp_path, file, {"kernel_context": "priority"}) as setting:
        client = setting.connect("only")
        # The first few go without a priority: what it is comes with a message.
        for _ in range(300):
            assert client.read_16(0, 1).is_good
        [context] = setting.target.contexts()
        assert context["submitted"] >= 300
        assert context["kernel"] is None


@ENTERED
def test_an_elevator_that_changes_meanwhile_ends_the_rings_use_and_begins_it_again(
    setting: Setting,
) -> None:
    clients = [setting.connect("heavy"), setting.connect("light")]

    def by_ring() -> int:
        return int(setting.kernel_of("heavy").get("ring_requests", 0))

    setting.read_until(clients, lambda: by_ring() > 0, "it has a ring")
    setting.elevator("none")
    noticed = ("kernel_context.elevator_changed", "now=none")
    setting.read_until(clients, lambda: bool(setting.target.log_lines(*noticed)), "it is noticed")
    seen = [by_ring()]

    def has_stopped() -> bool:
        seen.append(by_ring())
        return seen[-1] == seen[-2]

    setting.read_until(clients, has_stopped, "no request goes by a ring")
    setting.elevator("bfq")
    before = by_ring()
    setting.read_until(clients, lambda: by_ring() > before, "requests go by the ring again")


@ENTERED
def test_what_a_killed_target_left_is_removed_by_the_next(setting: Setting) -> None:
    clients = [setting.connect("heavy"), setting.connect("light")]

    def groups() -> list[Path]:
        return list(BLKIO.glob("fairlead.*.*"))

    if not (BLKIO / "blkio.bfq.io_serviced").exists():
        pytest.skip("no blkio groups here")
    setting.read_until(clients, lambda: len(groups()) == 2, "both have groups")
    setting.target.kill()
    assert len(groups()) == 2
    setting.target.start()
    assert groups() == []
    assert setting.target.log_lines("kernel_context.leftovers_removed")


@pytest.mark.skipif(why_no_fuse() is not None, reason=str(why_no_fuse()))
def test_a_context_whose_disk_hangs_stays_until_it_answers(tmp_path: Path) -> None:
    with (
        FuseDisk(size_bytes=SIZE_BYTES) as disk,
        _setting(tmp_path, disk.path, {}) as setting,
    ):
        leaves, stays = setting.connect("leaves"), setting.connect("stays")
        setting.read_until(
            [leaves, stays],
            lambda: all(setting.kernel_of(n).get("ring_requests") for n in ("leaves", "stays")),
            "both have rings",
        )
        keeper = int(setting.kernel_of("leaves")["keeper"])
        disk.stall()
        # More than its ring has room for.
        for lba in range(200):
            leaves.submit(0, cdb.rw_16(0x8A, lba, 1), b"x" * BLOCK_BYTES)
        leaves.flush()
        wait_until(lambda: disk.stats()["held_now"] > 0, "the disk has something")
        leaves.close()

        def context() -> list[dict[str, Any]]:
            key = _initiator("leaves")
            return [found for found in setting.target.contexts() if key in str(found["key"])]

        wait_until(lambda: context()[0]["state"] == "closing", "it is closing")
        assert setting.has_task(keeper)
        stays.ping(b"nobody else notices")
        disk.resume()
        wait_until(lambda: context() == [], "it is released")
        assert not setting.has_task(keeper)
        assert stays.read_16(0, 1).is_good


def test_a_target_that_is_told_to_stop_under_load_leaves_nothing(setting: Setting) -> None:
    clients = [setting.connect("heavy"), setting.connect("light")]
    setting.read_until(
        clients, lambda: bool(setting.kernel_of("light").get("ring_requests")), "it has a ring"
    )
    for client in clients:
        for lba in range(60):
            client.submit(0, cdb.rw_16(0x88, lba, 8), data_in_bytes=8 * BLOCK_BYTES)
        client.flush()
    pid = setting.target.pid
    assert setting.target.stop() in (0, -signal.SIGTERM)
    assert not list(BLKIO.glob(f"fairlead.{pid}.*"))
    setting.target.start()
