"""Drives one connection through its login, then gives it to the data plane.

Thin: what a login is, the sans-I/O core knows; which sessions there are, the table. Here are the
clock, the socket and the order of things. `sock_recv` and not a stream reader, because a reader
may hold bytes that could not be handed over.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from fairlead.control.events import SessionStarted
from fairlead.control.grouping import Nexus
from fairlead.control.log import logger
from fairlead.control.sessions import LiveSession
from fairlead.dataplane.api import LunMapping
from fairlead.errors import DataPlaneError, LoginError
from fairlead.proto.iscsi.discovery import DiscoveryCore
from fairlead.proto.iscsi.login import LoginCore
from fairlead.proto.iscsi.login_status import LoginStatus
from fairlead.proto.iscsi.session import Discovery, Refused
from fairlead.scsi import report_luns
from fairlead.scsi.reservation_parameters import ItNexus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairlead.control.access import LoginPolicies
    from fairlead.control.contexts import Contexts, HeldContext
    from fairlead.control.events import EventHub
    from fairlead.control.listener import Connection
    from fairlead.control.reservations import ReservationBook
    from fairlead.control.sessions import Place, SessionTable
    from fairlead.dataplane.api import DataPlane
    from fairlead.model.config import Config
    from fairlead.proto.iscsi.login_policy import LoginPolicy
    from fairlead.proto.iscsi.session import LoginRequestSummary, SessionParameters

# One login PDU with its largest data segment; also the most that is handed over unread.
RECV_BYTES: Final = 8192 + 48

log = logger(__name__)


class MappedLun(Protocol):
    """A logical unit of a target, as the login needs it."""

    @property
    def logical_unit(self) -> int:
        """The data plane's number."""
        ...

    @property
    def device(self) -> str:
        """The backing device of its volume."""
        ...

    @property
    def read_only(self) -> bool:
        """Initiators may not write."""
        ...


