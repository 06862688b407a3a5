# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel build`, `list` and `prune` as commands: output, options, exit codes."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import kernel as commands
from harness.kernel import builder, cache, compiler
from harness.kernel.cache import Cache
from harness.kernel.trees import hold_tree
from harness.kernel.verify import DifferentBytesError
from harness.paths import PROJECT
from tests.unit.kernel.project import Project


def patchbed(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "kernel", *arguments],
        cwd=home,
        env={
            **os.environ,
            "NO_COLOR": "1",
            "PYTHONPATH": str(PROJECT),
            "XDG_CACHE_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.fixture
def home(project: Project) -> Path:
    """Put the project's cache where XDG_CACHE_HOME has the user's."""
    project.cache = Cache(project.folder / "home" / "patchbed")
    project.cache.root.mkdir(parents=True)
    return project.cache.root.parent


def test_list_shows_what_there_is(project: Project, home: Path) -> None:
    kernel = project.obtain()
    for folder in ("programs/abc", "images"):
        (project.cache.root / folder).mkdir(parents=True)
    (project.cache.root / "images" / "def.cpio.gz").write_bytes(bytes(5000))
    done = patchbed(home, "list")
    assert done.returncode == 0 and done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["kind", "what", "profile", "release", "size", "age", "used", "key"]
    kinds = {row[0] for row in rows[1:-1]}
    assert kinds >= {"kernel", "tree", "programs", "image", "sources"}
    assert f"items, {rows[-1][2]} {rows[-1][3]} in {project.cache.root}" in done.stdout

    items = json.loads(patchbed(home, "list", "--json").stdout)
    found = {item["kind"]: item for item in items}
    assert found["kernel"]["key"] == found["tree"]["key"] == kernel.key
    assert found["kernel"]["folder"] == str(kernel.folder)
    assert found["kernel"]["variant"] == found["tree"]["variant"] == "mini"
    assert found["image"]["size"] >= 5000
    assert abs(found["kernel"]["built"] - time.time()) < 600


def test_an_empty_cache_is_listed_and_pruned(tmp_path: Path) -> None:
    assert "0 items, 0 B, in " in patchbed(tmp_path, "list").stdout
    assert json.loads(patchbed(tmp_path, "list", "--json").stdout) == []
    assert patchbed(tmp_path, "prune", "--keep", "0").returncode == 0


def test_prune_says_what_goes_and_does_it(project: Project, home: Path) -> None:
    kernel = project.obtain()
    done = patchbed(home, "prune", "--keep", "0", "--dry-run")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("would remove tree mini ")
    assert any(line.startswith("would remove kernel mini ") for line in lines)
    assert kernel.folder.is_dir()

    document = json.loads(patchbed(home, "prune", "--older", "1h", "--json").stdout)
    assert document["removed"] == [] and not document["dry_run"]
    document = json.loads(patchbed(home, "prune", "--keep", "20GB", "--json").stdout)
    assert document["removed"] == []
    document = json.loads(patchbed(home, "prune", "--keep", "0", "--json").stdout)
    assert {item["kind"] for item in document["removed"]} == {"tree", "kernel"}
    assert not kernel.folder.exists() and not (project.cache.trees / kernel.key).exists()
    # The sources stay, and so does ccache's folder.
    left = {item["kind"] for item in json.loads(patchbed(home, "list", "--json").stdout)}
    assert "sources" in left and left <= {"sources", "ccache"}
    assert document["left"] > 0


def test_prune_leaves_what_is_in_use(project: Project, home: Path) -> None:
    kernel = project.obtain()
    with hold_tree(project.cache, kernel.key, lambda _: None):
        document = json.loads(patchbed(home, "prune", "--keep", "0", "--json").stdout)
    assert [item["kind"] for item in document["removed"]] == ["kernel"]
    assert (project.cache.trees / kernel.key).is_dir()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prune"], "nothing to prune by"),
        (["prune", "--keep", "much"], "--keep: 'much' is no size"),
        (["prune", "--keep", "-1GB"], "--keep: '-1GB' is no size"),
        (["prune", "--older", "30"], "--older: '30' is no age"),
        (["prune", "--keep", "1GB", "--older", "x"], "--older: 'x' is no age"),
        (["prune", "--nosuch"], "--nosuch"),
        (["build"], "variants"),
        (["build", "debian-6.1", "--jobs", "-1"], "--jobs"),
        (["build", "debian-6.1", "--niceness", "20"], "--niceness"),
        (["build", "debian-6.1", "--again"], "--again goes with --verify"),
        (["build", "debian-6.1", "--profile", "nosuch"], "nosuch"),
        (["build", "tarball:/nosuch.tar.xz"], "/nosuch.tar.xz"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = patchbed(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr.lower() or words in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize("wanted", ["nosuch-gcc", "cat"])
def test_a_wrong_compiler_ends_with_2(project: Project, home: Path, wanted: str) -> None:
    variant = f"tarball:{project.tarball}"
    done = patchbed(home, "build", variant, "--compiler", wanted)
    assert done.returncode == 2
    assert wanted in done.stderr and "next: give the name or the path" in done.stderr


@pytest.fixture
def local(project: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands, called in this process, use the project's folders."""
    del home
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.cache.root.parent))
    folders = {
        "series_folder": project.patches,
        "config_folder": project.config,
        "aliases": project.bases,
    }
    real = builder.obtain

    def obtain(*arguments: object, **options: object) -> object:
        return real(*arguments, **{**options, **folders})  # type: ignore[arg-type]

    planned = functools.partial(builder.plan_build)

    def plan_build(*arguments: object, **options: object) -> object:
        return planned(*arguments, **{**options, "where": project.where})  # type: ignore[arg-type]

    monkeypatch.setattr(builder, "obtain", obtain)
    monkeypatch.setattr(builder, "plan_build", plan_build)
    assert cache.default_cache() == project.cache


@pytest.mark.usefixtures("local")
def test_build_explains_and_proves(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    run = CliRunner()
    first = run.invoke(commands.app, ["build", "mini", "--explain"])
    assert first.exit_code == 0, first.output
    assert "  built clean: no tree of an earlier build with these tools is kept" in first.stdout
    second = run.invoke(commands.app, ["build", "mini+fix@v1", "--explain", "--verify"])
    lines = second.stdout.splitlines()
    assert lines[0].startswith("mini+fix@v1 fast 6.1.7 ")
    assert lines[1].startswith("  forked from the tree of mini (")
    assert lines[1].endswith("): 1 file changed")
    assert lines[2] == "  configured as that one: nothing that Kconfig reads has changed"
    assert lines[3] == "  3 steps instead of about 4"
    assert lines[4].startswith("  ccache: ")
    assert lines[-1].startswith("  proven on 20")
    assert "the same bytes as a clean build (5 files, " in lines[-1]
    third = run.invoke(commands.app, ["build", "mini+fix@v1", "--verify", "--json"])
    (row,) = json.loads(third.stdout)
    assert row["cached"] and row["reuse"]["how"] == "forked" and row["reuse"]["files"] == 1
    assert row["verified"]["proven"] in lines[-1]


@pytest.mark.usefixtures("local")
def test_clean_and_other_compilers(project: Project, tmp_path: Path) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    run = CliRunner()
    run.invoke(commands.app, ["build", "mini"])
    options = ["build", "mini+fix@v1", "--clean", "--json", "-j", "1", "--niceness", "0"]
    (row,) = json.loads(run.invoke(commands.app, options).stdout)
    assert row["reuse"]["how"] == "clean" and row["reuse"]["reason"] == "it was asked for"
    text = (Path(row["folder"]) / "build.log").read_text()
    assert " -j1 " in text and "nice -n" not in text
    own = tmp_path / "cc"
    own.symlink_to(shutil.which("gcc") or "")
    options = ["build", "mini", "--compiler", str(own), "--json"]
    (other,) = json.loads(run.invoke(commands.app, options).stdout)
    assert not other["cached"] and other["compiler"] == compiler.find_compiler(str(own)).identity
    assert f"CC=ccache {own}" in (Path(other["folder"]) / "build.log").read_text()


@pytest.mark.usefixtures("local")
def test_other_bytes_are_an_error_of_their_own(project: Project) -> None:
    makefile = project.source / "Makefile"
    makefile.write_text(makefile.read_text().replace("%.c include/linux/pages.h\n", "%.c\n"))
    project.pack()
    project.edit({"include/linux/pages.h": ("PAGES", "PAGES 7 //")})
    run = CliRunner()
    run.invoke(commands.app, ["build", "mini"])
    done = run.invoke(commands.app, ["build", "mini+fix@v1", "--verify"])
    assert isinstance(done.exception, DifferentBytesError)
    assert done.exception.exit_code == 1
