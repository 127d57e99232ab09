"""What a run of the guest did, in numbers: .results/guest/figures.json, for the documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.guest.image.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULTS: Final = ROOT / ".results" / "guest"


class Figures:
    """Numbers of one test; the counters begin at zero.

    Attributes:
        values: "bytes_verified", "faults" and whatever else the test counts.
    """

    def __init__(self) -> None:
        self.values: Final[dict[str, Any]] = {"bytes_verified": 0, "faults": 0}

    def verified(self, size_bytes: int) -> None:
        """Add data that was read back and was right."""
        self.values["bytes_verified"] += size_bytes

    def fault(self, count: int = 1) -> None:
        """Add faults that were injected."""
        self.values["faults"] += count


class FiguresFile:
    """The figures of a run; those of tests that were not run stay as they were.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: Path = RESULTS / "figures.json") -> None:
        self._path: Final = path

    def read(self) -> dict[str, dict[str, Any]]:
        """Return all figures, by the test's identifier; "environment" is what they were made on."""
        if not self._path.exists():
            return {}
        found: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        return found

    def record(self, name: str, values: Mapping[str, Any]) -> None:
        """Set the figures of a test."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.read() | {name: dict(values)}, indent=1, sort_keys=True)
        self._path.write_text(text + "\n")
