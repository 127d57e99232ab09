"""The model itself: what it must allow and what it must not."""

from __future__ import annotations

import pytest

from tests.support.block_model import BlockModel, Effect, IllegalBlockError

BLOCK = 512


@pytest.fixture
def model() -> BlockModel:
    """Four blocks of zeros."""
    return BlockModel(blocks=4, block_bytes=BLOCK)


def _write(model: BlockModel, lba: int, *, forced: bool = False) -> bytes:
    data = model.new_data(lba, 1)
    model.end_write(model.begin_write(lba, data, forced=forced), Effect.HAPPENED)
    return data


def _flush(model: BlockModel) -> None:
    model.end_flush(model.begin_flush())


def test_acknowledged_write_replaces_for_readers_but_not_for_a_crash(model: BlockModel) -> None:
    data = _write(model, 0)
    model.check_after_crash(0, bytes(BLOCK))
    model.check_after_crash(0, data)
    with pytest.raises(IllegalBlockError, match="block 0 holds zeros, legal: write 1 of block 0"):
        model.check_read(model.begin_read(0, 1), bytes(BLOCK))
    with pytest.raises(IllegalBlockError):
        model.check_after_kill(0, bytes(BLOCK))


def test_flush_covers_what_ended_before_it_began(model: BlockModel) -> None:
    data = _write(model, 0)
    _flush(model)
    model.check_after_crash(0, data)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(0, bytes(BLOCK))


def test_flush_does_not_cover_what_ended_while_it_ran(model: BlockModel) -> None:
    data = model.new_data(0, 1)
    operation = model.begin_write(0, data)
    began = model.begin_flush()
    model.end_write(operation, Effect.HAPPENED)
    model.end_flush(began)
    model.check_after_crash(0, bytes(BLOCK))
    model.check_after_crash(0, data)


def test_forced_write_covers_itself_only(model: BlockModel) -> None:
    _write(model, 0)
    forced = _write(model, 1, forced=True)
    model.check_after_crash(0, bytes(BLOCK))
    model.check_after_crash(1, forced)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(1, bytes(BLOCK))


def test_writes_at_the_same_time_land_in_any_order(model: BlockModel) -> None:
    one, two = model.new_data(0, 1), model.new_data(0, 1)
    first, second = model.begin_write(0, one), model.begin_write(0, two)
    model.end_write(first, Effect.HAPPENED)
    model.end_write(second, Effect.HAPPENED)
    _flush(model)
    for data in (one, two):
        model.check_after_crash(0, data)
        model.check_read(model.begin_read(0, 1), data)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(0, bytes(BLOCK))


def test_read_may_see_what_was_written_while_it_ran(model: BlockModel) -> None:
    read = model.begin_read(0, 1)
    data = _write(model, 0)
    model.check_read(read, bytes(BLOCK))
    model.check_read(read, data)


def test_unanswered_write_may_have_happened(model: BlockModel) -> None:
    data = model.new_data(0, 1)
    model.begin_write(0, data)
    _flush(model)
    model.check_after_crash(0, bytes(BLOCK))
    model.check_after_crash(0, data)


def test_aborted_write_cannot_come_after_a_later_one(model: BlockModel) -> None:
    late = model.new_data(0, 1)
    model.end_write(model.begin_write(0, late), Effect.UNKNOWN)
    model.check_read(model.begin_read(0, 1), late)
    _write(model, 0)
    with pytest.raises(IllegalBlockError):
        model.check_read(model.begin_read(0, 1), late)


def test_write_without_effect_was_never_there(model: BlockModel) -> None:
    data = model.new_data(0, 1)
    model.end_write(model.begin_write(0, data), Effect.NONE)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(0, data)


def test_mixture_within_a_block_is_never_legal(model: BlockModel) -> None:
    data = _write(model, 0)
    with pytest.raises(IllegalBlockError, match="mixture"):
        model.check_after_crash(0, data[:256] + bytes(256))


def test_data_of_another_block_is_not_legal(model: BlockModel) -> None:
    data = model.new_data(0, 2)
    model.end_write(model.begin_write(0, data), Effect.HAPPENED)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(0, data[BLOCK:])


def test_what_a_crash_left_is_durable(model: BlockModel) -> None:
    _write(model, 0)
    model.restart(bytes(4 * BLOCK), is_durable=True)
    _write(model, 1)
    model.check_after_crash(0, bytes(4 * BLOCK))


def test_what_a_kill_left_may_still_be_lost(model: BlockModel) -> None:
    data = _write(model, 0)
    model.restart(data + bytes(3 * BLOCK), is_durable=False)
    model.check_after_kill(0, data)
    model.check_after_crash(0, bytes(BLOCK))
    _flush(model)
    with pytest.raises(IllegalBlockError):
        model.check_after_crash(0, bytes(BLOCK))


def test_single_value_is_told_only_where_there_is_one(model: BlockModel) -> None:
    data = _write(model, 0)
    assert model.single_value(0, 2) == data + bytes(BLOCK)
    model.begin_write(1, model.new_data(1, 1))
    assert model.single_value(0, 2) is None


def test_read_may_meet_a_write_half_way(model: BlockModel) -> None:
    first = _write(model, 0)
    second = model.new_data(0, 1)
    read = model.begin_read(0, 1)
    model.begin_write(0, second)
    model.check_read(read, first[:256] + second[256:])
    with pytest.raises(IllegalBlockError):
        model.check_read(read, first[:256] + bytes(256))


def test_blocks_may_differ_only_while_somebody_writes(model: BlockModel) -> None:
    data = _write(model, 0)
    read = model.begin_read(0, 1)
    assert not model.may_differ(read, data)
    _write(model, 0)
    assert model.may_differ(read, data)
