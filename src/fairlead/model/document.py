"""Reads a configuration document, and explains each mistake: line, field, value, remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from typing_extensions import override

from fairlead.errors import ConfigError
from fairlead.model.config import Config
from fairlead.model.iscsi_url import is_url_like, without_password
from fairlead.model.shares import ShareChange
from fairlead.model.source_lines import KeyPath, find_line, source_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails

    Explanation = Callable[[KeyPath, ErrorDetails, type[BaseModel]], tuple[str, str]]

M = TypeVar("M", bound=BaseModel)

_VALUE_CHARACTERS_MAX: Final = 80
_SYNTAX_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_FIELD: Final = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]", re.ASCII)
_SECRET_FIELDS: Final = frozenset({"password", "secret"})

# What may stand in a field, where a pattern says it; the pattern itself teaches nobody.
_PATTERN_RULES: Final = {
    "name": "use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit",
    "volume": "name a volume: letters, digits, '.', '_' and '-', at most 64",
    "serial": "use 1 to 36 of the characters 0-9 A-Z a-z . _ : -",
    "device": "use 1 to 64 printable ASCII characters",
    "alias": "use 1 to 255 printable ASCII characters",
    "user": "use 1 to 255 printable ASCII characters without a space",
    "chap": "name the user of a CHAP account",
    "mutual_chap": "name the user of a CHAP account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong in a document.

    Attributes:
        line: from 1; None when no line is to blame.
        where: path of the field, ``targets[2].luns[0].volume``; empty for the whole document.
        value: what is written there, shortened; None where a field is missing, or holds or may hold
            a secret.
        reason: what is wrong with it.
        remedy: what would be right; empty when the reason says it already.
    """

    line: int | None
    where: str
    value: str | None
    reason: str
    remedy: str = ""

    @override
    def __str__(self) -> str:
        field = self.where + (f" = {self.value}" if self.value is not None else "")
        text = f"{field}: {self.reason}" if field else self.reason
        return f"{text} ({self.remedy})" if self.remedy else text


class DocumentError(ConfigError):
    """A document has mistakes; ``mistakes`` has them all, in the order of their lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line or 0))
        super().__init__("; ".join(map(str, self.mistakes)))


def read_document(text: str) -> Config:
    """Return the configuration that a TOML text describes.

    Raises:
        DocumentError: with every mistake found.
    """
    return read_model(text, Config)


def read_model(text: str, model: type[M]) -> M:
    """Return what a TOML text describes, as this model.

    Raises:
        DocumentError: with every mistake found.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DocumentError([_syntax_mistake(str(error), text)]) from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise DocumentError(_explain_all(error, source_lines(text), model)) from None


def read_change(change: ShareChange | Mapping[str, Any]) -> ShareChange:
    """Return a change of shares that is written as in a ``[[shares]]`` table, without its pattern.

    Raises:
        DocumentError: with every mistake found.
    """
    if isinstance(change, ShareChange):
        return change
    try:
        return ShareChange.model_validate(change)
    except ValidationError as error:
        raise explain_validation(error, ShareChange) from None


def explain_validation(
    error: ValidationError, model: type[BaseModel] = Config, *, where: KeyPath = ()
) -> DocumentError:
    """Return the mistakes of a model that was not read from a text.

    Args:
        error: what validation found.
        model: what was validated.
        where: its place in the whole document.
    """
    return DocumentError(_explain_all(error, {}, model, where))


def place_mistakes(error: ConfigError, text: str) -> list[Mistake]:
    """Find the lines of what was found wrong after reading, by its ``where``."""
    lines = source_lines(text)
    if isinstance(error, DocumentError):
        found = list(error.mistakes)
    else:
        remedy = error.remedy or ""
        where = error.where or ""
        found = [Mistake(line=None, where=where, value=None, reason=error.reason, remedy=remedy)]
    return [
        replace(mistake, line=find_line(lines, parse_field_path(mistake.where)))
        for mistake in found
    ]


