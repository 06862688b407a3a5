# SPDX-License-Identifier: GPL-2.0-or-later
"""A report's stack: its frames, the function to blame, and a fingerprint."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.guest.trouble import Kind

# How many frames, from the guilty one outwards, make a fingerprint: enough to tell callers apart,
# few enough to leave out how the kernel was entered.
_PRINTED = 4

# func+0x12/0x34 [module], as %pS prints it. gcc's suffixes belong to the symbol.
_SYMBOL = (
    r"(?P<function>[A-Za-z_][\w.$]*)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)"
    r"(?: \[(?P<module>[\w-]+)[^\]]*\])?"
)
_TRACE = re.compile(rf" *(?:\[<[0-9a-f]+>\])? *(?P<doubt>\? )?{_SYMBOL}(?: .*)?$")
_RAW = re.compile(r" (?P<doubt>\? )?0x(?P<address>[0-9a-f]{16})$")
_RIP = re.compile(rf"RIP: (?P<cs>[0-9a-f]{{4}}):(?:{_SYMBOL}|(?:0x)?(?P<address>[0-9a-f]+))")
# The kernel jumped to where no code is: what stands there is not to blame.
_JUMPED = re.compile(r"#PF: supervisor instruction fetch")
_NAMED = re.compile(rf"(?:WARNING: .* at \S+:\d+|BUG: K\w+: .*?\b(?:in|at)|.*, at:) {_SYMBOL}")
_RACE = re.compile(r"BUG: KCSAN: .*? in (?P<function>[\w.$]+)")
_TRACE_BEGINS = re.compile(r"Call Trace:|stack backtrace:| *<(?:TASK|IRQ|NMI|SOFTIRQ|#\w+)>")
_TRACE_ENDS = re.compile(r"(?!RIP: |RSP: |Code: |R[A-Z0-9]{2}: |ORIG_RAX)\S.*")
# A report that describes a memory's life after the access itself (KASAN, KFENCE, lockdep).
_HISTORY = re.compile(
    r"(?:Allocated|Freed|allocated|freed) by task|Last potentially related|kfence-#\d+:"
    r"|the existing dependency chain|-> #\d+ \(|stack backtrace:"
)
# What the compiler appends to a function that it cut up or copied.
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv)(?:\.\d+)?")
_NUMBER = re.compile(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b")

# How a report is made: not what it is about. Whole names.
_MACHINERY = re.compile(
    r"""(?:__)?(?:
    dump_stack(?:_lvl)?|stack_chk_fail|show_stack|show_regs|show_trace\w*|panic|nmi_panic|die\w*|oops_\w+|no_context
    |warn|warn_slowpath\w*|report_bug|handle_bug|handle_invalid_op|do_error_trap|do_trap\w*
    |exc_\w+|asm_exc_\w+|sysvec_\w+|asm_sysvec_\w+|asm_common_interrupt|common_interrupt
    |error_entry|paranoid_entry|page_fault_oops|bad_area\w*|do_(?:user|kern)_addr_fault|fixup_exception
    |kasan_\w+|print_report|print_address_\w+|asan_\w+|hwasan_\w+|check_(?:region|memory)\w*|kfence_\w+
    |tsan_\w+|kcsan_\w+|ubsan_\w+|handle_overflow|check_panic_on_warn
    |check_(?:noncircular|prev_add|prevs_add|wait_context|irq_usage|usage\w*|deadlock|flags)\w*
    |print_(?:circular|deadlock|usage|irq|bad|lock|unlock|freed)\w*|mark_(?:lock|usage|held)\w*
    |validate_chain|lock_(?:acquire|release)|lockdep_\w+|debug_\w+|rcu_lockdep\w*|reacquire_held_locks
    |might_(?:sleep|resched|fault)\w*|schedule_(?:bug|debug)|register_lock_class|lock_class_key
    |nmi_\w+|default_do_nmi|unknown_nmi\w*|end_repeat_nmi|nmi|trigger_\w+_backtrace|arch_trigger\w*
    |rcu_(?:sched_clock_irq|dump_cpu_stacks|check_\w*|pending)|print_(?:cpu_stall|other_cpu_stall)\w*
    |update_process_times|tick_\w+|hrtimer_\w+|local_apic_timer\w*|watchdog_timer_fn|irq_exit_rcu
    |object_err|slab_err|slab_bug|print_tra\w+|(?:free|alloc)_debug_processing|free_to_partial_list
    |check_(?:object|slab|bytes)\w*|slab_fix
    |dump_header|oom_kill\w*|out_of_memory|mem_cgroup_out_of_memory|mem_cgroup_oom\w*
    |alloc_pages_may_oom|alloc_pages_slowpath\w*
    )""",
    re.VERBOSE,
)
# What others call, and is right in itself: its caller passed what can't be.
_HELPERS = re.compile(
    r"""(?:__)?_*(?:
    mem(?:cpy|move|set|cmp|chr|scan)(?:_\w+)?|str(?:n?len|n?cpy|scpy|n?cmp|chr|lcpy|lcat|cat)\w*
    |list_(?:add|del)\w*|list_add_valid\w*|list_del_entry_valid\w*|refcount_warn_saturate|usercopy_abort
    |check_heap_object|check_object_size|virt_addr_valid|fortify_panic|copy_overflow|copy_(?:to|from)_user\w*
    |raw_(?:spin|read|write)_(?:un)?(?:try)?lock\w*|native_queued_spin_lock_slowpath
    |queued_\w+_lock_slowpath|pv_\w*lock\w*|mutex_(?:lock|unlock|trylock)\w*|down(?:_read|_write)?\w*
    |up(?:_read|_write)?|rwsem_\w+|rt_mutex_\w+
    |schedule(?:_timeout|_preempt_disabled|_hrtimeout\w*|_idle)?|io_schedule\w*|preempt_schedule\w*
    |wait_for_\w*completion\w*|wait_for_common\w*|bit_wait\w*|wait_on_bit\w*|out_of_line_wait_on_bit\w*
    |might_fault|msleep\w*|usleep_range\w*|cond_resched\w*|x86_return_thunk
    |x86_indirect_thunk\w*|delay_\w+|const_udelay|udelay|ndelay|cpu_relax|native_(?:safe_)?halt
    |default_idle\w*|arch_cpu_idle|cpuidle\w*|do_idle|free_pages?|kmalloc(?:_(?:trace|node|large|order|slab|array)\w*)?|kmem_cache_(?:alloc|free)\w*
    |slab_(?:alloc|free)\w*|kfree
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Frame:
    """A place in the kernel's code, from a report.

    `function` is the symbol as printed and "" where the kernel had none: then `address` is its
    value, else 0. `offset` and `size` are in bytes. `module` is "" for vmlinux. `exact` says that
    it is the place itself (RIP), not one a call returns to; `doubtful` that the kernel is not sure
    that it belongs to the stack ("?").
    """

    function: str
    offset: int = 0
    size: int = 0
    module: str = ""
    address: int = 0
    exact: bool = False
    doubtful: bool = False

    @property
    def name(self) -> str:
        """The function as the source names it, without what the compiler appended."""
        return _SUFFIX.sub("", self.function)

    def __str__(self) -> str:
        if not self.function:
            return f"{self.address:#x}"
        module = f" [{self.module}]" if self.module else ""
        return f"{self.function}+{self.offset:#x}/{self.size:#x}{module}"


def find_frames(kind: Kind, lines: Sequence[str]) -> tuple[Frame, ...]:
    """Return the first stack in a report's `lines` (without printk's prefix), innermost first.

    What a report's own line names comes first, then where the kernel was (RIP), then the trace.
    User space's part, and the stacks that tell an object's history, are left out.
    """
    named = _named(lines)
    frames: list[Frame] = []
    in_trace = False
    past_rip = any(_JUMPED.match(text) for text in lines)
    for text in lines:
        rip = _RIP.match(text)
        if rip is not None:
            if _is_kernel(rip["cs"]) and (in_trace or not past_rip):
                frames.append(_frame(rip, exact=True))
                past_rip = True
            continue
        if _TRACE_BEGINS.match(text):
            if kind is Kind.LOCKDEP and text.startswith("stack backtrace"):
                frames = []
            in_trace = True
            continue
        frame = _trace_frame(text) if in_trace else None
        if frame is not None:
            frames.append(frame)
        elif in_trace and (_TRACE_ENDS.match(text) or _HISTORY.match(text)):
            if any(not known.exact for known in frames):
                break
            in_trace = False
    return (*named, *(frame for frame in frames if not _same(frame, named)))


def guilty(kind: Kind, frames: Iterable[Frame]) -> str:
    """Return the function that a report of that kind is about, "" where it shows none.

    That is the innermost one that neither makes the report nor is a mere helper of its caller.
    """
    known = _relevant(frames)
    return known[0].name if known and kind is not Kind.OOM else ""


def fingerprint(kind: Kind, title: str, frames: Iterable[Frame]) -> str:
    """Return twelve hexadecimal digits that name this trouble in any boot and on any machine.

    They come from the kind and the innermost frames that matter, by name; addresses, offsets,
    the compiler's suffixes, CPUs and PIDs are not in it, nor is a recursion's depth. Without
    frames it is the title, its numbers left out.
    """
    names = [name for name, _ in groupby(frame.name for frame in _relevant(frames))][:_PRINTED]
    what = names or [_NUMBER.sub("N", title)]
    return hashlib.sha256("\n".join([kind, *what]).encode()).hexdigest()[:12]


def _relevant(frames: Iterable[Frame]) -> list[Frame]:
    known = [frame for frame in frames if frame.function]
    sure = [frame for frame in known if not frame.doubtful] or known
    own = [frame for frame in sure if not _MACHINERY.fullmatch(frame.name)]
    first = next((i for i, frame in enumerate(own) if not _HELPERS.fullmatch(frame.name)), 0)
    return own[first:]


def _named(lines: Sequence[str]) -> tuple[Frame, ...]:
    """Return the frame that a report's own line names before any stack, if one does."""
    for text in lines:
        found = _NAMED.match(text)
        if found is not None:
            return (_frame(found, exact=True),)
        race = _RACE.match(text)
        if race is not None:
            return (Frame(race["function"], exact=True),)
        if _TRACE_BEGINS.match(text) or _RIP.match(text):
            break
    return ()


def _trace_frame(text: str) -> Frame | None:
    if not text.startswith((" ", "[<")):
        return None
    found = _TRACE.match(text) or _RAW.match(text)
    return None if found is None else _frame(found)


def _frame(found: re.Match[str], *, exact: bool = False) -> Frame:
    groups = found.groupdict()
    doubtful = bool(groups.get("doubt"))
    if groups.get("function"):
        return Frame(
            groups["function"],
            int(groups["offset"], 16),
            int(groups["size"], 16),
            groups.get("module") or "",
            exact=exact,
            doubtful=doubtful,
        )
    return Frame("", address=int(groups["address"], 16), exact=exact, doubtful=doubtful)


def _same(frame: Frame, named: tuple[Frame, ...]) -> bool:
    """Return whether a RIP says once more what the report's own line said (WARN)."""
    return (
        bool(named)
        and frame.exact
        and (frame.function, frame.offset)
        == (
            named[0].function,
            named[0].offset,
        )
    )


def _is_kernel(selector: str) -> bool:
    return int(selector, 16) & 3 == 0
