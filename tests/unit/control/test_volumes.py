from __future__ import annotations

import errno
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.control import volumes
from fairlead.control.backing import BackingDevice
from fairlead.control.volumes import _is_thin, _Medium, prepare_volume
from fairlead.errors import ConfigError
from fairlead.model.volume import VolumeConfig
from fairlead.model.volume_word import parse_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB))
    return path


def explained(text: str | VolumeConfig) -> str:
    volume = parse_volume(text) if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        prepare_volume(volume)
    return str(caught.value)


def test_a_missing_file_is_created_sparse(tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    prepared = prepare_volume(parse_volume(f"{path}:1G"))
    status = path.stat()
    assert prepared.is_created
    assert status.st_size == prepared.spec.size_bytes == 1 << 30
    assert status.st_blocks == 0
    assert status.st_mode & 0o077 == 0
    assert not prepare_volume(parse_volume(str(path))).is_created


def test_an_existing_file_keeps_its_bytes_and_size(image: Path) -> None:
    image.write_bytes(b"x" * MIB)
    spec = prepare_volume(parse_volume(str(image))).spec
    assert image.read_bytes() == b"x" * MIB
    assert (spec.size_bytes, spec.logical_block_bytes, spec.kind) == (MIB, 512, "file")
    assert spec.device
    assert spec.thin
    assert not spec.read_only


def test_a_smaller_size_serves_the_beginning(image: Path) -> None:
    assert prepare_volume(parse_volume(f"{image}:512K")).spec.size_bytes == MIB // 2


def test_the_path_is_real_so_that_it_names_the_volume_for_good(image: Path) -> None:
    link = image.with_name("link")
    link.symlink_to(image)
    prepared = prepare_volume(parse_volume(str(link)))
    assert prepared.place == prepared.spec.path == str(image.resolve())


def test_null_and_memory_need_no_file() -> None:
    for text in ("null:big:1T", "memory:1M"):
        prepared = prepare_volume(parse_volume(text))
        assert prepared.spec.path is None
        assert (
            prepared.place == prepared.spec.device == f"{prepared.spec.kind}:{prepared.spec.name}"
        )
    assert not prepare_volume(parse_volume("null:1G")).spec.thin
    assert prepare_volume(parse_volume("memory:1M")).spec.thin


def test_a_simulated_device_is_as_large_as_its_volume() -> None:
    config = VolumeConfig(name="v", kind="sim", model="hdd-90,queue=4", size=1 << 30)
    prepared = prepare_volume(config)
    assert prepared.spec.simulated is not None
    assert prepared.spec.simulated.plain()["size"] == 1 << 30
    assert prepared.spec.simulated.plain()["queue"] == 4
    assert prepared.spec.device == "sim:v"


@pytest.mark.parametrize(
    ("model", "problem", "remedy"),
    [
        ("ssd-21k", "volume 'v': no device 'ssd-21k'", "did you mean ssd-20k?"),
        ("hdd-90,channels=3", "volume 'v': hdd-90 has no 'channels'", "there are: size"),
    ],
)
def test_a_device_that_is_not_known_is_explained(model: str, problem: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_volume(VolumeConfig(name="v", kind="sim", model=model, size=1 << 30))
    assert problem in str(caught.value)
    assert remedy in (caught.value.remedy or "")


def test_what_is_configured_is_taken(image: Path) -> None:
    config = VolumeConfig(
        name="v",
        path=str(image),
        logical_block_bytes=4096,
        physical_block_bytes=65536,
        read_only=True,
        write_through=True,
        device="array7",
    )
    spec = prepare_volume(config).spec
    assert (spec.logical_block_bytes, spec.physical_block_bytes) == (4096, 65536)
    assert (spec.read_only, spec.write_through, spec.thin) == (True, True, False)
    assert spec.device == "array7"


def test_direct_finds_the_alignment_by_trying(image: Path) -> None:
    try:
        os.close(os.open(image, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("the file system of the temporary directory does not take O_DIRECT")
    spec = prepare_volume(parse_volume(f"direct:{image}")).spec
    assert spec.logical_block_bytes in (512, 4096)
    assert spec.physical_block_bytes >= spec.logical_block_bytes


def test_direct_without_o_direct_is_explained(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open: Callable[..., int] = os.open

    def refuse_direct(path: str, flags: int, *rest: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse_direct)
    assert explained(f"direct:{image}") == (
        f"the file system of {image} does not take O_DIRECT "
        f"(go through the page cache: file:{image})"
    )


def direct_reads_from(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    def read(_fd: int, buffers: list[memoryview], _offset: int) -> int:
        if len(buffers[0]) % block_bytes:
            raise OSError(errno.EINVAL, "Invalid argument")
        return len(buffers[0])

    real_open: Callable[..., int] = os.open

    def open_anyhow(path: str, flags: int, *rest: Any) -> int:
        return real_open(path, flags & ~os.O_DIRECT, *rest)

    monkeypatch.setattr(os, "open", open_anyhow)
    monkeypatch.setattr(os, "preadv", read)


def test_direct_takes_blocks_as_large_as_the_kernel_wants(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct_reads_from(monkeypatch, 4096)
    assert prepare_volume(parse_volume(f"direct:{image}")).spec.logical_block_bytes == 4096


def test_blocks_smaller_than_the_kernel_wants_are_explained(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct_reads_from(monkeypatch, 4096)
    config = VolumeConfig(name="v", kind="direct", path=str(image), logical_block_bytes=512)
    assert explained(config) == (
        f"{image} takes direct I/O in blocks of 4096 bytes, and the volume has blocks of 512 "
        "(set logical_block_bytes = 4096, or use kind file)"
    )


def test_blocks_larger_than_scsi_serves_are_explained(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct_reads_from(monkeypatch, 65536)
    assert explained(f"direct:{image}") == (
        f"{image} needs direct I/O in blocks above 4096 bytes "
        f"(go through the page cache: file:{image})"
    )


def test_other_failures_of_direct_are_not_taken_for_alignment(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    assert "cannot be opened: input/output error (check the path and the device" in explained(
        f"direct:{image}"
    )


def test_a_missing_file_without_a_size_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "nope.img"
    assert explained(str(path)) == (f"{path} does not exist (to create it, give a size: {path}:1G)")


def test_a_missing_read_only_file_is_explained(tmp_path: Path) -> None:
    config = VolumeConfig(name="v", path=str(tmp_path / "nope"), size=MIB, read_only=True)
    assert explained(config).endswith(
        "nope does not exist, and a read-only volume is not created "
        "(create it first, or serve it writable)"
    )


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "no/disk.img"
    assert explained(f"{path}:1M") == (
        f"{path} cannot be created: no such file or directory "
        "(make the directory, or choose a place where you may write)"
    )


def test_a_file_that_cannot_be_so_large_is_explained_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int, _size: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "ftruncate", refuse)
    path = tmp_path / "disk.img"
    assert explained(f"{path}:1T") == (
        f"{path} cannot be 1T: file too large (choose a smaller size or another file system)"
    )
    assert not path.exists()


def test_a_file_made_in_the_same_instant_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(MIB))
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    assert not prepare_volume(parse_volume(f"{path}:1M")).is_created


def test_what_is_no_file_is_explained(tmp_path: Path) -> None:
    assert explained(str(tmp_path)) == (
        f"{tmp_path} is a directory (serve a regular file or a block device)"
    )
    assert explained("/dev/null").startswith("/dev/null is a character device")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert explained(str(pipe)).startswith(f"{pipe} is a pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        assert explained(str(tmp_path / "sock")).startswith(f"{tmp_path / 'sock'} is a socket")


def test_too_small_is_explained(image: Path) -> None:
    assert explained(f"{image}:2M") == (
        f"{image} has 1M, too small for the 2M asked for "
        f"(enlarge it: truncate -s 2M {image}; or leave the size out)"
    )


def test_an_empty_file_is_explained(image: Path) -> None:
    image.write_bytes(b"")
    assert explained(str(image)) == (
        f"{image} has 0 bytes, less than one block of 512 (give it a size: truncate -s 1G {image})"
    )


def test_a_size_that_is_no_multiple_is_explained(image: Path) -> None:
    image.write_bytes(bytes(1000))
    assert explained(str(image)) == (
        f"{image} has 1000 bytes, which is not a multiple of the block of 512 "
        "(leave out the last 488 bytes with the size 512, or enlarge it: "
        f"truncate -s 1024 {image})"
    )


def test_a_thin_null_volume_is_explained() -> None:
    config = VolumeConfig(name="v", kind="null", size=MIB, thin=True)
    assert explained(config) == (
        "null volume 'v' stores nothing that could be unmapped (remove thin)"
    )


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "permission denied (run as a user who may write it, or set read_only"),
        (errno.EPERM, "operation not permitted (run as a user who may write it"),
        (errno.EROFS, "read-only file system (its file system is read-only: set read_only = true)"),
        (errno.EBUSY, "device or resource busy (stop who holds it: lsof "),
        (errno.ENXIO, "no such device or address (no driver answers for it: check the device)"),
        (errno.ENOENT, "no such file or directory (check the path)"),
        (errno.EIO, "input/output error (check the path and the device behind it)"),
    ],
)
def test_a_file_that_cannot_be_opened_is_explained(
    image: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert explained(str(image)).startswith(f"{image} cannot be opened: {message}")


def test_a_circle_of_links_is_explained(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert explained(str(loop)).endswith(
        "too many levels of symbolic links (its symbolic links form a circle: name the file itself)"
    )


@pytest.mark.parametrize(
    ("can_discard", "is_device", "thin"),
    [(None, False, True), (True, True, True), (False, True, False), (None, True, False)],
)
def test_thin_by_default_where_space_can_be_given_back(
    can_discard: bool | None, is_device: bool, thin: bool
) -> None:
    medium = _Medium("/x", is_device, MIB, 512, 4096)
    backing = BackingDevice("sda", can_discard=can_discard)
    assert _is_thin(VolumeConfig(name="v", path="/x"), medium, backing) is thin


def test_a_device_too_small_is_explained_without_truncate() -> None:
    medium = _Medium("/dev/sdb", True, MIB, 512, 4096)
    with pytest.raises(ConfigError, match="serve it without a size, to get all there is"):
        volumes._size_bytes(parse_volume("direct:/dev/sdb:2M"), medium, 512)
    empty = _Medium("/dev/sr0", True, 0, 512, 4096)
    with pytest.raises(ConfigError, match=r"has 0 bytes, less than one block of 512"):
        volumes._size_bytes(parse_volume("/dev/sr0"), empty, 512)


def test_a_device_with_odd_blocks_is_explained() -> None:
    medium = _Medium("/dev/sr0", True, MIB, 2048, 2048)
    with pytest.raises(ConfigError, match=r"has blocks of 2048 bytes, which initiators are not"):
        volumes._logical_block_bytes(parse_volume("/dev/sr0"), medium)


@pytest.fixture
def loop_device(image: Path) -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("only root attaches loop devices")
    attach = ("losetup", "--find", "--show", str(image))
    attached = subprocess.run(attach, capture_output=True, text=True, check=False)
    if attached.returncode:
        pytest.skip(f"no loop device to be had: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    yield device
    subprocess.run(("losetup", "--detach", device), check=True)


@pytest.mark.root
def test_a_loop_device_is_measured_and_led_back_to_its_disk(loop_device: str, image: Path) -> None:
    spec = prepare_volume(parse_volume(f"direct:{loop_device}")).spec
    assert spec.size_bytes == MIB
    assert spec.logical_block_bytes in (512, 4096)
    assert spec.device == prepare_volume(parse_volume(str(image))).spec.device


@pytest.mark.root
def test_a_device_that_somebody_holds_is_refused(loop_device: str) -> None:
    fd = os.open(loop_device, os.O_RDWR | os.O_EXCL)
    try:
        assert explained(f"direct:{loop_device}") == (
            f"{loop_device} cannot be opened: device or resource busy "
            f"(stop who holds it: lsof {loop_device})"
        )
    finally:
        os.close(fd)
