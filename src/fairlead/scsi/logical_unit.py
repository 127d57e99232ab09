"""What the pages say about a logical unit. Facts and limits only: no state, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from fairlead.scsi.identity import Identity

LOGICAL_BLOCK_BYTES: Final = (512, 4096)
PHYSICAL_EXPONENT_MAX: Final = 15
"""LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT has 4 bits."""

ROTATION_NOT_REPORTED: Final = 0
ROTATION_NONE: Final = 1
"""Non-rotating medium, such as solid state."""

_ROTATION_RPM = range(0x0401, 0xFFFF)
_U32_MAX: Final = 0xFFFF_FFFF
_U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF

UNLIMITED: Final = _U32_MAX
"""MAXIMUM UNMAP LBA COUNT and BLOCK DESCRIPTOR COUNT: no limit."""


class NamedUnit(Protocol):
    """What the pages that identify a unit need to know of it; see `LogicalUnit`."""

    @property
    def identity(self) -> Identity:
        """Serial number and designators."""
        ...

    @property
    def target_name(self) -> str:
        """The iSCSI name of the target it is reached through."""
        ...

    @property
    def portal_group_tag(self) -> int:
        """Of the portal group it is reached through, 1..65535."""
        ...

    @property
    def relative_target_port(self) -> int:
        """1..65535."""
        ...

    @property
    def target_port_group(self) -> int:
        """0..65535."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalUnit:
    """A direct access block device. The constructor refuses what the pages could not express.

    Limits named ``max_`` are enforced by the data plane, which must be given the same numbers:
    0 is "no limit" unless said otherwise.

    Attributes:
        blocks: number of logical blocks, 1..2**64-1.
        logical_block_bytes: 512 or 4096.
        physical_block_bytes: logical_block_bytes times a power of two, up to 2**15.
        read_only: every command that writes ends with WRITE PROTECTED.
        thin: blocks can be unmapped: UNMAP and the UNMAP bit of WRITE SAME are served.
        lbprz: unmapped blocks read as zeros; only with ``thin``.
        write_cache: GOOD may come before the data is on stable storage (WCE).
        rotation_rate: 0 not reported, 1 non-rotating, or 1025..65534 revolutions per minute.
        max_transfer_blocks: of one READ, WRITE, VERIFY or WRITE AND VERIFY.
        optimal_transfer_blocks: larger transfers may be slower; 0 is "not reported".
        max_prefetch_blocks: of one PRE-FETCH.
        max_unmap_blocks: of one UNMAP, in all its descriptors; 1..2**32-1 (UNLIMITED) with
            ``thin``.
        max_unmap_descriptors: of one UNMAP; 1..2**32-1 (UNLIMITED) with ``thin``.
        unmap_granularity_blocks: ranges that are a multiple of this are unmapped whole; 0 is "not
            reported".
        max_write_same_blocks: of one WRITE SAME.
        max_compare_and_write_blocks: 1..255.
        identity: serial number and designators.
        target_name: iSCSI name of the target it is reached through.
        portal_group_tag: 1..65535, of the portal group it is reached through.
        relative_target_port: 1..65535.
        target_port_group: 0..65535.
        product: PRODUCT IDENTIFICATION, at most 16 printable ASCII characters.
        revision: PRODUCT REVISION LEVEL, at most 4 printable ASCII characters.
    """

    blocks: int
    logical_block_bytes: int
    physical_block_bytes: int
    identity: Identity
    target_name: str
    read_only: bool = False
    thin: bool = False
    lbprz: bool = False
    write_cache: bool = True
    rotation_rate: int = ROTATION_NOT_REPORTED
    max_transfer_blocks: int = 0
    optimal_transfer_blocks: int = 0
    max_prefetch_blocks: int = 0
    max_unmap_blocks: int = UNLIMITED
    max_unmap_descriptors: int = UNLIMITED
    unmap_granularity_blocks: int = 0
    max_write_same_blocks: int = 0
    max_compare_and_write_blocks: int = 1
    portal_group_tag: int = 1
    relative_target_port: int = 1
    target_port_group: int = 1
    product: str = "VIRTUAL DISK"
    revision: str = "1"

    def __post_init__(self) -> None:
        if self.logical_block_bytes not in LOGICAL_BLOCK_BYTES:
            raise ValueError(f"logical_block_bytes {self.logical_block_bytes}: must be 512 or 4096")
        if self.physical_block_bytes != self.logical_block_bytes << self.physical_exponent:
            raise ValueError(
                f"physical_block_bytes {self.physical_block_bytes}: must be "
                f"{self.logical_block_bytes} times a power of two, up to 2**15"
            )
        if self.rotation_rate not in (ROTATION_NOT_REPORTED, ROTATION_NONE, *_ROTATION_RPM):
            raise ValueError(f"rotation_rate {self.rotation_rate}: must be 0, 1 or 1025..65534")
        if self.lbprz and not self.thin:
            raise ValueError("lbprz is only for a thin logical unit")
        self._check_ranges()
        for name, text, length in (("product", self.product, 16), ("revision", self.revision, 4)):
            if len(text) > length or not text.isascii() or not text.isprintable():
                raise ValueError(f"{name} {text!r}: at most {length} printable ASCII characters")
        if not self.target_name or len(self.target_name.encode()) > 223:
            raise ValueError(f"target_name {self.target_name!r}: must be 1..223 bytes")

    def _check_ranges(self) -> None:
        thin_min = 1 if self.thin else 0
        for name, low, high in (
            ("blocks", 1, _U64_MAX),
            ("max_transfer_blocks", 0, _U32_MAX),
            ("optimal_transfer_blocks", 0, _U32_MAX),
            ("max_prefetch_blocks", 0, _U32_MAX),
            ("max_unmap_blocks", thin_min, _U32_MAX),
            ("max_unmap_descriptors", thin_min, _U32_MAX),
            ("unmap_granularity_blocks", 0, _U32_MAX),
            ("max_write_same_blocks", 0, _U64_MAX),
            ("max_compare_and_write_blocks", 1, 0xFF),
            ("portal_group_tag", 1, 0xFFFF),
            ("relative_target_port", 1, 0xFFFF),
            ("target_port_group", 0, 0xFFFF),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} {value}: must be {low}..{high}")

    @property
    def last_lba(self) -> int:
        """Address of the last logical block."""
        return self.blocks - 1

    @property
    def physical_exponent(self) -> int:
        """LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT: 2 to this power, 0..15."""
        ratio = max(1, self.physical_block_bytes // self.logical_block_bytes)
        return min(ratio.bit_length() - 1, PHYSICAL_EXPONENT_MAX)
