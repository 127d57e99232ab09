"""The volatile image by itself: which contents a crash may leave."""

from __future__ import annotations

from tests.support.volatile_image import VERSIONS_MAX, InFlightWrite, VolatileImage

GRANULE = 4096
GRANULES = 256
SIZE = GRANULE * GRANULES


def _filled(letter: bytes) -> bytes:
    return letter * SIZE


def test_sync_covers_only_what_was_written_before_it_arrived() -> None:
    image = VolatileImage(SIZE)
    image.write(0, _filled(b"a"))
    point = image.sync_point()
    image.write(0, _filled(b"b"))
    image.sync(point)
    image.crash(seed=1)
    assert set(image.read(0, SIZE)) == set(b"ab")


def test_forced_write_covers_its_granules_only() -> None:
    image = VolatileImage(SIZE)
    image.write(0, _filled(b"a"))
    image.write(0, b"b" * GRANULE, durable=True)
    image.crash(seed=2)
    assert image.read(0, GRANULE) == b"b" * GRANULE
    assert set(image.read(GRANULE, SIZE - GRANULE)) == {0, ord("a")}


def test_lost_content_stays_visible_until_the_crash() -> None:
    image = VolatileImage(SIZE)
    image.write(0, _filled(b"a"))
    image.fail_sync(image.sync_point())
    image.sync(image.sync_point())
    assert image.read(0, SIZE) == _filled(b"a")
    assert image.volatile_granules == GRANULES
    image.crash(seed=3)
    assert image.read(0, SIZE) == bytes(SIZE)


def test_lost_granule_written_again_can_be_made_durable() -> None:
    image = VolatileImage(SIZE)
    image.write(0, _filled(b"a"))
    image.fail_sync(image.sync_point())
    image.write(0, b"b" * GRANULE)
    image.sync(image.sync_point())
    image.crash(seed=4)
    assert image.read(0, 2 * GRANULE) == b"b" * GRANULE + bytes(GRANULE)


def test_unanswered_write_is_torn_between_granules_only() -> None:
    image = VolatileImage(SIZE)
    report = image.crash(seed=5, in_flight=[InFlightWrite(0, _filled(b"a"))])
    granules = {image.read(index * GRANULE, GRANULE) for index in range(GRANULES)}
    assert granules == {bytes(GRANULE), b"a" * GRANULE}
    assert 0 < report.torn_in_flight < GRANULES


def test_number_of_contents_kept_is_bounded() -> None:
    image = VolatileImage(GRANULE)
    for letter in range(1, 2 * VERSIONS_MAX):
        image.write(0, bytes([letter]) * GRANULE)
    newest = 2 * VERSIONS_MAX - 1
    seen = set()
    for seed in range(200):
        copy = VolatileImage(GRANULE)
        for letter in range(1, 2 * VERSIONS_MAX):
            copy.write(0, bytes([letter]) * GRANULE)
        copy.crash(seed)
        seen.add(copy.read(0, 1)[0])
    assert seen == set(range(newest - VERSIONS_MAX, newest + 1))


def test_small_writes_in_one_granule_are_kept_in_their_order() -> None:
    """A later write of a granule brings the earlier one with it, as one page does."""
    for seed in range(50):
        image = VolatileImage(GRANULE)
        image.write(0, b"a" * 512)
        image.write(512, b"b" * 512)
        image.crash(seed)
        assert image.read(0, 1024) in (
            bytes(1024),
            b"a" * 512 + bytes(512),
            b"a" * 512 + b"b" * 512,
        )


def test_shrinking_drops_what_is_behind_the_end() -> None:
    image = VolatileImage(SIZE)
    image.write(0, _filled(b"a"))
    image.resize(100)
    image.resize(SIZE)
    assert image.read(0, SIZE) == b"a" * 100 + bytes(SIZE - 100)
    image.sync(image.sync_point())
    image.crash(seed=6)
    assert image.read(0, SIZE) == b"a" * 100 + bytes(SIZE - 100)
