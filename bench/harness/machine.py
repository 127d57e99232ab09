"""What the figures were measured on. Without it they mean nothing."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from bench.harness.programs import REPOSITORY

_QUERY_S = 10


def describe(image: Path) -> dict[str, str]:
    """Return name and value of everything that bears on the figures, in the order to print."""
    facts = {
        "date": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_cpu_model()}, {os.cpu_count()} CPUs seen",
        "virtual machine": _output("systemd-detect-virt", "--vm"),
        "mitigations": _mitigations(),
        "memory": f"{_meminfo_gib('MemTotal'):.1f} GiB",
        "kernel": platform.release(),
        "system": _os_name(),
        "network": f"loopback, {_read('/proc/sys/net/ipv4/tcp_congestion_control')} "
        "congestion control",
        "image": f"{image.stat().st_size / (1 << 20):.0f} MiB on {_file_system(image)}, "
        "in the page cache",
        "page cache reclaim": _reclaim(),
        "Python": platform.python_version(),
        "libiscsi": _package("libiscsi7"),
        "tgt": _package("tgt"),
        "fairlead": f"{_fairlead_version()}, commit {_commit()}",
    }
    return {name: value for name, value in facts.items() if value}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_QUERY_S, cwd=REPOSITORY
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else platform.machine()


def _mitigations() -> str:
    """Name the mitigations that make every system call dearer."""
    folder = "/sys/devices/system/cpu/vulnerabilities"
    parts = [
        f"{name}: {text}"
        for name in ("meltdown", "spectre_v2", "spec_rstack_overflow", "retbleed")
        if (text := _read(f"{folder}/{name}")) and not text.startswith("Not affected")
    ]
    return "; ".join(parts)


def _meminfo_gib(field: str) -> float:
    match = re.search(rf"^{field}:\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return int(match[1]) / (1 << 20) if match else 0.0


def _os_name() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.MULTILINE)
    return match[1] if match else platform.system()


def _file_system(path: Path) -> str:
    # stat calls ext4 by the number that it shares with ext2.
    return _output("findmnt", "-no", "FSTYPE", "-T", str(path)) or "unknown file system"


def _reclaim() -> str:
    """Tell whether a DAMON thread takes idle page cache away (the image is then re-read anyway)."""
    threads = [
        comm
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (comm := _read(f"{entry}/comm")).startswith("kdamond")
    ]
    return (
        "a kdamond thread runs; the image is read anew before every measurement" if threads else ""
    )


def _package(name: str) -> str:
    return _output("dpkg-query", "--show", "--showformat=${Version}", name)


def _fairlead_version() -> str:
    try:
        return metadata.version("fairlead")
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return (commit or "unknown") + (" with changes" if commit and changed else "")
