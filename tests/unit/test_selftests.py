# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own selftests: what a collection is, and what its programs' output means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.guest.completed import Completed
from harness.kernel.artifact import Kernel
from harness.kernel.selftest_build import obtain_selftests
from harness.kernel.selftests import (
    MANIFEST,
    compile_reasons,
    invocations,
    load_selftests,
    parse_limit,
    parse_list,
    plan_programs,
)
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from harness.testing.selftest import judge_program

# Lines as run_vmtests.sh has them, of 6.1 and of 6.12.
SCRIPT = """
run_test() {
	if test_selected ${CATEGORY}; then
mount -t hugetlbfs none "$mnt"
run_test ./hugepage-mmap
run_test ./hugepage-mremap "$mnt"/huge_mremap
CATEGORY="gup_test" run_test ./gup_test -u
# "-F 0x1"
CATEGORY="gup_test" run_test ./gup_test -ct -F 0x1 0 19 0x1000
uffd_stress_bin=./uffd-stress
CATEGORY="userfaultfd" run_test ${uffd_stress_bin} anon 20 16
CATEGORY="userfaultfd" run_test ${uffd_stress_bin} hugetlb "$half_ufd_size_MB" 32
	run_test ./userfaultfd anon${mod} 20 16
	run_test sudo -u nobody ./on-fault-limit
CATEGORY="thp" run_test ./split_huge_page_test ${SPLIT_HUGE_PAGE_TEST_XFS_PATH}
run_test ./memfd_secret
run_test ./memfd_secret
"""
# What `make -k -Otarget` printed of the collection vm of 6.1.192, where libcap-dev is missing.
BUILD = """\
make: Entering directory '/src/tools/testing/selftests/vm'
gcc -Wall -I /src/x/../../..   -static  compaction_test.c -lrt -lpthread -o /out/compaction_test
gcc -Wall -static  hmm-tests.c -lrt -lpthread -o /out/hmm-tests
hmm-tests.c:34:10: fatal error: lib/test_hmm_uapi.h: No such file or directory
   34 | #include "lib/test_hmm_uapi.h"
      |          ^~~~~~~~~~~~~~~~~~~~~
compilation terminated.
make: *** [../lib.mk:155: /out/hmm-tests] Error 1
gcc -Wall -static  mlock-random-test.c -lrt -lpthread -lcap -o /out/mlock-random-test
/usr/bin/ld: cannot find -lcap: No such file or directory
collect2: error: ld returned 1 exit status
make: *** [../lib.mk:155: /out/mlock-random-test] Error 1
make: Target 'all' not remade because of errors.
"""


def done(status: int, stdout: str = "", stderr: str = "") -> Completed:
    return Completed(status, stdout.encode(), stderr.encode())


def test_calls_are_those_of_the_kernel_s_own_script() -> None:
    assert invocations(SCRIPT) == {
        "hugepage-mmap": [""],
        "hugepage-mremap": ["./huge/huge_mremap"],
        "gup_test": ["-u", "-ct -F 0x1 0 19 0x1000"],
        "uffd-stress": ["anon 20 16", "hugetlb 64 32"],
        "userfaultfd": ["anon 20 16"],
        "memfd_secret": [""],
    }


def test_a_program_that_the_script_does_not_call_is_not_run() -> None:
    kinds = {"memfd_secret": "file", "write_to_hugetlbfs": "file", "soft-dirty": "program"}
    programs = {found.name: found for found in plan_programs("vm", kinds, invocations(SCRIPT))}
    assert programs["memfd_secret"].reason == ""
    assert programs["soft-dirty"].commands == ("",)
    assert "run_vmtests.sh does not call it" in programs["write_to_hugetlbfs"].reason


def test_without_that_script_programs_are_run_and_files_are_not() -> None:
    kinds = {"posix_timers": "program", "helper": "file", "run.sh": "script"}
    programs = {found.name: found for found in plan_programs("timers", kinds, None)}
    assert sorted(programs) == ["posix_timers", "run.sh"]
    assert programs["posix_timers"].reason == ""
    assert "bash" in programs["run.sh"].reason


