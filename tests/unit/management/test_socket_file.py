from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from fairlead.errors import ConfigError
from fairlead.management.socket_file import (
    OwnedSocket,
    SocketInUseError,
    claim,
    claim_default,
    default_folder,
    default_path,
    find_sockets,
    is_live,
)


def end(owned: OwnedSocket) -> None:
    owned.remove_file()
    owned.sock.close()


def leave(path: Path) -> None:
    """What a killed process leaves behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    ("environment", "uid", "expected"),
    [
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000, Path("/run/user/1000")),
        ({"XDG_RUNTIME_DIR": "/somewhere"}, 0, Path("/somewhere")),
        ({}, 0, Path("/run")),
        ({"XDG_RUNTIME_DIR": ""}, 0, Path("/run")),
        ({}, 1000, None),
    ],
)
def test_where_sockets_are(environment: dict[str, str], uid: int, expected: Path | None) -> None:
    assert default_folder(environment, uid) == expected


def test_nobody_else_may_connect_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        owned = claim(tmp_path / "s.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE(owned.path.stat().st_mode) == 0o600
    end(owned)
    assert not owned.path.exists()


def test_a_live_socket_is_not_taken_and_a_stale_one_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    owned = claim(path)
    assert is_live(path)
    with pytest.raises(SocketInUseError, match=r"another process listens at .*s.sock \(stop it"):
        claim(path)
    end(owned)
    leave(path)
    assert not is_live(path)
    end(claim(path))


def test_a_socket_with_a_full_queue_is_live(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    waiting = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(2):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(str(path))
        assert is_live(path)
    for sock in waiting:
        sock.close()


def test_only_our_own_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    first = claim(path)
    path.unlink()
    second = claim(path)
    end(first)
    assert is_live(path)
    end(second)
    end(second)  # Once more does no harm.


def test_several_targets_find_a_name_each(tmp_path: Path) -> None:
    owned = [claim_default(tmp_path, port=3260, pid=77) for _ in range(3)]
    names = [one.path.name for one in owned]
    assert names == ["fairlead.sock", "fairlead-3260.sock", "fairlead-3260-77.sock"]
    assert default_path(tmp_path) == owned[0].path
    assert find_sockets(tmp_path) == sorted(one.path for one in owned)
    for one in owned:
        end(one)
    end(claim_default(tmp_path, port=3260, pid=77))


def test_what_cannot_be_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"is there and is no socket \(remove it, or name"):
        claim(file)
    assert file.read_text() == "mine"
    with pytest.raises(ConfigError, match=r"no such file or directory \(make the directory"):
        claim(tmp_path / "no" / "s.sock")
    with pytest.raises(ConfigError, match=r"path too long \(name another with --socket"):
        claim(tmp_path / ("x" * 120))
