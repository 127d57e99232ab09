"""Raises the limit on open files: every connection is one."""

from __future__ import annotations

import resource
from typing import Final

# Volumes, rings, event descriptors, logs, and what Python holds.
_OWN_FILES: Final = 1024


def raise_open_file_limit(connections: int) -> int:
    """Make room for so many connections, as far as we may; return the limit there is now."""
    wanted = connections + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else wanted
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:  # With CAP_SYS_RESOURCE.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (OSError, ValueError):
            wanted = hard
        else:
            return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
