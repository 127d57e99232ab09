"""Makes a SCSI device, or a LUN of another target, ready to be served by passing commands on.

Every refusal is one sentence and its remedy, and none shows a password.
"""

from __future__ import annotations

import errno
import hashlib
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from fairlead.control.backing import BackingDevice, SystemView
from fairlead.control.device_facts import DeviceFacts, NoAnswerError, NoUnitError, ask_device
from fairlead.control.scsi_device import ScsiDevice, check_device_unused, find_scsi_device
from fairlead.control.volumes import PreparedVolume
from fairlead.dataplane.api import VolumeSpec
from fairlead.dataplane.pass_through import (
    INITIATOR_NAME,
    TRANSFER_BYTES_MAX,
    PassThroughSpec,
    open_link,
)
from fairlead.errors import ConfigError
from fairlead.model.iscsi_url import (
    check_length,
    check_password,
    parse_iscsi_url,
    without_password,
)
from fairlead.model.size import SIZE_MAX_BYTES
from fairlead.scsi.pass_through import DANGEROUS, rules

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from fairlead.dataplane.pass_through import LinkKind, OpenLink
    from fairlead.model.iscsi_url import IscsiUrl
    from fairlead.model.volume import VolumeConfig

    Others: TypeAlias = Iterable[tuple[VolumeConfig, PreparedVolume]]

NAME_CHARACTERS_MAX: Final = 64
ISCSI_COMMANDS_MAX: Final = 128
"""As many as a session of ours takes by default; the other target's window may be smaller."""
# As many as the data plane's descriptors of one device take.
SG_COMMANDS_MAX: Final = 64
TRANSFER_BYTES_MIN: Final = 4096

# What a disk may take to come back from its own recovery, twice Linux's 30 s; initiators give up
# before. Tapes, changers and the like rewind and move: as long as Linux's st driver waits.
DISK_TIMEOUT_S: Final = 60
OTHER_TIMEOUT_S: Final = 900

_PASSWORD_BYTES_MAX: Final = 1024
_BLOCK_BYTES: Final = 512  # Of who has not said; nothing is computed with it.

