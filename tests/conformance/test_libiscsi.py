"""Every family of libiscsi's conformance suite that we serve, on every driver and pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.libiscsi import (
    FAMILIES,
    Verdict,
    listed_tests,
    recorded_outcomes,
    run_tests,
    surprises,
)
from tests.support.cells import DRIVERS, POOLS
from tests.support.server import Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDED = recorded_outcomes(Path(__file__).with_name("recorded.toml"))
# Two volumes, so that two tests run at a time without disturbing each other.
VOLUMES = ("first.img:128M", "second.img:128M")


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(driver: str, pool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"conformance-{driver}-{pool}")
    with serving(VOLUMES, folder, driver=driver, pool=pool) as served:
        yield served


@pytest.mark.conformance
@pytest.mark.cell("conformance")
@pytest.mark.parametrize("family", FAMILIES)
def test_family(
    server: Server,
    family: str,
    record_property: Callable[[str, object], None],
) -> None:
    outcomes = run_tests(listed_tests([family]), server.urls)
    bad = surprises(outcomes, RECORDED)
    others = [one for one in outcomes if one.verdict is not Verdict.PASSED and one not in bad]
    # What asserts only when something is wrong, and said that nothing is, has passed.
    passed = len(outcomes) - len(bad) - sum(one.verdict is not Verdict.EMPTY for one in others)
    record_property("count_passed", passed)
    record_property("count_skipped", len(outcomes) - passed - len(bad))
    record_property("count_failed", len(bad))
    for outcome in others:
        record_property("recorded", f"{outcome.verdict} {outcome.test}: {outcome.reason}")
    assert not bad, "\n".join(map(str, bad))
    stale = [
        record.test
        for record in RECORDED
        if record.test.startswith(f"{family}.") and not any(record.covers(one) for one in others)
    ]
    assert not stale, f"no longer so, remove from recorded.toml: {stale}"
