"""A volume as the operator describes it in a TOML table."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from fairlead.model.duration import DurationNs
from fairlead.model.frozen import Model
from fairlead.model.iscsi_url import IscsiName, check_password, is_url_like, parse_iscsi_url
from fairlead.model.pass_through import PASS_THROUGH_KINDS, DeviceIdentity, check_pass_through
from fairlead.model.size import SizeBytes

LOGICAL_BLOCK_BYTES: Final = 512  # Used where neither the operator nor the kernel says otherwise.
PHYSICAL_BLOCK_BYTES_MAX: Final = 1 << 20

FILE_KINDS: Final = ("file", "direct")
PATHLESS_KINDS: Final = ("null", "memory", "sim")
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

VolumeName = Annotated[str, Field(pattern=NAME_PATTERN)]


class VolumeConfig(Model):
    """One volume. What is None here is found out when the volume is opened.

    Attributes:
        name: the operator's name for it; letters, digits, ``.``, ``_``, ``-``, at most 64.
        kind: ``file`` (through the page cache), ``direct`` (O_DIRECT), ``null`` (stores nothing),
            ``memory`` (gone with the process), ``sim`` (``memory`` as slow as a simulated device),
            ``sg`` (a SCSI device of this host), ``iscsi`` (a LUN of another target).
        model: that device, ``PRESET[,key=value...]``; only for ``sim``.
        path: file or block device for ``file`` and ``direct``, SCSI device for ``sg``, URL without
            password for ``iscsi``; the others have none.
        size: in bytes, or with K, M, G, T (binary). A missing file is created with it, sparse.
        logical_block_bytes: 512 or 4096.
        physical_block_bytes: what the medium writes at once; a power of two.
        read_only: opened without write access; initiators see a write-protected unit. A SCSI
            device gets no command that may change anything.
        thin: UNMAP gives space back.
        write_through: every write is on stable storage when it is answered.
        serial: unit serial number; by default derived, and stable, from target name and path.
        device: backing device for the I/O contexts, where the kernel's view is not the right one.
        identity: only for ``sg`` and ``iscsi``: whether initiators recognise the ``device`` itself,
            or a volume of ours (``own``).
        allow: only there: dangerous commands that are passed on all the same, by name.
        timeout: only there: how long a command may take, 1 s to 24 h, in nanoseconds.
        initiator_name: only for ``iscsi``: who we are there, for access lists.
        password: only for ``iscsi``; of the user in the URL, and taken from there if it is there.
        password_file: path of a file with it; one final newline is not part of it.
    """

    name: VolumeName
    kind: Literal["file", "direct", "null", "memory", "sim", "sg", "iscsi"] = "file"
    model: Annotated[str, Field(pattern=r"^[ -~]{1,256}$")] | None = None
    path: str | None = None
    size: SizeBytes | None = None
    logical_block_bytes: Literal[512, 4096] | None = None
    physical_block_bytes: int | None = None
    read_only: bool = False
    thin: bool | None = None
    write_through: bool = False
    serial: Annotated[str, Field(pattern=r"^[0-9A-Za-z._:-]{1,36}$")] | None = None
    device: Annotated[str, Field(pattern=r"^[ -~]{1,64}$")] | None = None
    identity: DeviceIdentity = "device"
    allow: tuple[str, ...] = ()
    timeout: DurationNs | None = None
    initiator_name: IscsiName | None = None
    password: SecretStr | None = None
    password_file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _password_leaves_the_url(cls, data: Any) -> Any:
        path = data.get("path") if isinstance(data, dict) and data.get("kind") == "iscsi" else None
        try:
            url = parse_iscsi_url(path.strip()) if isinstance(path, str) else None
        except ValueError:
            return data  # The check of the field explains it.
        if url is None:
            return data
        if url.password is None:
            return {**data, "path": url.shown}
        if data.get("password") is not None:
            raise ValueError("there are two passwords; keep one: in the URL or in password")
        return {**data, "path": url.shown, "password": url.password}

    @field_validator("path")
    @classmethod
    def _path_is_usable(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and info.data.get("kind") == "iscsi":
            parse_iscsi_url(path)
        elif path is not None and is_url_like(path):
            # Whatever it was meant to be, it may hold a password.
            raise ValueError('a URL is a path for kind iscsi alone; write kind = "iscsi"')
        if path is not None and (not path or "\0" in path):
            raise ValueError(f"{path!r} is not a path; name a file or a block device")
        return path

    @field_validator("physical_block_bytes")
    @classmethod
    def _physical_block_is_power_of_two(cls, value: int | None) -> int | None:
        if value is None or (512 <= value <= PHYSICAL_BLOCK_BYTES_MAX and not value & (value - 1)):
            return value
        raise ValueError(
            f"{value} is not a physical block size; "
            f"take a power of two from 512 to {PHYSICAL_BLOCK_BYTES_MAX}"
        )

    @field_validator("password")
    @classmethod
    def _password_is_usable(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None:
            check_password(password.get_secret_value())
        return password

    @property
    def is_pass_through(self) -> bool:
        """Whether commands go to a SCSI device as they came."""
        return self.kind in PASS_THROUGH_KINDS

    @property
    def identity_is_ours(self) -> bool:
        """Whether initiators recognise a volume of ours, and not a device's own pages."""
        return not self.is_pass_through or self.identity == "own"

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        check_pass_through(self)
        if self.is_pass_through:
            return self
        if self.kind in FILE_KINDS and self.path is None:
            raise ValueError(f'a {self.kind} volume needs a path; add path = "..."')
        if (self.kind == "sim") != (self.model is not None):
            raise ValueError(
                'a sim volume needs a device; add model = "ssd-20k"'
                if self.kind == "sim"
                else f"a {self.kind} volume simulates nothing; remove model, or use kind sim"
            )
        if self.kind in PATHLESS_KINDS:
            if self.path is not None:
                raise ValueError(f"a {self.kind} volume has no path; remove path")
            if self.size is None:
                raise ValueError(f'a {self.kind} volume needs a size; add size = "1G"')
        logical = self.logical_block_bytes or LOGICAL_BLOCK_BYTES
        if self.size is not None and self.size % logical:
            raise ValueError(
                f"size {self.size} is not a multiple of the logical block of {logical} bytes; "
                f"{self.size - self.size % logical or logical} is"
            )
        if self.physical_block_bytes is not None and self.physical_block_bytes < logical:
            raise ValueError(
                f"physical_block_bytes {self.physical_block_bytes} is below the logical block of "
                f"{logical} bytes; take at least {logical}"
            )
        return self
