"""Runs ``fairlead`` with less than the caller may do: ``python -m tests.support.confined WHAT...``.

The words before ``--`` say what is taken away, the rest are fairlead's own arguments. It is taken
away when the interpreter has started, because an ordinary user may not be able to read root's.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 -- found while the interpreter is in reach
import ctypes
import os
import resource
import struct
import sys

import fairlead
import fairlead.dataplane.native
import fairlead.management.server
from fairlead.cli.main import main

NOBODY = 65534
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER = 2
_IO_URING_SETUP = 425
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001


def as_nobody() -> None:
    """Become an ordinary user."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def lock_memory(size_bytes: int) -> None:
    """Set how much memory the process may lock. It has to be an ordinary user's."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size_bytes, size_bytes))


def without_io_uring() -> None:
    """Have io_uring_setup answered with EPERM, as containers do by default."""
    program = b"".join(
        struct.pack("HBBI", *line)
        for line in (
            (_LOAD_NUMBER, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, _IO_URING_SETUP),
            (_RETURN, 0, 0, _EPERM),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    code = ctypes.create_string_buffer(program)
    head = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(head)), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")


_TAKEN_AWAY = {
    "memlock-8M": lambda: lock_memory(8 << 20),  # Linux's default.
    "memlock-64K": lambda: lock_memory(64 << 10),  # What it was before 5.16, and in old containers.
    "as-nobody": as_nobody,
    "without-io-uring": without_io_uring,
}

if __name__ == "__main__":
    words = sys.argv[1 : sys.argv.index("--")]
    sys.argv[1:] = sys.argv[sys.argv.index("--") + 1 :]
    for name in fairlead.__all__:
        getattr(fairlead, name)  # Each is imported when it is first asked for.
    for word in words:
        _TAKEN_AWAY[word]()
    main()
