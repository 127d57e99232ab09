"""``fairlead serve`` in a process of its own, over the data plane that only keeps books."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app
from fairlead.dataplane.fake import FakeDataPlane
from fairlead.errors import DataPlaneError
from fairlead.testing import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fairlead.dataplane.api import EngineOptions

    Failure = Callable[..., tuple[int, str]]

# The command line, with the fake in place of the native data plane.
PROGRAM = """
import sys
from fairlead.control import target
from fairlead.dataplane.fake import FakeDataPlane
target._open_native = FakeDataPlane
sys.argv[0] = "fairlead"
from fairlead.cli.main import main
main()
"""
TIMEOUT_S = 20
NAME = "iqn.2008-12.example.fairlead"


class Served:
    """A running ``fairlead serve``."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve", *arguments],
            cwd=cwd,
            env={**os.environ, "XDG_RUNTIME_DIR": str(cwd)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # What select sees is all there is.
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return _line(self.process.stdout)

    def until_logged(self, event: str) -> None:
        assert self.process.stderr is not None
        while event not in (line := _line(self.process.stderr)):
            assert line, f"ended without {event}"

    def lines_until_ready(self) -> list[str]:
        lines = []
        while (line := self.line()) != "ready":
            assert line, self.process.communicate(timeout=TIMEOUT_S)
            lines.append(line)
        return lines

    def urls(self) -> list[str]:
        return [line for line in self.lines_until_ready() if line.startswith("iscsi://")]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Returns exit code and stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, errors.decode()


def _line(stream: IO[bytes]) -> str:
    ready, _, _ = select.select([stream], [], [], TIMEOUT_S)
    assert ready, "no line in time"
    return stream.readline().decode().rstrip("\n")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(tmp_path, *arguments))
        return started[-1]

    yield start
    for served in started:
        served.process.kill()
        served.process.communicate()