def format_field_path(path: KeyPath) -> str:
    """Return ``targets[2].luns[0].volume``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse_field_path(text: str) -> KeyPath:
    """Read what `format_field_path` returns."""
    return tuple(int(index) if index else name for name, index in _FIELD.findall(text))


def _syntax_mistake(message: str, text: str) -> Mistake:
    match = _SYNTAX_LINE.search(message)
    line = None
    if match is not None:
        message = message[: match.start()]
        line = int(match[1]) if match[1] else text.count("\n") + 1
    return Mistake(
        line=line,
        where="",
        value=None,
        reason=f"not TOML: {message[:1].lower()}{message[1:]}",
        remedy="strings need quotes, tables are [name], lists of tables [[name]]",
    )


def _explain_all(
    error: ValidationError,
    lines: dict[KeyPath, int],
    model: type[BaseModel],
    where: KeyPath = (),
) -> list[Mistake]:
    errors = error.errors()
    # A list whose elements are all wrong is reported as empty, too.
    parents = {details["loc"][:-depth] for details in errors for depth in range(1, 4)}
    return [
        _explain(details, lines, model, where)
        for details in errors
        if details["type"] != "too_short" or details["loc"] not in parents
    ]


def _explain(
    details: ErrorDetails, lines: dict[KeyPath, int], model: type[BaseModel], where: KeyPath
) -> Mistake:
    path = tuple(details["loc"])
    explain = _EXPLANATIONS.get(details["type"], _explain_other)
    reason, remedy = explain(path, details, model)
    return Mistake(
        line=find_line(lines, path),
        where=format_field_path((*where, *path)),
        value=_shown(path, details),
        reason=reason,
        remedy=remedy,
    )


def _shown(path: KeyPath, details: ErrorDetails) -> str | None:
    value = details["input"]
    # A field that is not known may be a password's, misspelt.
    if details["type"] in {"missing", "extra_forbidden"}:
        return None
    if isinstance(value, (dict, list, tuple, BaseModel)):
        return None
    if _SECRET_FIELDS.intersection(map(str, path)):
        return None
    if path[-1:] == ("path",) and isinstance(value, str) and _may_hold_password(value):
        return None
    text = f'"{without_password(value)}"' if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    is_long = len(text) > _VALUE_CHARACTERS_MAX
    return text[:_VALUE_CHARACTERS_MAX] + "..." if is_long else text


def _may_hold_password(path: str) -> bool:
    """Also where it is no URL that could be taken apart."""
    return is_url_like(path) or "@" in path or "%" in path


def _explain_other(
    _path: KeyPath, details: ErrorDetails, _model: type[BaseModel]
) -> tuple[str, str]:
    message = details["msg"]
    return f"{message[:1].lower()}{message[1:]}", ""


def _explain_own(_path: KeyPath, details: ErrorDetails, _model: type[BaseModel]) -> tuple[str, str]:
    """Our validators say what is wrong, then what is right."""
    message = str(details.get("ctx", {}).get("error") or details["msg"])
    reason, _, remedy = message.partition("; ")
    return reason, remedy


def _explain_extra(
    path: KeyPath, _details: ErrorDetails, model: type[BaseModel]
) -> tuple[str, str]:
    known = sorted(_fields_of(path[:-1], model))
    similar = difflib.get_close_matches(str(path[-1]), known, n=1)
    hint = f"did you mean {similar[0]}? " if similar else ""
    return "no such field", f"{hint}there are: {', '.join(known)}"


def _explain_missing(
    path: KeyPath, _details: ErrorDetails, _model: type[BaseModel]
) -> tuple[str, str]:
    return "missing", f"add {path[-1]} = ..."


def _explain_pattern(
    path: KeyPath, _details: ErrorDetails, _model: type[BaseModel]
) -> tuple[str, str]:
    names = [part for part in path if isinstance(part, str)]
    return "has characters that are not allowed here, or too many", _PATTERN_RULES[names[-1]]


def _explain_choice(
    _path: KeyPath, details: ErrorDetails, _model: type[BaseModel]
) -> tuple[str, str]:
    return "not one of the choices", f"take {details['ctx']['expected']}"


def _explain_bound(
    _path: KeyPath, details: ErrorDetails, _model: type[BaseModel]
) -> tuple[str, str]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    [(name, limit)] = details["ctx"].items()
    shown = f"{limit:g}" if isinstance(limit, float) else str(limit)
    return "out of range", f"take {words[name]} {shown}"


def _explain_type(what: str) -> Explanation:
    return lambda _path, _details, _model: ("of the wrong type", f"write {what}")


_EXPLANATIONS: Final[dict[str, Explanation]] = {
    "value_error": _explain_own,
    "reference": _explain_own,
    "extra_forbidden": _explain_extra,
    "missing": _explain_missing,
    "string_pattern_mismatch": _explain_pattern,
    "literal_error": _explain_choice,
    "greater_than": _explain_bound,
    "greater_than_equal": _explain_bound,
    "less_than": _explain_bound,
    "less_than_equal": _explain_bound,
    "string_type": _explain_type("a text in quotes"),
    "int_type": _explain_type("a whole number"),
    "int_parsing": _explain_type("a whole number"),
    "int_from_float": _explain_type("a whole number"),
    "float_type": _explain_type("a number"),
    "float_parsing": _explain_type("a number"),
    "bool_type": _explain_type("true or false"),
    "bool_parsing": _explain_type("true or false"),
    "tuple_type": _explain_type("a list"),
    "model_type": _explain_type("a table"),
    "string_too_short": lambda _path, _details, _model: ("empty", "write what it stands for"),
    "string_too_long": lambda _path, details, _model: (
        "too long",
        f"at most {details['ctx']['max_length']} characters are possible",
    ),
    "too_short": lambda path, _details, _model: ("empty", f"add at least one to {path[-1]}"),
    "too_long": lambda _path, details, _model: (
        "too long",
        f"at most {details['ctx']['max_length']} are possible",
    ),
}


def _fields_of(path: KeyPath, model: type[BaseModel]) -> Iterable[str]:
    """The fields of the model at a path below another."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is about: ``tuple[VolumeConfig, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
