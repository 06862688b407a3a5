# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.make import MOST_LINES, error_lines, is_step
from harness.kernel.recipe import build_environment, make_argv, reproducing_line

COMPILER = """\
make[1]: Entering directory '/c/linux/build'
  CC      mm/unmapped-alloc.o
In file included from ../mm/unmapped-alloc.c:3:
../mm/unmapped-alloc.c: In function 'refill':
../mm/unmapped-alloc.c:41:9: error: implicit declaration of function 'nosuch'
   41 |         nosuch();
      |         ^~~~~~
cc1: some warnings being treated as errors
make[4]: *** Waiting for unfinished jobs....
make[4]: *** [../scripts/Makefile.build:250: mm/unmapped-alloc.o] Error 1
make[3]: *** [../scripts/Makefile.build:500: mm] Error 2
make: *** [Makefile:231: __sub-make] Error 2
"""
LINKER = """\
  LD      .tmp_vmlinux.kallsyms1
ld: mm/page_alloc.o: in function `__alloc_pages':
page_alloc.c:(.text+0x2f1): undefined reference to `unmapped_pages_alloc'
make[1]: *** [../scripts/Makefile.vmlinux:34: vmlinux] Error 1
"""
MODPOST = """\
  MODPOST /c/modules/Module.symvers
ERROR: modpost: "set_memory_np" [/c/modules/a/kernel/x.ko] undefined!
make[1]: *** [scripts/Makefile.modpost:126: /c/modules/Module.symvers] Error 1
"""


def test_the_compilers_lines() -> None:
    assert error_lines(COMPILER.splitlines()) == [
        "mm/unmapped-alloc.c:41:9: error: implicit declaration of function 'nosuch'"
    ]


def test_the_linkers_lines() -> None:
    assert error_lines(LINKER.splitlines()) == [
        "ld: mm/page_alloc.o: in function `__alloc_pages':",
        "page_alloc.c:(.text+0x2f1): undefined reference to `unmapped_pages_alloc'",
    ]


def test_modposts_lines() -> None:
    (line,) = error_lines(MODPOST.splitlines())
    assert line.startswith('ERROR: modpost: "set_memory_np"')


def test_paths_become_those_of_the_source() -> None:
    root = Path("/c/modules")
    line = "/c/modules/a/kernel/x.c:3:1: error: what"
    assert error_lines([line], root) == ["a/kernel/x.c:3:1: error: what"]
    (line,) = error_lines(MODPOST.splitlines(), root)
    assert line == 'ERROR: modpost: "set_memory_np" [a/kernel/x.ko] undefined!'


def test_unknown_words_are_better_than_none() -> None:
    assert error_lines(["  CC      a.o", "", "something odd", "make: stop"]) == [
        "something odd",
        "make: stop",
    ]


@given(st.lists(st.text()))
def test_any_output_gives_few_lines(output: list[str]) -> None:
    assert len(error_lines(output)) <= MOST_LINES


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("  CC      mm/slub.o", True),
        ("  CC [M]  lib/test.o", True),
        ("  OBJCOPY arch/x86/boot/vmlinux.bin", True),
        ("  VDSO2C  arch/x86/entry/vdso/vdso-image-64.c", True),
        ("make[1]: Entering directory '/c'", False),
        ("   41 |   nosuch();", False),
        ("", False),
    ],
)
def test_steps(line: str, step: bool) -> None:
    assert is_step(line) is step


def test_makes_argv() -> None:
    argv = make_argv(
        Path("/c/linux/build"), ["vmlinux"], compiler="gcc", ccache=True, jobs=3, niceness=5
    )
    assert argv[:5] == ["nice", "-n", "5", "make", "-C"]
    assert argv[5:7] == ["/c/linux", "O=build"]
    assert {"HOSTCC=ccache gcc", "ARCH=x86", "-j3", "vmlinux"} <= set(argv)
    depend = "$(if $(filter %.c,$<),$(if $(findstring incbin,$(file <$<)),,CCACHE_DEPEND=1 ))"
    assert f"CC=env PWD=/proc/self/cwd {depend}ccache gcc" in argv
    plain = make_argv(
        Path("/c/linux/build"), ["vmlinux"], compiler="clang", ccache=False, jobs=1, niceness=0
    )
    assert plain[0] == "make" and "CC=env PWD=/proc/self/cwd clang" in plain


def test_nothing_of_the_host_gets_into_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "ARCH", "MAKEFLAGS", "KCFLAGS", "CROSS_COMPILE", "CCACHE_DISABLE"):
        monkeypatch.setenv(name, "odd")
    monkeypatch.setenv("KBUILD_BUILD_USER", "me")
    monkeypatch.setenv("LOCALVERSION", "-mine")
    environment = build_environment(Path("/c/ccache"), Path("/c/linux"))
    assert "odd" not in environment.values()
    assert environment["KBUILD_BUILD_USER"] == "patchbed"
    assert environment["LOCALVERSION"] == ""
    assert environment["CCACHE_DIR"] == "/c/ccache"
    assert not [name for name in build_environment(None, Path("/c")) if name.startswith("CCACHE")]


def test_the_line_that_reproduces() -> None:
    line = reproducing_line(["make", "CC=ccache gcc"], {"B": "", "A": "x y"})
    assert line == "env -i 'A=x y' B= make 'CC=ccache gcc'"
