from __future__ import annotations

from typing import Any

import pytest

from fairlead.errors import ConfigError
from fairlead.proto.iscsi.key_offers import KeyOffers


def test_defaults() -> None:
    offers = KeyOffers()
    assert offers.max_recv_data_segment_bytes == 262_144
    assert offers.by_key["MaxBurstLength"] == 1_048_576
    assert offers.by_key["FirstBurstLength"] == 262_144
    assert offers.by_key["InitialR2T"] is False
    assert offers.by_key["ImmediateData"] is True
    assert offers.by_key["MaxOutstandingR2T"] == 16
    assert offers.by_key["DefaultTime2Wait"] == 2
    assert offers.by_key["DefaultTime2Retain"] == 0
    assert offers.by_key["ErrorRecoveryLevel"] == 0
    assert offers.by_key["MaxConnections"] == 1
    assert offers.by_key["HeaderDigest"] == ("None", "CRC32C")


def test_first_burst_is_never_offered_above_max_burst() -> None:
    assert KeyOffers(max_burst_bytes=65_536).by_key["FirstBurstLength"] == 65_536


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_recv_data_segment_bytes": 511}, "Length 511 is outside 512..16777215"),
        ({"max_recv_data_segment_bytes": 1 << 24}, "MaxRecvDataSegmentLength 16777216"),
        ({"max_burst_bytes": 100}, "Burst"),
        ({"first_burst_bytes": 0}, "FirstBurstLength 0"),
        ({"max_outstanding_r2t": 0}, "MaxOutstandingR2T 0 is outside 1..65535"),
        ({"default_time2wait_s": 3601}, "DefaultTime2Wait 3601 is outside 0..3600"),
        ({"header_digests": ("MD5",)}, "HeaderDigest"),
        ({"data_digests": ()}, "DataDigest"),
    ],
    ids=str,
)
def test_setting_beyond_the_standard_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KeyOffers(**setting)
