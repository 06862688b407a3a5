# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of trouble that a kernel reports, and how each report begins and ends."""

from __future__ import annotations

import re
from enum import StrEnum

from harness.outcomes import Outcome


class Kind(StrEnum):
    """What went wrong in a guest, finer than an outcome.

    Those after `HUNG_TASK` no console tells: they are seen from outside.
    """

    PANIC = "panic"
    OOPS = "oops"
    BUG = "bug"
    DOUBLE_FAULT = "double_fault"
    STACK_OVERFLOW = "stack_overflow"
    KASAN = "kasan"
    KFENCE = "kfence"
    KCSAN = "kcsan"
    UBSAN = "ubsan"
    WARN = "warn"
    LOCKDEP = "lockdep"
    ATOMIC_SLEEP = "atomic_sleep"
    BAD_STATE = "bad_state"
    OOM = "oom"
    SOFT_LOCKUP = "soft_lockup"
    HARD_LOCKUP = "hard_lockup"
    RCU_STALL = "rcu_stall"
    HUNG_TASK = "hung_task"
    RESET = "reset"
    POWER_OFF = "power_off"
    SILENCE = "silence"
    IDLE = "idle"
    QEMU_EXIT = "qemu_exit"
    HOST = "host"

    @property
    def outcome(self) -> Outcome:
        """The outcome that this kind counts as."""
        return _OUTCOMES.get(self, Outcome.KERNEL_WARN)


_OUTCOMES = {
    Kind.PANIC: Outcome.KERNEL_PANIC,
    Kind.OOPS: Outcome.KERNEL_OOPS,
    Kind.BUG: Outcome.KERNEL_OOPS,
    Kind.DOUBLE_FAULT: Outcome.KERNEL_OOPS,
    Kind.STACK_OVERFLOW: Outcome.KERNEL_OOPS,
    Kind.KASAN: Outcome.KERNEL_OOPS,
    Kind.KFENCE: Outcome.KERNEL_OOPS,
    Kind.SOFT_LOCKUP: Outcome.KERNEL_LOCKUP,
    Kind.HARD_LOCKUP: Outcome.KERNEL_LOCKUP,
    Kind.RCU_STALL: Outcome.KERNEL_LOCKUP,
    Kind.HUNG_TASK: Outcome.KERNEL_HUNG_TASK,
    Kind.RESET: Outcome.KERNEL_LOST,
    Kind.POWER_OFF: Outcome.KERNEL_LOST,
    Kind.SILENCE: Outcome.KERNEL_LOST,
    Kind.IDLE: Outcome.KERNEL_BOOT_TIMEOUT,
    Kind.QEMU_EXIT: Outcome.INFRA_QEMU,
    Kind.HOST: Outcome.INFRA_QEMU,
}

_LOCKDEP = (
    r"WARNING: (?:possible (?:circular|recursive|irq) |inconsistent lock state|suspicious RCU usage"
    r"|\S+-safe -> \S+-unsafe lock order|bad (?:unlock balance|contention) detected"
    r"|held lock freed|lock held when returning|Nested lock was not taken|.*still has locks held)"
    r"|\[ BUG: Invalid wait context \]"
    r"|INFO: trying to register non-static key|BUG: (?:MAX_|spinlock |rwlock )"
)
# How the first line of each report begins: the first that matches decides. From 6.1 and 6.12:
# arch/x86/kernel/{dumpstack,traps}.c, arch/x86/mm/fault.c, kernel/{panic,watchdog,hung_task}.c,
# kernel/locking/lockdep.c, kernel/rcu/tree_stall.h, kernel/sched/core.c, kernel/kcsan/report.c,
# lib/ubsan.c, mm/{kasan,kfence}/report.c, mm/{oom_kill,page_alloc,slub}.c.
_STARTS: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"Kernel panic - not syncing", Kind.PANIC),
        (r"(?:watchdog: )?BUG: soft lockup", Kind.SOFT_LOCKUP),
        (
            r"(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP",
            Kind.HARD_LOCKUP,
        ),
        (r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected .*stall", Kind.RCU_STALL),
        (r"INFO: task .+ blocked (?:for more than|in I/O wait)", Kind.HUNG_TASK),
        (r"(?:traps: )?PANIC: double fault", Kind.DOUBLE_FAULT),
        (r"BUG: .*stack guard page was hit", Kind.STACK_OVERFLOW),
        (r"(?:Oops: )?double fault: [0-9a-f]{4} \[#\d+\]", Kind.DOUBLE_FAULT),
        (r"BUG: KASAN: ", Kind.KASAN),
        (r"BUG: KFENCE: ", Kind.KFENCE),
        (r"BUG: KCSAN: ", Kind.KCSAN),
        (r"UBSAN: ", Kind.UBSAN),
        (_LOCKDEP, Kind.LOCKDEP),
        (r"BUG: (?:sleeping function|scheduling while)", Kind.ATOMIC_SLEEP),
        (r"BUG: (?:workqueue leaked|using __?this_cpu|using smp|atomic)", Kind.ATOMIC_SLEEP),
        (r"BUG: (?:Bad (?:page|rss)|non-zero|assuming)|BUG \S+ \(.*\): ", Kind.BAD_STATE),
        (r"BUG: workqueue lockup", Kind.WARN),
        (r"kernel BUG at ", Kind.BUG),
        (r"BUG: |(?:traps: )?PANIC: ", Kind.OOPS),
        (r"Oops: |general protection fault[:,]|Unable to handle kernel", Kind.OOPS),
        (r"[\w -]+(?:, [^:]*)?: [0-9a-f]{4} \[#\d+\]", Kind.OOPS),
        (r"WARNING: |unchecked MSR access error: ", Kind.WARN),
        (r"\S.* invoked oom-killer: gfp_mask=", Kind.OOM),
    )
)
# "============": the frame of a sanitizer's report, and lockdep's line before and after its title.
RULER = re.compile(r"=+$")
CUT_HERE = re.compile(r"-+\[ cut here \]-+$")
# panic() names the offset last before it resets the machine, which panic=-1 makes it do.
_END = re.compile(r"---\[ end (?:trace|Kernel panic)|Kernel Offset: ")
_OOM_END = re.compile(r"(?:Out of memory.*|Memory cgroup out of memory): Killed process")
# Reports between two rulers.
_FRAMED = {Kind.KASAN, Kind.KFENCE, Kind.KCSAN, Kind.UBSAN}
# A panic that only carries out what a report's end asks for, before that end.
PANIC_ON_WARN = re.compile(r"Kernel panic - not syncing: .*panic_on_warn set")


def classify(text: str) -> Kind | None:
    """Return what the first line of a report means; None where `text` begins no report.

    `text` is a line of the kernel's log without its prefix.
    """
    for pattern, kind in _STARTS:
        if pattern.match(text):
            return kind
    return None


def ends(kind: Kind, text: str) -> bool:
    """Return whether the line `text` is the last of a report of that kind."""
    if _END.match(text):
        return True
    if kind in _FRAMED:
        return RULER.match(text) is not None
    return kind is Kind.OOM and _OOM_END.match(text) is not None


def dies(kind: Kind) -> bool:
    """Return whether the guest can't be used any more after a report of that kind."""
    return kind.outcome.kernel_died
