# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's own test modules say in its log; the lines are real."""

from __future__ import annotations

from harness.testing.upstream import Tally, bpf_tallies, meminit_tallies, vmalloc_tallies

VMALLOC = """\
[   12.1] Summary: fix_size_alloc_test passed: 1 failed: 0 repeat: 1 loops: 50 avg: 5121 usec
[   12.1] Summary: full_fit_alloc_test passed: 1 failed: 0 repeat: 1 loops: 50 avg: 41214 usec
[   12.1] All test took worker0=21211321 cycles
[   12.1] Summary: fix_size_alloc_test passed: 0 failed: 1 repeat: 1 loops: 50 avg: 5121 usec
[   12.1] Summary: full_fit_alloc_test passed: 1 failed: 0 repeat: 1 loops: 50 avg: 41214 usec
"""
BPF = """\
[   30.1] test_bpf: #1052 XADD_DW: X + 1 + 1 + 1 + ... jited:1 4077 PASS
[   30.2] test_bpf: Summary: 1052 PASSED, 0 FAILED, [1038/1040 JIT'ed]
[   30.3] test_bpf: test_tail_calls: Summary: 9 PASSED, 1 FAILED, [10/10 JIT'ed]
[   30.4] test_bpf: test_skb_segment: Summary: 2 PASSED, 0 FAILED
"""
MEMINIT = """\
[    9.1] test_meminit: all 10 tests in test_pages passed
[    9.1] test_meminit: test_kvmalloc failed 3 out of 40 times
[    9.1] test_meminit: failures: 3 out of 50
"""


def test_vmalloc_s_threads_are_added_up() -> None:
    assert vmalloc_tallies(VMALLOC.splitlines()) == [
        Tally("fix_size_alloc_test", 1, 1),
        Tally("full_fit_alloc_test", 2, 0),
    ]


def test_bpf_s_suites_tell_what_was_interpreted() -> None:
    assert bpf_tallies(BPF.splitlines()) == [
        Tally("test_bpf", 1052, 0, 2),
        Tally("test_tail_calls", 9, 1),
        Tally("test_skb_segment", 2, 0),
    ]


def test_meminit_s_kinds_of_memory_are_told_apart() -> None:
    assert meminit_tallies(MEMINIT.splitlines()) == [
        Tally("test_pages", 10, 0),
        Tally("test_kvmalloc", 37, 3),
    ]
