"""The management API over its Unix socket."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest

from fairlead.dataplane.api import Upcall
from fairlead.dataplane.kernel import KernelContextInfo
from fairlead.management.server import BODY_BYTES_MAX
from fairlead.model.shares import ShareChange
from tests.support.contexts import context, snapshot
from tests.support.managed import ANNA, BEN, Managed, managed
from tests.support.waiting import wait_until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fairlead.control.measurement import Snapshot


class Api:
    """Asks as curl would."""

    def __init__(self, session: aiohttp.ClientSession, running: Managed) -> None:
        self.session = session
        self.target = running.target
        self.plane = running.plane

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = "http://localhost" + path
        async with self.session.request(method, url, data=data) as answer:
            kind = "application/json" if answer.status == 200 else "application/problem+json"
            assert answer.content_type == kind
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> dict[str, Any]:
        status, document = await self.ask("GET", path)
        assert status == 200, document
        return document

    async def problem(self, status: int, method: str, path: str, body: object = None) -> Any:
        found, document = await self.ask(method, path, body)
        assert found == document["status"] == status, document
        assert document["type"] == "about:blank"
        return document


@asynccontextmanager
async def api(folder: Path, **document: Any) -> AsyncIterator[Api]:
    async with (
        managed(folder, **document) as running,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(running.path))) as session,
    ):
        yield Api(session, running)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots whose interval is as short as it comes."""
    monkeypatch.setattr("fairlead.control.contexts.INTERVAL_S", 0.001)


async def test_contexts_have_accounts_settings_and_activity(
    tmp_path: Path, no_waiting: None
) -> None:
    shares = [{"contexts": "*:anna", "weight": 4, "priority": "urgent", "limit": {"iops": 10}}]
    async with api(tmp_path, shares=shares) as client:
        document = await client.get("/v1/contexts")
        assert 0 < document["interval_s"] < 10
        by_key = {context["key"]: context for context in document["contexts"]}
        assert set(by_key) == {ANNA, BEN}
        anna = by_key[ANNA]
        assert anna["settings"] == {
            "weight": 4,
            "priority": "urgent",
            "limit": {"iops": 10, "bytes_per_s": None},
            "burst_s": 0.01,
            "guarantee": {"iops": None, "bytes_per_s": None},
            "queued_max": 8192,
        }
        assert anna["device"] == "vda"
        assert anna["commands_read"] >= 1000
        assert set(anna["queue_time_us"]) == {"p50", "p99", "mean"}
        assert anna["activity"]["held_back_by"] == "limit"
        assert anna["activity"]["share_got"] == pytest.approx(0.25)
        assert by_key[BEN]["activity"]["share_got"] == pytest.approx(0.75)
        assert "configured" not in anna
        [device] = document["devices"]
        assert device == {
            "name": "vda",
            "is_measured": False,
            "write_factor": 1.0,
            "kernel_context": None,
        }


async def test_devices_and_contexts_tell_what_the_kernel_sees(
    tmp_path: Path, no_waiting: None
) -> None:
    devices = [{"name": "vda", "kernel_context": "ring"}]
    async with api(tmp_path, devices=devices) as client:
        document = await client.get("/v1/contexts")
        [device] = document["devices"]
        assert device["kernel_context"]["asked"] == "ring"
        assert device["kernel_context"]["mode"] == "off"
        assert {context["kernel"] for context in document["contexts"]} == {None}
        ring = KernelContextInfo(
            state="ring", ring_requests=3, plain_requests=1, keeper=7, reason=None
        )
        client.plane.book(ANNA, "vda", kernel=ring)
        document = await client.get(f"/v1/contexts/{quote(ANNA, safe='')}")
        assert document["contexts"][0]["kernel"] == {
            "state": "ring",
            "ring_requests": 3,
            "plain_requests": 1,
            "keeper": 7,
            "reason": None,
        }


async def test_contexts_are_filtered(tmp_path: Path, no_waiting: None) -> None:
    async with api(tmp_path) as client:
        document = await client.get("/v1/contexts?match=*:b*")
        assert [context["key"] for context in document["contexts"]] == [BEN]
        assert (await client.get("/v1/contexts?match=x"))["contexts"] == []


