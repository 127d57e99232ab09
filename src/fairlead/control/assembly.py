"""Puts together what a running target consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.control.contexts import Contexts
from fairlead.control.events import EventPump
from fairlead.control.iscsi_login import IscsiLogins
from fairlead.control.listener import Listener
from fairlead.control.policy_runner import PolicyRunner
from fairlead.control.reactions import Reactions
from fairlead.control.reservations import ReservationBook
from fairlead.control.sessions import SessionTable
from fairlead.control.shares import Shares
from fairlead.dataplane.api import EngineOptions
from fairlead.scsi import pages
from fairlead.scsi.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fairlead.control.access import LoginPolicies
    from fairlead.control.accounts import AccountBook
    from fairlead.control.events import EventHub
    from fairlead.control.grouping import ContextKeys
    from fairlead.control.iscsi_login import MappedLun
    from fairlead.control.policies import LoadedPolicy
    from fairlead.dataplane.api import DataPlane
    from fairlead.dataplane.kernel import KernelOptions
    from fairlead.model.config import Config
    from fairlead.scsi.logical_unit import LogicalUnit


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs between start and stop."""

    plane: DataPlane
    sessions: SessionTable
    contexts: Contexts
    reservations: ReservationBook
    policies: LoginPolicies
    listener: Listener
    pump: EventPump
    runners: Sequence[PolicyRunner]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is served; read whenever it is needed, so that it may grow.

    Attributes:
        luns: by target name, then by number.
        logical_units: by the data plane's number.
        volume_names: by the data plane's number.
    """

    luns: Mapping[str, Mapping[int, MappedLun]]
    logical_units: Mapping[int, LogicalUnit]
    volume_names: Mapping[int, str]


def assemble(
    config: Config,
    plane: DataPlane,
    keys: ContextKeys,
    policies: LoginPolicies,
    loaded: Sequence[LoadedPolicy],
    *,
    hub: EventHub,
    book: AccountBook,
    shown: Shown,
) -> Parts:
    """Return the parts, none of them started.

    Args:
        config: the whole configuration.
        plane: an open data plane.
        keys: names contexts.
        policies: what logins are checked against.
        loaded: policies that change shares.
        hub: hears what happens.
        book: keeps last accounts.
        shown: what is served.
    """
    sessions = SessionTable(
        plane,
        sessions_max=config.limits.sessions_max,
        reinstatement_timeout_s=config.limits.reinstatement_timeout_s,
    )
    contexts = Contexts(plane, keys, Shares(config.shares, config.devices))
    reservations = ReservationBook(plane)
    logins = IscsiLogins(
        config=config,
        plane=plane,
        policies=policies,
        sessions=sessions,
        contexts=contexts,
        reservations=reservations,
        hub=hub,
        luns=shown.luns,
    )
    reactions = Reactions(
        plane=plane,
        sessions=sessions,
        contexts=contexts,
        book=book,
        reservations=reservations,
        hub=hub,
        logical_units=shown.logical_units,
        volume_names=shown.volume_names,
    )
    return Parts(
        plane=plane,
        sessions=sessions,
        contexts=contexts,
        reservations=reservations,
        policies=policies,
        listener=Listener(logins.serve, pending_max=config.limits.pending_logins_max),
        pump=EventPump(plane, reactions.handle),
        runners=[PolicyRunner(policy, contexts) for policy in loaded],
    )


def engine_options(config: Config, kernel: KernelOptions) -> EngineOptions:
    """Return what the data plane is told when it is opened."""
    engine = config.engine
    return EngineOptions(
        commands=COMMANDS,
        pages_without_logical_unit=pages.render_without_logical_unit(),
        driver=engine.driver,
        submitters=engine.submitters,
        pool=engine.pool,
        scheduler=engine.scheduler,
        costs={
            device.name: device.cost.device_cost()
            for device in config.devices
            if device.cost is not None
        },
        memory_limit_bytes=engine.memory_limit,
        queue_depth=engine.queue_depth,
        nop_interval_s=engine.nop_interval_s,
        nop_timeout_s=engine.nop_timeout_s,
        stall_s=engine.stall_s,
        kernel=kernel,
    )
