# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoding, on small programs that gcc makes here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.decode import (
    Decoder,
    Place,
    ask_addr2line,
    has_lines,
    kaslr_offset,
    parse_addr2line,
    stack_text,
)
from harness.guest.frames import Frame
from harness.guest.symbols import parse_symbol_table, parse_system_map, read_module

SOURCE = """\
static inline __attribute__((always_inline)) int inner(volatile int *where)
{
	return *where;
}
__attribute__((noinline)) int outer(volatile int *where)
{
	return inner(where) + 1;
}
__attribute__((noinline)) int panic(void) { return 3; }
int main(void) { int x = 1; return outer(&x) + panic(); }
"""
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("gcc", "nm", "addr2line", "objdump")),
    reason="gcc and binutils are not installed",
)


def compiled(folder: Path, *flags: str, name: str = "kernel/panic.c", out: str = "vmlinux") -> Path:
    source = folder / "tree" / name
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(SOURCE)
    program = folder / out
    subprocess.run(
        ["gcc", "-O2", "-fno-pie", *flags, "-o", program, source], check=True, capture_output=True
    )
    return program


def decoder(folder: Path, *flags: str) -> Decoder:
    vmlinux = compiled(folder, "-no-pie", *flags)
    listed = subprocess.run(["nm", "-n", vmlinux], capture_output=True, text=True, check=True)
    (folder / "System.map").write_text(listed.stdout)
    return Decoder(vmlinux, folder / "System.map", [folder])


def test_a_frame_becomes_functions_files_and_lines(tmp_path: Path) -> None:
    decode = decoder(tmp_path, "-g")
    assert decode.has_lines
    assert decode.source_root() == f"{tmp_path}/tree/"
    (found,) = decode.decode([Frame("outer", 0, exact=True)])
    assert found.places == (
        Place("inner", "kernel/panic.c", 3),
        Place("outer", "kernel/panic.c", 7),
    )
    assert found.lines() == ["inner (kernel/panic.c:3) [inlined]", "outer (kernel/panic.c:7)"]


def test_a_return_address_is_the_calls(tmp_path: Path) -> None:
    decode = decoder(tmp_path, "-g")
    symbol = decode.symbols.find("outer")
    assert symbol is not None
    assert 0 < symbol.size < 64
    after = Frame("outer", symbol.size)
    (found,) = decode.decode([after])
    assert found.places[-1].function == "outer"


def test_without_debug_information_the_function_stays(tmp_path: Path) -> None:
    decode = decoder(tmp_path)
    assert not decode.has_lines
    assert decode.source_root() == ""
    frames = [Frame("outer", 2, 9, exact=True), Frame("gone", 1, 2, "module", doubtful=True)]
    assert [line for frame in decode.decode(frames) for line in frame.lines()] == [
        "outer+0x2/0x9",
        "? gone+0x1/0x2 [module]",
    ]
    text = stack_text(decode, frames)
    assert "without debug information" in text[-1]


def test_an_address_alone_gets_its_name_wherever_the_kernel_was_moved(tmp_path: Path) -> None:
    decode = decoder(tmp_path)
    symbol = decode.symbols.find("outer")
    assert symbol is not None
    moved = 0x12000000
    (found,) = decode.decode([Frame("", address=symbol.address + 3 + moved)], offset=moved)
    assert (found.frame.function, found.frame.offset) == ("outer", 3)
    (unknown,) = decode.decode([Frame("", address=5)])
    assert unknown.lines() == ["0x5"]


def test_a_modules_frame_is_found_in_its_section(tmp_path: Path) -> None:
    decode = decoder(tmp_path)
    module = compiled(tmp_path, "-g", "-c", "-ffunction-sections", name="m.c", out="my-mod.ko")
    symbol = read_module(module).find("outer")
    assert symbol is not None
    assert (symbol.section, symbol.address) == (".text.outer", 0)
    (found,) = decode.decode([Frame("outer", 0, symbol.size, "my_mod", exact=True)])
    assert [place.function for place in found.places] == ["inner", "outer"]
    assert found.places[0].line == 3
    assert found.lines()[-1].endswith("[my_mod]")


def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_text("no ELF")
    (tmp_path / "System.map").write_text("")
    decode = Decoder(tmp_path / "vmlinux", tmp_path / "System.map")
    text = stack_text(decode, [Frame("f", 1, 2)])
    assert text[0] == "f+0x1/0x2"
    assert text[1].startswith("(not decoded: ")
    gone = Decoder(tmp_path / "none", tmp_path / "none")
    assert "not decoded" in stack_text(gone, [Frame("f", 1, 2)])[1]
    assert stack_text(gone, []) == ["the report shows no stack"]


def test_several_of_one_name_are_told_apart_by_size() -> None:
    symbols = parse_system_map(
        "ffffffff81000000 T _text\n"
        "ffffffff81000010 t show\n"
        "ffffffff81000030 t show\n"
        "ffffffff81000090 D data\n"
    )
    two = symbols.find("show", 0x60)
    assert two is not None
    assert two.address == 0xFFFFFFFF81000030
    assert symbols.find("show") is None
    assert symbols.find("show", 5) is None
    assert symbols.find("data") is None
    at = symbols.at(0xFFFFFFFF8100002F)
    assert at is not None
    assert (at.name, at.size) == ("show", 0x20)
    assert symbols.at(0xFFFFFFFF81000090) is None
    assert symbols.at(1) is None


def test_addr2line_answers_for_what_it_knows_not(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-no-pie")
    assert not has_lines(program)
    assert ask_addr2line(program, [1]) == {1: ()}


def test_what_addr2line_prints() -> None:
    text = (
        "0x0000000000000010\ninner\n/b/../mm/x.c:12 (discriminator 3)\nouter\n/b/../mm/x.c:30\n"
        "0x0000000000000020\n??\n??:0\n0x0000000000000030\nbare\n??:?\n"
    )
    assert parse_addr2line(text) == {
        0x10: (Place("inner", "/b/../mm/x.c", 12), Place("outer", "/b/../mm/x.c", 30)),
        0x20: (),
        0x30: (Place("bare"),),
    }


def test_the_offset_of_a_moved_kernel() -> None:
    line = "[    2.0] Kernel Offset: 0x1e000000 from 0xffffffff81000000 (relocation range: ...)"
    assert kaslr_offset(["x", line]) == 0x1E000000
    assert kaslr_offset(["[    2.0] Kernel Offset: disabled"]) == 0
    assert kaslr_offset([]) == 0


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    parse_addr2line(text)
    parse_system_map(text)
    parse_symbol_table(text)
