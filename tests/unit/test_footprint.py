# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.kernel.artifact import Kernel
from harness.kernel.footprint import kernel_sizes, parse_flags, parse_size, patch_sizes

SIZE = """   text	   data	    bss	    dec	    hex	filename
8236970	2685052	1200140	12122162	 b8f832	vmlinux
"""
PATCH = """From 0000 Mon Sep 17 00:00:00 2001
Subject: [PATCH] x

-not a line of the patch
---
 a | 2 +-

diff --git a/mm/new.c b/mm/new.c
new file mode 100644
index 0000000..1111111
--- /dev/null
+++ b/mm/new.c
@@ -0,0 +1,2 @@
+one
+two
diff --git a/mm/old.c b/mm/old.c
index 1..2 100644
--- a/mm/old.c
+++ b/mm/old.c
@@ -1,3 +1,4 @@
 same
-gone
+here
+more
--\x20
2.39.5
"""


def test_sizes_of_a_vmlinux() -> None:
    assert parse_size(SIZE) == {
        "text_bytes": 8236970,
        "data_bytes": 2685052,
        "bss_bytes": 1200140,
    }
    assert parse_size("size: vmlinux: No such file") == {}


# As gcc -dM prints what 6.1 and 6.12 define, where KASAN and LOCKDEP are off.
NUMBERS = """#define __GFP_DMA ((__force gfp_t)___GFP_DMA)
#define ___GFP_DMA 0x01u
#define ___GFP_ZEROTAGS 0x800000u
#define ___GFP_SKIP_ZERO 0
#define ___GFP_NOLOCKDEP 0
#define __GFP_BITS_SHIFT (27 + IS_ENABLED(CONFIG_LOCKDEP))
#define NR_PAGEFLAGS 23
#define __NR_PAGEFLAGS_X 99
"""
BITS = """#define ___GFP_DMA BIT(___GFP_DMA_BIT)
#define ___GFP_ZEROTAGS BIT(___GFP_ZEROTAGS_BIT)
#define ___GFP_SKIP_KASAN 0
#define ___GFP_NO_OBJ_EXT BIT(___GFP_NO_OBJ_EXT_BIT)
#define __GFP_BITS_SHIFT ___GFP_LAST_BIT
#define NR_PAGEFLAGS 20
"""


@pytest.mark.parametrize(("macros", "gfp", "page"), [(NUMBERS, 2, 23), (BITS, 3, 20)])
def test_flags_are_counted_that_the_configuration_has(macros: str, gfp: int, page: int) -> None:
    assert parse_flags(macros) == {"gfp_bits": gfp, "page_flags": page}
    more = macros + "#define ___GFP_UNMAPPED 0x10000000u\n"
    assert parse_flags(more) == {"gfp_bits": gfp + 1, "page_flags": page}


def test_a_flag_by_another_name_takes_no_bit() -> None:
    named = "#define ___GFP_OLD ___GFP_DMA\n#define ___GFP_BOTH (___GFP_DMA | ___GFP_ZEROTAGS)\n"
    again = "#define ___GFP_SAME 0x01u\n#define ___GFP_NONE 0x00u\n"
    assert parse_flags(NUMBERS + named + again)["gfp_bits"] == 2


def test_headers_that_tell_nothing_give_no_flags() -> None:
    """None would say that a kernel can do without."""
    assert parse_flags("") == {}
    assert parse_flags("#define NR_PAGEFLAGS 23\n") == {"page_flags": 23}


def headers(folder: Path, config: str, bounds: str) -> Kernel:
    """Return a kernel that has nothing but headers, laid out as modules find them."""
    files = {
        "include/linux/kconfig.h": "#include <generated/autoconf.h>\n",
        "include/linux/gfp.h": """#include <generated/bounds.h>
#include <asm/page.h>
#define ___GFP_DMA 0x01u
#ifdef CONFIG_UNMAPPED_ALLOC
#define ___GFP_UNMAPPED 0x10000000u
#else
#define ___GFP_UNMAPPED 0
#endif
""",
        "include/generated/autoconf.h": config,
        "include/generated/bounds.h": bounds,
        "arch/x86/include/asm/page.h": "#ifndef __KERNEL__\n#error\n#endif\n",
    }
    for name, text in files.items():
        path = folder / "headers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Kernel("key", "debian-6.1", "fast", "6.1", "tree", "gcc", folder)


def test_a_kernel_s_own_headers_tell_its_flags(tmp_path: Path) -> None:
    page = "#define NR_PAGEFLAGS 24 /* __NR_PAGEFLAGS */\n"
    without = headers(tmp_path / "without", "", page)
    assert kernel_sizes(without) == {"gfp_bits": 1, "page_flags": 24}
    with_ = headers(tmp_path / "with", "#define CONFIG_UNMAPPED_ALLOC 1\n", page)
    assert kernel_sizes(with_) == {"gfp_bits": 2, "page_flags": 24}


def test_headers_that_are_not_whole_are_not_guessed_from(tmp_path: Path) -> None:
    kernel = headers(tmp_path, "", "#define NR_PAGEFLAGS 24\n")
    page = kernel.headers / "arch/x86/include/asm/page.h"
    page.write_text("#error\n")
    assert kernel_sizes(kernel) == {}
    page.unlink()
    assert kernel_sizes(kernel) == {}


def test_debian_s_headers_are_in_two_packages(tmp_path: Path) -> None:
    kernel = headers(tmp_path / "entry", "", "#define NR_PAGEFLAGS 24\n")
    sources = tmp_path / "entry" / "debian" / "usr" / "src"
    own, common = sources / "linux-headers-6.1.0-1-amd64", sources / "linux-headers-6.1.0-1-common"
    own.parent.mkdir(parents=True)
    kernel.headers.rename(own)
    kernel.headers.symlink_to(own)
    (common / "include" / "linux").mkdir(parents=True)
    (own / "include" / "linux" / "gfp.h").rename(common / "include" / "linux" / "gfp.h")
    assert kernel_sizes(kernel) == {"gfp_bits": 1, "page_flags": 24}


def test_new_files_are_told_from_changed_ones(tmp_path: Path) -> None:
    patch = tmp_path / "0001-x.patch"
    patch.write_text(PATCH.replace("\\x20", " "))
    assert patch_sizes([patch]) == {"new_lines": 2, "changed_lines": 3, "changed_files": 1}
