"""Identity of a logical unit: lasting, distinct, and of the form the standard asks for."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.scsi.identity import SERIAL_CHARACTERS_MAX, Identity

INSTALLATION = UUID("5c2d4f0e-8a41-4a5e-9a35-6d1c0f1b2a33")
serials = st.from_regex(rf"[0-9A-Za-z._:-]{{1,{SERIAL_CHARACTERS_MAX}}}", fullmatch=True)


def test_identities_of_released_versions_do_not_change() -> None:
    """Changed values here mean that every initiator takes every volume for a new disk."""
    configured = Identity.from_serial("SN-1")
    assert configured.unit_serial == "SN-1"
    assert configured.naa.hex() == "3eadcb36c1ce2490"
    derived = Identity.from_name("db0", installation=INSTALLATION)
    assert derived.unit_serial == "68511bc068629668be4e0fe3d2ffeb96"
    assert derived.naa.hex() == "3b30781d6d04c9ab"


@given(serials)
def test_naa_is_locally_assigned(serial: str) -> None:
    identity = Identity.from_serial(serial)
    assert len(identity.naa) == 8
    assert identity.naa[0] >> 4 == 0x3
    assert identity == Identity.from_serial(serial)


@given(st.lists(serials, min_size=2, max_size=20, unique=True))
def test_different_serials_have_different_designators(several: list[str]) -> None:
    identities = [Identity.from_serial(serial) for serial in several]
    assert len({identity.naa for identity in identities}) == len(several)
    assert len({identity.t10_vendor_id for identity in identities}) == len(several)


@given(st.text(min_size=1, max_size=40), st.uuids(), st.uuids())
def test_derived_identity_depends_on_name_and_installation(
    name: str, here: UUID, elsewhere: UUID
) -> None:
    identity = Identity.from_name(name, installation=here)
    assert identity == Identity.from_name(name, installation=here)
    assert identity != Identity.from_name(name + "x", installation=here)
    assert (identity == Identity.from_name(name, installation=elsewhere)) == (here == elsewhere)


def test_derived_serial_is_a_valid_serial() -> None:
    serial = Identity.from_name("db0", installation=INSTALLATION).unit_serial
    assert Identity.from_serial(serial).unit_serial == serial


def test_text_forms() -> None:
    identity = Identity.from_serial("SN-1")
    assert identity.t10_vendor_id == b"FAIRLEADSN-1"
    assert identity.naa_text == f"naa.{identity.naa.hex()}"


@pytest.mark.parametrize("serial", ["", "a b", "ü", "x" * 37, "a\n", "a/b"])
def test_bad_serials_are_refused(serial: str) -> None:
    with pytest.raises(ValueError, match="serial number"):
        Identity.from_serial(serial)
