# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a base, through the command line: a message of its own, and status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import BuildError, UserError
from harness.paths import PROJECT
from tests.unit.kernel.prebuilt import bzimage, packed, write_files
from tests.unit.kernel.project import Project


def patchbed(
    project: Project, *words: str, folder: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    home = str(project.folder / "home")
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": home, "PYTHONPATH": str(PROJECT)},
    )


def refusal(project: Project, variant: str) -> str:
    """Return what `kernel build` says of a variant that it refuses."""
    done = patchbed(project, "kernel", "build", variant)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    cache = project.folder / "home" / "patchbed"
    assert list(cache.glob("kernels/*")) == []
    assert list(cache.glob("work/[!.]*")) == []
    return done.stderr


def test_a_source_that_is_no_kernel(project: Project) -> None:
    (project.source / "Makefile").write_text("all:\n")
    project.pack()
    for base in (f"tree:{project.source}", f"tarball:{project.tarball}"):
        said = refusal(project, base)
        assert "holds no kernel source: it has no Makefile with a VERSION" in said
        assert "next: give the top of a kernel's source tree" in said


def test_a_reference_that_does_not_exist(project: Project) -> None:
    project.git(project.source, "init", "--quiet", "--initial-branch=main")
    project.git(project.source, "add", "--all")
    project.git(project.source, "commit", "--quiet", "--message", "base")
    project.git(project.source, "tag", "v6.1-rc1")
    said = refusal(project, f"git:{project.source}@v6.1-rc2")
    assert "there is no 'v6.1-rc2'; near: v6.1-rc1" in said


def test_a_tarball_with_another_hash_or_none(project: Project) -> None:
    said = refusal(project, f"tarball:{project.tarball}#sha256={'0' * 64}")
    assert f"not {'0' * 64}" in said
    whole = project.tarball.read_bytes()
    for length in (len(whole) - 8, 2000, 10, 0):
        project.tarball.write_bytes(whole[:length])
        said = refusal(project, f"tarball:{project.tarball}")
        assert "mini.tar.xz can't be imported" in said
        assert "Unexpected end" not in said


def test_an_image_for_another_architecture(project: Project) -> None:
    image = project.folder / "image"
    write_files(image, {"bzImage": bzimage(packed("gzip")), "config": "CONFIG_ARM64=y\n"})
    assert "CONFIG_ARM64=y" in refusal(project, f"image:{image}")
    said = refusal(project, f"image:{image}+gfp-unmapped@v1")
    assert "no series can be applied" in said


def test_a_name_that_is_no_base(project: Project) -> None:
    said = refusal(project, "nosuch")
    assert "no base is called 'nosuch'" in said
    for kind in ("git:REPO@REF", "tree:PATH", "tarball:FILE", "image:debian-6.1", "image:DIR"):
        assert kind in said


def test_a_run_finds_a_bad_base_before_it_makes_anything(project: Project) -> None:
    runs = project.folder / "runs"
    for base in (f"tree:{project.config}", f"git:{project.config}@v1", "image:/nosuch"):
        done = patchbed(project, "run", "--variant", base, "--runs", str(runs))
        assert done.returncode == 2, done.stderr
        assert base in done.stderr
    assert not runs.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["kernel", "build", "mine"],
        ["kernel", "config", "mine"],
        ["series", "check", "mine+gfp-unmapped@v1"],
        ["series", "apply", "mine+gfp-unmapped@v1", "new"],
        ["boot", "mine", "--", "true"],
        ["run", "--variant", "mine"],
    ],
)
def test_every_command_knows_the_short_names(project: Project, command: list[str]) -> None:
    (project.folder / "patchbed.toml").write_text('[bases]\nmine = "tree:nosuch"\n')
    done = patchbed(project, *command, folder=project.folder)
    assert done.returncode == 2, done.stderr
    assert f"base tree:{project.folder}/nosuch: there is no such folder" in done.stderr


@pytest.mark.parametrize("command", ["build", "config"])
def test_series_are_where_the_file_says(project: Project, command: str) -> None:
    (project.folder / "patchbed.toml").write_text(
        f'[paths]\nkernel_patches = "mine"\n[bases]\nmini = "tree:{project.source}"\n'
    )
    (project.folder / "mine" / "own" / "v1").mkdir(parents=True)
    done = patchbed(project, "kernel", command, "mini+fix@v1", folder=project.folder)
    assert done.returncode == 2, done.stderr
    assert f"{project.folder}/mine has no series 'fix'" in done.stderr
    assert "series there are: own" in done.stderr


def test_a_patch_for_another_kernel(project: Project) -> None:
    folder = project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    folder.rename(folder.with_name("6.12"))
    with pytest.raises(UserError, match=r"has no patches for kernels 6\.1") as caught:
        project.obtain(f"tree:{project.source}+fix@v1")
    assert "6.12" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("where", ["profile", "series"])
def test_a_configuration_for_another_architecture(project: Project, where: str) -> None:
    folder: Path = project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    if where == "profile":
        project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_ARM64=y\n")
    else:
        toml = folder.parent / "series.toml"
        toml.write_text('title = "A fix"\nconfig = ["CONFIG_ARM64=y"]\n')
    with pytest.raises(BuildError, match="asks for CONFIG_ARM64=y, which is another") as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.exit_code == 2
    assert project.whole_entries() == []
