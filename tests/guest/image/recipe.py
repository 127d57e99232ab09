"""What is in the guests: a row for each flavour. A new flavour is a new row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Asked for by maintainer scripts alone, which nobody runs here: packages are only unpacked.
NOT_UNPACKED: Final = (
    *("adduser", "cpio", "debconf", "dpkg", "initramfs-tools", "initramfs-tools-core"),
    *("klibc-utils", "libfile-find-rule-perl", "libklibc", "libnumber-compare-perl"),
    *("libperl5.36", "libtext-glob-perl", "perl", "perl-base", "perl-modules-5.36", "usrmerge"),
)

# What the first programs need to get at the root file system, in the order of their loading.
BOOT_MODULES: Final = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One kind of guest.

    Attributes:
        packages: Debian packages; what they depend on comes with them.
        modules: kernel modules that are loaded at the start, in this order; what they depend on
            comes with them.
        more_modules: kernel modules that are there for whoever asks for them.
        memory_mib: how much memory the guest has.
    """

    packages: tuple[str, ...]
    modules: tuple[str, ...]
    more_modules: tuple[str, ...] = ()
    memory_mib: int


_EVERY_GUEST: Final = (
    *("linux-image-amd64", "busybox-static", "kmod", "iproute2", "util-linux", "mount"),
    *("coreutils", "bash", "diffutils", "grep", "sed", "procps", "python3"),
)
# virtio_rng: what asks for random numbers early would wait for a long time in an emulated machine.
_EVERY_MODULE: Final = ("virtio_console", "virtio_net", "virtio_rng")
_DISK_PROGRAMS: Final = ("sg3-utils", "fio")

FLAVOURS: Final = {
    # A host with the kernel's own initiator.
    "client": Flavour(
        packages=(
            *_EVERY_GUEST,
            *_DISK_PROGRAMS,
            *("open-iscsi", "e2fsprogs", "xfsprogs", "multipath-tools", "udev"),
        ),
        # Without crc32c_generic iscsi_tcp takes no connection where the CPU has no instruction.
        modules=(*_EVERY_MODULE, "crc32c_generic", "iscsi_tcp", "sd_mod", "sg"),
        more_modules=("dm_multipath", "dm_round_robin", "dm_service_time", "xfs", "scsi_dh_alua"),
        memory_mib=768,
    ),
    # A host that serves: Python for our wheel, disks of the kernel's own making, and what tries
    # those disks where they are.
    "target": Flavour(
        packages=(*_EVERY_GUEST, *_DISK_PROGRAMS, "e2fsprogs", "libiscsi-bin"),
        modules=(*_EVERY_MODULE, "sd_mod", "sg"),
        more_modules=("scsi_debug", "loop"),
        memory_mib=1024,
    ),
}
