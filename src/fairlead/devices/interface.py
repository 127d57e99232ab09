"""What every simulated device can do, and what is known about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Protocol

from pydantic import Field

from fairlead.model.frozen import Model
from fairlead.model.size import SizeBytes

if TYPE_CHECKING:
    from fairlead.sched.cost import CostModel, Operation

US: Final = 1_000
"""Nanoseconds of a microsecond."""
MS: Final = 1_000_000
"""Nanoseconds of a millisecond."""
SECOND: Final = 1_000_000_000
"""Nanoseconds of a second."""
MB: Final = 1_000_000
"""Bytes of a megabyte, as rates are given."""

Microseconds = Annotated[int, Field(ge=1, le=10_000_000)]
MegabytesPerS = Annotated[int, Field(ge=1, le=1_000_000)]


class SimulatedDevice(Protocol):
    """A device that serves requests in virtual time.

    All times are nanoseconds of one clock that never goes back. Whoever drives it asks for the
    time of the next completion, lets that come, and takes it; requests are given to it at or
    before that time.
    """

    def submit(
        self, token: int, operation: Operation, offset_bytes: int, length_bytes: int, now_ns: int
    ) -> None:
        """Take a request; ``token`` is its name. There is always room."""
        ...

    def next_completion_ns(self) -> int | None:
        """Tell when the device will next be done with something; None: it is idle."""
        ...

    def complete(self) -> int | None:
        """Take that completion; return the request's token, None for the device's own work."""
        ...

    def busy_ns(self, now_ns: int) -> int:
        """Return how long its servers have worked until now, all together."""
        ...


class DeviceParameters(Model, ABC):
    """A device as a table of numbers.

    Attributes:
        size: its capacity.
    """

    family: ClassVar[str]
    """The data plane's name for the model: ``ssd`` or ``disk``."""

    size: SizeBytes

    def plain(self) -> dict[str, Any]:
        """Return the table as the data plane takes it."""
        return {"family": self.family, **self.model_dump()}

    @property
    @abstractmethod
    def servers(self) -> int:
        """How many requests it works on at a time."""

    @abstractmethod
    def build(self) -> SimulatedDevice:
        """Return an idle device."""

    @abstractmethod
    def cost_model(self) -> CostModel:
        """Return what requests cost it, in time of one server."""