def test_what_does_not_compile_has_the_compiler_s_words() -> None:
    reasons = compile_reasons(BUILD.splitlines(), Path("/src"))
    missing = "fatal error: lib/test_hmm_uapi.h: No such file or directory"
    assert reasons == {
        "hmm-tests": f"hmm-tests.c:34:10: {missing}",
        "mlock-random-test": "/usr/bin/ld: cannot find -lcap: No such file or directory",
    }


def test_make_s_list_and_the_settings_are_read() -> None:
    listed = ["make: Entering", "program soft-dirty", "file gup_test", "file soft-dirty", "script "]
    assert parse_list(listed) == {"soft-dirty": "program", "gup_test": "file"}
    assert parse_limit("# seconds\ntimeout=180\n") == 180.0
    assert parse_limit("nothing") is None


def test_a_program_without_ktap_is_judged_by_its_status() -> None:
    [result] = judge_program("./x", done(0, "fine\n"))
    assert result.outcome is Outcome.PASS
    [result] = judge_program("./x", done(1, "one\ntwo\n", "mmap: no memory\n"))
    assert (result.outcome, result.reason) == (
        Outcome.FAIL,
        "exit status 1: one; two; mmap: no memory",
    )
    [result] = judge_program("./x", done(4, "SKIP: not root\n"))
    assert (result.outcome, result.reason) == (Outcome.SKIP, "SKIP: not root")
    [result] = judge_program("./x", done(139))
    assert result.outcome is Outcome.FAIL


def test_a_program_s_ktap_counts_and_so_does_a_status_that_it_does_not_explain() -> None:
    good = "TAP version 13\n1..2\nok 1 file IO is blocked\nok 2 # SKIP ptrace is not there\n"
    outcomes = [result.outcome for result in judge_program("./x", done(0, good))]
    assert outcomes == [Outcome.PASS, Outcome.SKIP]
    *_, last = judge_program("./x", done(139, good))
    assert (last.outcome, last.reason) == (Outcome.FAIL, "exit status 139")
    bad = good.replace("ok 1", "not ok 1")
    outcomes = [result.outcome for result in judge_program("./x", done(1, bad))]
    assert outcomes == [Outcome.FAIL, Outcome.SKIP]


def test_a_program_that_gives_its_plan_up_for_a_reason_is_skipped() -> None:
    # ksm_functional_tests of 6.12 on a kernel without KSM.
    text = "TAP version 13\n1..9\nok 2 # SKIP open() failed\n"
    [result] = judge_program("./x", done(4, text))
    assert (result.outcome, result.reason) == (Outcome.SKIP, "open() failed")


def test_a_program_that_dies_half_way_does_not_pass() -> None:
    cut = "TAP version 13\n1..3\nok 1 one\n"
    outcomes = [result.outcome for result in judge_program("./x", done(139, cut))]
    assert outcomes == [Outcome.PASS, Outcome.TEST_ERROR]


def test_a_collection_is_read_back(tmp_path: Path) -> None:
    entry = {"collection": "mm", "name": "cow", "commands": ["", "-s 2"], "reason": ""}
    facts = {"collection": "mm", "limit": 180, "programs": [entry]}
    (tmp_path / MANIFEST).write_text(json.dumps(facts))
    found = load_selftests(tmp_path)
    assert found.find("cow").commands == ("", "-s 2")
    assert found.find("memfd_secret").reason == "mm has no memfd_secret"


def test_what_was_built_elsewhere_has_no_selftests(tmp_path: Path) -> None:
    kernel = Kernel("k", "image:x", "", "6.1", "t", "gcc", tmp_path, meta={"image": "x"})
    with pytest.raises(UserError, match="built elsewhere"):
        obtain_selftests(kernel, parse("image:x"), "mm", listen=lambda _event: None)


@pytest.mark.parametrize("name", ["../etc", "/etc", "mm;rm", ""])
def test_a_collection_is_a_folder_s_name(tmp_path: Path, name: str) -> None:
    kernel = Kernel("k", "debian-6.1", "fast", "6.1", "t", "gcc", tmp_path, meta={"key": "k"})
    with pytest.raises(UserError, match="no collection"):
        obtain_selftests(kernel, parse("debian-6.1"), name, listen=lambda _event: None)
