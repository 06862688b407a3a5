# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's counter files: vmstat, meminfo, interrupts and others, and the pull of them all."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.measure.cache import parse_orders, parse_unmapped_alloc
from harness.measure.cpa import parse_cpa_stats
from harness.measure.interrupts import BETWEEN_CPUS, parse_interrupts
from harness.measure.meminfo import DIRECT_MAP, parse_meminfo
from harness.measure.pull import PULL_COMMAND, pull_command, split_pull, write_pull
from harness.measure.vmstat import LEVEL2_SPLITS, LEVEL3_SPLITS, deltas, parse_vmstat

DATA = Path(__file__).parent / "data"
CACHE = """\
Page block order: 9
Order        0      1      2
Free         3      0      1
Cached       0      0      2
Released     1      1      0
"""
# As cpastats_show() in arch/x86/mm/pat/set_memory.c of 6.1 and 6.12 prints it.
CPA_STATS = """\
1G pages checked:                    3
1G pages sameprot:                   0
1G pages preserved:                  1
2M pages checked:                  270
2M pages sameprot:                  12
2M pages preserved:                  4
4K pages set-checked:             8931
"""
ONE_CPU = """\
           CPU0
  4:          2   IO-APIC   4-edge      ttyS0
LOC:        581   Local timer interrupts
RES:          0   Rescheduling interrupts
CAL:          0   Function call interrupts
TLB:          0   TLB shootdowns
ERR:          0
"""
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


def test_vmstat_of_a_real_guest() -> None:
    before = parse_vmstat((DATA / "vmstat-before.txt").read_text())
    after = parse_vmstat((DATA / "vmstat-after.txt").read_text())
    moved = deltas(before, after)
    assert (moved[LEVEL2_SPLITS], moved[LEVEL3_SPLITS]) == (3, 1)


def test_meminfo_of_a_real_guest() -> None:
    before = parse_meminfo((DATA / "meminfo-before.txt").read_text())
    after = parse_meminfo((DATA / "meminfo-after.txt").read_text())
    moved = deltas(before, after)
    assert [moved[name] for name in DIRECT_MAP] == [3 * 2048, 1042432, -(1 << 20)]
    assert before["HugePages_Total"] == 0


def test_deltas_leave_out_what_only_one_side_has() -> None:
    assert deltas({"a": 1, "gone": 5}, {"a": 4, "new": 2}) == {"a": 3}


@given(st.dictionaries(names, st.integers(-(2**63), 2**63)))
def test_vmstat_round_trip(counters: dict[str, int]) -> None:
    text = "".join(f"{name} {value}\n" for name, value in counters.items())
    assert parse_vmstat(text) == counters


@given(st.dictionaries(names, st.integers(0, 2**63)))
def test_meminfo_round_trip(sizes: dict[str, int]) -> None:
    text = "".join(f"{name + ':':<16}{value:8d} kB\n" for name, value in sizes.items())
    # A name that fills its column still has a space before the number in the kernel's file.
    assert parse_meminfo(text.replace(":", ": ")) == sizes


def test_cache_rows_are_pages() -> None:
    assert parse_orders(CACHE)["Free"] == [3, 0, 1]
    assert parse_unmapped_alloc(CACHE) == {"Free": 7, "Cached": 8, "Released": 3}
    assert parse_unmapped_alloc(CACHE.replace("Free ", "Free:"))["Free"] == 7


@pytest.mark.parametrize(
    "text",
    ["", CACHE.replace("Cached", "Cahced"), CACHE + "Free 1\n", CACHE.replace("3 ", "x ")],
)
def test_a_cache_file_that_lacks_a_row_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_unmapped_alloc(text)


@given(st.tuples(*[st.lists(st.integers(0, 1 << 20), min_size=1, max_size=11)] * 3))
def test_cache_round_trip(rows: tuple[list[int], ...]) -> None:
    expected = dict(zip(("Free", "Cached", "Released"), rows, strict=True))
    text = "".join(f"{row:<12}{' '.join(map(str, counts))}\n" for row, counts in expected.items())
    assert parse_orders(text) == expected


def test_interrupts_of_a_real_guest() -> None:
    found = parse_interrupts((DATA / "interrupts.txt").read_text())
    assert found.cpus == 4
    assert found.rows["CAL"] == [102, 35, 57, 71]
    assert found.rows["21"] == [0, 0, 18, 0]
    assert found.rows["MIS"] == [0]
    assert found.between_cpus() == {"CAL": 265, "TLB": 5, "RES": 61}


def test_one_cpu_sends_no_other_anything() -> None:
    """What can't be is not none: a figure of 0 would say that a kernel does without flushes."""
    found = parse_interrupts(ONE_CPU)
    assert found.rows["LOC"] == [581]
    assert found.between_cpus() == {}


