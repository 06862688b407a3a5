# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfrastructureError, UserError
from harness.kernel.export import export_variant
from harness.kernel.gitsource import near_names
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
from harness.kernel.variant import parse
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


def test_a_commit_that_is_no_tip(project: Project) -> None:
    first = commit(project, project.source)
    (project.source / "mm/pages.c").write_text("changed\n")
    project.git(project.source, "commit", "--quiet", "--all", "--message", "more")
    base = bring(project, find_source(f"git:{project.source}@HEAD~1"))
    assert base.commit == first
    # Only what was asked for is fetched.
    store = Git(project.cache.store)
    assert store.run("rev-list", "--all", "--count").strip() == "1"


@pytest.mark.parametrize("kind", ["bare", "shallow", "linked"])
def test_kinds_of_repositories(project: Project, kind: str) -> None:
    full = commit(project, project.source)
    place = project.folder / "other"
    if kind == "linked":
        project.git(project.source, "worktree", "add", "--quiet", str(place), "-b", "side")
    else:
        options = ["--bare"] if kind == "bare" else ["--depth=1", "--no-local"]
        address = f"file://{project.source}"
        project.git(project.folder, "clone", "--quiet", *options, address, str(place))
    base = bring(project, find_source(f"git:{place}@{full[:12]}"))
    assert base.commit == full


def test_a_reference_that_is_nearly_there(project: Project) -> None:
    commit(project, project.source)
    for tag in ("v6.1-rc1", "v6.1.7", "next"):
        project.git(project.source, "tag", tag)
    for place in (project.source, f"file://{project.source}"):
        with pytest.raises(UserError, match=r"there is no 'v6\.1-rc2'; near: v6\.1-rc1"):
            bring(project, find_source(f"git:{place}@v6.1-rc2"))


def test_an_id_that_means_more_than_one(project: Project) -> None:
    commit(project, project.source)
    blobs = project.folder / "blobs"
    blobs.mkdir()
    ids: dict[str, str] = {}
    for number in range(2000):
        text = f"blob {len(str(number))}\0{number}"
        name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        if name[:4] in ids:
            break
        ids[name[:4]] = str(number)
    for content in (ids[name[:4]], str(number)):
        (blobs / content).write_text(content)
        project.git(project.source, "hash-object", "-w", str(blobs / content))
    with pytest.raises(UserError, match=f"'{name[:4]}' may be one of 2 objects: .*{name[:16]}"):
        bring(project, GitSource(str(project.source), name[:4]))


def test_ids_elsewhere_are_written_out(project: Project) -> None:
    full = commit(project, project.source)
    with pytest.raises(UserError) as caught:
        bring(project, GitSource(f"file://{project.source}", full[:12]))
    assert "write all 40 digits" in caught.value.hint
    with pytest.raises(UserError, match=f"there is no '{'1' * 40}'"):
        bring(project, GitSource(f"file://{project.source}", "1" * 40))


def test_repositories_that_are_not_there(project: Project) -> None:
    with pytest.raises(UserError, match="there is no folder /nosuch"):
        bring(project, GitSource("/nosuch", "v1"))
    with pytest.raises(UserError, match="nosuch"):
        bring(project, GitSource("file:///nosuch", "v1"))


def test_a_host_that_can_not_be_reached(project: Project) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/linux.git"
        for reference in ("v1", "1" * 40):
            with pytest.raises(InfrastructureError, match="can't be reached: ") as caught:
                bring(project, GitSource(address, reference))
            assert "check the network" in caught.value.hint


@given(st.text("abv.1", max_size=6), st.lists(st.text("abv.1", max_size=6), max_size=12))
def test_near_names_are_names(wanted: str, names: list[str]) -> None:
    near = near_names(wanted, names)
    assert len(near) <= 5 and set(near) <= set(names) - {""}
    if wanted and wanted in names:
        assert near[0] == wanted


def test_a_hash_that_is_none(project: Project) -> None:
    with pytest.raises(UserError, match="'12ab' is no SHA-256"):
        find_source(f"tarball:{project.tarball}#sha256=12ab")


def test_relative_paths_and_the_home_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("HOME", str(project.folder))
    for path in (f"./{project.tarball.name}", project.tarball.name, f"~/{project.tarball.name}"):
        assert find_source(f"tarball:{path}") == TarballSource(project.tarball)


def test_a_tarball_that_changes_is_read_again(project: Project) -> None:
    before = bring(project, TarballSource(project.tarball))
    (project.source / "mm/pages.c").write_text("changed\n")
    project.pack()
    assert bring(project, TarballSource(project.tarball)).tree != before.tree


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


def test_a_commit_with_a_past_can_be_built_on(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    commit(project, project.source)
    (project.source / "init/more.c").write_text("int more;\n")
    project.git(project.source, "add", "--all")
    project.git(project.source, "commit", "--quiet", "--message", "more")
    variant = f"git:{project.source}@HEAD+fix@v1"
    assert project.obtain(variant).release == "6.1.7"
    folder = project.folder / "export"
    export_variant(parse(variant), folder, listen=print, where=project.where, cache=project.cache)
    subjects = project.git(folder, "log", "--format=%s").splitlines()
    assert subjects == ["Change mm/pages.c", "more"]
    assert project.git(folder, "fsck", "--connectivity-only") == ""
