"""Our own programs, built when needed, and where they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
BUILD = REPOSITORY / "target" / "bench"
RESULTS = REPOSITORY / ".results" / "bench.json"

LOAD = BUILD / "fairlead-load"
BARELOOP = BUILD / "bareloop"
BARELOOP_LOAD = BUILD / "bareloop-load"
HISTOGRAM_PERCENTILES = BUILD / "histogram-percentiles"

_BUILD_S = 120


class BuildError(Exception):
    """The C programs cannot be built; the compiler's own words are the message."""


def build(*wanted: Path) -> None:
    """Build these C programs, or all of them (quick when nothing has changed).

    Raises:
        BuildError: no compiler, no libiscsi-dev, or an error in the sources.
    """
    try:
        done = subprocess.run(
            ["make", "--silent", "-C", str(BENCH), f"BUILD={BUILD}", *map(str, wanted)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"make: {error}") from error
    if done.returncode != 0:
        raise BuildError(
            f"cannot build bench/ (Debian: apt-get install gcc make libiscsi-dev):\n{done.stderr}"
        )
