"""The guest does what tests ask of it, and says what went wrong."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.guest.machine.link import GuestGoneError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guest.machine.guest import Guest


def test_commands_have_output_and_status(guest: Guest) -> None:
    done = guest.run("echo out; echo err >&2; exit 7", check=False)
    assert (done.status, done.output) == (7, "out\nerr\n")
    with pytest.raises(AssertionError, match="status 3\nbad"):
        guest.run("echo bad; exit 3")


def test_a_command_that_takes_too_long_shows_what_it_wrote(guest: Guest) -> None:
    with pytest.raises(AssertionError, match="it wrote:\nbegun"):
        guest.run("echo begun; sleep 60", timeout=2)


def test_commands_run_at_the_same_time(guest: Guest) -> None:
    waiting = guest.start("mkfifo /tmp/pipe; echo waits; read word </tmp/pipe; echo got $word; cat")
    waiting.wait_for("^waits$")
    guest.run("echo news >/tmp/pipe")
    waiting.wait_for("^got news$")
    assert waiting.wait().status == 0
    waiting = guest.start("echo waits; sleep 60")
    waiting.wait_for("^waits$")
    assert not waiting.has_ended()
    waiting.kill(signal.SIGTERM)
    assert waiting.wait().status == -signal.SIGTERM
    with pytest.raises(AssertionError, match="ended without 'more'"):
        waiting.wait_for("more")


def test_files_are_copied_there_and_back(guest: Guest, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(random.Random(1).randbytes(200_001))
    here.chmod(0o751)
    guest.copy(here, "/tmp/there")
    assert guest.run("stat -c %a /tmp/there").output == "751\n"
    guest.copy_back("/tmp/there", back)
    assert back.read_bytes() == here.read_bytes()


@pytest.mark.slow
def test_a_power_cut_ends_everything(guest: Guest) -> None:
    """What was said before is known; nothing is finished; the next start is from the same image."""
    guest.write("/var/file", "not for long")
    running = guest.start("echo said; trap '' TERM; sleep 60")
    running.wait_for("said")
    guest.power_off()
    assert not guest.is_on
    assert running.output == "said\n"
    with pytest.raises(GuestGoneError):
        running.wait()
    with pytest.raises(GuestGoneError):
        guest.run("true")
    guest.power_on()
    assert guest.run("test -e /var/file", check=False).status == 1
