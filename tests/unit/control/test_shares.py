from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.control import shares as shares_module
from fairlead.control.shares import Changed, Origin, Shares
from fairlead.errors import ConfigError
from fairlead.model.shares import DeviceConfig, ShareChange, ShareRule
from fairlead.sched.settings import Priority, Rate, Settings

VDA = DeviceConfig(name="vda", iops=1000)


def change(**fields: Any) -> ShareChange:
    return ShareChange.model_validate(fields)


def rule(contexts: str, **fields: Any) -> ShareRule:
    return ShareRule.model_validate({"contexts": contexts, **fields})


def guarantee(iops: int) -> dict[str, Any]:
    return {"guarantee": {"iops": iops}}


def test_without_rules_everybody_is_due_the_same() -> None:
    shares = Shares()
    assert shares.acquire("a", "vda") == Changed(key="a", device="vda", settings=Settings())
    assert shares.of("a", "vda").origins == {}


def test_every_rule_that_matches_applies_and_later_ones_override_by_field() -> None:
    shares = Shares(
        [
            rule("*", weight=2, limit={"iops": 100}),
            rule("*:db-*", weight=4, priority="urgent"),
            rule("*:web-*", weight=9),
        ]
    )
    due = shares.due("x:db-1")
    assert due.settings == Settings(weight=4, priority=Priority.URGENT, limit=Rate(iops=100))
    assert due.origins == {
        "weight": Origin(kind="rule", by="*:db-*", rule=1),
        "priority": Origin(kind="rule", by="*:db-*", rule=1),
        "limit.iops": Origin(kind="rule", by="*", rule=0),
    }


def test_a_change_holds_for_who_is_there_and_who_comes() -> None:
    shares = Shares([rule("*", weight=2)])
    shares.acquire("a", "vda")
    shares.acquire("b", "vda")
    assert [(c.key, c.settings.weight) for c in shares.set("[ac]", change(weight=5))] == [("a", 5)]
    assert shares.acquire("c", "vda").settings.weight == 5
    assert shares.of("b", "vda").settings.weight == 2
    assert shares.due("c").origins["weight"] == Origin(kind="change", by="[ac]")
    assert shares.set("[ac]", change(weight=5)) == []


def test_a_change_of_one_field_leaves_the_others_as_somebody_has_changed_them() -> None:
    shares = Shares()
    shares.acquire("a", "vda")
    shares.set("*", change(weight=2))
    shares.set("a", change(weight=4))
    shares.set("*", change(limit={"iops": 10}))
    assert shares.of("a", "vda").settings == Settings(weight=4, limit=Rate(iops=10))
    shares.set("*", change(weight=3))
    assert shares.of("a", "vda").settings.weight == 3


def test_a_context_on_two_devices_is_due_the_same_on_both() -> None:
    shares = Shares()
    shares.acquire("a", "vda")
    shares.acquire("a", "vdb")
    assert {c.device for c in shares.set("a", change(weight=4))} == {"vda", "vdb"}


def test_what_was_changed_with_a_pattern_is_forgotten_with_it() -> None:
    shares = Shares([rule("*", weight=2)])
    shares.acquire("a", "vda")
    shares.set("a", change(weight=5))
    shares.set("*", change(limit={"iops": 10}))
    [back] = shares.reset("a")
    assert back.settings == Settings(weight=2, limit=Rate(iops=10))
    assert shares.reset("a") == []


def test_live_changes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "CHANGES_MAX", 3)
    shares = Shares()
    for name in "abc":
        shares.set(name, change(weight=2))
    with pytest.raises(ConfigError, match=r"there are 3 live changes, the limit .reset some"):
        shares.set("d", change(weight=2))
    # One of a pattern that is there takes the old one's place.
    shares.set("a", change(weight=3))
    assert shares.due("d").settings.weight == 1


# Guarantees.


def test_a_guarantee_that_finds_no_room_is_left_out_and_told_once() -> None:
    shares = Shares([rule("*", **guarantee(500))], [VDA])
    assert shares.acquire("a", "vda").settings.guarantee == Rate(iops=500)
    second = shares.acquire("b", "vda")
    assert second.settings == Settings()
    assert second.refusal is not None
    assert "would be 1000 IOPS" in second.refusal
    assert shares.acquire("b", "vda").refusal is None
    assert shares.of("b", "vda").refusal == second.refusal
    # Elsewhere there is room.
    assert shares.acquire("b", "vdb").settings.guarantee == Rate(iops=500)


