"""A scenario: a device, its clients, and the policies that are to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from fairlead.devices.interface import SECOND
from fairlead.devices.presets import parse_device
from fairlead.errors import ConfigError
from fairlead.model.document import explain_validation, read_model
from fairlead.model.frozen import Model
from fairlead.model.size import SizeBytes
from fairlead.sim.client import ALIGNMENT_BYTES, LENGTH_MAX_BYTES, SECONDS_MAX, ClientConfig
from fairlead.sim.demand import mean_cost
from fairlead.sim.window import derive_window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fairlead.devices.interface import DeviceParameters

CLIENTS_MAX: Final = 100_000
POLICIES: Final = ("fair", "fifo", "none")

Policy = Literal["fair", "fifo", "none"]


def _check_device(text: str) -> str:
    parse_device(text)
    return text


class Scenario(Model):
    """What happens.

    Attributes:
        title: one line about what it shows.
        device: ``PRESET[,key=value...]``, see `fairlead.devices.presets`.
        seed: of everything random; the same seed gives the same result.
        seconds: virtual time, up to 3600.
        policies: run one after the other with the same clients: ``fair`` (shares by weight),
            ``fifo`` (one queue for the whole device), ``none`` (everything to the device at once).
        grouping: what a context stands for: an ``initiator`` with its sessions, or a ``session``.
        split_bytes: longest piece of a request; by default by its cost, see
            `fairlead.sim.window`.
        window_us: work at the device; by default by its servers, see `fairlead.sim.window`.
        path_us: from the device's completion until the scheduler learns of it, 0..10^6.
        bin_ms: what is counted is counted for each such time, 10..10000.
        clients: at least one.
    """

    title: str = ""
    device: Annotated[str, AfterValidator(_check_device)]
    seed: Annotated[int, Field(ge=0, le=(1 << 63) - 1)] = 1
    seconds: Annotated[float, Field(gt=0, le=SECONDS_MAX)]
    policies: Annotated[tuple[Policy, ...], Field(min_length=1)] = ("fair",)
    grouping: Literal["initiator", "session"] = "initiator"
    split_bytes: SizeBytes | None = None
    window_us: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    path_us: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    bin_ms: Annotated[int, Field(ge=10, le=10_000)] = 100
    clients: Annotated[tuple[ClientConfig, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        mistakes = [
            *_check_clients(self),
            *_check_policies(self),
            *_check_pieces(self),
            *_check_guarantees(self),
        ]
        if mistakes:
            raise ValidationError.from_exception_data(
                "Scenario",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("reference", "{reason}", {"reason": reason}),
                        loc=path,
                        input=value,
                    )
                    for path, value, reason in mistakes
                ],
            )
        return self

    @property
    def device_parameters(self) -> DeviceParameters:
        """The device as a table of numbers."""
        return parse_device(self.device)

    @property
    def end_ns(self) -> int:
        """When it ends."""
        return round(self.seconds * SECOND)

    def only(self, names: Collection[str]) -> Scenario:
        """Return the scenario with these clients alone.

        Raises:
            ConfigError: one of them is not there.
        """
        there = [client.name for client in self.clients]
        for name in names:
            if name not in there:
                raise ConfigError(f"no client {name!r}", remedy=f"there are: {', '.join(there)}")
        kept = tuple(client for client in self.clients if client.name in names)
        return self.changed(clients=kept)

    def changed(self, **values: object) -> Scenario:
        """Return the scenario with other values, checked.

        Raises:
            DocumentError: they do not fit.
        """
        try:
            return Scenario.model_validate(dict(self) | values)
        except ValidationError as error:
            raise explain_validation(error, Scenario) from None


def read_scenario(text: str) -> Scenario:
    """Return the scenario that a TOML text describes.

    Raises:
        DocumentError: with every mistake found.
    """
    return read_model(text, Scenario)


_Mistake = tuple[tuple[str | int, ...], object, str]


def _check_clients(scenario: Scenario) -> Iterator[_Mistake]:
    names: list[str] = []
    for index, client in enumerate(scenario.clients):
        if client.name in names:
            where = names.index(client.name)
            yield (
                ("clients", index, "name"),
                client.name,
                f"client {client.name!r} is there twice (first as clients[{where}]); rename one",
            )
        names.append(client.name)
        if client.start_s >= scenario.seconds:
            yield (
                ("clients", index, "start_s"),
                client.start_s,
                f"starts when all is over; start it before {scenario.seconds:g} s",
            )
    count = sum(client.count for client in scenario.clients)
    if count > CLIENTS_MAX:
        yield ("clients",), count, f"{count} clients are too many; at most {CLIENTS_MAX}"


def _check_policies(scenario: Scenario) -> Iterator[_Mistake]:
    for index, policy in enumerate(scenario.policies):
        if policy in scenario.policies[:index]:
            yield ("policies", index), policy, f"policy {policy!r} is there twice; remove one"


def _check_pieces(scenario: Scenario) -> Iterator[_Mistake]:
    split_bytes = scenario.split_bytes
    if split_bytes and (split_bytes % ALIGNMENT_BYTES or split_bytes > LENGTH_MAX_BYTES):
        yield (
            ("split_bytes",),
            split_bytes,
            f"no piece is so long; take a multiple of {ALIGNMENT_BYTES} up to 16M",
        )
        return
    try:
        derive_window(
            scenario.device_parameters, split_bytes=split_bytes, window_us=scenario.window_us
        )
    except ConfigError as error:
        yield ("window_us",), scenario.window_us, f"{error.reason}; {error.remedy}"


def _check_guarantees(scenario: Scenario) -> Iterator[_Mistake]:
    """What is promised at one time has to be there."""
    parameters = scenario.device_parameters
    costs = parameters.cost_model()
    for index, client in enumerate(scenario.clients):
        if client.guarantee is None:
            continue
        beside = [
            other
            for other in scenario.clients
            if other.guarantee is not None
            and other.start_s <= client.start_s < (other.stop_s or scenario.seconds)
        ]
        part = sum(mean_cost(c, costs).guaranteed * c.count for c in beside) / parameters.servers
        if part > 1:
            yield (
                ("clients", index, "guarantee"),
                client.guarantee,
                f"with this, guarantees come to {part:.1%} of the device; lower them to 100 %",
            )
