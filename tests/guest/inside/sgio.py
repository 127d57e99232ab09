"""Sends CDBs to a SCSI device by the SG_IO ioctl, and says how each has ended.

Usage: python3 sgio.py DEVICE < COMMANDS: a JSON list of {"cdb": hex, "data_out": hex,
"data_in_bytes": number}. What comes of each is written as a list of {"status", "host_status",
"sense": hex, "data": hex}.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import sys
from typing import Any

SG_IO = 0x2285
TIMEOUT_MS = 20_000


class Header(ctypes.Structure):
    """struct sg_io_hdr."""

    _fields_ = [
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    ]


def execute(device: int, command: dict[str, Any]) -> dict[str, Any]:
    """Send one command."""
    cdb, out = bytes.fromhex(command["cdb"]), bytes.fromhex(command.get("data_out", ""))
    length = len(out) or command.get("data_in_bytes", 0)
    data = ctypes.create_string_buffer(out, max(length, 1))
    sense = ctypes.create_string_buffer(252)
    keep = ctypes.create_string_buffer(cdb, len(cdb))
    header = Header(
        interface_id=ord("S"),
        dxfer_direction=-2 if out else -3 if length else -1,
        cmd_len=len(cdb),
        mx_sb_len=252,
        dxfer_len=length,
        dxferp=ctypes.addressof(data),
        cmdp=ctypes.addressof(keep),
        sbp=ctypes.addressof(sense),
        timeout=TIMEOUT_MS,
    )
    fcntl.ioctl(device, SG_IO, header)
    moved = max(length - header.resid, 0)
    return {
        "status": header.status,
        "host_status": header.host_status,
        "sense": sense.raw[: header.sb_len_wr].hex(),
        "data": "" if out else data.raw[:moved].hex(),
    }


def main() -> None:
    """Send all of them, one after the other."""
    device = os.open(sys.argv[1], os.O_RDWR)
    json.dump([execute(device, command) for command in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
