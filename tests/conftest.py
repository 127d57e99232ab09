"""What every test may use: the table of drivers and pools, and how much random tests do."""

from __future__ import annotations

import hypothesis

pytest_plugins = ["tests.support.cells"]

# No deadline: how long one example takes on a busy machine says nothing. A failure prints what
# makes it come again.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "long",
    deadline=None,
    print_blob=True,
    max_examples=20_000,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("default")
