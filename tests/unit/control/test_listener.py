from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from fairlead.control.listener import Connection, Listener, bind
from fairlead.errors import ConfigError
from fairlead.model.portal import Portal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = Portal("127.0.0.1", 0)


class Desk:
    """Serves connections as the test says: answers, waits for ``go``, then lets go."""

    def __init__(self, *, answers: bool = False) -> None:
        self.answers = answers
        self.go = asyncio.Event()
        self.served: list[Connection] = []
        self.cancelled: list[str] = []
        self.changed = asyncio.Condition()

    async def serve(self, connection: Connection) -> None:
        connection.is_answered = self.answers
        self.served.append(connection)
        await self._tell()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(connection.why_cancelled)
            raise

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until_served(self, count: int) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.served) >= count)


@asynccontextmanager
async def listening(desk: Desk, *, pending_max: int = 10) -> AsyncIterator[tuple[str, int]]:
    listener = Listener(desk.serve, pending_max=pending_max)
    port = listener.listen(LOOPBACK)
    try:
        yield "127.0.0.1", port
    finally:
        await listener.close()


async def connected(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def is_closed(sock: socket.socket) -> bool:
    async with asyncio.timeout(10):
        try:
            return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        except ConnectionResetError:
            return True


async def test_a_connection_is_described_and_closed_afterwards() -> None:
    desk = Desk()
    async with listening(desk) as address:
        with await connected(address) as sock:
            await desk.until_served(1)
            [connection] = desk.served
            assert connection.peer == "{}:{}".format(*sock.getsockname())
            assert connection.peer_address == connection.local_address == "127.0.0.1"
            assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            desk.go.set()
            assert await is_closed(sock)


async def test_a_detached_connection_stays_open() -> None:
    desk = Desk()
    async with listening(desk) as address:
        with await connected(address) as sock:
            await desk.until_served(1)
            with socket.socket(fileno=desk.served[0].sock.detach()) as other_end:
                desk.go.set()
                other_end.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(sock, b"x")
                assert await asyncio.get_running_loop().sock_recv(other_end, 1) == b"x"


async def test_the_oldest_silent_connection_gives_way() -> None:
    """Whoever only connects keeps nobody out."""
    desk = Desk()
    async with listening(desk, pending_max=2) as address:
        socks = []
        for count in range(1, 5):
            socks.append(await connected(address))
            await desk.until_served(count)
        assert await is_closed(socks[0])
        assert await is_closed(socks[1])
        assert desk.cancelled == ["gave way to a newer connection: 2 logins are pending"] * 2
        assert [sock.fileno() >= 0 for sock in (c.sock for c in desk.served)] == [
            False,
            False,
            True,
            True,
        ]
        for sock in socks:
            sock.close()


async def test_connections_that_were_answered_do_not_give_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(answers=True)
    async with listening(desk, pending_max=1) as address:
        with await connected(address) as first:
            await desk.until_served(1)
            with await connected(address) as second:
                assert await is_closed(second)
                peer = "{}:{}".format(*second.getsockname())
            assert first.fileno() >= 0
            assert desk.cancelled == []
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f'iscsi.login.refused peer={peer} reason="1 logins are pending, the limit"']


async def test_a_flood_leaves_no_descriptor_behind() -> None:
    desk = Desk()
    async with listening(desk, pending_max=3) as address:
        socks = await asyncio.gather(*(connected(address) for _ in range(50)))
        await desk.until_served(50)
        assert sum(connection.sock.fileno() >= 0 for connection in desk.served) <= 3
        for sock in socks:
            sock.close()
    assert all(connection.sock.fileno() < 0 for connection in desk.served)


async def test_closing_ends_what_is_pending() -> None:
    desk = Desk()
    async with listening(desk) as address:
        sock = await connected(address)
        await desk.until_served(1)
    assert desk.cancelled == ["the target stops"]
    with sock:
        assert await is_closed(sock)


async def test_accepting_goes_on_after_it_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    real_accept = loop.sock_accept
    failures = [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ECONNABORTED, "Software caused connection abort"),
    ]

    async def accept(sock: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop(0)
        return await real_accept(sock)

    monkeypatch.setattr(loop, "sock_accept", accept)
    monkeypatch.setattr("fairlead.control.listener._ACCEPT_PAUSE_S", 0)
    desk = Desk()
    async with listening(desk) as address:
        with await connected(address):
            await desk.until_served(1)
    [record] = caplog.records
    assert record.getMessage() == (
        'iscsi.accept.failed portal=127.0.0.1:0 reason="Too many open files"'
    )


def test_an_address_in_use_is_explained() -> None:
    with bind(LOOPBACK) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            bind(Portal("127.0.0.1", port))
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: address already in use "
        "(stop who listens there, or choose another port with --portal)"
    )


def test_an_address_of_another_machine_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192.0.2.1:0: cannot assign .*address"):
        bind(Portal("192.0.2.1", 0))


def test_a_privileged_port_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigError, match=r"permission denied \(ports below 1024 need privileges"):
        bind(Portal("127.0.0.1", 860))


def test_both_wildcards_can_share_a_port() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with bind(Portal("::1", 0)) as sock:
        port = sock.getsockname()[1]
        with bind(Portal("127.0.0.1", port)) as other:
            assert other.getsockname()[1] == port
