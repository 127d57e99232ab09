from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fairlead.control.backing import SystemView
from fairlead.control.block_stack import _read_disk, find_place
from fairlead.control.elevators import Elevators
from fairlead.errors import ConfigError
from tests.support.kernel_tree import KernelTree
from tests.support.loop_device import loop_device, why_no_loop_device

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def sda(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    caplog.set_level(logging.INFO)
    tree = KernelTree(tmp_path)
    disk = tree.disk("sda", "8:0")
    tree.elevator(disk, "mq-deadline")
    return disk


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the kernel refuse every elevator from now on."""

    def refuse_with(code: int) -> None:
        def write(*_: object) -> None:
            raise OSError(code, "refused")

        monkeypatch.setattr(Path, "write_text", write)

    return refuse_with


def elevator(disk: Path) -> str | None:
    return _read_disk(disk).elevator


def test_what_was_there_comes_back(sda: Path, caplog: pytest.LogCaptureFixture) -> None:
    elevators = Elevators()
    elevators.give(_read_disk(sda), "kyber")
    elevators.give(_read_disk(sda), "bfq")
    assert elevator(sda) == "bfq"
    elevators.put_back()
    assert elevator(sda) == "mq-deadline"
    assert [record.getMessage() for record in caplog.records] == [
        "elevator.set disk=sda was=mq-deadline now=kyber",
        "elevator.set disk=sda was=kyber now=bfq",
        "elevator.put_back disk=sda was=bfq now=mq-deadline",
    ]
    # A second time there is nothing to put back.
    (sda / "queue/scheduler").write_text("[bfq]")
    elevators.put_back()
    assert elevator(sda) == "bfq"


def test_what_is_right_is_not_touched(sda: Path, caplog: pytest.LogCaptureFixture) -> None:
    elevators = Elevators()
    elevators.give(_read_disk(sda), "mq-deadline")
    (sda / "queue/scheduler").unlink()
    elevators.give(_read_disk(sda), "bfq")  # It can have none.
    elevators.put_back()
    assert not caplog.records


def test_what_somebody_else_has_set_since_stays(
    sda: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elevators = Elevators()
    elevators.give(_read_disk(sda), "bfq")
    (sda / "queue/scheduler").write_text("none mq-deadline [kyber] bfq\n")
    elevators.put_back()
    assert elevator(sda) == "kyber"
    assert caplog.records[-1].getMessage() == 'elevator.left disk=sda reason="is bfq no more"'


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_who_may_not_is_told_what_to_do(
    sda: Path, refuse: Callable[[int], None], code: int
) -> None:
    refuse(code)
    with pytest.raises(ConfigError) as caught:
        Elevators().give(_read_disk(sda), "bfq")
    assert caught.value.reason.startswith("/sys/block/sda/queue/scheduler cannot be set to bfq: ")
    assert caught.value.remedy == (
        "as root: echo bfq > /sys/block/sda/queue/scheduler; and remove set_elevator"
    )


def test_an_elevator_that_the_kernel_lacks_is_no_failure(
    sda: Path, refuse: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    refuse(errno.EINVAL)
    elevators = Elevators()
    elevators.give(_read_disk(sda), "bfq")
    elevators.put_back()
    assert [record.getMessage() for record in caplog.records] == [
        'elevator.refused disk=sda elevator=bfq reason="invalid argument"'
    ]


def test_a_disk_that_has_gone_is_no_failure(sda: Path, caplog: pytest.LogCaptureFixture) -> None:
    elevators = Elevators()
    elevators.give(_read_disk(sda), "bfq")
    (sda / "queue/scheduler").unlink()
    elevators.put_back()
    assert caplog.records[-1].getMessage().startswith("elevator.not_put_back disk=sda elevator=mq")


@pytest.mark.root
@pytest.mark.skipif(why_no_loop_device() is not None, reason=str(why_no_loop_device()))
def test_the_kernel_takes_an_elevator_and_gives_it_back(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    with loop_device(image) as device:
        [disk] = find_place(str(device), SystemView()).disks
        others = [name for name in disk.elevators if name != disk.elevator]
        if not others:
            pytest.skip("this kernel has one elevator alone")
        assert (disk.name, disk.is_loop) == (device.name, True)
        elevators = Elevators()
        elevators.give(disk, others[0])
        assert elevator(disk.scheduler.parent.parent) == others[0]
        elevators.put_back()
        assert elevator(disk.scheduler.parent.parent) == disk.elevator
        elevators.give(disk, "no-such")
        assert elevator(disk.scheduler.parent.parent) == disk.elevator
