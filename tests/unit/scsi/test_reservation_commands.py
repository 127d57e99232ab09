"""CDBs and parameter lists about reservations, and what is read back, as bytes."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import CheckCondition
from fairlead.scsi import reservation_commands
from fairlead.scsi.reservation_commands import ReservationRequest
from fairlead.scsi.reservation_parameters import ItNexus
from fairlead.scsi.reservations import Reservations
from fairlead.scsi.sense import Asc, FieldPointer, Sense

A = ItNexus("iqn.2020-01.org.example:a", bytes.fromhex("80 01 02 03 00 00"), "t")
B = ItNexus("iqn.2020-01.org.example:bb", bytes.fromhex("40 00 00 00 00 01"), "t")

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_ANYWAY = range(7)
READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)
SPEC_I_PT, ALL_TG_PT, APTPL = 0x08, 0x04, 0x01


def run(on: Reservations, nexus: ItNexus, cdb: bytes, data: bytes = b"", port: int = 1) -> bytes:
    """The answer's data; None of it with a conflict."""
    name = reservation_commands.find(cdb)
    assert name is not None
    outcome = reservation_commands.run(name, on, ReservationRequest(nexus, cdb, data, port))
    return b"conflict" if outcome.status == 0x18 else outcome.data


def bring(
    on: Reservations,
    nexus: ItNexus,
    action: int,
    *,
    key: int = 0,
    new: int = 0,
    kind: int = 0,
    flags: int = 0,
    list_bytes: int = 24,
    sent_bytes: int = 24,
    port: int = 1,
) -> bytes:
    cdb = bytes((0x5F, action, kind, 0, 0)) + list_bytes.to_bytes(4) + b"\0"
    data = key.to_bytes(8) + new.to_bytes(8) + bytes(4) + bytes((flags, 0, 0, 0))
    return run(on, nexus, cdb, data.ljust(sent_bytes, b"\0")[:sent_bytes], port)


def read(on: Reservations, action: int, allocation_bytes: int = 0xFFFF) -> bytes:
    cdb = bytes((0x5E, action, 0, 0, 0, 0, 0)) + allocation_bytes.to_bytes(2) + b"\0"
    return run(on, B, cdb)


def two() -> Reservations:
    on = Reservations()
    bring(on, A, REGISTER, new=0x0102030405060708, port=2)
    bring(on, B, REGISTER_ANYWAY, key=99, new=0xB)
    return on


def test_read_keys() -> None:
    assert read(Reservations(), READ_KEYS) == bytes(8)
    keys = "00000002 00000010 0102030405060708 000000000000000B"
    assert read(two(), READ_KEYS) == bytes.fromhex(keys)


def test_read_reservation() -> None:
    on = two()
    assert read(on, READ_RESERVATION) == bytes.fromhex("00000002 00000000")
    bring(on, B, RESERVE, key=0xB, kind=0x05)
    found = read(on, READ_RESERVATION)
    assert found == bytes.fromhex("00000002 00000010 000000000000000B 00000000 00 05 0000")
    bring(on, B, RELEASE, key=0xB, kind=0x05)
    bring(on, B, RESERVE, key=0xB, kind=0x08)
    found = read(on, READ_RESERVATION)
    assert found == bytes.fromhex("00000002 00000010 0000000000000000 00000000 00 08 0000")


def test_report_capabilities() -> None:
    # TMV, ALLOW COMMANDS 011b; WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX; EX_AC_AR.
    found = read(Reservations(), REPORT_CAPABILITIES)
    assert found == bytes.fromhex("0008 00 B0 EA 01 0000")


def test_read_full_status() -> None:
    on = two()
    bring(on, B, RESERVE, key=0xB, kind=0x03)
    first = (
        bytes.fromhex("0102030405060708 00000000 00 00 00000000 0002 00000030 45 00 002C")
        + b"iqn.2020-01.org.example:a,i,0x800102030000\0\0"
    )
    second = (
        bytes.fromhex("000000000000000B 00000000 01 03 00000000 0001 00000030 45 00 002C")
        + b"iqn.2020-01.org.example:bb,i,0x400000000001\0"
    )
    assert read(on, READ_FULL_STATUS) == bytes.fromhex("00000002 00000090") + first + second
    bring(on, B, RELEASE, key=0xB, kind=0x03)
    bring(on, B, RESERVE, key=0xB, kind=0x07)
    held = read(on, READ_FULL_STATUS)
    assert held[8 + 12 : 8 + 14] == held[8 + 72 + 12 : 8 + 72 + 14] == bytes.fromhex("01 07")


@given(st.text("abc:-.", min_size=1, max_size=223), st.binary(min_size=6, max_size=6))
def test_transport_ids_are_padded_and_terminated(name: str, isid: bytes) -> None:
    found = ItNexus(name, isid, "t").transport_id()
    assert found[:2] == b"\x45\0"
    assert int.from_bytes(found[2:4]) == len(found) - 4 >= 20
    assert len(found) % 4 == 0
    text, _, rest = found[4:].partition(b"\0")
    assert text.decode() == f"{name},i,0x{isid.hex()}"
    assert found[-1] == 0
    assert not any(rest)