def test_a_device_called_by_a_number_is_no_count() -> None:
    heading, row = "     CPU0       CPU1       \n", " 30:          5          6  7  8-edge  9\n"
    assert parse_interrupts(heading + row).rows == {"30": [5, 6]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CAL: 1 2\n",
        ONE_CPU.replace("CPU0", "CPUs"),
        ONE_CPU + "CAL: 1\n",
        ONE_CPU.replace("581", "58x"),
        ONE_CPU.replace("CPU0", "CPU0 CPU1 CPU2").replace("581", "581 582"),
        ONE_CPU + "Local timer interrupts\n",
    ],
)
def test_interrupts_that_fit_no_cpu_are_refused(text: str) -> None:
    with pytest.raises(ParseError, match="/proc/interrupts"):
        parse_interrupts(text)


@st.composite
def interrupts(draw: st.DrawFn) -> tuple[int, dict[str, list[int]]]:
    cpus = draw(st.integers(1, 9))
    counts = st.lists(st.integers(0, 2**32 - 1), min_size=cpus, max_size=cpus)
    rows = st.one_of(
        st.from_regex(r"[1-9][0-9]{0,3}", fullmatch=True), st.sampled_from(["LOC", "NMI"])
    )
    return cpus, draw(st.dictionaries(st.one_of(rows, st.sampled_from(BETWEEN_CPUS)), counts))


@given(interrupts())
def test_interrupts_round_trip(drawn: tuple[int, dict[str, list[int]]]) -> None:
    cpus, rows = drawn
    heading = " " * 11 + "".join(f"CPU{cpu:<8d}" for cpu in range(cpus))
    lines = [
        f"{name:>3}: {''.join(f'{count:10d} ' for count in counts)}  IO-APIC   4-edge      x"
        for name, counts in rows.items()
    ]
    found = parse_interrupts("\n".join([heading, *lines, "ERR: " + f"{7:10d}", ""]))
    assert found.cpus == cpus
    assert found.rows == {**rows, "ERR": [7]}
    expected = {name: sum(rows[name]) for name in BETWEEN_CPUS if name in rows and cpus > 1}
    assert found.between_cpus() == expected


def test_changes_of_attributes_by_size() -> None:
    assert parse_cpa_stats(CPA_STATS) == {
        "1G_checked": 3,
        "1G_sameprot": 0,
        "1G_preserved": 1,
        "2M_checked": 270,
        "2M_sameprot": 12,
        "2M_preserved": 4,
        "4K_set_checked": 8931,
    }
    assert parse_cpa_stats("") == {}


@pytest.mark.parametrize(
    "text",
    [CPA_STATS + "2M pages checked: 1\n", CPA_STATS.replace("270", "-1"), "pages checked: 1\n"],
)
def test_cpa_stats_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ParseError, match="cpa_stats"):
        parse_cpa_stats(text)


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["4K", "2M", "1G", "512G"]),
            st.from_regex(r"[a-z]{1,9}", fullmatch=True),
        ),
        st.integers(0, 2**64 - 1),
    )
)
def test_cpa_stats_round_trip(counts: dict[tuple[str, str], int]) -> None:
    text = "".join(
        f"{size} pages {what + ':':<14}{count:17d}\n" for (size, what), count in counts.items()
    )
    expected = {f"{size}_{what}": count for (size, what), count in counts.items()}
    assert parse_cpa_stats(text) == expected


@pytest.mark.parametrize(
    "parse",
    [parse_vmstat, parse_meminfo, parse_unmapped_alloc, parse_interrupts, parse_cpa_stats],
)
@given(text=st.text())
def test_any_text_is_parsed_or_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with contextlib.suppress(ParseError):
        parse(text)


@pytest.mark.parametrize("shell", ["sh", "busybox sh"])
def test_the_pull_command_frames_files_byte_for_byte(tmp_path: Path, shell: str) -> None:
    argv = shell.split()
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]} here")
    contents = {
        "one": b"a line\n\n\n",
        "two": b"@@ end\n@@ vmstat 5\n",
        "three": b"no newline, a percent % and a \\n",
        "empty": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files = {name: str(tmp_path / name) for name in [*contents, "missing"]}
    done = subprocess.run([*argv, "-c", pull_command(files)], capture_output=True, check=True)
    assert split_pull(done.stdout) == contents
    assert done.stderr == b""


def test_the_real_pull_command_works_here() -> None:
    done = subprocess.run(["sh", "-c", PULL_COMMAND], capture_output=True, check=True)
    parts = split_pull(done.stdout)
    assert parse_vmstat(parts["vmstat"].decode())["nr_free_pages"] > 0
    assert parse_meminfo(parts["meminfo"].decode())["MemTotal"] > 0


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.binary()))
def test_split_round_trip(parts: dict[str, bytes]) -> None:
    framed = b"".join(
        b"@@ %s %d\n%s" % (name.encode(), len(content), content) for name, content in parts.items()
    )
    assert split_pull(framed + b"@@ end\n") == parts
    with pytest.raises(ParseError):
        split_pull(framed)


@given(st.binary())
def test_any_bytes_are_split_or_refused(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        split_pull(data)


def test_a_pull_is_written_to_files(tmp_path: Path) -> None:
    write_pull({"vmstat": b"a 1\n", "page_tables": b"\xff"}, tmp_path / "new" / "before")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "before").iterdir()}
    assert written == {"vmstat": b"a 1\n", "page_tables": b"\xff"}
