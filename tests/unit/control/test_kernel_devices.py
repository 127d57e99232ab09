from __future__ import annotations

import asyncio
import errno
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from fairlead.control.kernel_devices import LOOK_INTERVAL_S, KernelDevices, resolution_document
from fairlead.dataplane.api import VolumeSpec
from fairlead.dataplane.fake import FakeProbe
from fairlead.dataplane.kernel import KernelOptions
from fairlead.errors import ConfigError, DataPlaneError
from fairlead.model.config import Config
from tests.support.kernel_tree import KernelTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.dataplane.api import VolumeKind

RING = {"engine": {"kernel_context": "ring"}}


class Machine:
    """A disk ``sda`` under the test's files, with bfq; groups with weights; a user called root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = KernelTree(folder)
        self.disk = self.tree.disk_below(folder, "sda", "bfq")
        self.groups = self.tree.blkio()
        self.probe = FakeProbe()

    def devices(self, **document: Any) -> KernelDevices:
        return KernelDevices(Config.model_validate(document), self.tree.view, self.probe)

    def spec(self, name: str = "v", **fields: Any) -> VolumeSpec:
        path = self.folder / name
        path.touch()
        plain: dict[str, Any] = {
            "name": name,
            "kind": "direct",
            "path": str(path),
            "size_bytes": 1 << 20,
            "logical_block_bytes": 512,
            "physical_block_bytes": 4096,
            "read_only": False,
            "thin": False,
            "write_through": False,
            "device": "sda",
        }
        return VolumeSpec(**{**plain, **fields})

    @property
    def elevator(self) -> str:
        return (self.disk / "queue/scheduler").read_text().strip()


def admit(devices: KernelDevices, spec: VolumeSpec, *, driver: str = "io_uring") -> VolumeSpec:
    """Admit a volume that can be opened."""
    with devices.admit(spec, driver=driver) as admitted:
        return admitted


def fails(
    devices: KernelDevices,
    spec: VolumeSpec,
    *,
    driver: str = "io_uring",
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Admit a volume that cannot be opened."""

    def try_it() -> None:
        with devices.admit(spec, driver=driver):
            meanwhile()
            raise DataPlaneError("it is locked")

    with pytest.raises(DataPlaneError, match="it is locked"):
        try_it()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO)

    def take() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return take


