# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError
from harness.kernel.apply import Rejection, parse_rejections
from tests.unit.kernel.project import Project

PATCH = """\
diff --git a/mm/slub.c b/mm/slub.c
--- a/mm/slub.c
+++ b/mm/slub.c
@@ -3,4 +3,4 @@ int first(void)
 {
@@ -90,7 +90,7 @@ int second(void)
 {
diff --git a/mm/new.c b/mm/new.c
--- /dev/null
+++ b/mm/new.c
@@ -0,0 +1 @@
+int x;
"""
# What git 2.39 says on standard error.
OUTPUT = """\
Checking patch mm/slub.c...
Hunk #1 succeeded at 4 (offset 1 line).
error: while searching for:
{
error: patch failed: mm/slub.c:90
Checking patch mm/new.c...
error: mm/new.c: already exists in working directory
Checking patch mm/gone.c...
error: mm/gone.c: No such file or directory
Applying patch mm/slub.c with 1 reject...
Hunk #1 applied cleanly.
Rejected hunk #2.
"""


def test_what_git_says_of_hunks() -> None:
    assert parse_rejections(OUTPUT, PATCH) == [
        Rejection(
            "mm/slub.c",
            "hunk 2 of 2 (@@ -90,7 +90,7 @@ int second(void))",
            "does not match the source",
        ),
        Rejection("mm/new.c", "", "already exists in working directory"),
        Rejection("mm/gone.c", "", "No such file or directory"),
    ]


@given(st.text(), st.text())
def test_any_output_can_be_read(output: str, patch: str) -> None:
    parse_rejections(output, patch)


def test_every_hunk_that_fails_is_named(project: Project, tmp_path: Path) -> None:
    work = project.source / "mm/pages.c"
    folder = project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    patch = next(folder.glob("*.patch"))
    wrong = "\n \n int last(void)\n {\n-\treturn 7;\n+\treturn 8;\n }\n"
    other = f"@@ -21,5 +21,5 @@ int fourth(void){wrong}"
    patch.write_text(patch.read_text().replace("-- \n", f"{other}-- \n"))
    work.write_text(work.read_text().replace("return 1;", "return 11;"))
    project.pack()
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    assert [line.split(" (")[0] for line in caught.value.lines] == [
        "mm/pages.c: hunk 1 of 2",
        "mm/pages.c: hunk 2 of 2",
    ]
