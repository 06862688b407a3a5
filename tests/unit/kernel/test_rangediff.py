# SPDX-License-Identifier: GPL-2.0-or-later
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError, UserError
from harness.kernel.rangediff import Comparison, Part, compare_versions, parse_range_diff
from tests.unit.kernel.project import Project

PAGES = "mm/pages.c"
OLD = {
    PAGES: ("return 1;", "return 10;"),
    "init/main.c": ("PAGES;", "PAGES + 1;"),
    "Kbuild": ("# SPDX", "# One.\n# SPDX"),
}
NEW = {
    PAGES: ("return 1;", "return 11;"),
    "init/main.c": ("PAGES;", "PAGES + 1;"),
    "include/linux/pages.h": ("#define PAGES", "#define EXTRA 1\n#define PAGES"),
}


def compare(project: Project, old: str, new: str, base: str = "mini", **rest: bool) -> Comparison:
    return compare_versions(
        old,
        new,
        listen=project.events.append,
        base=base,
        where=project.where,
        cache=project.cache,
        **rest,
    )


@pytest.fixture
def versions(project: Project) -> Project:
    project.edit(OLD)
    project.edit(NEW, version="v2")
    return project


def test_every_patch_is_compared(versions: Project) -> None:
    found = compare(versions, "fix@v1", "fix@v2")
    assert [(pair.change, pair.old, pair.new) for pair in found.pairs] == [
        ("changed", Part(1, f"Change {PAGES}"), Part(1, f"Change {PAGES}")),
        ("unchanged", Part(2, "Change init/main.c"), Part(2, "Change init/main.c")),
        ("removed", Part(3, "Change Kbuild"), None),
        ("added", None, Part(3, "Change include/linux/pages.h")),
    ]
    assert "-+\treturn 10;" in found.pairs[0].diff and "++\treturn 11;" in found.pairs[0].diff
    assert [pair.diff for pair in found.pairs[1:]] == ["", "", ""]
    assert not re.search("\x1b", found.text)
    assert list(versions.cache.work.glob("[!.]*")) == []


def test_a_patch_that_was_largely_rewritten_keeps_its_partner(project: Project) -> None:
    kept = [f"same{n}();" for n in range(10)]
    old, new = ([*kept, *(f"{name}{n}();" for n in range(40))] for name in ("old", "new"))
    project.edit({PAGES: ("return 1;", "\n".join([*old, "return 1;"]))})
    project.edit({PAGES: ("return 1;", "\n".join([*new, "return 1;"]))}, version="v2")
    (pair,) = compare(project, "fix@v1", "fix@v2").pairs
    assert (pair.change, pair.old, pair.new) == ("changed", *[Part(1, f"Change {PAGES}")] * 2)


def test_colours_are_there_when_asked_for(versions: Project) -> None:
    assert "\x1b[3" in compare(versions, "fix@v1", "fix@v2", colour=True).text


def test_versions_may_be_variants_and_folders(versions: Project) -> None:
    folder = versions.patches / "fix" / "v2"
    wanted = compare(versions, "fix@v1", "fix@v2").pairs
    for old, new, base in (
        ("mini+fix@v1", "mini+fix@v2", ""),
        ("fix@v1", str(folder), "mini"),
        ("fix@v1", str(folder / "6.1"), "mini"),
    ):
        assert compare(versions, old, new, base).pairs == wanted


def test_versions_for_different_kernels(versions: Project) -> None:
    other = versions.patches / "fix" / "v2"
    (other / "6.1").rename(other / "6.2")
    makefile = versions.source / "Makefile"
    makefile.write_text(makefile.read_text().replace("PATCHLEVEL = 1", "PATCHLEVEL = 2"))
    before = versions.tarball.rename(versions.folder / "before.tar.xz")
    versions.pack()
    bases = {"debian-6.1": f"tarball:{before}", "debian-6.2": f"tarball:{versions.tarball}"}
    versions.__class__ = type("P", (Project,), {"bases": property(lambda self: bases)})
    found = compare(versions, "fix@v1", "fix@v2", "")
    assert (found.old.base, found.new.base) == ("debian-6.1", "debian-6.2")
    assert len(found.pairs) == 4


def test_what_does_not_apply_is_named(versions: Project) -> None:
    patch = next((versions.patches / "fix/v2/6.1").glob("0001-*"))
    patch.write_text(patch.read_text().replace("return 1;", "return 7;"))
    with pytest.raises(BuildError, match=r"0001-\S+ \(patch 1 of 3\) .* mini \(fix@v2\)"):
        compare(versions, "fix@v1", "fix@v2")
    assert list(versions.cache.work.glob("[!.]*")) == []


@pytest.mark.parametrize(
    ("old", "base", "words"),
    [
        ("fix@v3", "mini", "no version 'v3'"),
        ("fix", "mini", "is no series"),
        ("fix@v1", "nosuch", "no base is called 'nosuch'"),
    ],
)
def test_what_there_is_not(versions: Project, old: str, base: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare(versions, old, "fix@v2", base)


def test_a_folder_without_patches(versions: Project) -> None:
    with pytest.raises(UserError, match=r"neither \*.patch nor"):
        compare(versions, str(versions.config), "fix@v2")


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    parse_range_diff(text, [], [])


def test_a_diff_that_looks_like_a_pair() -> None:
    pair = f"1:  {'a' * 40} ! 1:  {'b' * 40} x"
    found = parse_range_diff(f"{pair}\n    @@ x\n    +{pair}\n", ["x"], ["x"])
    assert [each.diff for each in found] == [f"@@ x\n+{pair}"]
