from __future__ import annotations

from dataclasses import dataclass

import pytest

from fairlead.errors import (
    CheckCondition,
    ConfigError,
    DataPlaneError,
    FairleadError,
    InvalidNameError,
    LoginError,
    ProtocolError,
)
from fairlead.proto.iscsi.login_status import LoginStatus


@pytest.mark.parametrize(
    "error", [ConfigError, ProtocolError, LoginError, CheckCondition, DataPlaneError]
)
def test_every_error_is_in_the_tree(error: type[Exception]) -> None:
    assert issubclass(error, FairleadError)


def test_login_error_is_a_protocol_error_with_its_status_on_the_wire() -> None:
    error = LoginError(LoginStatus.NOT_FOUND, "no such target")
    assert isinstance(error, ProtocolError)
    assert error.status == 0x0203
    assert str(error) == "NOT_FOUND (0x0203): no such target"


def test_config_error_says_where_and_what_to_do() -> None:
    error = ConfigError("no volume named 'db1'", where="targets[2].luns[0]", remedy="db0, logs")
    assert str(error) == "targets[2].luns[0]: no volume named 'db1' (db0, logs)"
    assert str(ConfigError("empty")) == "empty"


def test_invalid_name_is_a_value_error_for_validators() -> None:
    assert issubclass(InvalidNameError, ValueError)


def test_check_condition_carries_its_sense() -> None:
    @dataclass
    class Sense:
        asc: int

        def encode_fixed(self) -> bytes:
            return bytes((0x70, self.asc))

    error = CheckCondition(Sense(0x24))
    assert error.sense.encode_fixed() == b"\x70\x24"
    assert "asc=36" in str(error)
