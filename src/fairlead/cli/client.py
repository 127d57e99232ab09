"""Talks to a running target over its management socket, and to nothing else."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp

from fairlead.cli.management_socket import other_sockets
from fairlead.errors import ConfigError, FairleadError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

# A snapshot takes a second; a machine may be busy.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15.0)
_HOST: Final = "http://localhost"  # Every HTTP request names one; the socket says which.


class NoTargetError(FairleadError):
    """Nobody answers at the socket."""


class RefusedError(FairleadError):
    """The target has refused a request that is written rightly; the message is its reason."""


class Client:
    """One conversation; used as an asynchronous context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make ready; nothing is connected yet."""
        connector = aiohttp.UnixConnector(path=str(self._path))
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def contexts(self, pattern: str = "*") -> dict[str, Any]:
        """Return the contexts that match, with what they did in the last interval."""
        return await self._ask("GET", "/v1/contexts", {"match": pattern})

    async def context(self, name: str) -> dict[str, Any]:
        """Return the contexts of one name, with why each is due what it is."""
        return await self._ask("GET", f"/v1/contexts/{quote(name, safe='')}")

    async def set_contexts(self, pattern: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change what contexts are due; return whom that concerns."""
        return await self._ask("PATCH", "/v1/contexts", {"match": pattern}, change)

    async def reset_contexts(self, pattern: str) -> dict[str, Any]:
        """Forget what was changed with just this pattern; return whom that concerns."""
        return await self._ask("DELETE", "/v1/changes", {"match": pattern})

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Ask once.

        Raises:
            NoTargetError: nobody listens, or who does has gone or is no target.
            ConfigError: the request is not written rightly.
            RefusedError: it cannot be granted.
        """
        if self._session is None:
            raise RuntimeError("the client is used inside `async with`")
        try:
            async with self._session.request(
                method, _HOST + path, params=query, json=body
            ) as answer:
                document = await answer.json(content_type=None)
                status = answer.status
        except aiohttp.ClientConnectorError as error:
            raise self._nobody(error.os_error) from None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or "it took too long"
            raise NoTargetError(f"the target at {self._path} gave no answer: {reason}") from None
        if status == HTTPStatus.OK and isinstance(document, dict):
            return document
        raise _refusal(status, document)

    def _nobody(self, error: OSError) -> NoTargetError:
        if isinstance(error, PermissionError):
            return NoTargetError(f"{self._path} is not for this user to use: ask its owner")
        others = ", ".join(map(str, other_sockets(self._path)))
        hint = f"; there are: {others}" if others else ""
        return NoTargetError(
            f"no target is running: nobody listens at {self._path} "
            f"(start one: fairlead serve; or name its socket: --socket PATH{hint})"
        )


def _refusal(status: int, document: object) -> FairleadError:
    problem = document if isinstance(document, dict) else {}
    reason = str(problem.get("detail", f"status {status}"))
    remedy = problem.get("remedy")
    if status == HTTPStatus.BAD_REQUEST:
        return ConfigError(reason, remedy=remedy)
    return RefusedError(f"{reason} ({remedy})" if remedy else reason)
