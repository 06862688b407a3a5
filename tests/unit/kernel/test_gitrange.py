# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.kernel.importer import Imported, ImportRequest, import_series
from harness.kernel.mailinfo import file_name
from tests.unit.kernel.mailing import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "linux")
    repository.commit(
        "mm: caf\u00e9 [media]\n\nWords.\n",
        {"mm/a b.c": b"\xe9\r\n"},
        "Zo\u00eb, Dr. <z@example.org>",
    )
    repository.commit("[media] blob\n", {"blob": bytes(range(256)), "first.txt": None})
    return repository


def bring(repository: Repository, commits: str, name: str = "x", version: str = "") -> Imported:
    request = ImportRequest(f"git:{repository.folder}@{commits}", name, version)
    return import_series(request, repository.folder.parent / "series")


def test_a_range_makes_the_same_commits(repository: Repository, tmp_path: Path) -> None:
    settings = {
        "format.pretty": "oneline",
        "format.signOff": "true",
        "diff.noprefix": "true",
        "core.quotePath": "false",
        "diff.context": "0",
    }
    for name, value in settings.items():
        repository.git("config", name, value)
    done = bring(repository, f"{repository.base}..main", version="v3")
    patches = sorted((done.folder / "6.1").glob("*.patch"))
    assert (done.base, done.version, len(patches)) == ("6.1", "v3", 2)
    assert b"Subject: [PATCH v3 1/2] " in patches[0].read_bytes()
    for name in settings:
        repository.git("config", "--unset", name)
    trees, facts = repository.applied(patches, tmp_path / "scratch")
    assert (trees, facts) == (repository.trees(), repository.facts())
    again = bring(repository, f"{repository.base}..main", version="v3", name="y")
    assert again.draft.patchset_hash() == done.draft.patchset_hash()


def test_a_range_of_a_shallow_clone(repository: Repository, tmp_path: Path) -> None:
    address = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--depth=2", address, str(tmp_path / "clone"))
    clone = Repository.__new__(Repository)
    clone.folder = tmp_path / "clone"
    assert len(bring(clone, "HEAD~1..HEAD").draft.patches) == 1


def test_a_range_from_where_two_branches_part(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "other", "HEAD~1")
    repository.commit("other\n", {"other": b"1\n"})
    assert len(bring(repository, "main...other").draft.patches) == 1
    assert len(bring(repository, "main..other", name="y").draft.patches) == 1


@pytest.mark.parametrize(
    ("commits", "words"),
    [
        ("nosuch..main", "has no commit 'nosuch'"),
        ("main..main", "there is no commit in"),
        ("main", "is no range"),
        ("main..", "is no range"),
        ("main~2..side", "a merge is in"),
        ("main~3..main", "has no commit 'main~3'"),
        ("main...alone", "have no commit in common"),
        ("main~1..empty", "changes nothing, so it can't be a patch"),
    ],
)
def test_ranges_that_are_no_series(repository: Repository, commits: str, words: str) -> None:
    repository.git("checkout", "--quiet", "--orphan", "alone")
    repository.commit("alone\n", {"alone": b"1\n"})
    repository.git("checkout", "--quiet", "main")
    repository.git("branch", "empty")
    repository.git("checkout", "--quiet", "empty")
    repository.commit("nothing\n", {})
    repository.git("checkout", "--quiet", "-b", "side", repository.base)
    repository.commit("side\n", {"side": b"1\n"})
    repository.git("merge", "--quiet", "--no-edit", "main")
    with pytest.raises(UserError, match=words):
        bring(repository, commits)
    assert not (repository.folder.parent / "series").exists()


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a git repository"):
        import_series(ImportRequest(f"git:{tmp_path}@a..b", "x"), tmp_path / "series")


def test_a_repository_that_lacks_files(repository: Repository) -> None:
    blob = repository.git("rev-parse", "main:mm/a b.c").strip()
    (repository.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UserError, match=blob):
        bring(repository, f"{repository.base}..main")


def test_names_of_patches_are_those_of_git(repository: Repository, tmp_path: Path) -> None:
    titles = [
        "mm/unmapped-alloc: show the state of the cache in debugfs",
        "x86: a..b...c __GFP_X (and more) -- 100%.",
        "caf\u00e9: [media] ...",
        "one" * 40,
        "ends with a dash right where names are cut off, at 52-- see",
    ]
    for number, title in enumerate(titles):
        repository.commit(title, {"n": b"%d\n" % number})
    shown = tmp_path / "shown"
    repository.git("format-patch", "--quiet", "-o", str(shown), f"HEAD~{len(titles)}")
    wanted = [file.name for file in sorted(shown.iterdir())]
    assert [file_name(number, title) for number, title in enumerate(titles, start=1)] == wanted
