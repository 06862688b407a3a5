# SPDX-License-Identifier: GPL-2.0-or-later
"""Proofs that a kernel of the cache has the bytes of a clean build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.artifact import Kernel
from harness.kernel.builder import plan_build
from harness.kernel.elf import (
    describe_difference,
    first_difference,
    parse_sections,
    parse_symbols,
    symbol_at,
)
from harness.kernel.teller import Teller
from harness.kernel.trees import kept_trees
from harness.kernel.variant import parse
from harness.kernel.verify import PROOF, DifferentBytesError, Proof, differing, read_proof, verify
from harness.outcomes import ExitCode
from tests.unit.kernel.project import Project

READELF = """\
There are 36 section headers, starting at offset 0x1a00000:

Section Headers:
  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0
  [ 1] .text             PROGBITS        ffffffff81000000 200000 600d4c 00  AX  0   0 4096
  [14] .data..percpu     PROGBITS        0000000000000000 e00000 01a000 00  WA  0   0 4096
  [24] .bss              NOBITS          ffffffff82000000 1200000 200000 00  WA  0   0 4096
"""
MAP = """\
ffffffff81000000 T _text
ffffffff81000070 T startup_64
nonsense
ffffffff810000a0 t verify_cpu
"""


def prove(project: Project, kernel: Kernel, *, again: bool = False) -> Proof:
    request, _ = plan_build(
        parse(kernel.variant),
        "fast",
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
    )
    teller = Teller(parse(kernel.variant), "fast", project.events.append)
    project.events.clear()
    return verify(kernel, request, project.cache, teller, again=again)


def test_a_proof_is_made_once(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    project.obtain()
    kernel = project.obtain("mini+fix@v1")
    assert kernel.meta["reuse"]["how"] == "forked"
    trees = kept_trees(project.cache)
    proof = prove(project, kernel)
    assert {"check out", "configure", "compile", "compare"} <= set(project.phases())
    assert "fork" not in project.phases()
    assert proof.files == 5
    assert prove(project, kernel) == proof
    assert project.phases() == []
    assert project.obtain("mini+fix@v1") == kernel
    assert prove(project, kernel, again=True).of == proof.of
    assert "compile" in project.phases()
    # It left nothing behind but the proof.
    assert kept_trees(project.cache) == trees
    assert list(project.cache.work.glob("[!.]*")) == [] and not list(project.cache.logs.glob("*"))


def test_a_proof_is_of_the_bytes_it_was_made_for(project: Project) -> None:
    kernel = project.obtain()
    proof = prove(project, kernel)
    text = (kernel.folder / PROOF).read_text()
    kernel.bzimage.write_bytes(b"other")
    assert read_proof(kernel) is None
    again = project.obtain()
    assert not again.cached and not (again.folder / PROOF).exists()
    (again.folder / PROOF).write_text(text)
    assert read_proof(again) == proof
    for broken in ("", "{}", "[]", json.dumps({**json.loads(text), "format": 99})):
        (again.folder / PROOF).write_text(broken)
        assert read_proof(again) is None


def test_a_dependency_that_make_does_not_know_is_found(project: Project) -> None:
    """The fault is real: this Makefile does not say that the objects depend on a header."""
    makefile = project.source / "Makefile"
    makefile.write_text(makefile.read_text().replace("%.c include/linux/pages.h\n", "%.c\n"))
    project.pack()
    project.obtain()
    header = project.source / "include/linux/pages.h"
    project.edit({"include/linux/pages.h": ("PAGES", "PAGES 7 //")})
    assert "PAGES" in header.read_text()
    kernel = project.obtain("mini+fix@v1")
    assert kernel.meta["reuse"]["steps"] == 0
    with pytest.raises(DifferentBytesError) as caught:
        prove(project, kernel)
    assert caught.value.exit_code == ExitCode.FAILURE
    words = str(caught.value)
    assert "mini+fix@v1: the kernel in the cache is not what a clean build gives" in words
    assert any(line.startswith("vmlinux: ") for line in caught.value.lines)
    assert any("differ from byte" in line for line in caught.value.lines)
    assert not kernel.folder.exists()
    assert kernel.key not in [tree.record.key for tree in kept_trees(project.cache)]


def test_which_files_differ() -> None:
    assert differing({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}) == [
        "b",
        "c",
        "d",
    ]


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 5000))
def test_the_first_byte_that_differs(one: bytes, other: bytes, zeros: int) -> None:
    ours, clean = bytes(zeros) + one, bytes(zeros) + other
    at = first_difference(ours, clean)
    if at < 0:
        assert ours == clean
    else:
        assert ours[:at] == clean[:at] and ours[at : at + 1] != clean[at : at + 1]


def test_sections_and_symbols() -> None:
    sections = parse_sections(READELF)
    assert [section.name for section in sections] == [".text", ".data..percpu"]
    assert (sections[0].address, sections[0].offset) == (0xFFFFFFFF81000000, 0x200000)
    symbols = parse_symbols(MAP)
    assert symbol_at(symbols, 0xFFFFFFFF81000078) == "startup_64+0x8"
    assert symbol_at(symbols, 0xFFFFFFFF81000000) == "_text+0x0"
    assert symbol_at(symbols, 0x10) == "" and symbol_at([], 1) == ""


@given(st.text())
def test_any_text_has_some_symbols_and_sections(text: str) -> None:
    parse_sections(text)
    parse_symbols(text)


def test_a_difference_in_words(project: Project, tmp_path: Path) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    one, other = project.obtain(), project.obtain("mini+fix@v1")
    lines = describe_difference("vmlinux", one.vmlinux, other.vmlinux, one.system_map)
    assert lines[0].startswith("vmlinux: ")
    missing = describe_difference("modules/x.ko", tmp_path / "x", one.vmlinux, one.system_map)
    assert missing == ["modules/x.ko: only in the clean build"]
    objects = [
        tree.source / "build/mm/pages.o"
        for tree in sorted(kept_trees(project.cache), key=lambda tree: tree.record.variant)
    ]
    lines = describe_difference("pages.o", *objects, tmp_path / "nosuch")
    assert any(line.startswith("  .text: ") for line in lines)
