# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's counter files: vmstat, meminfo, unmapped_alloc, and the pull of them all."""

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


@pytest.mark.parametrize("parse", [parse_vmstat, parse_meminfo, parse_unmapped_alloc])
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