@pytest.mark.parametrize("action", range(4))
def test_parameter_data_is_cut_to_the_allocation_length(action: int) -> None:
    whole = read(two(), action)
    for allocation_bytes in (0, 1, 7, 8, 9, len(whole)):
        assert read(two(), action, allocation_bytes) == whole[:allocation_bytes]


@pytest.mark.parametrize("action", [REGISTER, REGISTER_ANYWAY])
@pytest.mark.parametrize(("flag", "bit"), [(SPEC_I_PT, 3), (ALL_TG_PT, 2), (APTPL, 0)])
def test_what_is_not_served_is_refused(action: int, flag: int, bit: int) -> None:
    """REPORT CAPABILITIES says SIP_C 0, ATP_C 0 and PTPL_C 0."""
    on = Reservations()
    # With SPEC_I_PT the list is longer.
    for list_bytes in (24, 60):
        with pytest.raises(CheckCondition) as caught:
            bring(on, A, action, new=1, flags=flag, list_bytes=list_bytes, sent_bytes=list_bytes)
        sense = caught.value.sense
        assert isinstance(sense, Sense)
        assert sense.asc is Asc.INVALID_FIELD_IN_PARAMETER_LIST
        assert sense.field == FieldPointer(20, bit, in_cdb=False)
    assert not on.registrations


def test_these_bits_are_ignored_where_nothing_is_registered() -> None:
    on = two()
    assert bring(on, B, RESERVE, key=0xB, kind=1, flags=SPEC_I_PT | ALL_TG_PT | APTPL) == b""


@pytest.mark.parametrize("action", range(7))
@pytest.mark.parametrize(("list_bytes", "sent_bytes"), [(0, 0), (23, 23), (25, 25), (24, 23)])
def test_a_list_of_another_length_is_refused(action: int, list_bytes: int, sent_bytes: int) -> None:
    with pytest.raises(CheckCondition, match=Asc.PARAMETER_LIST_LENGTH_ERROR.name):
        bring(two(), B, action, key=0xB, list_bytes=list_bytes, sent_bytes=sent_bytes)


@pytest.mark.parametrize("action", [RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT])
def test_only_who_shows_its_key_is_heard(action: int) -> None:
    other = ItNexus("iqn.2020-01.org.example:c", bytes(6), "t")
    on = two()
    for nexus, key in ((B, 0), (B, 0xA), (other, 0), (other, 0xB)):
        assert bring(on, nexus, action, key=key, new=0xB, kind=1) == b"conflict"
    assert on.generation == len(on.registrations) == 2
    assert bring(on, B, action, key=0xB, new=0x0102030405060708, kind=1) == b""


def test_only_preempt_and_abort_aborts() -> None:
    data = bytes.fromhex("000000000000000B 0102030405060708") + bytes(8)
    for action, aborted in ((PREEMPT, set()), (PREEMPT_AND_ABORT, {A})):
        cdb = bytes((0x5F, action, 1, 0, 0)) + (24).to_bytes(4) + b"\0"
        name = reservation_commands.find(cdb)
        assert name is not None
        outcome = reservation_commands.run(name, two(), ReservationRequest(B, cdb, data))
        assert outcome.aborted == aborted
        assert [one.asc for one in outcome.attentions] == [Asc.REGISTRATIONS_PREEMPTED]


RESERVE_6, RELEASE_6 = bytes.fromhex("16 00 00 00 00 00"), bytes.fromhex("17 00 00 00 00 00")
RESERVE_10, RELEASE_10 = (bytes((opcode,)) + bytes(9) for opcode in (0x56, 0x57))


@pytest.mark.parametrize("reserve", [RESERVE_6, RESERVE_10])
@pytest.mark.parametrize("release", [RELEASE_6, RELEASE_10])
def test_reserve_and_persistent_reservations_exclude_each_other(
    reserve: bytes, release: bytes
) -> None:
    on = Reservations()
    assert run(on, A, reserve) == b""
    for nexus in (A, B):  # Whoever holds it. Spec: SPC-2 §5.5.1.
        assert bring(on, nexus, REGISTER, new=1) == b"conflict"
    for action in range(4):
        assert read(on, action) == b"conflict"
    assert run(on, B, reserve) == b"conflict"
    assert run(on, B, release) == b""
    assert on.reserved_by == A
    assert run(on, A, release) == b""
    assert bring(on, B, REGISTER, new=1) == b""
    assert run(on, A, reserve) == run(on, B, release) == b"conflict"


UNRELATED: Final = ("28 00 00 00 00 00 00 00 01 00", "5F 07", "5F 1F", "5E 04", "A3 0C", "C0 00")


@pytest.mark.parametrize("cdb", UNRELATED)
def test_other_commands_are_not_about_reservations(cdb: str) -> None:
    """REGISTER AND MOVE (5F/07) is not served."""
    assert reservation_commands.find(bytes.fromhex(cdb).ljust(16, b"\0")) is None