# errno -> (what is wrong, what to do). Spec of the numbers: `fairlead.dataplane.pass_through`.
_SG_TROUBLES: Final[Mapping[int, tuple[str, str]]] = {
    errno.ENOENT: ("{place} has no node", "load the driver: modprobe sg"),
    errno.ENXIO: ("{place} is gone", "check its cable and power, and rescan its host"),
    errno.ENODEV: ("{place} is gone", "check its cable and power, and rescan its host"),
    errno.EACCES: ("{place} may not be opened", "run as root, or give the node to our group"),
    errno.EPERM: ("{place} may not be opened", "run as root, or give the node to our group"),
    errno.EBUSY: ("{place} is held by another program", "stop who holds it: lsof {path}"),
}
_NO_ANSWER: Final[Mapping[LinkKind, tuple[str, str]]] = {
    "sg": ("{place} does not answer INQUIRY: {cause}", "see what the kernel says of it: dmesg"),
    "iscsi": (
        "{place} cannot be reached: {cause}",
        "check that its target runs at that host and port, its name and access list, and user and "
        "password",
    ),
}
# Opening it logs in to nothing: what is in the way there, the first command tells in words.
_ISCSI_TROUBLES: Final[Mapping[int, tuple[str, str]]] = {
    errno.ELIBACC: ("libiscsi is missing", "install it: apt-get install libiscsi7"),
    # Ours, of a LUN that says there is no unit.
    errno.ENXIO: ("there is no such LUN: {place}", "list them: iscsi-ls --show-luns {portal}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a device is reached.

    Attributes:
        path: for the data plane and for people: the node, or the URL without password.
        url: for the data plane: with its password, its host in numbers; None for a node.
        shown: as the operator wrote it, without password.
        portal: what lists the LUNs beside it.
        name: what it is called when it has not said more; None: by what it says.
        host: what this host says of it; None where it is not of this host.
    """

    kind: LinkKind
    path: str
    url: str | None
    shown: str
    portal: str = ""
    name: str | None = None
    host: ScsiDevice | None = None
    initiator_name: str = INITIATOR_NAME


def prepare_pass_through(
    config: VolumeConfig,
    view: SystemView | None = None,
    connect: OpenLink = open_link,
    others: Others = (),
) -> PreparedVolume:
    """Check a volume of kind ``sg`` or ``iscsi``, and ask the device what it is.

    Touches the device: call it in a thread.

    Args:
        config: the volume.
        view: where the kernel's trees are.
        connect: opens a way to the device.
        others: volumes that are served: the device may not be one of theirs.

    Raises:
        ConfigError: says what is in the way and the way out.
    """
    view = view or SystemView()
    check_allowed(config)
    way = _find(config, view)
    # First: who holds a disk that is served already is this process.
    _check_not_served(config, _paths(way), others)
    if way.host is not None:
        check_device_unused(way.host, view)
    way = _in_numbers(way)
    facts = _ask(way, connect)
    name = _short(way.name or _lasting_name(way, facts))
    capacity = facts.capacity
    block_bytes = (capacity.block_bytes if capacity else 0) or _BLOCK_BYTES
    spec = VolumeSpec(
        name=config.name,
        kind=way.kind,
        path=way.path,
        size_bytes=min(facts.size_bytes or 0, SIZE_MAX_BYTES),
        logical_block_bytes=block_bytes,
        physical_block_bytes=block_bytes,
        read_only=config.read_only,
        thin=False,
        write_through=False,
        device=config.device or name,
        pass_through=PassThroughSpec(
            rules=rules(
                has_blocks=facts.pages.has_blocks, identity=config.identity, allow=config.allow
            ),
            timeout_ns=config.timeout or _timeout_s(way, facts) * 10**9,
            transfer_bytes_max=_transfer_bytes_max(way),
            commands_max=_commands_max(way),
            initiator_name=way.initiator_name,
            url=way.url,
        ),
    )
    backing = BackingDevice(name, is_rotational=way.host.is_rotational if way.host else None)
    return PreparedVolume(spec, backing, f"{way.kind}:{name}", False, facts)


def pass_through_words(volume: PreparedVolume) -> str:
    """Return a prepared device and how it would be served, in a line for people."""
    passed, facts = volume.spec.pass_through, volume.facts
    if passed is None or facts is None:
        raise AssertionError("no SCSI device was prepared")
    return (
        f"{facts.words()}; device {volume.spec.device!r}, {passed.commands_max} commands at a "
        f"time, {passed.transfer_bytes_max >> 10} KiB and {passed.timeout_ns / 1e9:g} s each"
    )


def name_unasked(config: VolumeConfig, view: SystemView) -> str:
    """Return the name of the backing device as far as it is known without asking the device.

    Raises:
        ConfigError: there is no such device.
    """
    way = _find(config, view)
    host = way.host
    return _short(way.name or (host.wwid or f"{host.vendor} {host.model}" if host else way.path))


def check_allowed(config: VolumeConfig, where: str | None = None) -> None:
    """Check the names of dangerous commands that are to be passed on.

    Raises:
        ConfigError: there is no such name.
    """
    for name in config.allow:
        if name.upper() not in DANGEROUS:
            raise ConfigError(
                f"{name!r} is no command that is refused unless it is allowed",
                where=where,
                remedy=f"there are: {', '.join(DANGEROUS)}",
            )


def check_documented(volumes: Sequence[VolumeConfig]) -> None:
    """Check what a document says of pass-through volumes, without touching their devices.

    Raises:
        ConfigError: the first that is wrong, with its place.
    """
    for number, volume in enumerate(volumes):
        check_allowed(volume, f"volumes[{number}].allow")
        _password(volume, f"volumes[{number}].password_file")


def check_served_once(new: PreparedVolume, config: VolumeConfig, others: Others) -> None:
    """Refuse a device that is served already, one of this host also by another way to it.

    Reservations are kept for each volume, so two volumes of one device would not know of each
    other's. Where two nodes lead to what says that it is one device, a name for it in either
    configuration says that they are two. What other URLs lead to is not known.

    Args:
        new: the volume that comes.
        config: how it is configured.
        others: those that are there.

    Raises:
        ConfigError: one of them is the same device.
    """
    others = list(others)
    if config.is_pass_through:
        _check_not_served(config, {new.spec.path}, others)
    for other_config, other in others:
        has_name = config.device is not None or other_config.device is not None
        if new.spec.kind == "sg" and new.place == other.place and not has_name:
            raise ConfigError(
                f"{config.path} is served already, as volume {other.spec.name!r}",
                remedy="show that one under several LUNs; or, if it is another device that only "
                'says so, name one of them: device = "..."',
            )


def _check_not_served(config: VolumeConfig, paths: Container[str | None], others: Others) -> None:
    for _, other in others:
        if other.spec.path is not None and other.spec.path in paths:
            raise ConfigError(
                f"{config.path} is served already, as volume {other.spec.name!r}",
                remedy="show that one under several LUNs",
            )


def _paths(way: _Way) -> set[str | None]:
    """All that the device is called where volumes say what they have open."""
    return {way.path, *(f"/dev/{disk}" for disk in (way.host.disks if way.host else ()))}


def _find(config: VolumeConfig, view: SystemView) -> _Way:
    path = config.path or ""  # The model asks for one.
    if config.kind == "sg":
        host = find_scsi_device(path, view)
        return _Way(kind="sg", path=host.node, url=None, shown=path, host=host)
    url = parse_iscsi_url(path)
    password = _password(config, None)
    return _Way(
        kind="iscsi",
        path=url.shown,
        url=_whole(replace(url, password=password)),
        shown=url.shown,
        portal=replace(url, user=None).shown.removesuffix(f"/{url.target}/{url.lun}"),
        name=f"{url.target}/{url.lun}",
        initiator_name=config.initiator_name or INITIATOR_NAME,
    )


def _in_numbers(way: _Way) -> _Way:
    """Look the host up: the data plane waits for no name server.

    Raises:
        ConfigError: nobody knows it.
    """
    if way.url is None:
        return way
    url = parse_iscsi_url(way.url)
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"host {url.host!r} of {way.shown} is not known: {error}",
            remedy="check its name, or write its address",
        ) from None
    return replace(way, url=_whole(replace(url, host=str(found[0][4][0]))))


def _whole(url: IscsiUrl) -> str:
    try:
        check_length(url)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(problem, remedy=remedy) from None
    return url.whole


def _password(config: VolumeConfig, where: str | None) -> str | None:
    if config.password is not None:
        return config.password.get_secret_value()
    if config.password_file is None:
        return None
    file = config.password_file
    try:
        with Path(file).open("rb") as stream:
            password = stream.read(_PASSWORD_BYTES_MAX).removesuffix(b"\n").decode()
        check_password(password)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}",
            where=where,
            remedy="make the file readable to the user who runs fairlead",
        ) from error
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            reason, remedy = "it is not UTF-8 text", "put the password alone into the file"
        else:
            reason, _, remedy = str(error).partition("; ")
        problem = f"{file} holds no password: {reason}"
        raise ConfigError(problem, where=where, remedy=remedy) from None
    return password


def _ask(way: _Way, connect: OpenLink) -> DeviceFacts:
    try:
        return ask_device(connect(way.kind, way.url or way.path, way.initiator_name))
    except OSError as error:
        raise _explain(way, error) from None
    except NoAnswerError as error:
        problem, remedy = _NO_ANSWER[way.kind]
        cause = _cause(str(error))
        raise ConfigError(problem.format(place=way.shown, cause=cause), remedy=remedy) from None
    except NoUnitError:
        raise _explain(way, OSError(errno.ENXIO, "")) from None


def _cause(message: str) -> str:
    """A library's message as part of a sentence: in one line, without full stop and password."""
    return " ".join(without_password(message).split()).rstrip(".")


def _explain(way: _Way, error: OSError) -> ConfigError:
    troubles = _SG_TROUBLES if way.kind == "sg" else _ISCSI_TROUBLES
    cause = _cause(error.strerror or str(error))
    problem, remedy = troubles.get(
        error.errno or 0,
        ("{place} cannot be used: {cause}", "check the device and the way to it"),
    )
    words = {"place": way.shown, "path": way.path, "portal": way.portal, "cause": cause}
    return ConfigError(problem.format(**words), remedy=remedy.format(**words))


def _lasting_name(way: _Way, facts: DeviceFacts) -> str:
    """A name that the device has at the next start, too, whatever its node is called then."""
    host = way.host
    wwid = facts.designator or (host.wwid if host else None)
    if wwid is not None:
        return wwid
    last = facts.serial or (host.address if host else way.path)
    return f"{facts.vendor} {facts.product} {last}"


def _short(name: str) -> str:
    """At most 64 printable characters; what was longer is told apart by a hash."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in " ".join(name.split()))
    if len(text) <= NAME_CHARACTERS_MAX:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: NAME_CHARACTERS_MAX - 13]}~{digest}"


def _timeout_s(way: _Way, facts: DeviceFacts) -> int:
    usual_s = DISK_TIMEOUT_S if facts.pages.has_blocks else OTHER_TIMEOUT_S
    return max(usual_s, way.host.timeout_s if way.host else 0)


def _transfer_bytes_max(way: _Way) -> int:
    """What the host adapter takes, in whole pages."""
    said = way.host.transfer_bytes_max if way.host else None
    least = min(TRANSFER_BYTES_MAX, said or TRANSFER_BYTES_MAX)
    return max(TRANSFER_BYTES_MIN, least - least % TRANSFER_BYTES_MIN)


def _commands_max(way: _Way) -> int:
    return ISCSI_COMMANDS_MAX if way.host is None else min(way.host.queue_depth, SG_COMMANDS_MAX)