@pytest.fixture
def failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs a command that does not get as far as serving; returns exit code and stderr."""
    planes: list[FakeDataPlane] = []

    def open_plane(options: EngineOptions) -> FakeDataPlane:
        planes.append(FakeDataPlane(options))
        return planes[-1]

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, arguments, env={"NO_COLOR": "1", "TERM": "dumb"})
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.stdout == ""
        return result.exit_code, result.stderr

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fairlead.control.target._open_native", open_plane)
    monkeypatch.setattr("fairlead.cli.serve.raise_open_file_limit", lambda _connections: 0)
    yield run
    for plane in planes:
        plane.close()


def log_in(url: str) -> tuple[str, str]:
    portal, target = url.removeprefix("iscsi://").split("/")[:2]
    return portal, target


def test_paths_are_enough(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve("disk.img:1M", "null:big:1G", "--portal", "127.0.0.1:0")
    lines = served.urls()
    pattern = rf"iscsi://127\.0\.0\.1:\d+/{re.escape(NAME)}:(disk\.img|big)/0"
    assert len(lines) == 2
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert (tmp_path / "disk.img").stat().st_size == 1 << 20
    portal, target = log_in(lines[0])
    with connect(portal, target, "iqn.2020-01.org.example:a"):
        code, errors = served.stop()
    assert code == 0
    assert "iscsi.session.ended" in errors
    assert "target.stopped" in errors


def test_json_is_one_line_for_scripts(serve: Callable[..., Served]) -> None:
    served = serve("null:1G", "--json", "--portal", "127.0.0.1:0", "--grouping", "nexus")
    document: dict[str, Any] = json.loads(served.line())
    assert document["ready"] is True
    assert document["pid"] == served.process.pid
    assert document["engine"]["driver"] == "fake"
    assert document["grouping"] == "nexus"
    [volume] = document["volumes"]
    assert volume["url"] == f"iscsi://{document['portals'][0]}/{NAME}:null/0"
    assert (volume["size_bytes"], volume["device"], volume["kind"]) == (
        1 << 30,
        "null:null",
        "null",
    )
    assert served.stop(signal.SIGINT)[0] == 0


def test_what_the_kernel_sees_is_reported(serve: Callable[..., Served]) -> None:
    words = ("null:1G", "--portal", "127.0.0.1:0", "--no-socket", "--json")
    served = serve(*words, "--kernel-context", "ring")
    assert json.loads(served.line())["kernel_contexts"] == {
        "null:null": {
            "asked": "ring",
            "mode": "off",
            "sees": False,
            "elevators": {},
            "weights": "nothing",
            "missing": [{"text": "null volumes ask nothing of the kernel", "remedy": None}],
            "not_covered": [],
        }
    }
    _, errors = served.stop()
    assert "kernel_context.resolved device=null:null asked=ring mode=off" in errors
    served = serve(*words)
    assert json.loads(served.line())["kernel_contexts"] == {}
    assert "kernel_context" not in served.stop()[1]


def test_accounts_are_written_on_sigusr1_and_at_the_end(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    file = tmp_path / "accounts.json"
    served = serve("null:1G", "--portal", "127.0.0.1:0", "--accounts", str(file))
    [url] = served.urls()
    with connect(*log_in(url), "iqn.2020-01.org.example:a"):
        served.process.send_signal(signal.SIGUSR1)
        served.until_logged("accounts.written")
        during = json.loads(file.read_text())
        with connect(*log_in(url), "iqn.2020-01.org.example:b"):
            assert served.stop()[0] == 0
    assert [context["state"] for context in during["contexts"]] == ["active"]
    after = json.loads(file.read_text())
    assert {context["key"] for context in after["contexts"]} == {
        "iqn.2020-01.org.example:a",
        "iqn.2020-01.org.example:b",
    }
    assert {context["state"] for context in after["contexts"]} == {"released"}
    assert after["sessions_ended_count"] == 2


def test_accounts_that_cannot_be_written_fail(serve: Callable[..., Served]) -> None:
    served = serve("null:1G", "--portal", "127.0.0.1:0", "--accounts", "no/accounts.json")
    served.lines_until_ready()
    code, errors = served.stop()
    assert code == 1
    assert 'accounts.failed file="no/accounts.json" reason="No such file or directory"' in errors
    assert "Traceback" not in errors


def test_a_file_describes_the_rest_and_words_add_to_it(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "target.toml").write_text(
        """
        portals = ["127.0.0.1:0"]
        [[volumes]]
        name = "v"
        kind = "null"
        size = "1M"
        [[targets]]
        name = "iqn.2020-01.org.example:t"
        luns = [{ lun = 5, volume = "v", read_only = true }]
        """
    )
    served = serve("--config", "target.toml", "memory:more:1M", "--submitters", "2", "--json")
    document = json.loads(served.line())
    assert [(v["target"], v["lun"], v["read_only"]) for v in document["volumes"]] == [
        ("iqn.2020-01.org.example:t", 5, True),
        (f"{NAME}:more", 0, False),
    ]
    assert document["engine"]["submitters"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve",), "fairlead: nothing to serve (name a volume, fairlead serve disk.img:1G"),
        (("serve", "nope.img"), "fairlead: nope.img does not exist (to create it, give a size"),
        (("serve", "x:1X"), "fairlead: '1X' is not a size; write a whole number"),
        (("serve", "x:1000"), "size 1000 is not a multiple of the logical block of 512 bytes"),
        (("serve", "null:1M", "--portal", "nowhere"), "fairlead: 'nowhere' is not an IP address"),
        (("serve", "null:1M", "--grouping", "x"), "fairlead: grouping: no grouping 'x' (there are"),
        (("serve", "null:1M", "--portal", "0.0.0.0:0"), "lets everybody in (give it initiators"),
        (("serve", "--config", "none.toml"), "fairlead: none.toml cannot be read: no such file"),
        (("serve", "null:1M", "--driver", "x"), "--driver"),
        (("serve", "null:1M", "--submitters", "0"), "--submitters"),
        (("serve", "null:1M", "--kernel-context", "rings"), "--kernel-context"),
        (("serve", "null:1M", "--what"), "No such option"),
        (("sreve",), "No such command"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    failure: Failure, arguments: tuple[str, ...], message: str
) -> None:
    code, errors = failure(*arguments)
    assert code == 2
    assert message in errors


def test_a_mistake_in_the_file_has_its_line(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("\ngrouping = 1\n")
    code, errors = failure("serve", "--config", "t.toml")
    assert code == 2
    assert errors == "t.toml:2: grouping = 1: of the wrong type (write a text in quotes)\n"


def test_words_that_contradict_the_file_are_explained(failure: Failure, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        """
        portals = ["127.0.0.1:3260"]
        volumes = [{ name = "v", kind = "null", size = "1M" }]
        targets = [{ luns = [{ volume = "v" }], portals = ["127.0.0.1:3260"] }]
        """
    )
    code, errors = failure("serve", "null:v:1M", "-c", "t.toml", "--portal", "127.0.0.1:0")
    assert code == 2
    assert "fairlead: volumes[1].name = \"v\": volume 'v' is there twice" in errors
    assert "no portal '127.0.0.1:3260' (there are: 127.0.0.1:0)" in errors


def test_listening_for_everybody_takes_a_word(serve: Callable[..., Served]) -> None:
    served = serve("null:1M", "--portal", "0.0.0.0:0", "--allow-anyone")
    [url] = served.urls()
    assert url.startswith("iscsi://127.0.0.1:")


def test_a_port_that_is_taken_fails(serve: Callable[..., Served], failure: Failure) -> None:
    [url] = serve("null:1M", "--portal", "127.0.0.1:0").urls()
    portal, _ = log_in(url)
    code, errors = failure("serve", "null:1M", "--portal", portal)
    assert code == 2
    assert f"cannot listen on {portal}: address already in use" in errors


SLOW_STOP = PROGRAM.replace(
    "target._open_native = FakeDataPlane",
    """
