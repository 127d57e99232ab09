"""Errors of the management API: problem details with the offending value and the remedy.

Spec: RFC 9457.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from fairlead.control.log import logger
from fairlead.errors import ConfigError, FairleadError
from fairlead.model.document import DocumentError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

CONTENT_TYPE: Final = "application/problem+json"

log = logger(__name__)


class Problem(FairleadError):  # noqa: N818  the standard's name for it
    """A request is answered with a problem.

    Attributes:
        status: of the answer.
        detail: what is wrong, with the offending value.
        remedy: what would be right.
        more: further members: ``where`` and ``value`` of the mistake, ``mistakes`` of several.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, remedy: str | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy
        self.more = more

    def response(self) -> web.Response:
        """Return the answer. ``type`` is about:blank, so the title is the status's own."""
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "remedy": self.remedy,
            **self.more,
        }
        shown = {name: value for name, value in document.items() if value is not None}
        return web.json_response(shown, status=self.status, content_type=CONTENT_TYPE)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem. What is not foreseen is logged and said to be our fault."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _of_http(request, error)
    except FairleadError as error:
        return _of_error(error).response()
    except Exception:
        log.exception("management.failed", method=request.method, path=request.path)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return Problem(status, "a fault of ours", remedy="see the log of fairlead").response()


def _of_error(error: FairleadError) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, DocumentError):
        return _of_document(error)
    if isinstance(error, ConfigError):
        # It is written rightly, and something that is there already is in the way.
        return Problem(HTTPStatus.CONFLICT, error.reason, remedy=error.remedy)
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _of_document(error: DocumentError) -> Problem:
    mistakes = [
        {
            "where": mistake.where,
            "value": mistake.value,
            "reason": mistake.reason,
            "remedy": mistake.remedy,
        }
        for mistake in error.mistakes
    ]
    first = error.mistakes[0]
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"{first.where}: {first.reason}" if first.where else first.reason,
        remedy=first.remedy or None,
        where=first.where or None,
        value=first.value,
        mistakes=mistakes if len(mistakes) > 1 else None,
    )


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    """What aiohttp refuses itself: paths, methods, sizes."""
    remedies = {
        404: "there are /v1/contexts, /v1/contexts/NAME, /v1/changes, /v1/sessions, /v1/volumes",
        405: f"{request.path} takes {error.headers.get('Allow', 'other methods')}",
        413: "a change is a few fields",
    }
    status = HTTPStatus(error.status)
    detail = f"{request.method} {request.path}: {status.phrase.lower()}"
    response = Problem(status, detail, remedy=remedies.get(error.status)).response()
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
