"""Which kernel it is: where its code differs from 2.6.27's in what an io_context lives by.

Commits and versions are the kernel's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

LastPut = Literal["cfq_dtor", "exit at once", "exit in a work item"]
LinkCounts = Literal["nr_tasks", "nothing", "refcount again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A kernel. The defaults are 2.6.27.

    Attributes:
        bug_on: CONFIG_BUG; without it BUG_ON() does nothing.
        last_put: what dropping the last reference does. "cfq_dtor" frees the cics, which must be
            dead; "exit at once" never was, many have thought of it; "exit in a work item" is 3.3
            (b2efa05265).
        link_counts: what ioc_task_link() counts besides a reference. "nothing" is 2.6.25;
            "refcount again" is 2.6.31-rc1 (d9c7d394a8eb, until cbb4f2646d77).
        every_exit_puts: exit_io_context() drops a reference whether it was the last task or not;
            since 2.6.33. Before, only the last task did (CVE-2012-0879).
        failed_fork_exits: copy_process() that fails gives its io_context back; since 2.6.33.
        exit_rechecks_key: the exit path looks at the key again under queue_lock (62c1fe9d9f0a);
            2.6.29 does, and 2.6.27 is taken not to.
        exit_clears_cache: a cic that dies leaves ioc_data (4faa3c8150c1).
        cache_write_rechecks: ioc_data is written for a cic that is alive alone; what ab4bd22d,
            3181faa85bda and 726e99ab88db come to (2011).
        cic_freed_by_rcu: cics are freed after a grace period (2008-04, F. Checconi).
        dtor_reads_under_rcu: cfq_dtor() walks inside rcu_read_lock (07416d29bcf6).
        lookup_drops_dead: a dead cic that a lookup meets is removed (cfq_drop_dead_cic).
        unload_locks: the last cic completes ioc_gone under a lock (9a11b4ed0e7c).
        exit_at_task_exit: tasks that end tell CFQ; not so between b2efa05265 and 621032ad6eaa.
        exiting_task_gets_none: no io_context is put into a task that exits (6e736be7f282).
        icq_destroyed_flag: an icq is destroyed once (30a2da7b7e22).
        share_forbids_attach: who shares an io_context cannot change its cgroup; until 5.14.
    """

    bug_on: bool = True
    last_put: LastPut = "cfq_dtor"
    link_counts: LinkCounts = "nr_tasks"
    every_exit_puts: bool = False
    failed_fork_exits: bool = False
    exit_rechecks_key: bool = False
    exit_clears_cache: bool = True
    cache_write_rechecks: bool = False
    cic_freed_by_rcu: bool = True
    dtor_reads_under_rcu: bool = True
    lookup_drops_dead: bool = True
    unload_locks: bool = False
    exit_at_task_exit: bool = True
    exiting_task_gets_none: bool = False
    icq_destroyed_flag: bool = False
    share_forbids_attach: bool = False


LINUX_2_6_25 = Build(link_counts="nothing")
LINUX_2_6_27 = Build()
LINUX_2_6_31_RC1 = Build(link_counts="refcount again", exit_rechecks_key=True)
LINUX_2_6_33 = Build(
    every_exit_puts=True, failed_fork_exits=True, exit_rechecks_key=True, unload_locks=True
)
LINUX_3_3_RC1 = replace(
    LINUX_2_6_33,
    last_put="exit in a work item",
    exit_at_task_exit=False,
    exiting_task_gets_none=True,
)
LINUX_3_3 = replace(LINUX_3_3_RC1, exit_at_task_exit=True)
REPAIRED = replace(LINUX_2_6_33, exiting_task_gets_none=True, cache_write_rechecks=True)
"""2.6.33, and what was repaired later without a change of the design."""