def test_who_waits_gets_the_guarantee_when_there_is_room_again() -> None:
    shares = Shares([rule("*", **guarantee(500))], [VDA])
    for key in ("a", "b", "c", "a"):
        shares.acquire(key, "vda")
    assert shares.release("a", "vda") == []
    [granted] = shares.release("a", "vda")
    assert (granted.key, granted.settings.guarantee.iops, granted.refusal) == ("b", 500, None)
    assert shares.of("c", "vda").refusal is not None


def test_a_change_that_makes_room_gives_it_to_who_waits() -> None:
    shares = Shares([rule("*", **guarantee(500))], [VDA])
    for key in ("a", "b"):
        shares.acquire(key, "vda")
    changed = shares.set("a", change(**guarantee(300)))
    assert [(c.key, c.settings.guarantee.iops) for c in changed] == [("a", 300), ("b", 500)]
    assert [c.key for c in shares.reset("a")] == ["a"]
    assert shares.of("a", "vda").refusal is not None


def test_a_change_beyond_what_a_device_can_hold_is_refused_and_changes_nothing() -> None:
    shares = Shares([], [VDA])
    for key in ("a", "b"):
        shares.acquire(key, "vda")
    shares.set("a", change(**guarantee(500)))
    with pytest.raises(ConfigError, match=r"would be 801 IOPS, and 800 can .*: a 500, b 301"):
        shares.set("b", change(weight=7, **guarantee(301)))
    assert shares.of("b", "vda").settings == shares.due("b").settings == Settings()
    assert shares.set("b", change(**guarantee(300)))


def test_guarantees_may_be_moved_in_one_change() -> None:
    shares = Shares([rule("a", **guarantee(700))], [VDA])
    for key in ("a", "b"):
        shares.acquire(key, "vda")
    changed = shares.set("*", change(**guarantee(400)))
    assert [(c.key, c.settings.guarantee.iops, c.refusal) for c in changed] == [
        ("a", 400, None),
        ("b", 400, None),
    ]


def test_who_waits_for_a_guarantee_can_be_changed_in_other_ways() -> None:
    shares = Shares([rule("*", **guarantee(500))], [VDA])
    for key in ("a", "b"):
        shares.acquire(key, "vda")
    [changed] = shares.set("b", change(limit={"iops": 600}))
    assert changed.settings == Settings(limit=Rate(iops=600))
    assert shares.of("a", "vda").settings.guarantee.iops == 500


def test_a_limit_below_a_guarantee_is_refused() -> None:
    shares = Shares([rule("a", **guarantee(500))])
    shares.acquire("a", "vda")
    with pytest.raises(ConfigError, match=r"guarantee.iops 500 is above limit.iops 100 for a"):
        shares.set("*", change(limit={"iops": 100}))
    assert shares.of("a", "vda").settings.limit == Rate()


def test_rules_that_nobody_saw_meet_guarantee_no_more_than_they_allow() -> None:
    shares = Shares([rule("*", limit={"iops": 100}), rule("a*", **guarantee(500))])
    assert shares.due("ab").settings == Settings(limit=Rate(iops=100), guarantee=Rate(iops=100))


# Policies.


def test_a_policy_changes_what_it_may_and_gives_it_back() -> None:
    shares = Shares([rule("*", weight=4)])
    for key in ("a", "b"):
        shares.acquire(key, "vda")
    answer = {"a": change(weight=2, queued_max=1, **guarantee(9)), "gone": change(weight=9)}
    [changed] = shares.set_policy("p", answer)
    assert changed.settings == Settings(weight=2)
    due = shares.of("a", "vda")
    assert (due.configured, due.origins["weight"]) == (
        Settings(weight=4),
        Origin(kind="policy", by="p"),
    )
    # The same again changes nothing; what is not said any more is given back.
    assert shares.set_policy("p", answer) == []
    [back] = shares.set_policy("p", {})
    assert back.settings == Settings(weight=4)
    shares.set_policy("p", answer)
    assert [c.settings.weight for c in shares.drop_policy("p")] == [4]


