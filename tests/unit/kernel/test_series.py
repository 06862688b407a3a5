# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
from pathlib import Path

import pytest

from harness.errors import ConfigError, UserError
from harness.kernel.export import export_variant
from harness.kernel.series import kernels_of, list_series, load_series, parse_name, subject
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project

EDIT = {"mm/pages.c": ("return 1;", "return 10;"), "init/main.c": ("PAGES;", "PAGES + 1;")}


def write(folder: Path, text: str) -> Path:
    where = folder / "s" / "v1"
    (where / "6.1").mkdir(parents=True)
    (where / "6.1" / "0001-x.patch").write_text("Subject: [PATCH 1/1] x\n\n")
    (where / "series.toml").write_text(text)
    return where


def test_the_projects_own_series_can_be_read() -> None:
    for series in list_series():
        assert series.patches and series.title
        assert all(subject(patch) for patch in series.patches)


def test_a_whole_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        'title = "T"\nmessage_id = "a@b"\nprobe = "/sys/x"\nconfig = ["CONFIG_A=y"]\n'
        '[[known_issues]]\ntestcase = "a/U1-*"\noutcome = "kernel.oops"\nreason = "because"\n',
    )
    series = load_series("s", "v1", "6.1", tmp_path)
    assert (series.title, series.message_id, series.probe) == ("T", "a@b", "/sys/x")
    assert series.known_issues[0].outcome is Outcome.KERNEL_OOPS
    assert series.known_issues[0].check == "*"
    assert str(series) == "s@v1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('title = "T"\nnosuch = 1\n', "nosuch: unknown key"),
        ('title = "T"\nconfig = ["A=y"]\n', "config"),
        ('title = "T"\n[[known_issues]]\ntestcase = "x"\n', "known_issues.0.reason"),
        (
            'title = "T"\n[[known_issues]]\ntestcase = "x"\nreason = "y"\noutcome = "odd"\n',
            "known_issues.0.outcome",
        ),
        ("message_id = 'x'\n", "title"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    where = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_series("s", "v1", "6.1", tmp_path)
    assert words in str(caught.value)
    assert str(where / "series.toml") in str(caught.value)


def test_what_is_missing_tells_what_there_is(tmp_path: Path) -> None:
    where = write(tmp_path, 'title = "T"\n')
    for wanted, words in (
        (("t", "v1", "6.1"), "series there are: s"),
        (("s", "v2", "6.1"), "versions there are: v1"),
        (("s", "v1", "6.12"), "kernels there are: 6.1"),
    ):
        with pytest.raises(UserError, match=words):
            load_series(*wanted, tmp_path)
    (where / "6.1" / "0001-x.patch").unlink()
    with pytest.raises(UserError, match=r"holds no \*\.patch"):
        load_series("s", "v1", "6.1", tmp_path)


def test_the_patchset_hash_is_kcidbs(project: Project) -> None:
    project.edit(EDIT)
    series = load_series("fix", "v1", "6.1", project.patches)
    lines = [hashlib.sha256(patch.read_bytes()).hexdigest() + "\n" for patch in series.patches]
    assert series.patchset_hash() == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_edited_patches_are_built_and_told(project: Project) -> None:
    folder = project.edit(EDIT)
    toml = folder.parent / "series.toml"
    posted = load_series("fix", "v1", "6.1", project.patches).patchset_hash()
    for recorded, told in ((posted, False), ("0" * 64, True)):
        toml.write_text(f'title = "A fix"\n[patchset_hash]\n"6.1" = "{recorded}"\n')
        assert load_series("fix", "v1", "6.1", project.patches).edited() is told
        project.events.clear()
        project.obtain("mini+fix@v1")
        words = "fix@v1: the patches for 6.1 were edited since their import"
        assert (words in project.messages()) is told


def test_what_an_import_puts_beside_is_no_series(tmp_path: Path) -> None:
    write(tmp_path, 'title = "T"\n')
    (tmp_path / "s" / ".import-x" / "6.1").mkdir(parents=True)
    assert [str(series) for series in list_series(tmp_path)] == ["s@v1"]
    assert kernels_of("s", "v1", tmp_path) == ["6.1"]


def test_a_subject(tmp_path: Path) -> None:
    patch = tmp_path / "p"
    patch.write_bytes(
        b"From: x\nSubject: [PATCH v2 1/3] [RFC] =?utf-8?q?mm=3A_caf=C3=A9?= and\n more\n\nbody\n"
    )
    assert subject(patch) == "mm: café and more"


def test_names() -> None:
    assert parse_name("fix@v1") == ("fix", "v1")
    for text in ("fix", "@v1", "fix@", ""):
        with pytest.raises(UserError, match="SERIES@VERSION"):
            parse_name(text)


def test_a_series_is_applied_into_a_folder(project: Project, tmp_path: Path) -> None:
    project.edit(EDIT)
    folder = tmp_path / "out"
    commit, _ = export_variant(
        parse("mini+fix@v1"),
        folder,
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
    )
    assert "return 10;" in (folder / "mm/pages.c").read_text()
    assert project.git(folder, "status", "--porcelain") == ""
    log = project.git(folder, "log", "--format=%H %s").splitlines()
    assert log[0] == f"{commit} Change init/main.c"
    assert len(log) == 3
    with pytest.raises(UserError, match="is there already"):
        export_variant(parse("mini"), folder, listen=project.events.append, where=project.where)
