"""The figures of the last runs in the guest, as the table of docs/compatibility.md.

Usage: python -m tests.guest.report [--write]
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from tests.guest.figures import FiguresFile
from tests.guest.image.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = ROOT / "docs" / "compatibility.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row for each test, its parameters taken together, and what they were made with."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, values in figures.items():
        # Others have passed or not; here is what was counted.
        if "bytes_verified" in values:
            numbers = {key: values[key] for key in ("bytes_verified", "faults", "failures")}
            rows[name.partition("[")[0]].update(runs=1, **numbers)
    lines = [
        "| test | runs | bytes verified | faults injected | failures |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, row in [*sorted(rows.items()), ("all", sum(rows.values(), Counter()))]:
        shown = f"`{name}`" if "::" in name else name
        cells = (row["runs"], row["bytes_verified"], row["faults"], row["failures"])
        lines.append(f"| {shown} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    made_with = figures.get("environment", {})
    versions = ", ".join(f"{k} {v}" for k, v in made_with.items() if k != "boots_s")
    boots = sorted(made_with.get("boots_s", [0]))
    text = f"With {versions}; {len(boots)} boots of {boots[0]:.0f} to {boots[-1]:.0f} s."
    return "\n".join([*lines, "", text]) + "\n"


def main() -> int:
    """Print the table; with --write put it into the page."""
    made = table(FiguresFile().read())
    print(made)
    if "--write" in sys.argv:
        page = PAGE.read_text()
        pattern = re.escape(_BEGIN) + r"(.*?)" + re.escape(_END)
        PAGE.write_text(
            re.sub(pattern, lambda _: f"{_BEGIN}\n{made}\n{_END}", page, flags=re.DOTALL)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
