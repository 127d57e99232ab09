from __future__ import annotations

import sys
from dataclasses import astuple
from types import ModuleType
from typing import TYPE_CHECKING

from fairlead.dataplane.fake import FakeProbe
from fairlead.dataplane.kernel import KernelProbe
from fairlead.dataplane.kernel_probe import probe_kernel

if TYPE_CHECKING:
    import pytest

    from fairlead.dataplane.kernel_probe import ProbeKernel

NATIVE = "fairlead.dataplane.native"


def stand_in(monkeypatch: pytest.MonkeyPatch, native: ModuleType | None) -> None:
    """Put another module, or none, in the place of the adapter."""
    import fairlead.dataplane  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, NATIVE, native)
    monkeypatch.delattr(fairlead.dataplane, "native", raising=False)


def test_the_data_plane_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    native, probe = ModuleType(NATIVE), FakeProbe(ring="no")
    native.probe_kernel_context = probe  # type: ignore[attr-defined]
    stand_in(monkeypatch, native)
    fake: ProbeKernel = probe
    assert probe_kernel("/blkio", is_polled=True) == KernelProbe(ring="no")
    assert fake is probe
    assert probe.asked == [("/blkio", True)]


def test_what_cannot_even_be_tried_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no thread")

    native = ModuleType(NATIVE)
    native.probe_kernel_context = refuse  # type: ignore[attr-defined]
    stand_in(monkeypatch, native)
    assert set(astuple(probe_kernel(None, is_polled=False))) == {"nothing can be tried: no thread"}


def test_without_the_extension_nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, None)
    [reason] = set(astuple(probe_kernel(None, is_polled=False)))
    assert reason.startswith("the extension of the data plane is not built (")


def test_this_machine_is_asked_without_harm() -> None:
    assert isinstance(probe_kernel(None, is_polled=True), KernelProbe)
