"""What a run of the guest did, in numbers: .results/guest/figures.json, for the documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path


class Figures:
    """Numbers of one test; the counters begin at zero.

    Attributes:
        values: "bytes_verified", "faults", "failures" and whatever else the test counts.
    """

    def __init__(self) -> None:
        self.values: Final[dict[str, object]] = {"bytes_verified": 0, "faults": 0}

    def verified(self, size_bytes: int) -> None:
        """Add data that was read back and was right."""
        before = self.values["bytes_verified"]
        assert isinstance(before, int)
        self.values["bytes_verified"] = before + size_bytes

    def fault(self, count: int = 1) -> None:
        """Add faults that were injected."""
        before = self.values["faults"]
        assert isinstance(before, int)
        self.values["faults"] = before + count


class FiguresFile:
    """The figures of a run; those of tests that were not run stay as they were.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path

    def record(self, test: str, values: dict[str, object]) -> None:
        """Set the figures of a test."""
        known = json.loads(self._path.read_text()) if self._path.exists() else {}
        known[test] = values
        self._path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
