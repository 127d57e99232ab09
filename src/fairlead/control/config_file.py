"""Configuration files: read them, and check what only this machine can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.control.access import check_exposure, read_secrets
from fairlead.control.grouping import load_grouping
from fairlead.control.pass_through import check_documented
from fairlead.control.policies import load_policies
from fairlead.control.volumes import check_simulated
from fairlead.errors import ConfigError
from fairlead.model.document import DocumentError, Mistake, place_mistakes, read_document

if TYPE_CHECKING:
    from pathlib import Path

    from fairlead.model.config import Config


def load_config(path: Path) -> Config:
    """Return the configuration in a TOML file.

    Raises:
        DocumentError: the document has mistakes.
        ConfigError: the file cannot be read.
    """
    return read_document(read_text(path))


def check_config(path: Path, *, allow_anyone: bool = False) -> Config:
    """As `load_config`; also looks at secrets, grouping, policies, simulated devices and exposure.

    Volumes are not opened: a document may be checked while it is served.

    Raises:
        DocumentError: with every mistake found.
        ConfigError: the file cannot be read.
    """
    text = read_text(path)
    config = read_document(text)
    mistakes: list[Mistake] = []
    for check in (
        lambda: read_secrets(config.chap_accounts),
        lambda: load_grouping(config.grouping, config.groups),
        lambda: load_policies(config.policies),
        lambda: check_simulated(config.volumes),
        lambda: check_documented(config.volumes),
        lambda: check_exposure(
            config.portals, config.effective_targets(), allow_anyone=allow_anyone
        ),
    ):
        try:
            check()
        except ConfigError as error:
            mistakes += place_mistakes(error, text)
    if mistakes:
        raise DocumentError(mistakes)
    return config


def read_text(path: Path) -> str:
    """Return the text of a file that somebody wrote.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            remedy="check the path given to fairlead",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from error
