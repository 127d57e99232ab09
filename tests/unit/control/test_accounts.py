from __future__ import annotations

import json
from dataclasses import replace

from fairlead.control.accounts import AccountBook, EndedSession
from fairlead.dataplane.api import ContextInfo, LatencyUs, SessionInfo

TIMES = LatencyUs(p50=1.0, p99=2.0, mean=1.5)
CONTEXT = ContextInfo(
    index=0,
    generation=0,
    key="a",
    device="vda",
    state="closing",
    sessions=0,
    commands_read=1,
    commands_write=2,
    commands_other=3,
    bytes_read=512,
    bytes_written=1024,
    in_flight=0,
    queue_time_us=TIMES,
    service_time_us=TIMES,
    response_time_us=TIMES,
    submitted=6,
    completed=6,
    cost_ns=6000,
    entered=6,
    left=6,
)
SESSION = SessionInfo(
    session=1,
    initiator_name="iqn.2020-01.org.example:a",
    target_name="iqn.2020-01.org.example:t",
    isid=bytes.fromhex("800000000001"),
    tsih=1,
    peer="127.0.0.1:1",
    state="active",
    commands=6,
    bytes_read=512,
    bytes_written=1024,
    in_flight=0,
)
ENDED = EndedSession(
    initiator_name="iqn.2020-01.org.example:a",
    target_name="iqn.2020-01.org.example:t",
    tsih=1,
    peer="127.0.0.1:1",
    auth_user=None,
    reason="logout",
)


def test_released_contexts_stay_in_the_book() -> None:
    book = AccountBook()
    book.context_released(CONTEXT)
    document = book.document([replace(CONTEXT, key="b", state="active")], [SESSION])
    assert [(c["key"], c["state"]) for c in document["contexts"]] == [
        ("b", "active"),
        ("a", "released"),
    ]
    assert document["sessions"][0]["isid"] == "800000000001"
    assert json.loads(json.dumps(document)) == document


def test_the_book_is_bounded_and_its_sums_are_right() -> None:
    book = AccountBook(ended_max=3)
    for number in range(10):
        book.context_released(replace(CONTEXT, key=str(number)))
        book.session_ended(ENDED)
    document = book.document([], [])
    assert [context["key"] for context in document["contexts"]] == ["7", "8", "9"]
    assert document["released_earlier"] == {
        "contexts": 7,
        "commands_read": 7,
        "commands_write": 14,
        "commands_other": 21,
        "bytes_read": 7 * 512,
        "bytes_written": 7 * 1024,
    }
    assert len(document["sessions_ended"]) == 3
    assert document["sessions_ended_count"] == 10
