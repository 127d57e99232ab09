"""The guests that the tests share, and what is kept of them when a test fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from tests.guest.figures import RESULTS, Figures, FiguresFile
from tests.guest.image.build import image, why_no_guest
from tests.guest.image.packages import MirrorError
from tests.guest.initiator import Initiator
from tests.guest.machine.guest import Guest
from tests.guest.machine.link import GuestGoneError
from tests.guest.payload import payload
from tests.guest.served import MIB, SECRET, TARGET_SECRET, TARGET_USER, USER, Served, serving
from tests.guest.storage import Storage
from tests.support.ports import lasting_port
from tests.support.settings import GUEST_ROUNDS
from tests.support.target_process import ServedVolume
from tests.support.wheel import build_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TAIL: Final = 6000
"""Characters of a log that a report shows."""
_IS_CI: Final = bool(os.environ.get("CI"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here; an emulated machine takes its time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.guest)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300 + 120 * GUEST_ROUNDS))


def impossible(reason: str) -> NoReturn:
    """Skip, or fail where the machine is ours to prepare."""
    if _IS_CI:
        pytest.fail(f"no guest: {reason}", pytrace=False)
    pytest.skip(f"no guest: {reason}")


def switched_on(
    flavour: str, *, payload: Callable[[str], Path] | None = None, port: int | None = None
) -> Guest:
    """Return a guest that is on, or skip the test.

    Args:
        flavour: a name in `FLAVOURS`.
        payload: makes the tar file for the guest, from its Python's version.
        port: a port of this machine's loopback for the guest's port 3260.
    """
    if reason := why_no_guest():
        impossible(reason)
    RESULTS.mkdir(parents=True, exist_ok=True)
    try:
        manifest = image(flavour).manifest
    except MirrorError as error:
        impossible(str(error))
    tar = payload(str(manifest["python"])) if payload else None
    guest = Guest(flavour, RESULTS, payload=tar, forwarded_port=port)
    guest.power_on()
    return guest


@pytest.fixture(scope="session")
def client() -> Iterator[Guest]:
    """A host with the kernel's initiator, on from the first test that needs it."""
    guest = switched_on("client")
    yield guest
    guest.power_off()
    packages = guest.versions["packages"]
    assert isinstance(packages, dict)
    environment = {
        "linux": guest.versions["kernel"],
        "boots_s": guest.boots_s,
        **{name: packages[name] for name in _NAMED},
    }
    FiguresFile().record("environment", environment)


_NAMED: Final = ("open-iscsi", "multipath-tools", "e2fsprogs", "xfsprogs", "fio")
"""Packages whose versions are told with the figures."""


@pytest.fixture
def guest(client: Guest) -> Iterator[Guest]:
    """The same, on and with nothing left of the test before."""
    if not client.is_on:
        client.power_off()
        client.power_on()
    yield client
    if client.is_on:
        try:
            client.run(_CLEAN_UP)
        except (AssertionError, GuestGoneError):
            client.power_off()  # What hangs there does not come into the next test.


# The brackets keep pkill from finding the shell that has these very words.
_CLEAN_UP: Final = """
pkill -KILL '^fio'; pkill -KILL -f '[r]ecordlog.py'
pidof multipathd && { multipath -F; pkill multipathd; }
for mount in $(grep -o ' /mnt[^ ]*' /proc/mounts); do umount $mount || umount -l $mount; done
iscsiadm -m session --logout
rm -rf /etc/iscsi/nodes/* /etc/iscsi/send_targets/* /tmp/*
[ -z "$(ls /sys/class/iscsi_session)" ]
"""


@pytest.fixture
def initiator(guest: Guest) -> Initiator:
    """open-iscsi in the guest."""
    return Initiator(guest)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A host with SCSI disks, on which fairlead is installed; its portal is a port here."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    port = lasting_port()
    guest = switched_on("target", payload=lambda python: payload(wheel, python), port=port)
    yield Storage(guest, port)
    guest.power_off()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Volumes of several kinds, for tests that do not end the target.

    ``thin`` and ``solid`` are files, ``deep`` has blocks of 4096 bytes, past the page cache and
    written through; ``guarded`` wants CHAP, ``mutual`` gives it, too.
    """
    folder = tmp_path_factory.mktemp("served")
    accounts = [{"user": USER, "secret": SECRET}, {"user": TARGET_USER, "secret": TARGET_SECRET}]
    volumes = [
        _file(folder, "thin", 512, thin=True),
        _file(folder, "solid", 512, thin=False),
        _file(
            *(folder, "deep", 512),
            kind="direct",
            logical_block_bytes=4096,
            write_through=True,
            thin=True,
        ),
        ServedVolume(name="guarded", kind="memory", size_bytes=16 * MIB),
        ServedVolume(name="mutual", kind="memory", size_bytes=16 * MIB),
    ]
    prefix = "iqn.2008-12.example.fairlead:"
    chap: dict[str, dict[str, Any]] = {
        "guarded": {"chap": [USER]},
        "mutual": {"chap": [USER], "mutual_chap": TARGET_USER},
    }
    targets = [
        {"name": prefix + v.name, "luns": [{"lun": 0, "volume": v.name}], **chap.get(v.name, {})}
        for v in volumes
    ]
    tables = {"chap_accounts": accounts, "targets": targets}
    with serving(volumes, folder, driver="io_uring", tables=tables) as running:
        yield running


def _file(
    folder: Path, name: str, mib: int, *, kind: str = "file", **options: object
) -> ServedVolume:
    path = folder / f"{name}.img"
    return ServedVolume(name=name, kind=kind, path=path, size_bytes=mib * MIB, options=options)


@pytest.fixture
def figures() -> Figures:
    """Numbers of this test, kept for the documents."""
    return Figures()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Keep a test's figures; and beside a failure the guest's console and the target's log."""
    report: pytest.TestReport = (yield).get_result()
    fixtures = getattr(item, "funcargs", {})
    if report.when == "call" and not report.skipped:
        values = fixtures["figures"].values if "figures" in fixtures else {}
        FiguresFile().record(item.nodeid, {**values, "failures": int(report.failed)})
    if not report.failed:
        return
    for found in fixtures.values():
        if isinstance(found, Storage):
            report.sections.append(("storage's console", found.guest.console[-_TAIL:]))
            report.sections.append(("its target's log", found.log[-_TAIL:]))
        elif isinstance(found, Guest):
            report.sections.append(("guest's console", found.console[-_TAIL:]))
            (RESULTS / f"{item.name}.console.log").write_text(found.console)
        elif isinstance(found, Served):
            report.sections.append(("target's log", found.process.log_text()[-_TAIL:]))
