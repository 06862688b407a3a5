# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed test new`: what it lays out, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.cli.test import complete_area
from harness.errors import UserError
from harness.testing import draft
from harness.testing.draft import areas, make_draft

TEST = '@testcase("U{number}-{name}", config=["KUNIT"])\ndef test_it() -> None: ...\n'


@pytest.fixture
def testcases(tmp_path: Path) -> Path:
    """A folder of testcases: one area with a module, one without."""
    folder = tmp_path / "testcases"
    kernel = folder / "gfp_unmapped" / "kernel"
    kernel.mkdir(parents=True)
    (folder / "counters").mkdir()
    (folder / "shared" / "kernel").mkdir(parents=True)
    (folder / "Kbuild").write_text("obj-m += shared/kernel/\nobj-m += gfp_unmapped/kernel/\n")
    text = "".join(TEST.format(number=number, name=f"n{number}") for number in (0, 2, 14))
    (folder / "gfp_unmapped" / "test_a.py").write_text(text)
    (folder / "counters" / "test_c.py").write_text('@testcase(\n    "V-consistency",\n)\n')
    block = "ifdef CONFIG_KUNIT\nobj-m += patchbed_zero_kunit.o\nendif\n"
    (kernel / "Kbuild").write_text(f"# SPDX\n{block}obj-m += other.o\n")
    (kernel / "patchbed_zero_kunit.c").write_text("")
    return folder


def test_it_takes_the_next_number_of_its_area(testcases: Path) -> None:
    assert make_draft(testcases, "gfp_unmapped", "late-unmap").id == "U15-late-unmap"
    assert make_draft(testcases, "counters", "more").id == "V1-more"


def test_the_files_go_where_they_are_looked_for(testcases: Path) -> None:
    made = make_draft(testcases, "gfp_unmapped", "late-unmap", program=True)
    assert [str(path.relative_to(testcases)) for path in made.made] == [
        "gfp_unmapped/test_late_unmap.py",
        "gfp_unmapped/kernel/patchbed_late_unmap_kunit.c",
        "gfp_unmapped/programs/late_unmap.c",
    ]
    [(kbuild, text)] = made.replaced.items()
    assert kbuild == testcases / "gfp_unmapped" / "kernel" / "Kbuild"
    assert "zero_kunit.o\nobj-m += patchbed_late_unmap_kunit.o\nendif\nobj-m += other.o\n" in text


def test_the_first_module_of_an_area_is_built_too(testcases: Path) -> None:
    made = make_draft(testcases, "counters", "more")
    kbuild = made.made[testcases / "counters" / "kernel" / "Kbuild"]
    assert kbuild.endswith("ifdef CONFIG_KUNIT\nobj-m += patchbed_more_kunit.o\nendif\n")
    assert made.replaced[testcases / "Kbuild"].endswith("obj-m += counters/kernel/\n")


def test_a_new_area_takes_a_letter(testcases: Path) -> None:
    with pytest.raises(UserError, match="no area 'brand_new'") as error:
        make_draft(testcases, "brand_new", "thing")
    assert "counters, gfp_unmapped" in error.value.hint
    assert make_draft(testcases, "brand_new", "thing", letter="X").id == "X1-thing"


def test_what_is_written_is_a_testcase_that_python_takes(testcases: Path) -> None:
    made = make_draft(testcases, "gfp_unmapped", "late-unmap", program=True)
    made.write()
    text = (testcases / "gfp_unmapped" / "test_late_unmap.py").read_text()
    compile(text, "test_late_unmap.py", "exec")
    assert '@testcase("U15-late-unmap", config=["KUNIT"])' in text
    assert 'checks.module("patchbed_late_unmap_kunit")' in text
    assert 'checks.program("late_unmap")' in text
    assert areas(testcases) == ["counters", "gfp_unmapped"]


@pytest.mark.parametrize("name", ["Late", "late_unmap", "-late", "late--x", "", "x" * 40, "../x"])
def test_a_name_has_small_letters_and_hyphens(testcases: Path, name: str) -> None:
    with pytest.raises(UserError):
        make_draft(testcases, "gfp_unmapped", name)


@pytest.mark.parametrize("area", ["shared", "include", "../x", "New", "a/b"])
def test_an_area_is_a_folder_of_its_own(testcases: Path, area: str) -> None:
    with pytest.raises(UserError):
        make_draft(testcases, area, "thing", letter="X")


def test_clashes_are_refused_and_nothing_is_written(testcases: Path) -> None:
    before = sorted(testcases.rglob("*"))
    with pytest.raises(UserError, match="gfp_unmapped/U14-n14 already"):
        make_draft(testcases, "gfp_unmapped", "n14")
    # All modules are in one folder in the guest, whatever their area.
    with pytest.raises(UserError, match="patchbed_zero_kunit"):
        make_draft(testcases, "counters", "zero")
    assert sorted(testcases.rglob("*")) == before


def test_what_came_meanwhile_is_left_as_it_is(testcases: Path) -> None:
    made = make_draft(testcases, "gfp_unmapped", "late-unmap")
    module = testcases / "gfp_unmapped" / "kernel" / "patchbed_late_unmap_kunit.c"
    module.write_text("somebody else's")
    with pytest.raises(UserError, match="already"):
        made.write()
    assert module.read_text() == "somebody else's"
    assert not (testcases / "gfp_unmapped" / "test_late_unmap.py").exists()


def test_the_command_says_what_it_made_and_what_comes_next(
    testcases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (testcases.parent / "patchbed.toml").write_text('[paths]\ntestcases = "testcases"\n')
    monkeypatch.chdir(testcases.parent)
    done = CliRunner().invoke(app, ["test", "new", "gfp_unmapped", "late-unmap"])
    assert done.exit_code == 0, done.output
    assert "made     testcases/gfp_unmapped/test_late_unmap.py" in done.output
    assert "patchbed run -k U15-late-unmap" in done.output
    assert draft.areas(testcases) == ["counters", "gfp_unmapped"]


def test_areas_are_completed(testcases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (testcases.parent / "patchbed.toml").write_text('[paths]\ntestcases = "testcases"\n')
    monkeypatch.chdir(testcases.parent)
    assert complete_area("gf") == ["gfp_unmapped"]
    assert complete_area("") == ["counters", "gfp_unmapped"]
    (testcases.parent / "patchbed.toml").write_text("nonsense")
    assert complete_area("gf") == []
