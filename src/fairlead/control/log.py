"""Log lines: an event name, then facts as key=value. One line each, whatever a peer has sent.

Lines go through the standard library's logging under the module's name, so that a program which
embeds fairlead sees them where it sees all others; the command line sends them to stderr.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Final, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)  # Printable, no blank, '=', '"' or '\'.


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Make the logger of a module; its name is the module path."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[structlog.stdlib.filter_by_level, _render],
            wrapper_class=structlog.stdlib.BoundLogger,
        ),
    )


def _render(_logger: WrappedLogger, _method: str, facts: EventDict) -> tuple[tuple[str], EventDict]:
    event = facts.pop("event")
    extra = {name: facts.pop(name) for name in ("exc_info",) if name in facts}
    line = " ".join((event, *(f"{key}={_quoted(value)}" for key, value in facts.items())))
    # logging formats with "%" only when it is given arguments, and it is given none.
    return (line,), extra


def _quoted(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