def test_who_asks_for_nothing_pays_for_nothing(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    devices = machine.devices(devices=[{"name": "sda", "iops": 1}])
    assert devices.prepare() == KernelOptions()
    assert admit(devices, machine.spec()) == machine.spec()
    devices.look()
    devices.put_back()
    assert (devices.status(), machine.probe.asked, lines()) == ([], [], [])


def test_the_data_plane_is_told_what_it_may_use(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    (machine.groups / "fairlead.999.1").mkdir()
    engine = {"kernel_context": "ring", "kernel_rings_max": 7, "kernel_rings_polled": True}
    options = machine.devices(engine=engine).prepare()
    assert options == KernelOptions(rings_max=7, is_polled=True, cgroup=str(machine.groups))
    assert lines() == ["kernel_context.leftovers_removed groups=fairlead.999.1"]
    machine.probe = FakeProbe(polled="no")
    options = machine.devices(engine={**engine, "kernel_cgroups": False}).prepare()
    assert options == KernelOptions(rings_max=7)
    assert machine.probe.asked == [(None, True)]


def test_a_device_has_what_it_asks_for_and_is_told_once(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    for name in ("a", "b"):
        spec = admit(devices, machine.spec(name, kind="file"))
        assert spec.kernel_context == "ring"
    buffered = "buffered writes: the kernel writes them back later, for nobody"
    direct = "kind direct goes past the page cache"
    assert lines() == [
        "kernel_context.resolved device=sda asked=ring mode=ring elevators=sda:bfq "
        'weights="weights of groups"',
        f'kernel_context.not_covered device=sda reason="{buffered}" remedy="{direct}"',
    ]
    [found] = devices.status()
    assert resolution_document(found) == {
        "asked": "ring",
        "mode": "ring",
        "sees": True,
        "elevators": {"sda": "bfq"},
        "weights": "weights of groups",
        "missing": [],
        "not_covered": [{"text": buffered, "remedy": direct}],
    }


def test_a_device_may_ask_for_something_else(machine: Machine) -> None:
    document = {**RING, "devices": [{"name": "sda", "kernel_context": "off"}]}
    devices = machine.devices(**document)
    devices.prepare()
    assert admit(devices, machine.spec()).kernel_context == "off"
    null = machine.spec(kind="null", path=None, device="null:v")
    assert admit(devices, null).kernel_context == "off"
    assert [(found.device, found.asked) for found in devices.status()] == [("null:v", "ring")]
    devices = machine.devices(devices=[{"name": "sda", "kernel_context": "ring"}])
    assert devices.prepare().cgroup == str(machine.groups)
    assert admit(devices, machine.spec()).kernel_context == "ring"


def test_what_is_missing_is_a_warning_if_something_can_be_done(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine.tree.elevator(machine.disk, "none")
    devices = machine.devices(**RING)
    devices.prepare()
    admit(devices, machine.spec())
    admit(devices, machine.spec(kind="null", path=None, device="null:v"))
    missing = [r for r in caplog.records if "kernel_context.missing" in r.getMessage()]
    assert [(record.levelname, record.getMessage()) for record in missing] == [
        (
            "WARNING",
            'kernel_context.missing device=sda reason="sda has elevator none, which knows no '
            'io_contexts: no rings until it has bfq" remedy="echo bfq > '
            '/sys/block/sda/queue/scheduler"',
        ),
        (
            "INFO",
            'kernel_context.missing device=null:v reason="null volumes ask nothing of the kernel"',
        ),
    ]


def test_what_the_kernel_refuses_is_a_warning_although_nothing_can_be_done(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.probe = FakeProbe(ring="no")
    devices = machine.devices(**RING)
    devices.prepare()
    admit(devices, machine.spec())
    [record] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert record.getMessage() == (
        'kernel_context.missing device=sda reason="no rings with keepers: no"'
    )


def test_all_volumes_of_a_device_have_what_the_first_one_got(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    assert admit(devices, machine.spec("a"), driver="threads").kernel_context == "off"
    lines()
    assert admit(devices, machine.spec("b")).kernel_context == "off"
    assert any("is served with off since its first volume came" in line for line in lines())


@pytest.mark.parametrize("kind", ["null", "memory", "sim"])
def test_a_volume_that_is_nowhere_decides_nothing_for_its_device(
    machine: Machine, kind: VolumeKind
) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    nowhere = machine.spec("a", kind=kind, path=None)
    assert admit(devices, nowhere).kernel_context == "off"
    assert [(found.mode, found.sees) for found in devices.status()] == [("off", False)]
    told: list[tuple[str, bool]] = []
    devices.tell(lambda device, sees: told.append((device, sees)))
    assert told == []
    assert admit(devices, machine.spec("b")).kernel_context == "ring"
    [found] = devices.status()
    assert (found.mode, found.sees, found.weights) == ("ring", True, "weights of groups")
    # Nor does it get what the others have.
    assert admit(devices, replace(nowhere, name="c")).kernel_context == "off"
    assert devices.status()[0].mode == "ring"
    devices.look()
    assert told == [("sda", True)]


def test_a_volume_that_cannot_be_opened_decides_nothing(machine: Machine) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    nowhere = machine.spec("a", kind="null", path=None)
    admit(devices, nowhere)
    fails(devices, machine.spec("b"), driver="threads")
    assert len(devices.status()[0].missing) == 1
    # What would be missing there was off, for another driver.
    assert admit(devices, machine.spec("c")).kernel_context == "ring"


def test_a_device_goes_with_its_only_volume(machine: Machine) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    fails(devices, machine.spec("a"))
    assert devices.status() == []
    fails(devices, machine.spec("b", kind="null", path=None, device="null:b"))
    assert devices.status() == []


def test_what_a_volume_has_decided_stays_while_another_has_it(machine: Machine) -> None:
    devices = machine.devices(**RING)
    devices.prepare()

    def another_comes() -> None:
        assert admit(devices, machine.spec("b")).kernel_context == "off"

    fails(devices, machine.spec("a"), driver="threads", meanwhile=another_comes)
    assert admit(devices, machine.spec("c")).kernel_context == "off"
    # Of the one that failed nothing is said.
    [found] = devices.status()
    assert not any("needs the driver" in note.text for note in found.missing)


def test_looking_keeps_apart_which_volume_is_withdrawn(machine: Machine) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    admit(devices, machine.spec("a"))

    def look() -> None:
        devices.look()
        assert len(devices.status()[0].not_covered) == 1

    fails(devices, machine.spec("b", kind="file"), meanwhile=look)
    assert devices.status()[0].not_covered == ()


def test_an_elevator_that_was_set_for_a_volume_that_cannot_be_opened_stays_until_the_end(
    machine: Machine,
) -> None:
    file = machine.tree.elevator(machine.disk, "kyber")
    devices = machine.devices(**RING, devices=[{"name": "sda", "set_elevator": True}])
    devices.prepare()
    fails(devices, machine.spec())
    assert file.read_text() == "bfq"
    devices.put_back()
    assert file.read_text() == "kyber"


def test_whoever_asks_while_volumes_come_sees_all_or_nothing_of_each(machine: Machine) -> None:
    """Status takes no lock: an answer must never wait for a disk."""
    devices = machine.devices(**RING)
    devices.prepare()
    seen: list[tuple[str, int]] = []

    class Watched(dict[str, Any]):
        """Somebody asks whenever something has changed."""

        @override
        def __setitem__(self, name: str, device: object) -> None:
            super().__setitem__(name, device)
            seen.extend((found.mode, len(found.missing)) for found in devices.status())

    devices._decided = Watched()
    admit(devices, machine.spec("a"))
    admit(devices, machine.spec("b", kind="null", path=None))
    assert seen == [("ring", 0), ("ring", 1)]


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"engine": {"kernel_context": "experimental-move-cgroup"}}, "engine.kernel_context"),
        (
            {"devices": [{"name": "a", "kernel_context": "experimental-set-ioprio"}]},
            "devices[0].kernel_context",
        ),
    ],
)
def test_experiments_are_roots(machine: Machine, document: dict[str, Any], where: str) -> None:
    assert machine.devices(**document).prepare().cgroup
    machine.tree.user(1000)
    with pytest.raises(ConfigError, match="is an experiment for root, and this is user 1000") as e:
        machine.devices(**document).prepare()
    assert e.value.where == where


@pytest.mark.parametrize(
    ("asked", "elevator"), [("ring", "bfq"), ("priority", "mq-deadline"), ("off", "none")]
)
def test_an_elevator_is_set_where_somebody_says_so_and_put_back(
    machine: Machine, asked: str, elevator: str
) -> None:
    file = machine.tree.elevator(machine.disk, "kyber")
    before = machine.elevator
    device = {"name": "sda", "kernel_context": asked}
    devices = machine.devices(devices=[device])
    devices.prepare()
    admit(devices, machine.spec())
    assert machine.elevator == before
    devices = machine.devices(devices=[{**device, "set_elevator": True}])
    devices.prepare()
    assert admit(devices, machine.spec()).kernel_context == asked
    assert file.read_text() == elevator
    devices.put_back()
    assert file.read_text() == "kyber"


def test_an_elevator_is_left_alone_where_it_would_not_help(machine: Machine) -> None:
    machine.tree.elevator(machine.disk, "kyber")
    before = machine.elevator
    devices = machine.devices(**RING, devices=[{"name": "sda", "set_elevator": True}])
    devices.prepare()
    assert admit(devices, machine.spec(), driver="threads").kernel_context == "off"
    assert machine.elevator == before


def test_an_elevator_that_may_not_be_set_is_a_mistake(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.tree.elevator(machine.disk, "none")
    devices = machine.devices(**RING, devices=[{"name": "sda", "set_elevator": True}])
    devices.prepare()
    spec = machine.spec()

    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "refused")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ConfigError, match="cannot be set to bfq: permission denied"):
        admit(devices, spec)


def test_an_elevator_that_changes_is_noticed_once(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    devices = machine.devices(**RING)
    devices.prepare()
    admit(devices, machine.spec())
    admit(devices, machine.spec(kind="null", path=None, device="null:v"))
    lines()
    devices.look()
    assert lines() == []
    machine.tree.elevator(machine.disk, "none")
    devices.look()
    devices.look()
    [line] = lines()
    assert line.startswith(
        "kernel_context.elevator_changed device=sda disk=sda was=bfq now=none "
        'reason="sda has elevator none, which knows no io_contexts'
    )
    found = devices.status()[0]
    assert (found.mode, found.weights, len(found.missing)) == ("ring", "nothing", 1)
    machine.tree.elevator(machine.disk, "bfq")
    devices.look()
    [line] = lines()
    assert line.endswith('was=none now=bfq reason="nothing is missing"')
    assert devices.status()[0].missing == ()


def test_the_data_plane_is_told_whether_the_elevator_sees_contexts_and_when_that_changes(
    machine: Machine,
) -> None:
    told: list[tuple[str, bool]] = []
    devices = machine.devices(**RING)
    devices.prepare()
    admit(devices, machine.spec())
    devices.tell(lambda device, sees: told.append((device, sees)))
    machine.tree.elevator(machine.disk, "none")
    devices.look()
    machine.tree.elevator(machine.disk, "bfq")
    devices.look()
    assert told == [("sda", True), ("sda", False), ("sda", True)]


def test_nobody_is_told_of_an_elevator_that_nobody_asks_for(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    devices = machine.devices(devices=[{"name": "sda", "set_elevator": True}])
    admit(devices, machine.spec())
    machine.tree.elevator(machine.disk, "kyber")
    lines()
    devices.look()
    assert (lines(), devices.status()) == ([], [])


async def test_looks_come_every_few_seconds_until_the_end(
    machine: Machine, lines: Callable[[], list[str]]
) -> None:
    slept: list[float] = []
    may_look = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 2:
            may_look.set()
            await asyncio.Event().wait()

    config = Config.model_validate(RING)
    devices = KernelDevices(config, machine.tree.view, machine.probe, sleep=sleep)
    devices.prepare()
    admit(devices, machine.spec())
    machine.tree.elevator(machine.disk, "none")
    lines()
    devices.start()
    await may_look.wait()
    await devices.stop()
    await devices.stop()
    assert slept == [LOOK_INTERVAL_S] * 3
    assert [line.split()[0] for line in lines()] == ["kernel_context.elevator_changed"]
