"""A policy as the document names it; what else stands in its table is the policy's own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from fairlead.model.frozen import Model


class PolicyConfig(Model):
    """One policy that runs beside the target.

    Attributes:
        kind: ``latency-goal``, or one that an installed package offers.
        interval_s: how often it is asked, 0.01..60 seconds; also the time it has for an answer.
    """

    model_config = ConfigDict(extra="allow")

    kind: Annotated[str, Field(min_length=1, max_length=64)]
    interval_s: Annotated[float, Field(ge=0.01, le=60)] = 0.1

    @property
    def options(self) -> dict[str, Any]:
        """What the policy is to check."""
        return dict(self.model_extra or {})
