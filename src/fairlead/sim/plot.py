"""Results as a picture: each client's throughput and latency over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fairlead.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fairlead.sim.result import PolicyResult

SUFFIXES: Final = (".png", ".svg")
_WIDTH_INCHES: Final = 5.5
_HEIGHT_INCHES: Final = 6.5
# Nothing in the file that differs from run to run.
_METADATA: Final = {".png": {"Software": None}, ".svg": {"Date": None}}


def check_plot(path: Path) -> None:
    """Check before a long run that a picture can be made.

    Raises:
        ConfigError: the name says no kind of picture that we make, or matplotlib is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{path.name} is no name of a picture", remedy=f"end it in {' or '.join(SUFFIXES)}"
        )
    try:
        import matplotlib  # noqa: F401, PLC0415  optional, and slow to load
    except ImportError:
        raise ConfigError(
            "a plot needs matplotlib, which is not installed",
            remedy="pip install 'fairlead[plot]'",
        ) from None


def save_plot(path: Path, title: str, results: Sequence[PolicyResult], *, bin_ms: int) -> None:
    """Draw results side by side, a column for each policy, and save them.

    Args:
        path: where to; its suffix says what, see `SUFFIXES`.
        title: written above.
        results: of the policies.
        bin_ms: the time between two points.

    Raises:
        ConfigError: see `check_plot`; or the file cannot be written.
    """
    check_plot(path)
    import matplotlib as mpl  # noqa: PLC0415  as above
    from matplotlib.figure import Figure  # noqa: PLC0415  as above

    with mpl.rc_context({"svg.hashsalt": "fairlead"}):
        figure = Figure(
            figsize=(_WIDTH_INCHES * len(results), _HEIGHT_INCHES), layout="constrained"
        )
        figure.suptitle(title)
        axes = figure.subplots(2, len(results), sharex=True, sharey="row", squeeze=False)
        for (throughput, latency), result in zip(axes.T, results, strict=True):
            throughput.set_title(result.policy)
            for client in result.clients:
                line = client.timeline
                times_s = [(number + 0.5) * bin_ms / 1000 for number in range(len(line.iops))]
                throughput.plot(times_s, line.mb_per_s, label=client.name)
                # matplotlib leaves gaps where there is no number.
                p99 = [float("nan") if us is None else us for us in line.latency_p99_us]
                latency.plot(times_s, p99, label=client.name)
            latency.set_yscale("log")
            latency.set_xlabel("s")
        axes[0][0].set_ylabel("MB/s")
        axes[1][0].set_ylabel("latency p99, us")
        axes[0][-1].legend(fontsize="small")
        try:
            figure.savefig(path, metadata=_METADATA[path.suffix])
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