async def test_a_context_is_explained(tmp_path: Path, no_waiting: None) -> None:
    shares = [{"contexts": "*", "weight": 2, "guarantee": {"iops": 500}}]
    devices = [{"name": "vda", "iops": 1000}]
    async with api(tmp_path, shares=shares, devices=devices) as client:
        client.target.set_contexts("*:b*", {"burst_s": 1})
        client.target._running().contexts.set_policy(
            "p", {BEN: ShareChange(weight=3)}, client.plane.contexts()
        )
        document = await client.get(f"/v1/contexts/{quote(BEN, safe='')}")
        assert document["key"] == BEN
        [ben] = document["contexts"]
        assert ben["origins"] == {
            "weight": {"from": "policy", "policy": "p"},
            "priority": {"from": "default"},
            "limit.iops": {"from": "default"},
            "limit.bytes_per_s": {"from": "default"},
            "burst_s": {"from": "change", "contexts": "*:b*"},
            "guarantee.iops": {"from": "rule", "rule": 0, "contexts": "*"},
            "guarantee.bytes_per_s": {"from": "default"},
            "queued_max": {"from": "default"},
        }
        assert ben["settings"]["guarantee"]["iops"] is None
        assert ben["guarantee_refused"].startswith("guarantees on vda would be 1000 IOPS")
        assert ben["neighbours_count"] == 1
        [anna] = ben["neighbours"]
        assert (anna["key"], anna["weight"], anna["priority"]) == (ANNA, 2, "normal")
        assert anna["share_due"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["a/b", "a b%20c?d#e", "ä€\n{x}", "...", "/", "%2F", "a;b+c&d=e"])
async def test_a_name_may_hold_any_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with api(tmp_path) as client:

        async def with_it() -> Snapshot:
            return snapshot(context(name))

        monkeypatch.setattr(client.target, "snapshot", with_it)
        document = await client.get(f"/v1/contexts/{quote(name, safe='')}")
        assert document["key"] == name


async def test_an_unknown_name_is_not_found(tmp_path: Path, no_waiting: None) -> None:
    async with api(tmp_path) as client:
        problem = await client.problem(404, "GET", "/v1/contexts/nobody")
        assert problem == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "no context 'nobody'",
            "remedy": "the list of contexts has their names",
            "value": "nobody",
        }