class IscsiLogins:
    """Logs connections in.

    Args:
        config: limits, identity, queue depth.
        plane: takes the sessions.
        policies: what connections are checked against.
        sessions: who is logged in.
        contexts: gives every LUN of a session its context.
        reservations: hears of every session before its first command can be carried out.
        hub: hears of every session that starts.
        luns: by target name, then by number. Read at each login.
    """

    def __init__(
        self,
        *,
        config: Config,
        plane: DataPlane,
        policies: LoginPolicies,
        sessions: SessionTable,
        contexts: Contexts,
        reservations: ReservationBook,
        hub: EventHub,
        luns: Mapping[str, Mapping[int, MappedLun]],
    ) -> None:
        self._config = config
        self._plane = plane
        self._policies = policies
        self._sessions = sessions
        self._contexts = contexts
        self._reservations = reservations
        self._hub = hub
        self._luns = luns

    async def serve(self, connection: Connection) -> None:
        """Run one login, and the discovery session that may follow, to its end.

        Logs one line with the peer and the reason when the login fails. On success the data plane
        owns the socket.
        """
        policy = self._policies.policy(connection.portal, connection.local_address)
        core = LoginCore(policy, challenge=secrets.token_bytes)
        try:
            await self._log_in(connection, core)
        except TimeoutError:
            core.refuse(
                LoginStatus.INITIATOR_ERROR,
                f"no login within {self._config.limits.login_timeout_s:g} s",
            )
        except OSError as error:
            core.refuse(LoginStatus.INITIATOR_ERROR, f"connection failed: {error.strerror}")
        except asyncio.CancelledError:
            core.refuse(LoginStatus.OUT_OF_RESOURCES, connection.why_cancelled)
            raise
        finally:
            _log_refusal(connection, core.outcome)
        if isinstance(core.outcome, Discovery):
            await self._discover(connection, core.outcome, policy, core.trailing_data())

    async def _log_in(self, connection: Connection, core: LoginCore) -> None:
        async with asyncio.timeout(self._config.limits.login_timeout_s):
            await _exchange(connection, core)
            if core.pending is None:
                await _send(connection, core.data_to_send())
                return
        # The wait for reinstatement has a limit of its own.
        await self._start(connection, core, core.pending)

    async def _start(
        self, connection: Connection, core: LoginCore, request: LoginRequestSummary
    ) -> None:
        """Make a session of a login that has been granted everything that needs no state."""
        nexus = (request.initiator_name, request.isid, request.target_name)
        try:
            async with self._sessions.place(nexus, tsih=request.tsih) as place:
                parameters = core.accept(
                    tsih=place.tsih, command_window=self._config.engine.queue_depth
                )
                if await self._send_last(connection, core.data_to_send()):
                    self._adopt(connection, parameters, core.trailing_data(), place)
        except LoginError as error:
            core.refuse(LoginStatus(error.status), error.reason)
            await self._send_last(connection, core.data_to_send())

    async def _send_last(self, connection: Connection, data: bytes) -> bool:
        """Send the last Login Response. Returns whether the peer was still there."""
        try:
            async with asyncio.timeout(self._config.limits.login_timeout_s):
                await _send(connection, data)
        except OSError as error:  # A TimeoutError is one, too.
            reason = error.strerror or "the peer does not read"
            log.info("iscsi.login.failed", peer=connection.peer, reason=reason)
            return False
        return True

    def _adopt(
        self,
        connection: Connection,
        parameters: SessionParameters,
        unread: bytes,
        place: Place,
    ) -> None:
        policy = self._policies.policy(connection.portal, connection.local_address)
        addresses = policy.target_addresses(policy.targets[parameters.target_name])
        held: list[HeldContext] = []
        luns: list[LunMapping] = []
        for number, lun in sorted(self._luns[parameters.target_name].items()):
            nexus = self._nexus(connection, parameters, number)
            context = self._contexts.join(nexus, lun.device)
            held.append(context)
            luns.append(
                LunMapping(
                    lun=number,
                    logical_unit=lun.logical_unit,
                    context=context.key,
                    settings=context.settings,
                    read_only=lun.read_only,
                )
            )
        it_nexus = ItNexus(parameters.initiator_name, parameters.isid, parameters.target_name)
        self._reservations.session_starting(it_nexus, tsih=parameters.tsih)
        try:
            session = self._plane.adopt_iscsi(
                connection.sock.detach(),
                parameters,
                luns,
                report_luns=report_luns.render(lun.lun for lun in luns),
                peer=connection.peer,
                unread=unread,
            )
        except DataPlaneError as error:
            self._reservations.session_failed(it_nexus)
            for context in held:
                self._contexts.leave(context)
            log.warning(
                "iscsi.session.refused",
                peer=connection.peer,
                initiator=parameters.initiator_name,
                reason=error,
            )
            return
        self._reservations.session_started(it_nexus, session)
        self._sessions.started(
            LiveSession(
                session=session,
                place=place,
                peer=connection.peer,
                parameters=parameters,
                target_addresses=tuple(addresses),
                contexts=tuple(held),
            )
        )
        log.info(
            "iscsi.session.started",
            peer=connection.peer,
            initiator=parameters.initiator_name,
            target=parameters.target_name,
            session=session,
            user=parameters.auth_user or "-",
            contexts=",".join(sorted({context.key for context in held})),
        )
        self._hub.publish(
            SessionStarted(
                session=session,
                initiator_name=parameters.initiator_name,
                target_name=parameters.target_name,
                peer=connection.peer,
                auth_user=parameters.auth_user,
            )
        )

    def _nexus(self, connection: Connection, session: SessionParameters, lun: int) -> Nexus:
        by_address = self._config.identity == "address"
        return Nexus(
            client=connection.peer_address if by_address else session.initiator_name,
            initiator_name=session.initiator_name,
            isid=session.isid,
            target_name=session.target_name,
            tsih=session.tsih,
            lun=lun,
            address=connection.peer_address,
            auth_user=session.auth_user,
        )

    async def _discover(
        self, connection: Connection, login: Discovery, policy: LoginPolicy, unread: bytes
    ) -> None:
        """Answer SendTargets until the initiator logs out, goes, or asks nothing for too long."""
        core = DiscoveryCore(policy, login)
        core.receive_data(unread)
        reason: str | None = None
        try:
            while True:
                async with asyncio.timeout(self._config.limits.discovery_timeout_s):
                    await _send(connection, core.data_to_send())
                    if core.done:
                        break
                    await _receive(connection, core)
        except TimeoutError:
            reason = f"no request for {self._config.limits.discovery_timeout_s:g} s"
        except OSError as error:
            reason = f"connection failed: {error.strerror}"
        log.info(
            "iscsi.discovery.ended",
            peer=connection.peer,
            initiator=login.initiator_name,
            reason=reason or core.reason or "logout",
        )


class _Core(Protocol):
    def receive_data(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...


async def _exchange(connection: Connection, core: LoginCore) -> None:
    """Receive and answer until the core has decided or asks for a decision."""
    while not core.done and core.pending is None:
        await _receive(connection, core)
        if core.pending is not None:
            connection.is_answered = True
        elif not core.done and (answer := core.data_to_send()):
            connection.is_answered = True
            await _send(connection, answer)


async def _receive(connection: Connection, core: _Core) -> None:
    data = await asyncio.get_running_loop().sock_recv(connection.sock, RECV_BYTES)
    if data:
        core.receive_data(data)
    else:
        core.receive_eof()


async def _send(connection: Connection, data: bytes) -> None:
    if data:
        await asyncio.get_running_loop().sock_sendall(connection.sock, data)


def _log_refusal(connection: Connection, outcome: object) -> None:
    if isinstance(outcome, Refused):
        log.info(
            "iscsi.login.refused",
            peer=connection.peer,
            status=f"{outcome.status:#06x}",
            reason=outcome.reason,
        )
