"""Commands about reservations, from CDB and parameter list to the `Reservations` they are for.

Spec: SPC-4 r37 §6.15 and §6.16 (PERSISTENT RESERVE IN and OUT); SPC-2 §7.16 to §7.22 (RELEASE,
RESERVE).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fairlead.scsi import commands
from fairlead.scsi.reservation_parameters import (
    FullStatus,
    ItNexus,
    OutParameters,
    read_full_status,
    read_keys,
    read_reservation,
    report_capabilities,
)
from fairlead.scsi.reservations import CONFLICT, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairlead.scsi.reservations import Reservations


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """One command about reservations.

    Attributes:
        nexus: the I_T nexus that it came by.
        cdb: at least as long as its command's.
        data: the data-out buffer, whole.
        relative_target_port: 1..65535, of the port that it came by.
    """

    nexus: ItNexus
    cdb: bytes
    data: bytes = b""
    relative_target_port: int = 1


def find(cdb: bytes) -> str | None:
    """Return the name of the command about reservations that a CDB asks for, if it is one."""
    command = commands.find_cdb(cdb)
    return command.name if command is not None and command.name in COMMANDS else None


def run(name: str, reservations: Reservations, request: ReservationRequest) -> Outcome:
    """Carry a command out; its data is cut to the allocation length.

    Args:
        name: what `find` returned.
        reservations: of the logical unit addressed.
        request: the command.

    Raises:
        CheckCondition: with the sense to return; nothing has changed.
    """
    outcome = COMMANDS[name](reservations, request)
    command = commands.find_cdb(request.cdb)
    if command is None or command.allocation is None:
        return outcome
    return replace(outcome, data=outcome.data[: command.allocation.read(request.cdb)])


def _reading(read: Callable[[Reservations], bytes]) -> Callable[..., Outcome]:
    """PERSISTENT RESERVE IN: conflicts with RESERVE, whoever holds it. Spec: SPC-2 §5.5.1."""

    def run_it(reservations: Reservations, _request: ReservationRequest) -> Outcome:
        if reservations.reserved_by is not None:
            return CONFLICT
        return Outcome(data=read(reservations))

    return run_it


def _registering(
    change: Callable[[Reservations, ReservationRequest, OutParameters], Outcome],
) -> Callable[..., Outcome]:
    """PERSISTENT RESERVE OUT for everybody: conflicts with RESERVE, whoever holds it."""

    def run_it(reservations: Reservations, request: ReservationRequest) -> Outcome:
        if reservations.reserved_by is not None:
            return CONFLICT
        return change(
            reservations,
            request,
            OutParameters.decode(request.cdb, request.data, registers=True),
        )

    return run_it


def _registered(
    change: Callable[[Reservations, ReservationRequest, OutParameters], Outcome],
) -> Callable[..., Outcome]:
    """PERSISTENT RESERVE OUT for a nexus that shows the key it is registered with."""

    def run_it(reservations: Reservations, request: ReservationRequest) -> Outcome:
        if reservations.reserved_by is not None:
            return CONFLICT
        parameters = OutParameters.decode(request.cdb, request.data, registers=False)
        if not reservations.has_key(request.nexus, parameters.key):
            return CONFLICT
        return change(reservations, request, parameters)

    return run_it


def _keys(reservations: Reservations) -> bytes:
    keys = (one.key for one in reservations.registrations.values())
    return read_keys(reservations.generation, keys)


def _reservation(reservations: Reservations) -> bytes:
    held = reservations.persistent
    if held is None:
        return read_reservation(reservations.generation, None)
    # Where all registrants hold it no key is the holder's.
    key = 0 if held.holder is None else reservations.registrations[held.holder].key
    return read_reservation(reservations.generation, (key, held.type))


def _full_status(reservations: Reservations) -> bytes:
    held = reservations.persistent
    return read_full_status(
        reservations.generation,
        (
            FullStatus(
                nexus=nexus,
                key=one.key,
                relative_target_port=one.relative_target_port,
                holds=held.type if held is not None and reservations.holds(nexus) else None,
            )
            for nexus, one in reservations.registrations.items()
        ),
    )


_IN: Final = "PERSISTENT RESERVE IN: "
_OUT: Final = "PERSISTENT RESERVE OUT: "

COMMANDS: Final[Mapping[str, Callable[[Reservations, ReservationRequest], Outcome]]] = (
    MappingProxyType(
        {
            "RESERVE (6)": lambda on, request: on.reserve_unit(request.nexus),
            "RELEASE (6)": lambda on, request: on.release_unit(request.nexus),
            "RESERVE (10)": lambda on, request: on.reserve_unit(request.nexus),
            "RELEASE (10)": lambda on, request: on.release_unit(request.nexus),
            f"{_IN}READ KEYS": _reading(_keys),
            f"{_IN}READ RESERVATION": _reading(_reservation),
            f"{_IN}REPORT CAPABILITIES": _reading(lambda _: report_capabilities()),
            f"{_IN}READ FULL STATUS": _reading(_full_status),
            f"{_OUT}REGISTER": _registering(
                lambda on, request, given: on.register(
                    request.nexus,
                    given.key,
                    given.service_action_key,
                    relative_target_port=request.relative_target_port,
                )
            ),
            f"{_OUT}REGISTER AND IGNORE EXISTING KEY": _registering(
                lambda on, request, given: on.register_anyway(
                    request.nexus,
                    given.service_action_key,
                    relative_target_port=request.relative_target_port,
                )
            ),
            f"{_OUT}RESERVE": _registered(
                lambda on, request, _: on.reserve(request.nexus, request.cdb[2])
            ),
            f"{_OUT}RELEASE": _registered(
                lambda on, request, _: on.release(request.nexus, request.cdb[2])
            ),
            f"{_OUT}CLEAR": _registered(lambda on, request, _: on.clear(request.nexus)),
            f"{_OUT}PREEMPT": _registered(
                lambda on, request, given: replace(
                    on.preempt(request.nexus, given.service_action_key, request.cdb[2]),
                    aborted=frozenset(),
                )
            ),
            f"{_OUT}PREEMPT AND ABORT": _registered(
                lambda on, request, given: on.preempt(
                    request.nexus, given.service_action_key, request.cdb[2]
                )
            ),
        }
    )
)
"""Command name -> what carries it out, for every command about reservations."""
