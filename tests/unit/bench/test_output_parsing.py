"""Reading what perf, strace, iscsi-perf and the servers print."""

from __future__ import annotations

import pytest

from bench.harness import iscsi_perf, profiling, syscalls
from bench.harness.server import Target, parse_announcement

PERF = """# started on Mon Nov 23 12:00:00 2026

4711,,raw_syscalls:sys_enter,1200345678,100.00,,
"""
STRACE = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           1       600           read
 40.00    0.000400           1       320        12 write
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1       920        12 total
"""
STRACE_WITHOUT_USECS = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000                   920           total
"""


def test_perf_count() -> None:
    assert syscalls.parse_perf(PERF) == 4711


@pytest.mark.parametrize(
    "text", ["", "<not counted>,,raw_syscalls:sys_enter,0,0.00,,", "1,,cycles"]
)
def test_perf_without_a_count(text: str) -> None:
    assert syscalls.parse_perf(text) is None


@pytest.mark.parametrize("text", [STRACE, STRACE_WITHOUT_USECS])
def test_strace_total(text: str) -> None:
    assert syscalls.parse_strace(text) == 920


def test_strace_without_a_total() -> None:
    assert syscalls.parse_strace("strace: attach: ptrace(PTRACE_SEIZE): denied") is None


def test_iscsi_perf_average_is_the_last_one_printed() -> None:
    text = (
        "\r00:00:02 - lba 9, iops current 30114 (117 MB/s), iops average 30114 (117 MB/s)"
        "\niops average 31331 (122 MB/s)  \n\nfinished.\n"
    )
    assert iscsi_perf.parse(text) == 31331.0
    assert iscsi_perf.parse("iscsi connect failed") is None


def test_profile_rows_tell_kernel_from_user_code() -> None:
    text = """# Overhead  Shared Object      Symbol
    25.90%  [kernel.kallsyms]  [k] _copy_to_iter
     1.57%  libc.so.6          [.] __libc_pread

"""
    kernel, user = profiling.parse(text)
    assert (kernel.symbol, kernel.is_kernel) == ("_copy_to_iter", True)
    assert kernel.share == pytest.approx(0.259)
    assert (user.symbol, user.binary, user.is_kernel) == ("__libc_pread", "libc.so.6", False)


def test_announcement_of_fairlead() -> None:
    line = '{"ready": true, "volumes": [{"url": "iscsi://127.0.0.1:4000/iqn.2000-01.x:y/3"}]}'
    document = parse_announcement(line)
    assert document is not None
    target = Target.parse(document["volumes"][0]["url"])
    assert target == Target("127.0.0.1", 4000, "iqn.2000-01.x:y", 3)
    assert target.url == document["volumes"][0]["url"]


@pytest.mark.parametrize(
    "line", ["ready", "[]", "{}", '{"ready": false, "volumes": [{}]}', '{"ready": true}', "1"]
)
def test_other_lines_announce_nothing(line: str) -> None:
    assert parse_announcement(line) is None
