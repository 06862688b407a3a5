# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.kernel.gitstore import Git
from harness.kernel.source import (
    Base,
    DebianSource,
    GitSource,
    Source,
    TarballSource,
    find_source,
    known_base,
    obtain_base,
    parse_makefile_version,
)
from tests.unit.kernel.project import Project


def bring(project: Project, source: Source) -> Base:
    return obtain_base(source, project.cache, lambda _: None, lambda _: None)


def commit(project: Project, folder: Path) -> str:
    project.git(folder, "init", "--quiet", "--initial-branch=main")
    project.git(folder, "add", "--all")
    project.git(folder, "commit", "--quiet", "--message", "base")
    return project.git(folder, "rev-parse", "HEAD").strip()


def test_a_tarball_has_the_tree_that_git_makes_of_its_files(project: Project) -> None:
    awkward = project.source / "scripts" / 'a "quoted" \\ café'
    awkward.write_text("x")
    (project.source / "scripts" / "run").write_text("x")
    (project.source / "scripts" / "run").chmod(0o755)
    (project.source / "scripts" / "link").symlink_to("run")
    os.link(project.source / "scripts" / "run", project.source / "scripts" / "twin")
    project.pack()
    base = bring(project, TarballSource(project.tarball))
    assert (base.series_version, base.release) == ("6.1", "6.1.7")
    commit(project, project.source)
    assert base.tree == project.git(project.source, "rev-parse", "HEAD^{tree}").strip()


def test_a_base_is_imported_once(project: Project) -> None:
    source = TarballSource(project.tarball)
    base = bring(project, source)
    assert known_base(project.cache, source.identity(project.cache)) == base
    said: list[str] = []
    assert obtain_base(source, project.cache, said.append, said.append) == base
    assert said == []


def test_a_tarballs_hash_is_checked(project: Project) -> None:
    digest = hashlib.sha256(project.tarball.read_bytes()).hexdigest()
    right = find_source(f"tarball:{project.tarball}#sha256={digest}")
    assert bring(project, right).identity == f"tarball:{digest}"
    wrong = find_source(f"tarball:{project.tarball}#sha256={'0' * 64}")
    with pytest.raises(UserError, match=f"its SHA-256 is {digest}, not 0000"):
        bring(project, wrong)


def test_a_tarball_that_is_cut_short_leaves_nothing(project: Project) -> None:
    whole = project.tarball.read_bytes()
    for length in (len(whole) // 2, len(whole) - 8, 10):
        project.tarball.write_bytes(whole[:length])
        with pytest.raises(UserError, match="can't be imported"):
            bring(project, TarballSource(project.tarball))
        store = Git(project.cache.store)
        assert store.run("for-each-ref") == ""
        assert not list(project.cache.store.glob("bases/*"))


def test_what_holds_no_kernel_is_refused(project: Project) -> None:
    (project.source / "Makefile").write_text("all:\n")
    project.pack()
    with pytest.raises(UserError, match="holds no kernel source"):
        bring(project, TarballSource(project.tarball))


def test_a_tarball_that_is_not_there(project: Project) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        bring(project, find_source("tarball:/nosuch/file.tar.xz"))


@pytest.mark.parametrize("reference", ["main", "v6.1.7", "HEAD", "short", "full"])
def test_a_reference_of_a_repository(project: Project, reference: str) -> None:
    full = commit(project, project.source)
    project.git(project.source, "tag", "--annotate", "--message", "x", "v6.1.7")
    wanted = {"short": full[:10], "full": full}.get(reference, reference)
    base = bring(project, find_source(f"git:{project.source}@{wanted}"))
    assert base.commit == full
    assert base.release == "6.1.7"


def test_a_repository_by_address(project: Project) -> None:
    full = commit(project, project.source)
    project.git(project.source, "tag", "--annotate", "--message", "x", "v6.1.7")
    for reference in ("main", "v6.1.7"):
        source = find_source(f"git:file://{project.source}@{reference}")
        assert source.identity(project.cache) == f"git:{full}"
    assert bring(project, source).commit == full


def test_a_reference_that_is_not_there(project: Project) -> None:
    commit(project, project.source)
    with pytest.raises(UserError, match="there is no 'v9'"):
        bring(project, find_source(f"git:{project.source}@v9"))
    with pytest.raises(UserError, match="there is no 'v9'"):
        bring(project, find_source(f"git:file://{project.source}@v9"))
    with pytest.raises(UserError, match="not a git repository"):
        bring(project, GitSource(str(project.config), "v9"))


def test_debians_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = project.folder / "tools"
    tools.mkdir()
    query = tools / "dpkg-query"
    answer = "installed\\tlinux-source-6.1\\t6.1.7-2\\t\\n"
    query.write_text(f"#!/bin/sh\ncase $3 in *6.1|*'*') printf '{answer}';; esac\n")
    query.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    project.tarball.rename(project.folder / "linux-source-6.1.tar.xz")
    source = DebianSource("6.1", project.folder)
    assert source.identity(project.cache) == "debian:linux-source-6.1=6.1.7-2"
    assert bring(project, source).series_version == "6.1"

    with pytest.raises(UserError) as caught:
        bring(project, DebianSource("6.12", project.folder))
    assert "linux-source-6.12 is not installed (Debian bases that are: debian-6.1)" in str(
        caught.value
    )
    assert "apt-get install linux-source-6.12" in caught.value.hint


def test_a_host_without_dpkg(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.folder))
    with pytest.raises(UserError, match="is not installed"):
        bring(project, DebianSource("6.1", project.folder))


@pytest.mark.parametrize("base", ["nosuch", "git:/x", "git:@v1", "svn:/x"])
def test_a_base_of_no_kind(base: str) -> None:
    with pytest.raises(UserError) as caught:
        find_source(base, {"mine": "debian-6.1"})
    assert repr(base) in caught.value.message


def test_short_names() -> None:
    assert find_source("mine", {"mine": "debian-6.1"}) == DebianSource("6.1")


def test_an_import_that_is_killed_leaves_nothing(project: Project) -> None:
    (project.source / "big").write_bytes(os.urandom(4 << 20))
    project.pack()
    with subprocess.Popen(project.script(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "import source\n"
        process.kill()
    assert known_base(project.cache, TarballSource(project.tarball).identity(project.cache)) is None
    base = bring(project, TarballSource(project.tarball))
    assert base.release == "6.1.7"
    assert not list(project.cache.store.glob("objects/pack/tmp_*"))


def test_a_makefiles_version() -> None:
    text = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION = -rc1\n"
    assert parse_makefile_version(text) == (6, 12, 9)
    assert parse_makefile_version("VERSION = 7\nPATCHLEVEL = 0\n") == (7, 0, 0)
    assert parse_makefile_version("all:\n") is None
