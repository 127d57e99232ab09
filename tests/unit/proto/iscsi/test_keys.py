from __future__ import annotations

import pytest

from fairlead.proto.iscsi.key_offers import KeyOffers
from fairlead.proto.iscsi.keys import (
    KEYS,
    RANK,
    Form,
    Key,
    Phase,
    Result,
    Sender,
    Use,
    find_key,
)

NEGOTIATED = {Result.AND, Result.OR, Result.MINIMUM, Result.MAXIMUM, Result.LIST}

# The standard's table, written a second time: name, use, result, default, range.
# Spec: RFC 7143 §13.
STANDARD = [
    ("HeaderDigest", "IO", Result.LIST, "None", None),
    ("DataDigest", "IO", Result.LIST, "None", None),
    ("MaxConnections", "LO", Result.MINIMUM, 1, (1, 65535)),
    ("SendTargets", "FFPO", Result.DIALOGUE, None, None),
    ("TargetName", "IO", Result.DECLARATIVE, None, None),
    ("InitiatorName", "IO", Result.DECLARATIVE, None, None),
    ("TargetAlias", "ALL", Result.DECLARATIVE, None, None),
    ("InitiatorAlias", "ALL", Result.DECLARATIVE, None, None),
    ("TargetAddress", "ALL", Result.DECLARATIVE, None, None),
    ("TargetPortalGroupTag", "IO", Result.DECLARATIVE, None, (0, 65535)),
    ("InitialR2T", "LO", Result.OR, True, None),
    ("ImmediateData", "LO", Result.AND, True, None),
    ("MaxRecvDataSegmentLength", "ALL", Result.DECLARATIVE, 8192, (512, 16777215)),
    ("MaxBurstLength", "LO", Result.MINIMUM, 262144, (512, 16777215)),
    ("FirstBurstLength", "LO", Result.MINIMUM, 65536, (512, 16777215)),
    ("DefaultTime2Wait", "LO", Result.MAXIMUM, 2, (0, 3600)),
    ("DefaultTime2Retain", "LO", Result.MINIMUM, 20, (0, 3600)),
    ("MaxOutstandingR2T", "LO", Result.MINIMUM, 1, (1, 65535)),
    ("DataPDUInOrder", "LO", Result.OR, True, None),
    ("DataSequenceInOrder", "LO", Result.OR, True, None),
    ("ErrorRecoveryLevel", "LO", Result.MINIMUM, 0, (0, 2)),
    ("SessionType", "LO", Result.DECLARATIVE, "Normal", None),
    ("TaskReporting", "LO", Result.LIST, "RFC3720", None),
    ("iSCSIProtocolLevel", "LO", Result.MINIMUM, 1, (0, 31)),
]


@pytest.mark.parametrize("row", STANDARD, ids=lambda row: str(row[0]))
def test_row_is_the_standards(row: tuple[str, str, Result, object, tuple[int, int] | None]) -> None:
    name, use, result, default, limits = row
    key = find_key(name)
    assert key is not None
    assert (key.use.abbreviation, key.result, key.default) == (use, result, default)
    assert ((key.minimum, key.maximum) if key.form is Form.NUMBER else None) == limits


def test_the_other_rows_are_authentication_and_what_is_obsolete() -> None:
    others = {key.name for key in KEYS} - {row[0] for row in STANDARD}
    assert others == {
        "AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R",
        "IFMarker", "OFMarker", "IFMarkInt", "OFMarkInt", "X#NodeArchitecture",
    }  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_negotiated_key_has_our_offer(key: Key) -> None:
    assert (key.name in KeyOffers().by_key) == (key.result in NEGOTIATED)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_defaults_are_values_the_key_can_have(key: Key) -> None:
    if key.form is Form.NUMBER and key.default is not None:
        assert isinstance(key.default, int)
        assert key.minimum <= key.default <= key.maximum
    if key.form is Form.BOOLEAN and key.result is not Result.OBSOLETE:
        assert isinstance(key.default, bool)


def test_irrelevant_in_discovery_are_the_keys_of_scsi_traffic() -> None:
    assert {key.name for key in KEYS if key.irrelevant_in_discovery} == {
        "MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
        "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder", "TaskReporting",
        "iSCSIProtocolLevel",
    }  # fmt: skip


def test_any_stage_adds_the_security_stage() -> None:
    names = {key.name for key in KEYS if Phase.SECURITY in key.phases}
    assert "InitiatorName" in names
    assert "AuthMethod" in names
    assert "MaxBurstLength" not in names


def test_only_the_target_sends_what_only_it_knows() -> None:
    only_target = {key.name for key in KEYS if Sender.INITIATOR not in key.sender}
    assert only_target == {"TargetAlias", "TargetAddress", "TargetPortalGroupTag"}


def test_first_burst_comes_after_what_it_depends_on() -> None:
    assert RANK["FirstBurstLength"] > max(
        RANK["MaxBurstLength"], RANK["InitialR2T"], RANK["ImmediateData"]
    )


def test_unknown_key_has_no_row() -> None:
    assert find_key("X-com.example.secret") is None
    assert find_key("initiatorname") is None, "keys are case sensitive"


def test_uses_are_five() -> None:
    assert {use.abbreviation for use in Use} == {"SN", "LO", "IO", "FFPO", "ALL"}
