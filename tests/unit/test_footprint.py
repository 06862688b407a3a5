# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

from harness.kernel.footprint import parse_size, patch_sizes

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


def test_new_files_are_told_from_changed_ones(tmp_path: Path) -> None:
    patch = tmp_path / "0001-x.patch"
    patch.write_text(PATCH.replace("\\x20", " "))
    assert patch_sizes([patch]) == {"new_lines": 2, "changed_lines": 3, "changed_files": 1}
