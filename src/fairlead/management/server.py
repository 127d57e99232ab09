"""The management server: `fairlead.Target`'s own methods over HTTP and JSON.

| request | does |
|---|---|
| ``GET /v1/contexts[?match=PATTERN]`` | accounts, settings and last activity |
| ``GET /v1/contexts/{name}`` | the same of one, and why it is due what it is |
| ``PATCH /v1/contexts?match=PATTERN`` | changes what contexts are due; the body is the change |
| ``DELETE /v1/changes?match=PATTERN`` | forgets what was changed with just this pattern |
| ``GET /v1/sessions``, ``GET /v1/volumes`` | what there is, and who has reserved it |
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from fairlead.management.documents import (
    contexts_document,
    explained_document,
    session_document,
    volume_document,
)
from fairlead.management.problems import Problem, answer_problems
from fairlead.model.shares import CONTEXT_CHARACTERS_MAX, matches

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.control.target import Target
    from fairlead.management.socket_file import OwnedSocket

BODY_BYTES_MAX: Final = 64 << 10
"""A change with every field has a few hundred bytes."""
# An answer that has begun may end; a snapshot takes a second.
_SHUTDOWN_S: Final = 1.5


class ManagementServer:
    """Serves one target at one socket, which it owns from its making on."""

    def __init__(self, target: Target, owned: OwnedSocket) -> None:
        self._owned = owned
        self._runner = web.AppRunner(
            make_application(target), access_log=None, shutdown_timeout=_SHUTDOWN_S
        )

    @property
    def path(self) -> Path:
        """Where its socket is."""
        return self._owned.path

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._owned.sock).start()

    async def stop(self) -> None:
        """Stop answering and remove the socket."""
        self._owned.remove_file()
        await self._runner.cleanup()
        self._owned.sock.close()


def make_application(target: Target) -> web.Application:
    """Return the application for a running target."""
    api = _Api(target)
    application = web.Application(middlewares=[answer_problems], client_max_size=BODY_BYTES_MAX)
    application.add_routes(
        [
            web.get("/v1/contexts", api.contexts),
            web.patch("/v1/contexts", api.change),
            # A name may hold every character, slashes and line ends too.
            web.get("/v1/contexts/{name:(?s:.+)}", api.context),
            web.delete("/v1/changes", api.reset),
            web.get("/v1/sessions", api.sessions),
            web.get("/v1/volumes", api.volumes),
        ]
    )
    return application


class _Api:
    def __init__(self, target: Target) -> None:
        self._target = target

    async def contexts(self, request: web.Request) -> web.Response:
        pattern = _pattern(request) or "*"
        snapshot = await self._target.snapshot()
        found = (context for context in snapshot.contexts if matches(context.key, pattern))
        kernel = self._target.kernel_contexts()
        return web.json_response(contexts_document(snapshot, found, self._target.devices(), kernel))

    async def context(self, request: web.Request) -> web.Response:
        _refuse_query(request, allowed=())
        name = request.match_info["name"]
        snapshot = await self._target.snapshot()
        documents = [
            explained_document(
                snapshot, context, self._target.context_due(context.key, context.device)
            )
            for context in snapshot.contexts
            if context.key == name
        ]
        if not documents:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"no context {name!r}",
                remedy="the list of contexts has their names",
                value=name,
            )
        return web.json_response(
            {"interval_s": snapshot.interval_s, "key": name, "contexts": documents}
        )

    async def change(self, request: web.Request) -> web.Response:
        pattern = _required_pattern(request)
        change = await _read_object(request)
        changed = self._target.set_contexts(pattern, change)
        return web.json_response(self._outcome(pattern, changed))

    async def reset(self, request: web.Request) -> web.Response:
        pattern = _required_pattern(request)
        return web.json_response(self._outcome(pattern, self._target.reset_contexts(pattern)))

    async def sessions(self, request: web.Request) -> web.Response:
        _refuse_query(request, allowed=())
        sessions = [session_document(session) for session in self._target.sessions()]
        return web.json_response({"sessions": sessions})

    async def volumes(self, request: web.Request) -> web.Response:
        _refuse_query(request, allowed=())
        facts, reservations = self._target.device_facts(), self._target.reservations()
        volumes = [
            volume_document(
                volume, facts=facts.get(volume.name), reservations=reservations.get(volume.name)
            )
            for volume in self._target.volumes()
        ]
        return web.json_response({"volumes": volumes})

    def _outcome(self, pattern: str, changed: list[str]) -> dict[str, Any]:
        keys = {context.key for context in self._target.contexts()}
        matched = sorted(key for key in keys if matches(key, pattern))
        return {"match": pattern, "matched": matched, "changed": changed}


def _refuse_query(request: web.Request, *, allowed: tuple[str, ...]) -> None:
    for name in request.query:
        if name not in allowed or len(request.query.getall(name)) > 1:
            known = ", ".join(allowed) or "none"
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"query parameter {name!r} is not known here, or there twice",
                remedy=f"there are: {known}",
                value=name,
            )


def _pattern(request: web.Request) -> str | None:
    _refuse_query(request, allowed=("match",))
    pattern = request.query.get("match")
    if pattern is not None and not 1 <= len(pattern) <= CONTEXT_CHARACTERS_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"match has {len(pattern)} characters",
            remedy=f"1 to {CONTEXT_CHARACTERS_MAX}; * matches every context",
            where="match",
        )
    return pattern


def _required_pattern(request: web.Request) -> str:
    pattern = _pattern(request)
    if pattern is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "match is missing",
            remedy="say which contexts: ?match=PATTERN; * matches every context",
            where="match",
        )
    return pattern


async def _read_object(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    try:
        document = json.loads(body)
    except ValueError as error:  # Also what is not UTF-8.
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"the body is not JSON: {error}",
            remedy='write an object, {"weight": 4}',
        ) from None
    except RecursionError:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from None
    if not isinstance(document, dict):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "the body is not an object",
            remedy='write an object, {"weight": 4}',
        )
    return document
