"""The parent of every model: immutable, and strict about unknown fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of the configuration. Checked when built; never changed afterwards.

    What pydantic says of a mistake does not show the input, which may hold a secret; whoever
    explains the mistake to people shows the value (`fairlead.model.document`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )
