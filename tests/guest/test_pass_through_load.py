"""SCSI disks under load: shares, the target killed, and libiscsi's verdicts."""

from __future__ import annotations

import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from fairlead.testing.outcome import GOOD
from tests.conformance.libiscsi import PROGRAM, Outcome, Verdict, judge, listed_tests, run_test
from tests.guest.storage import ANSWER_S, Storage, hear_out
from tests.support.settings import GUEST_ROUNDS

if TYPE_CHECKING:
    from fairlead.testing.client import Client
    from tests.guest.figures import Figures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BLOCK_BYTES: Final = 512
# Of libiscsi's tests, those whose commands scsi_debug has.
FAMILIES: Final = (
    *("SCSI.TestUnitReady", "SCSI.Inquiry", "SCSI.ReadCapacity10", "SCSI.ReadCapacity16"),
    *("SCSI.ModeSense6", "SCSI.Mandatory", "SCSI.Read6", "SCSI.Read10", "SCSI.Read12"),
    *("SCSI.Read16", "SCSI.Write10", "SCSI.Write12", "SCSI.Write16", "SCSI.Verify10"),
    *("SCSI.Verify16", "SCSI.Prefetch10", "SCSI.Prefetch16", "SCSI.Unmap", "SCSI.WriteSame10"),
    *("SCSI.WriteSame16", "SCSI.CompareAndWrite"),
)
# What libiscsi does otherwise where it opens a node: there it takes CONDITION MET, which PRE-FETCH
# ends with, for an error, and it moves at most 120 KiB by one command. By a session it also tries
# COMPARE AND WRITE with 256 blocks, of which the CDB's field of eight bits says 0.
ONLY_BY_A_SESSION: Final = (
    *("SCSI.Prefetch10", "SCSI.Prefetch16"),
    *("SCSI.CompareAndWrite.Simple", "SCSI.CompareAndWrite.Miscompare"),
)
DEPTH: Final = 16


def locally(storage: Storage, test: str, node: str) -> Outcome:
    """Run one of libiscsi's tests in the guest, on the disk itself."""
    words = f"{PROGRAM} --dataloss --allow-sanitize --verbose --Verbose-scsi --test={test} {node}"
    done = storage.guest.run(words, timeout=300, check=False)
    return judge(test, done.output)


def test_libiscsi_gives_the_verdicts_that_it_gives_the_disk(
    storage: Storage, figures: Figures
) -> None:
    disk = storage.add_disk()
    tests = [test for test in listed_tests(FAMILIES) if not test.startswith(ONLY_BY_A_SESSION)]
    own = {test: locally(storage, test, f"/dev/{disk.sg}") for test in tests}
    with storage.serving({"disk": storage.passed(disk, timeout="20s")}):
        ours = {test: run_test(test, storage.url("disk"), timeout_s=120) for test in tests}
    differing = [
        f"{own[test]!s} by itself, {ours[test]!s} served"
        for test in tests
        if own[test].verdict != ours[test].verdict
    ]
    figures.values["verdicts"] = len(tests)
    assert not differing, "\n".join(differing)
    assert sum(outcome.verdict == Verdict.PASSED for outcome in ours.values()) > len(tests) // 2


def test_shares_hold_where_the_kernel_has_no_elevator(storage: Storage, figures: Figures) -> None:
    disk = storage.add_disk()
    shares = '[[shares]]\ncontexts = "*:two"\nweight = 4'
    # A few commands at a time, and each takes a while: what one gets another has to wait for.
    storage.set("max_queue", 4)
    storage.guest.run(f"echo 4 > /sys/class/scsi_generic/{disk.sg}/device/queue_depth")
    storage.set("delay", 5)
    try:
        with (
            storage.serving({"disk": storage.passed(disk, timeout="20s")}, tables=shares),
            storage.log_in("disk", "one") as one,
            storage.log_in("disk", "two") as two,
        ):
            done = compete(one, two, seconds=10)
    finally:
        storage.set("delay", 0)
        storage.set("max_queue", 16)
    share = done[1] / sum(done)
    figures.values.update({"weights": "1:4", "commands": done, "share": round(share, 3)})
    assert share == pytest.approx(0.8, abs=0.05), done


def compete(*clients: Client, seconds: float) -> list[int]:
    """Have all of them read at random, and return how many commands each got through."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(lambda client: drive(client, end), clients))


def drive(client: Client, end: float) -> int:
    """Keep `DEPTH` reads out until then, and return how many have ended by then."""
    generator = random.Random(1)
    tags: deque[int] = deque()
    done = 0
    while time.monotonic() < end:
        while len(tags) < DEPTH:
            cdb = b"\x28\x00" + generator.randrange(65536).to_bytes(4) + bytes.fromhex("00000800")
            tags.append(client.submit(0, cdb, b"", 8 * BLOCK_BYTES))
        assert client.wait(tags.popleft()).status == GOOD
        done += 1
    while tags:
        client.wait(tags.popleft())
    return done


def test_a_target_that_is_killed_leaves_the_disk_usable(storage: Storage, figures: Figures) -> None:
    disk = storage.add_disk()
    generator = random.Random(7)
    known: dict[int, bytes] = {}
    for _ in range(GUEST_ROUNDS):
        storage.set("delay", 5)
        volumes = {"disk": storage.passed(disk, timeout="20s")}
        with (
            storage.serving(volumes, is_killed=True) as running,
            storage.log_in("disk") as client,
        ):
            for _ in range(20):
                lba, data = generator.randrange(1000) * 8, generator.randbytes(4096)
                assert client.write_10(lba, data).status == GOOD
                known[lba] = data
            for _ in range(DEPTH):
                client.submit(0, bytes.fromhex("28000000000000000800"), b"", 4096)
            storage.guest.run("pkill -KILL -f '[f]airlead serve'")
            running.wait(ANSWER_S)
            figures.fault()
        storage.set("delay", 0)
        with storage.serving({"disk": storage.passed(disk)}), storage.log_in("disk") as client:
            hear_out(client)
            for lba, data in known.items():
                assert client.read_10(lba, 8).data == data
                figures.verified(len(data))
