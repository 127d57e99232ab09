"""fairlead: a storage target in which every client's I/O runs in that client's own I/O context.

The names here are the public interface::

    async with fairlead.Target(portals=["127.0.0.1:0"]) as target:
        print(await target.serve_volume("disk.img:1G"))
        await stop

They are loaded when first used, so that ``import fairlead.proto`` costs no more than it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fairlead.control.config_file import check_config, load_config
    from fairlead.control.measurement import Snapshot
    from fairlead.control.target import Target
    from fairlead.errors import ConfigError, DataPlaneError, FairleadError
    from fairlead.model.config import Config, LunConfig, TargetConfig
    from fairlead.model.shares import RateChange, ShareChange
    from fairlead.model.volume import VolumeConfig
    from fairlead.model.volume_word import parse_volume

__all__ = [
    "Config",
    "ConfigError",
    "DataPlaneError",
    "FairleadError",
    "LunConfig",
    "RateChange",
    "ShareChange",
    "Snapshot",
    "Target",
    "TargetConfig",
    "VolumeConfig",
    "__version__",
    "check_config",
    "load_config",
    "parse_volume",
]

_HOMES: Final = {
    "Config": "fairlead.model.config",
    "ConfigError": "fairlead.errors",
    "DataPlaneError": "fairlead.errors",
    "FairleadError": "fairlead.errors",
    "LunConfig": "fairlead.model.config",
    "RateChange": "fairlead.model.shares",
    "ShareChange": "fairlead.model.shares",
    "Snapshot": "fairlead.control.measurement",
    "Target": "fairlead.control.target",
    "TargetConfig": "fairlead.model.config",
    "VolumeConfig": "fairlead.model.volume",
    "check_config": "fairlead.control.config_file",
    "load_config": "fairlead.control.config_file",
    "parse_volume": "fairlead.model.volume_word",
}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  as late

        try:
            value: Any = version("fairlead")
        except PackageNotFoundError:
            value = "(not installed)"
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