async def test_a_change_is_made(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        change = {"weight": 4, "limit": {"iops": 20, "bytes_per_s": "100M"}}
        status, outcome = await client.ask("PATCH", "/v1/contexts?match=*:anna", change)
        assert (status, outcome) == (
            200,
            {"match": "*:anna", "matched": [ANNA], "changed": [ANNA]},
        )
        [settings] = client.plane.settings.values()
        assert (settings.weight, settings.limit.bytes_per_s) == (4, 100 << 20)
        _, again = await client.ask("PATCH", "/v1/contexts?match=*", {"weight": 4})
        assert again == {"match": "*", "matched": [ANNA, BEN], "changed": [BEN]}
        # As a merge patch would, null takes a limit away.
        await client.ask("PATCH", "/v1/contexts?match=*:anna", {"limit": {"iops": None}})
        [anna] = [c for c in client.target.contexts() if c.key == ANNA]
        assert (anna.settings.limit.iops, anna.settings.limit.bytes_per_s) == (None, 100 << 20)


async def test_a_change_is_forgotten(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        await client.ask("PATCH", "/v1/contexts?match=*:anna", {"weight": 4})
        status, outcome = await client.ask("DELETE", "/v1/changes?match=*:anna")
        assert (status, outcome["changed"]) == (200, [ANNA])
        assert {context.settings.weight for context in client.target.contexts()} == {1}


@pytest.mark.parametrize(
    ("body", "members"),
    [
        (
            {"weight": 0},
            {
                "detail": "weight: out of range",
                "where": "weight",
                "value": "0",
                "remedy": "take at least 1",
            },
        ),
        (
            {"wieght": 4},
            {
                "detail": "wieght: no such field",
                "where": "wieght",
                "remedy": "did you mean weight? there are: burst_s, guarantee, limit, priority, "
                "queued_max, weight",
            },
        ),
        (
            {"limit": {"iops": "many"}},
            {
                "detail": "limit.iops: of the wrong type",
                "where": "limit.iops",
                "value": '"many"',
                "remedy": "write a whole number",
            },
        ),
        ({}, {"detail": "says nothing"}),
        ([1], {"detail": "the body is not an object"}),
        (b'{"weight": 4', {"remedy": 'write an object, {"weight": 4}'}),
        (b"\xff\xfe", {"remedy": 'write an object, {"weight": 4}'}),
        (b"[" * 60_000, {"detail": "the body is nested too deeply"}),
    ],
)
async def test_a_change_that_is_written_wrongly_is_explained(
    tmp_path: Path, body: object, members: dict[str, str]
) -> None:
    async with api(tmp_path) as client:
        problem = await client.problem(400, "PATCH", "/v1/contexts?match=*", body)
        assert {name: problem[name] for name in members} == members
        assert not client.plane.settings


async def test_all_mistakes_of_a_change_are_told(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        change = {"weight": 0, "queued_max": 0}
        problem = await client.problem(400, "PATCH", "/v1/contexts?match=*", change)
        assert [mistake["where"] for mistake in problem["mistakes"]] == ["weight", "queued_max"]


async def test_a_guarantee_beyond_the_device_is_a_conflict_with_its_sums(tmp_path: Path) -> None:
    async with api(tmp_path, devices=[{"name": "vda", "iops": 1000}]) as client:
        change = {"guarantee": {"iops": 401}}
        problem = await client.problem(409, "PATCH", "/v1/contexts?match=*", change)
        assert problem["detail"].startswith("guarantees on vda would be 802 IOPS, and 800 can be")
        assert problem["remedy"].startswith("lower a guarantee")
        assert not client.plane.settings


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("PATCH", "/v1/contexts", "match is missing"),
        ("DELETE", "/v1/changes", "match is missing"),
        ("GET", "/v1/contexts?match=", "match has 0 characters"),
        ("GET", f"/v1/contexts?match={'x' * 513}", "match has 513 characters"),
        ("GET", "/v1/contexts?mtach=x", "query parameter 'mtach' is not known here, or there"),
        ("GET", "/v1/contexts?match=x&match=y", "query parameter 'match' is not known here, or"),
        ("GET", "/v1/sessions?match=x", "query parameter 'match' is not known here"),
    ],
)
async def test_queries_that_say_nothing_to_us_are_refused(
    tmp_path: Path, method: str, path: str, detail: str
) -> None:
    async with api(tmp_path) as client:
        problem = await client.problem(400, method, path, {"weight": 2})
        assert problem["detail"].startswith(detail)
        assert problem["remedy"]


async def test_paths_methods_and_sizes_that_are_not_ours_are_problems_too(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        problem = await client.problem(404, "GET", "/v2/contexts")
        assert problem["detail"] == "GET /v2/contexts: not found"
        problem = await client.problem(405, "PUT", "/v1/contexts", {})
        assert problem["remedy"] == "/v1/contexts takes GET,HEAD,PATCH"
        large = b'{"weight": 4, "x": "' + b"x" * BODY_BYTES_MAX + b'"}'
        problem = await client.problem(413, "PATCH", "/v1/contexts?match=*", large)
        assert problem["remedy"] == "a change is a few fields"
        assert not client.plane.settings


async def test_sessions_and_volumes_are_listed(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        sessions = (await client.get("/v1/sessions"))["sessions"]
        assert [session["initiator_name"] for session in sessions] == [ANNA, BEN]
        assert len(bytes.fromhex(sessions[0]["isid"])) == 6
        [volume] = (await client.get("/v1/volumes"))["volumes"]
        assert (volume["name"], volume["device"], volume["size_bytes"]) == ("v", "vda", 1 << 20)
        assert volume["reservations"] == {
            "reserved_by": None,
            "type": None,
            "generation": 0,
            "registrations": [],
        }


async def test_reservations_are_listed_with_their_volumes(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        [lun] = client.target.luns
        anna, ben = client.plane.adopted
        register = bytes.fromhex("5F 06 00 00 00 00 00 00 18 00")
        reserve = bytes.fromhex("5F 01 05 00 00 00 00 00 18 00")
        mine, none = (0xFEDCBA9876543210).to_bytes(8), bytes(8)
        for number, session, cdb, keys in (
            (1, anna, register, none + mine),
            (2, ben, register, none + none[1:] + b"\x07"),
            (3, anna, reserve, mine + none),
        ):
            upcall = Upcall(
                id=number,
                session=session,
                logical_unit=lun.logical_unit,
                lun=0,
                cdb=cdb,
                data=keys + bytes(8),
            )
            client.plane.emit(upcall)
        await wait_until_async(lambda: 3 in client.plane.answers, "the answers")
        client.plane.disconnect(ben)
        await wait_until_async(lambda: len(client.target.sessions()) == 1, "the end")
        [volume] = (await client.get("/v1/volumes"))["volumes"]
        found = volume["reservations"]
        assert (found["type"], found["generation"]) == ("write_exclusive_registrants_only", 2)
        assert [
            (one["initiator_name"], one["key"], one["holds"], len(one["isid"]))
            for one in found["registrations"]
        ] == [(ANNA, "0xfedcba9876543210", True, 12), (BEN, "0x0000000000000007", False, 12)]


async def test_a_fault_of_ours_is_logged_and_told_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.ERROR)
    async with api(tmp_path) as client:

        def broken() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(client.target, "volumes", broken)
        problem = await client.problem(500, "GET", "/v1/volumes")
        assert problem["detail"] == "a fault of ours"
    assert any("management.failed method=GET" in r.getMessage() for r in caplog.records)


async def test_the_socket_is_gone_at_the_end_and_an_open_connection_holds_nothing_up(
    tmp_path: Path,
) -> None:
    async with managed(tmp_path) as running:
        reader, writer = await asyncio.open_unix_connection(running.path)
    assert not running.path.exists()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
