"""The commands that talk to a running target, over its real socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fairlead.cli import contexts as module
from fairlead.cli.client import Client
from fairlead.cli.main import app
from tests.support.managed import ANNA, BEN, Managed, managed_in_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Managed]:
    """A target where commands look for one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("fairlead.control.contexts.INTERVAL_S", 0.001)
    devices = [{"name": "vda", "iops": 1000}]
    with managed_in_a_thread(tmp_path, devices=devices) as running:
        yield running


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"NO_COLOR": "1", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_contexts_are_a_table_once_when_piped(running: Managed) -> None:
    for arguments in ([], ["--once"]):
        result = run("contexts", *arguments)
        assert result.exit_code == 0
        lines = result.output.splitlines()
        assert [line.split()[0] for line in lines if line.startswith("iqn.")] == [ANNA, BEN]


def test_contexts_are_json_for_programs(running: Managed) -> None:
    document = json.loads(run("contexts", "*:ben", "--json").output)
    assert [context["key"] for context in document["contexts"]] == [BEN]


def test_on_a_terminal_the_table_is_renewed_until_interrupted(
    running: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_pause", pause)
    terminal = {"TERM": "xterm", "COLUMNS": "80", "LINES": "25"}
    monkeypatch.setattr(module, "Console", lambda: Console(force_terminal=True, _environ=terminal))
    result = run("contexts")
    assert result.exit_code == 0
    assert pauses == [1.0] * 3
    assert result.output.count("held") >= 3


def test_a_change_is_told_context_by_context(running: Managed) -> None:
    result = run("context", "set", "*:anna", "weight=4", "limit.iops=2000")
    assert (result.exit_code, result.output) == (0, f"{ANNA}: changed\n")
    result = run("context", "set", "*", "weight=4")
    assert result.output == f"{ANNA}: was so already\n{BEN}: changed\n"
    result = run("context", "set", "nobody", "weight=4")
    assert result.output == "no context matches nobody now; it holds for those to come\n"
    result = run("context", "reset", "*:anna")
    assert result.output == f"{ANNA}: changed\n"
    settings = {context.key: context.settings for context in running.target.contexts()}
    assert settings[ANNA].limit.iops is None


def test_a_context_is_explained(running: Managed) -> None:
    run("context", "set", "*:anna", "weight=4")
    result = run("context", "show", ANNA)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"{ANNA} on vda"
    assert lines[1] == '  weight = 4: changed since the start, for "*:anna"'
    assert any(line.startswith(f"  It shares vda with {BEN} (weight 1, got 75%)") for line in lines)


def test_what_the_target_refuses_is_failure_and_what_is_written_wrongly_is_usage(
    running: Managed,
) -> None:
    result = run("context", "set", "*", "guarantee.iops=900")
    assert result.exit_code == 1
    assert result.stderr.startswith("fairlead: guarantees on vda would be 1800 IOPS, and 800 can")
    result = run("context", "set", "*", "weight=0")
    assert result.exit_code == 2
    assert result.stderr == 'fairlead: weight = "0": out of range (take at least 1)\n'
    result = run("context", "set", "x" * 513, "weight=2")
    assert result.exit_code == 2
    assert result.stderr.startswith("fairlead: match has 513 characters (1 to 512")
    result = run("context", "show", "nobody")
    assert result.exit_code == 1
    assert result.stderr == "fairlead: no context 'nobody' (the list of contexts has their names)\n"
    assert run("context", "set", "*").exit_code == 2
    assert run("contexts", "--what").exit_code == 2


@pytest.mark.parametrize("name", ["a/b", "50%20 off?#x", "ä\n{x}"])
def test_a_name_may_hold_any_character(running: Managed, name: str) -> None:
    result = run("context", "show", name)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"fairlead: no context {name!r}")


def test_without_a_target_the_socket_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for command in (
        ["contexts"],
        ["contexts", "--json"],
        ["context", "show", "x"],
        ["context", "set", "x", "weight=2"],
        ["context", "reset", "x"],
    ):
        result = run(*command)
        assert result.exit_code == 1
        assert result.stderr == (
            f"fairlead: no target is running: nobody listens at {tmp_path}/fairlead.sock "
            "(start one: fairlead serve; or name its socket: --socket PATH)\n"
        )
    # One that a killed target has left is nobody's either; others are told.
    for name in ("fairlead.sock", "fairlead-3261.sock"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / name))
    assert run("contexts").stderr.endswith(
        f"--socket PATH; there are: {tmp_path}/fairlead-3261.sock)\n"
    )


def test_a_socket_that_is_named_is_the_one(running: Managed, tmp_path: Path) -> None:
    assert run("contexts", "--socket", str(running.path)).exit_code == 0
    result = run("contexts", "--socket", str(tmp_path / "other.sock"))
    assert result.exit_code == 1
    assert f"nobody listens at {tmp_path}/other.sock" in result.stderr


def test_a_user_without_a_place_for_sockets_has_to_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run("contexts")
    assert result.exit_code == 2
    assert "there is no XDG_RUNTIME_DIR" in result.stderr
    assert "name it with --socket PATH" in result.stderr


def answering(path: Path, answer: bytes) -> threading.Thread:
    """Somebody at the socket who answers the first request with these bytes."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        with listening, listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "gave no answer: "),
        (b"220 mail.example ESMTP\r\n\r\n", "gave no answer: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "status 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "gave no answer: "),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}", "status 503"),
    ],
)
def test_an_answer_that_is_none_is_explained(tmp_path: Path, answer: bytes, message: str) -> None:
    path = tmp_path / "s.sock"
    thread = answering(path, answer)
    result = run("contexts", "--socket", str(path))
    thread.join()
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_socket_of_another_user_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        asyncio.unix_events._UnixSelectorEventLoop, "create_unix_connection", refused
    )
    result = run("contexts", "--socket", str(tmp_path / "s.sock"))
    assert result.exit_code == 1
    assert "s.sock is not for this user to use: ask its owner" in result.stderr


async def test_a_client_is_used_in_its_block_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client(tmp_path / "s.sock").contexts()