import threading
class Slow(FakeDataPlane):
    def stop(self, *, drain_s):
        print("draining", flush=True)
        threading.Event().wait()
target._open_native = Slow
""",
)


def test_a_second_signal_stops_now(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", SLOW_STOP)
    served = serve("null:1M", "--portal", "127.0.0.1:0")
    served.lines_until_ready()
    served.process.send_signal(signal.SIGTERM)
    assert served.line() == "draining"
    code, errors = served.stop()
    assert code == 1
    assert "stopping now: a second signal came" in errors


SLOW_START = PROGRAM.replace(
    "target._open_native = FakeDataPlane",
    """
import threading
class Slow(FakeDataPlane):
    def add_volume(self, spec):
        print("waiting", flush=True)
        threading.Event().wait()
target._open_native = Slow
""",
)


def test_a_signal_during_the_start_stops_at_once(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", SLOW_START)
    served = serve("null:1M", "--portal", "127.0.0.1:0")
    assert served.line() == "waiting"
    code, errors = served.stop()
    assert code == 0
    assert "stopped before serving" in errors


def test_a_failure_at_run_time_is_exit_code_1(
    failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_options: EngineOptions) -> FakeDataPlane:
        raise DataPlaneError("io_uring is refused here; take --driver threads")

    monkeypatch.setattr("fairlead.control.target._open_native", refuse)
    assert failure("serve", "null:1M") == (
        1,
        "fairlead: io_uring is refused here; take --driver threads\n",
    )


def test_it_says_where_its_socket_is_and_removes_it(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve("null:1M", "--portal", "127.0.0.1:0")
    assert served.lines_until_ready()[-1] == f"socket {tmp_path}/fairlead.sock"
    second = serve("null:1M", "--portal", "127.0.0.1:0", "--json")
    document = json.loads(second.line())
    port = document["portals"][0].rpartition(":")[2]
    assert document["socket"] == f"{tmp_path}/fairlead-{port}.sock"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, "contexts", "--json", "--socket", document["socket"]],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert json.loads(run.stdout)["contexts"] == []
    for one in (served, second):
        assert one.stop()[0] == 0
    assert not list(tmp_path.glob("*.sock"))


def test_a_socket_that_is_named_is_taken_unless_somebody_has_it(
    serve: Callable[..., Served], failure: Failure, tmp_path: Path
) -> None:
    words = ("serve", "null:1M", "--portal", "127.0.0.1:0")
    served = serve(*words[1:], "--socket", "my.sock")
    assert served.lines_until_ready()[-1] == f"socket {tmp_path}/my.sock"
    code, errors = failure(*words, "--socket", "my.sock")
    assert code == 2
    assert f"another process listens at {tmp_path}/my.sock (stop it, or name another" in errors
    # One that was killed leaves its file, and the next takes its place.
    served.process.kill()
    served.process.wait()
    again = serve(*words[1:], "--socket", "my.sock")
    assert again.lines_until_ready()[-1] == f"socket {tmp_path}/my.sock"
    code, errors = failure(*words, "--socket", "my.sock", "--no-socket")
    assert (code, errors) == (2, "fairlead: --socket and --no-socket (say one of them)\n")


def test_volumes_are_served_without_a_socket_too(
    serve: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve("null:1M", "--portal", "127.0.0.1:0", "--no-socket")
    assert len(served.lines_until_ready()) == 1
    assert not list(tmp_path.glob("*.sock"))
    # A place that is not there is no reason not to serve, if nobody has named it.
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", NO_PLACE + PROGRAM)
    served = serve("null:1M", "--portal", "127.0.0.1:0")
    assert len(served.lines_until_ready()) == 1
    assert "management.off reason=" in served.stop()[1]


NO_PLACE = """
import os
os.environ["XDG_RUNTIME_DIR"] = "/nowhere"
"""
