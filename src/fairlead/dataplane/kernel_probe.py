"""Asks the data plane what this kernel lets a process do for its I/O contexts, by doing it."""

from __future__ import annotations

from dataclasses import fields
from typing import Protocol

from fairlead.dataplane.kernel import KernelProbe


class ProbeKernel(Protocol):
    """Tries everything once and leaves nothing behind."""

    def __call__(self, cgroup: str | None, *, is_polled: bool) -> KernelProbe:
        """Return what works. Takes milliseconds.

        Args:
            cgroup: directory in which a group is made and removed; None: none is.
            is_polled: also try a ring that a kernel thread polls.
        """
        ...


def probe_kernel(cgroup: str | None, *, is_polled: bool) -> KernelProbe:
    """Return what the data plane in Rust finds; see `ProbeKernel`."""
    try:
        # Here and not above: everything but serving works without the extension.
        from fairlead.dataplane import native  # noqa: PLC0415
    except ImportError as error:
        return _nothing(f"the extension of the data plane is not built ({error})")
    try:
        return native.probe_kernel_context(cgroup, is_polled=is_polled)
    except OSError as error:
        return _nothing(f"nothing can be tried: {error}")


def _nothing(reason: str) -> KernelProbe:
    return KernelProbe(**{field.name: reason for field in fields(KernelProbe)})
