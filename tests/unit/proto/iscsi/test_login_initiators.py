"""Key sets as real initiators send them, and what they check in the answer."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.proto.iscsi.session import Discovery
from tests.support.login_peer import (
    SECRET,
    SECURED,
    TARGET,
    USER,
    keys_of,
    peer,
    request,
    security,
)

LIBISCSI_NAMES = {
    "InitiatorName": "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-perf",
    "TargetName": TARGET,
    "SessionType": "Normal",
}
LIBISCSI_KEYS = {
    "HeaderDigest": "None,CRC32C",
    "DataDigest": "None",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "262144",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "MaxOutstandingR2T": "1",
    "ErrorRecoveryLevel": "0",
    "IFMarker": "No",
    "OFMarker": "No",
    "MaxConnections": "1",
    "MaxRecvDataSegmentLength": "262144",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
}

OPEN_ISCSI_NAMES = {
    "InitiatorName": "iqn.1993-08.org.debian:01:9bd2c3a1f04e",
    "InitiatorAlias": "host-1.example.com",
    "TargetName": TARGET,
    "SessionType": "Normal",
}
OPEN_ISCSI_KEYS = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "IFMarker": "No",
    "OFMarker": "No",
    "ErrorRecoveryLevel": "0",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxBurstLength": "16776192",
    "FirstBurstLength": "262144",
    "MaxOutstandingR2T": "1",
    "MaxConnections": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "MaxRecvDataSegmentLength": "262144",
}
# open-iscsi ends the login at a key that it does not know.
OPEN_ISCSI_KNOWS = OPEN_ISCSI_KEYS.keys() | {
    "TargetAlias", "TargetAddress", "TargetPortalGroupTag", "AuthMethod",
}  # fmt: skip


def test_libiscsi_without_chap_begins_in_the_operational_stage() -> None:
    initiator = peer()
    initiator.ask(request(LIBISCSI_NAMES | LIBISCSI_KEYS))
    keys = keys_of(initiator.accept())
    assert keys["InitialR2T"] == "No"
    assert keys["ImmediateData"] == "Yes"
    assert keys["MaxBurstLength"] == "262144"
    assert keys["FirstBurstLength"] == "262144"
    assert keys["MaxRecvDataSegmentLength"] == "262144"
    assert keys["HeaderDigest"] == "None"
    assert keys["IFMarker"] == keys["OFMarker"] == "Reject"


def test_qemu_is_libiscsi_with_a_name_of_its_own() -> None:
    initiator = peer()
    names = LIBISCSI_NAMES | {"InitiatorName": "iqn.2008-11.org.linux-kvm"}
    initiator.ask(request(names | LIBISCSI_KEYS | {"HeaderDigest": "CRC32C"}))
    assert keys_of(initiator.accept())["HeaderDigest"] == "CRC32C"


def test_libiscsi_repeats_its_names_after_chap() -> None:
    """It sends them with the first request of each stage."""
    names = LIBISCSI_NAMES | {"TargetName": SECURED}
    initiator = peer()
    response = initiator.send(security(names | {"AuthMethod": "CHAP,None"}))
    assert keys_of(response)["AuthMethod"] == "CHAP"
    challenge = keys_of(initiator.send(security({"CHAP_A": "5"}, transit=False)))
    data = bytes([int(challenge["CHAP_I"])]) + SECRET + bytes.fromhex(challenge["CHAP_C"][2:])
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
    assert initiator.send(security({"CHAP_N": USER, "CHAP_R": "0x" + digest})).transit
    initiator.ask(request(names | LIBISCSI_KEYS))
    initiator.accept()
    assert initiator.core.session is not None
    assert initiator.core.session.auth_user == USER


def test_libiscsi_discovery_sends_keys_of_a_normal_session() -> None:
    names = {key: value for key, value in LIBISCSI_NAMES.items() if key != "TargetName"}
    initiator = peer()
    response = initiator.send(request(names | LIBISCSI_KEYS | {"SessionType": "Discovery"}))
    assert isinstance(initiator.core.outcome, Discovery)
    keys = keys_of(response)
    assert keys["MaxBurstLength"] == "Irrelevant"
    assert keys["HeaderDigest"] == "None"
    assert keys["DefaultTime2Retain"] == "0"


def test_open_iscsi_normal_session() -> None:
    initiator = peer()
    first = initiator.send(security(OPEN_ISCSI_NAMES | {"AuthMethod": "None"}))
    assert keys_of(first).keys() <= {"TargetPortalGroupTag", "TargetAlias", "AuthMethod"}
    assert first.transit
    initiator.ask(request(OPEN_ISCSI_KEYS))
    keys = keys_of(initiator.accept())
    assert keys.keys() <= OPEN_ISCSI_KNOWS
    assert keys["ErrorRecoveryLevel"] == "0"
    assert keys["MaxConnections"] == keys["MaxOutstandingR2T"] == "1"
    assert keys["MaxBurstLength"] == "1048576"


def test_open_iscsi_discovery() -> None:
    relevant = [
        "HeaderDigest", "DataDigest", "DefaultTime2Wait", "DefaultTime2Retain", "IFMarker",
        "OFMarker", "ErrorRecoveryLevel",
    ]  # fmt: skip
    names = {
        "InitiatorName": OPEN_ISCSI_NAMES["InitiatorName"],
        "InitiatorAlias": "host-1.example.com",
        "SessionType": "Discovery",
    }
    initiator = peer()
    first = initiator.send(security(names | {"AuthMethod": "None"}))
    assert first.transit
    keys = {name: OPEN_ISCSI_KEYS[name] for name in relevant}
    second = initiator.send(request(keys | {"MaxRecvDataSegmentLength": "32768"}))
    assert keys_of(second).keys() <= OPEN_ISCSI_KNOWS
    assert "Irrelevant" not in keys_of(second).values()
    assert isinstance(initiator.core.outcome, Discovery)
    assert initiator.core.outcome.peer_max_recv_data_segment_bytes == 32_768


def test_windows_offers_both_digests_and_its_architecture_of_levels() -> None:
    initiator = peer()
    first = initiator.send(
        security(
            {
                "InitiatorName": "iqn.1991-05.com.microsoft:host-1.example.com",
                "SessionType": "Normal",
                "TargetName": TARGET,
                "AuthMethod": "None",
            }
        )
    )
    assert first.transit
    initiator.ask(
        request(
            {
                "HeaderDigest": "None,CRC32C",
                "DataDigest": "None,CRC32C",
                "MaxRecvDataSegmentLength": "65536",
                "MaxBurstLength": "262144",
                "FirstBurstLength": "65536",
                "MaxOutstandingR2T": "16",
                "InitialR2T": "Yes",
                "ImmediateData": "Yes",
                "MaxConnections": "32",
                "ErrorRecoveryLevel": "2",
                "DefaultTime2Wait": "0",
                "DefaultTime2Retain": "60",
                "DataPDUInOrder": "Yes",
                "DataSequenceInOrder": "Yes",
                "iSCSIProtocolLevel": "2",
                "TaskReporting": "FastAbort,ResponseFence,RFC3720",
            }
        )
    )
    keys = keys_of(initiator.accept())
    assert keys["ErrorRecoveryLevel"] == "0"
    assert keys["MaxConnections"] == "1"
    assert keys["MaxOutstandingR2T"] == "16"
    assert keys["DefaultTime2Wait"] == "2"
    assert keys["DefaultTime2Retain"] == "0"
    assert keys["InitialR2T"] == "Yes"
    assert keys["iSCSIProtocolLevel"] == "1"
    assert keys["TaskReporting"] == "ResponseFence"


@pytest.mark.parametrize("name", ["X-com.cisco.PingTimeout", "RDMAExtensions", "X-iSER"])
def test_vendor_keys_are_not_understood_and_do_no_harm(name: str) -> None:
    initiator = peer()
    initiator.ask(request(LIBISCSI_NAMES | LIBISCSI_KEYS | {name: "Yes"}))
    assert keys_of(initiator.accept())[name] == "NotUnderstood"
