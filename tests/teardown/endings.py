"""The ways in which a session may end while its commands are in flight."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fairlead.proto.iscsi.pdu_task import TaskManagementFunction
from fairlead.testing.client import AsyncClient, connect_async
from fairlead.testing.outcome import ConnectionClosed

if TYPE_CHECKING:
    from tests.support.target_process import TargetProcess

Ending: TypeAlias = Callable[[AsyncClient, "TargetProcess"], Awaitable[None]]


async def close(client: AsyncClient, _target: TargetProcess) -> None:
    """Close the connection: FIN, then RST for whatever the target still sends."""
    await client.close()


async def reset(client: AsyncClient, _target: TargetProcess) -> None:
    """Reset the connection, as by a crash of the initiator."""
    client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await client.close()


async def close_halfway(client: AsyncClient, _target: TargetProcess) -> None:
    """Close the sending side only, and read what still comes."""
    client._sock.shutdown(socket.SHUT_WR)
    await client.wait_closed()
    await client.close()


async def log_out(client: AsyncClient, _target: TargetProcess) -> None:
    """Log out; commands outstanding are no hindrance. Spec: RFC 7143 §11.14."""
    await client.logout()
    await client.close()


async def reset_unit(client: AsyncClient, _target: TargetProcess) -> None:
    """Reset the logical unit, then close."""
    response = await client.manage(TaskManagementFunction.LOGICAL_UNIT_RESET)
    assert response == 0, f"LOGICAL UNIT RESET answered {response}"
    await client.close()


async def abort_task_set(client: AsyncClient, _target: TargetProcess) -> None:
    """Abort every task of this nexus, then close."""
    response = await client.manage(TaskManagementFunction.ABORT_TASK_SET)
    assert response == 0, f"ABORT TASK SET answered {response}"
    await client.close()


async def break_the_rules(client: AsyncClient, _target: TargetProcess) -> None:
    """Send a header whose data segment is far above the limit: the connection cannot go on."""
    client.send_bytes(bytes((0x01, 0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF)) + bytes(40))
    await client.wait_closed()
    await client.close()


async def reinstate(client: AsyncClient, target: TargetProcess) -> None:
    """Log in again under the same name and ISID. Spec: RFC 7143 §6.3.5."""
    offer = client.initiator.login._offer
    successor = await connect_async(
        target.portal,
        offer.target_name,
        offer.initiator_name,
        options={"isid": offer.isid},
    )
    # The old connection has ended by then: the target waited for its last I/O.
    await client.wait_closed()
    await client.close()
    await successor.close()


async def end_by_target(client: AsyncClient, target: TargetProcess) -> None:
    """Have the operator end the session."""
    name = client.initiator.login._offer.initiator_name
    sessions = [s for s in target.sessions() if s["initiator_name"] == name]
    assert len(sessions) == 1
    number = sessions[0]["session"]
    assert await asyncio.to_thread(target.ask, "end_session", session=number, timeout_s=10.0)
    with contextlib.suppress(ConnectionClosed):
        await client.wait_closed()
    await client.close()


ENDINGS: Final[tuple[Ending, ...]] = (
    close,
    reset,
    close_halfway,
    log_out,
    reset_unit,
    abort_task_set,
    break_the_rules,
    reinstate,
    end_by_target,
)
