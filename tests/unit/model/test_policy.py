from __future__ import annotations

from fairlead.model.policy import PolicyConfig


def test_what_is_not_ours_is_the_policys() -> None:
    policy = PolicyConfig.model_validate({"kind": "k", "interval_s": 1, "contexts": "*", "n": 3})
    assert policy.options == {"contexts": "*", "n": 3}
    assert policy.interval_s == 1.0
    assert PolicyConfig(kind="k").options == {}
