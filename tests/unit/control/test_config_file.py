from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fairlead.control.config_file import check_config, load_config
from fairlead.errors import ConfigError
from fairlead.model.document import DocumentError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
grouping = "nexis"
portals = ["0.0.0.0:3260"]
chap_accounts = [{ user = "a", secret_file = "/nowhere" }]

[[volumes]]
name = "v"
path = "/srv/v.img"
"""


def test_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text("grouping = 'none'")
    assert load_config(file).grouping == check_config(file).grouping == "none"


def test_what_only_this_machine_can_tell_is_placed_too(tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text(TEXT)
    with pytest.raises(DocumentError) as caught:
        check_config(file)
    assert [(mistake.line, mistake.where) for mistake in caught.value.mistakes] == [
        (1, "grouping"),
        (2, "portals[0]"),
        (3, "chap_accounts[0].secret_file"),
    ]
    with pytest.raises(DocumentError) as caught:
        check_config(file, allow_anyone=True)
    assert len(caught.value.mistakes) == 2


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: no such file .* \(check the path"):
        load_config(tmp_path / "missing.toml")
    file = tmp_path / "latin.toml"
    file.write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(save it as UTF-8\)"):
        load_config(file)