def test_a_policy_never_overrides_what_an_operator_has_changed() -> None:
    shares = Shares()
    shares.acquire("a", "vda")
    shares.set("a", change(weight=5))
    shares.set_policy("p", {"a": change(weight=1, priority="idle")})
    assert shares.of("a", "vda").settings == Settings(weight=5, priority=Priority.IDLE)
    shares.set("a", change(priority="urgent"))
    assert shares.of("a", "vda").settings.priority is Priority.URGENT


@pytest.mark.parametrize(("said", "comes_to"), [(50, 100), (300, 300), (900, 500), (None, 500)])
def test_a_policys_limit_stays_between_guarantee_and_limit(said: int | None, comes_to: int) -> None:
    shares = Shares([rule("*", limit={"iops": 500}, **guarantee(100))])
    shares.acquire("a", "vda")
    shares.set_policy("p", {"a": change(limit={"iops": said})})
    assert shares.of("a", "vda").settings.limit == Rate(iops=comes_to)


def test_what_a_policy_says_ends_with_the_context() -> None:
    shares = Shares()
    for device in ("vda", "vdb"):
        shares.acquire("a", device)
    shares.set_policy("p", {"a": change(weight=2)})
    shares.release("a", "vda")
    assert shares.acquire("a", "vda").settings.weight == 2
    for device in ("vda", "vdb"):
        shares.release("a", device)
    assert shares.acquire("a", "vda").settings.weight == 1


def test_the_later_of_two_policies_wins() -> None:
    shares = Shares()
    shares.acquire("a", "vda")
    shares.set_policy("p", {"a": change(weight=2, burst_s=1)})
    shares.set_policy("q", {"a": change(weight=3)})
    assert shares.of("a", "vda").settings == Settings(weight=3, burst_s=1)
    shares.drop_policy("q")
    assert shares.of("a", "vda").settings.weight == 2


# Whatever happens.

KEYS = st.sampled_from("abc")
DEVICES = st.sampled_from(["vda", "vdb"])
STEPS = st.one_of(
    st.tuples(st.just("acquire"), KEYS, DEVICES),
    st.tuples(st.just("release"), KEYS, DEVICES),
    st.tuples(st.just("guarantee"), st.sampled_from([*"abc", "*"]), st.integers(1, 600)),
    st.tuples(st.just("limit"), st.sampled_from([*"abc", "*"]), st.integers(1, 600)),
    st.tuples(st.just("reset"), st.sampled_from([*"abc", "*"]), st.none()),
    st.tuples(st.just("policy"), KEYS, st.integers(1, 600)),
)


@given(st.lists(STEPS, max_size=40))
def test_no_more_is_ever_guaranteed_than_a_device_holds(steps: list[tuple[str, str, Any]]) -> None:
    shares = Shares([rule("b", **guarantee(300))], [VDA])
    uses: dict[tuple[str, str], int] = {}
    told: dict[tuple[str, str], Settings] = {}
    for what, name, argument in steps:
        changed: list[Changed] = []
        if what == "acquire":
            found = shares.acquire(name, argument)
            uses[name, argument] = uses.get((name, argument), 0) + 1
            told.setdefault((name, argument), found.settings)
        elif what == "release" and uses.get((name, argument)):
            changed = shares.release(name, argument)
            uses[name, argument] -= 1
            if not uses[name, argument]:
                del uses[name, argument], told[name, argument]
        elif what == "reset":
            changed = shares.reset(name)
        elif what == "policy":
            changed = shares.set_policy("p", {name: change(limit={"iops": argument})})
        elif what in ("guarantee", "limit"):
            try:
                changed = shares.set(name, change(**{what: {"iops": argument}}))
            except ConfigError:
                changed = []
        told |= {(c.key, c.device): c.settings for c in changed}
        # Whoever only listens to changes knows what everybody is due.
        assert told == {of: shares.of(*of).settings for of in told}
        assert sum(s.guarantee.iops or 0 for (_, on), s in told.items() if on == "vda") <= 800
    assert set(shares._live) == set(told)
