# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds of a kernel tree in small: real make, real git, real patches."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.errors import BuildError, InfrastructureError, UserError
from harness.events import BuildProgress, Event
from harness.kernel import builder, recipe
from harness.kernel.artifact import load_kernel
from harness.kernel.cache import discard
from harness.kernel.check import check_series
from harness.kernel.series import hash_patches
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project

ONE_TO_TEN = {"mm/pages.c": ("return 1;", "return 10;")}


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def names_below(folder: Path) -> list[str]:
    """Return the names of the processes that work in `folder` or name it; zombies don't."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [process.cwd(), *process.cmdline()]
            alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if alive and any(str(folder) in word for word in words):
                found.append(process.name())
    return found


def test_a_base_is_built_once(project: Project) -> None:
    built = project.obtain()
    assert not built.cached
    assert built.release == "6.1.7"
    assert built.config()["PARENT"] == "y"
    assert built.bzimage.is_file() and built.vmlinux.is_file() and built.system_map.is_file()
    assert (built.headers / "include/generated/autoconf.h").is_file()
    assert {"import source", "check out", "configure", "compile", "store"} <= set(project.phases())

    project.events.clear()
    again = project.obtain()
    assert again.cached and again == built
    assert project.phases() == []


def test_nothing_but_the_result_is_left(project: Project) -> None:
    kernel = project.obtain()
    assert list(project.cache.work.glob("[!.]*")) == []
    assert list(project.cache.logs.glob("*")) == []
    assert kernel.log.read_text().startswith("$ patchbed kernel build mini -p fast\n")
    meta = json.loads((kernel.folder / "meta.json").read_text())
    assert meta["tree"] == kernel.tree and meta["base"]["release"] == "6.1.7"


def test_a_series_gives_another_kernel(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    base, patched = project.obtain(), project.obtain("mini+fix@v1")
    assert patched.key != base.key and patched.tree != base.tree
    assert patched.vmlinux.read_bytes() != base.vmlinux.read_bytes()


def test_commits_and_keys_are_the_same_everywhere(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit(ONE_TO_TEN)
    first = project.obtain("mini+fix@v1")
    project.cache = type(project.cache)(tmp_path / "elsewhere")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-02-02T00:00:00")
    monkeypatch.setenv("KCFLAGS", "-Dnonsense")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = project.obtain("mini+fix@v1")
    assert not second.cached
    assert second.key == first.key
    assert second.meta["commit"] == first.meta["commit"]
    assert second.vmlinux.read_bytes() == first.vmlinux.read_bytes()


def test_the_same_source_and_config_share_an_entry(project: Project) -> None:
    first = project.obtain()
    project.fragment("basic", "# A comment is no reason to build again.\nCONFIG_PARENT=y\n")
    assert project.obtain().cached
    project.fragment("basic", "CONFIG_PARENT=y\n# CONFIG_CHILD is not set\n")
    shared = project.obtain()
    assert shared.cached and shared.key == first.key
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=y\n")
    assert project.obtain().key != first.key


def test_a_patch_that_does_not_apply(project: Project) -> None:
    project.edit({**ONE_TO_TEN, "init/main.c": ("return PAGES;", "return PAGES + 1;")})
    before = project.obtain()
    main = project.source / "init/main.c"
    main.write_text(main.read_text().replace("return PAGES;", "return 2 * PAGES;"))
    project.pack()
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    error = caught.value
    assert error.outcome is Outcome.BUILD_APPLY
    assert "0002-Change-init-main.c.patch (patch 2 of 2) does not apply" in error.message
    assert len(error.lines) == 1
    assert error.lines[0].startswith("init/main.c: hunk 1 of 1 (@@ -3,5 +3,5 @@")
    assert list(project.cache.work.glob("[!.]*")) == []
    assert list(project.cache.logs.glob("*")) == []
    assert [entry.name for entry in project.whole_entries()] == [before.key]


def test_a_patch_for_a_file_that_is_not_there(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    (project.source / "mm/pages.c").rename(project.source / "mm/other.c")
    project.pack()
    with pytest.raises(BuildError, match=r"0001-Change-mm-pages\.c\.patch") as caught:
        project.obtain("mini+fix@v1")
    assert any("mm/pages.c" in line for line in caught.value.lines)


def test_a_patch_that_is_no_mail(project: Project) -> None:
    folder = project.edit(ONE_TO_TEN)
    next(folder.glob("*.patch")).write_text("nothing of the kind\n")
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.outcome is Outcome.BUILD_APPLY
    assert caught.value.lines


def test_patches_that_change_while_they_are_built_are_built_again(project: Project) -> None:
    folder = project.edit(ONE_TO_TEN)
    patch = next(folder.glob("*.patch"))
    other = patch.read_bytes().replace(b"return 10;", b"return 11;")

    def change(event: Event) -> None:
        project.events.append(event)
        if isinstance(event, BuildProgress) and event.phase == "compile":
            patch.write_bytes(other)

    old = project.obtain("mini+fix@v1", listen=change)
    new = project.obtain("mini+fix@v1")
    assert not new.cached and new.key != old.key
    hashes = [
        json.loads((kernel.folder / "meta.json").read_text())["series"]["patchset_hash"]
        for kernel in (old, new)
    ]
    assert hashes[0] != hashes[1] == hash_patches([other])


def test_patches_that_change_while_they_are_applied(project: Project) -> None:
    folder = project.edit(ONE_TO_TEN)
    patch = next(folder.glob("*.patch"))

    def change(event: Event) -> None:
        if isinstance(event, BuildProgress) and event.phase == "apply" and event.done:
            patch.write_bytes(patch.read_bytes() + b"\n")

    with pytest.raises(UserError, match="changed while they were applied"):
        project.obtain("mini+fix@v1", listen=change)


def test_a_symbol_that_does_not_stick(project: Project) -> None:
    project.fragment("basic", "# CONFIG_PARENT is not set\nCONFIG_CHILD=y\n")
    with pytest.raises(BuildError) as caught:
        project.obtain()
    error = caught.value
    assert error.outcome is Outcome.BUILD_CONFIG
    assert error.lines == (
        "CONFIG_CHILD: wanted y (basic.config:2), got n",
        "  depends on PARENT (Kconfig:5): PARENT is n",
    )
    assert project.whole_entries() == []
    assert error.log is not None and error.log.is_file()


def test_a_symbol_that_can_not_be_turned_off(project: Project) -> None:
    project.fragment("basic", "# CONFIG_ALWAYS is not set\nCONFIG_NOSUCH=y\n")
    with pytest.raises(BuildError) as caught:
        project.obtain()
    assert "CONFIG_ALWAYS: wanted n (basic.config:1), got y" in caught.value.lines
    assert any("it has no prompt (Kconfig:9)" in line for line in caught.value.lines)
    assert any("this kernel has no symbol NOSUCH" in line for line in caught.value.lines)


def test_a_symbol_that_is_absent_is_not_set(project: Project) -> None:
    project.fragment("basic", "# CONFIG_NOSUCH is not set\n# CONFIG_CHILD is not set\n")
    assert "CHILD" not in project.obtain().config()


def test_a_series_own_configuration_is_checked(project: Project) -> None:
    folder = project.edit(ONE_TO_TEN)
    (folder.parent / "series.toml").write_text('title = "A fix"\nconfig = ["CONFIG_NEW=y"]\n')
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.lines[0] == "CONFIG_NEW: wanted y (fix@v1:1), got n"


def test_conflicting_fragments_are_told(project: Project) -> None:
    (project.config / "profiles.toml").write_text(
        '[fast]\ndescription = "for tests"\nfragments = ["basic", "more"]\n'
    )
    project.fragment("more", "# CONFIG_PARENT is not set\n")
    assert "PARENT" not in project.obtain().config()
    assert project.messages() == [
        "more.config:1: # CONFIG_PARENT is not set overrides CONFIG_PARENT=y of basic.config:1"
    ]


def test_a_compile_error(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return nosuch;")})
    project.obtain()
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    error = caught.value
    assert error.outcome is Outcome.BUILD_COMPILE
    assert error.message == "mini+fix@v1 does not compile"
    assert error.lines[0].startswith("mm/pages.c:6:16: error: 'nosuch' undeclared")
    assert error.log is not None
    text = error.log.read_text()
    assert text.startswith("$ patchbed kernel build mini+fix@v1 -p fast\n$ env -i ")
    assert "nosuch" in text
    assert len(project.whole_entries()) == 1
    assert list(project.cache.work.glob("[!.]*")) == []


def test_a_damaged_entry_is_made_again(project: Project) -> None:
    kernel = project.obtain()
    whole = kernel.bzimage.read_bytes()
    kernel.bzimage.write_bytes(b"damaged")
    again = project.obtain()
    assert not again.cached
    assert again.key == kernel.key
    assert again.bzimage.read_bytes() == whole
    assert any("bzImage is not what was built" in text for text in project.messages())


def test_what_is_not_there_is_named(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    for variant, words in (
        ("nosuch", "use one of debian-6.1, debian-6.12, mini"),
        ("mini+nosuch@v1", "series there are: fix"),
        ("mini+fix@v7", "versions there are: v1"),
    ):
        with pytest.raises(UserError) as caught:
            project.obtain(variant)
        assert words in str(caught.value)


def test_a_disk_without_room(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "DISK_NEEDED", 1 << 60)
    with pytest.raises(InfrastructureError) as caught:
        project.obtain()
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert str(project.cache.root) in caught.value.message
    assert f"{2**40} MiB are needed" in caught.value.message
    assert project.whole_entries() == []


def test_every_patch_is_built_by_itself(project: Project) -> None:
    project.edit(
        {
            **ONE_TO_TEN,
            "include/linux/pages.h": ("#define PAGES", "#define NUMBER"),
            "init/main.c": ("PAGES", "NUMBER"),
        }
    )
    steps = check_series(
        parse("mini+fix@v1"),
        "fast",
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
    )
    assert [(step.number, step.outcome) for step in steps] == [
        (1, Outcome.PASS),
        (2, Outcome.BUILD_COMPILE),
    ]
    assert steps[1].patch == "0002-Change-include-linux-pages.h.patch"
    assert len(project.whole_entries()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing(project: Project, number: signal.Signals) -> None:
    project.fragment("basic", "CONFIG_SLOW=y\n")
    with subprocess.Popen(project.script(), stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: "sleep" in names_below(project.cache.work))
        process.send_signal(number)
        process.wait(timeout=30)
        wait_for(lambda: not names_below(project.cache.work), seconds=30)
    assert project.whole_entries() == []
    if number != signal.SIGKILL:
        assert list(project.cache.work.glob("[!.]*")) == []
        assert list(project.cache.logs.glob("*")) == []
    project.fragment("basic", "CONFIG_PARENT=y\n")
    assert not project.obtain().cached
    assert list(project.cache.work.glob("[!.]*")) == []


def test_a_build_killed_at_any_moment_leaves_whole_entries(project: Project) -> None:
    """One that forks, as it has the most moments: linking, copying, checking out, compiling."""
    project.edit(ONE_TO_TEN)
    base = project.obtain()
    began = time.monotonic()
    subprocess.run(project.script("mini+fix@v1"), check=True, capture_output=True)
    whole = time.monotonic() - began
    seed = 2023
    chance = random.Random(seed)  # noqa: S311

    def forget() -> None:
        for entry in project.whole_entries():
            if entry.name != base.key:
                discard(entry)

    for _ in range(10):
        forget()
        with subprocess.Popen(
            project.script("mini+fix@v1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            moment = chance.uniform(0.2, 1.0) * whole
            print(f"seed {seed}: killed after {moment:.2f} s of {whole:.2f} s")
            time.sleep(moment)
            process.kill()
        wait_for(lambda: not names_below(project.folder), 5)
        assert base.key in [entry.name for entry in project.whole_entries()]
        assert all(load_kernel(entry) for entry in project.whole_entries())
    # The last one may have come as far as to publish it, and only who builds clears up.
    forget()
    kernel = project.obtain("mini+fix@v1")
    assert sorted(entry.name for entry in project.whole_entries()) == sorted([base.key, kernel.key])
    assert list(project.cache.work.glob("[!.]*")) == []


def test_of_two_builders_one_waits_and_says_for_whom(project: Project) -> None:
    go = project.folder / "go"
    makefile = project.source / "Makefile"
    wait = f'@until [ -e {go} ]; do sleep 0.05; done; echo "  LD'
    makefile.write_text(makefile.read_text().replace('@echo "  LD', wait))
    project.pack()
    first = subprocess.Popen(project.script(), stdout=subprocess.PIPE, text=True)
    with first:
        wait_for(lambda: "sleep" in names_below(project.folder))
        second = subprocess.Popen(project.script(), stdout=subprocess.PIPE, text=True)
        with second:
            assert second.stdout is not None
            said = [second.stdout.readline(), second.stdout.readline()]
            go.touch()
            out, _ = first.communicate()
            rest, _ = second.communicate()
    assert said[0] == "wait\n"
    assert f"waiting for process {first.pid}, " in said[1]
    assert ": mini since " in said[1]
    assert out.splitlines()[-1].split()[0] == "built"
    assert rest.splitlines()[-1].split()[0] == "cached"
    assert out.split()[-1] == rest.split()[-1]


def test_the_key_depends_on_all_that_matters(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = project.obtain()
    config = kernel.config_file.read_text()
    compiler = builder.Compiler("gcc", kernel.compiler)
    key = builder.build_key(kernel.tree, config, compiler)
    assert key == kernel.key
    other = builder.Compiler("gcc", "gcc 99; as 1; ld 2")
    assert builder.build_key(kernel.tree, config, other) != key
    assert builder.build_key("0" * 40, config, compiler) != key
    assert builder.build_key(kernel.tree, config + "CONFIG_X=y\n", compiler) != key
    monkeypatch.setattr(recipe, "VERSION", recipe.VERSION + 1)
    assert builder.build_key(kernel.tree, config, compiler) != key


def test_a_host_without_the_tools(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.kernel.compiler._TOOLS", ("make", "nosuch-tool"))
    with pytest.raises(InfrastructureError, match="takes nosuch-tool, not installed") as caught:
        project.obtain()
    assert caught.value.outcome is Outcome.INFRA_WORKER


def test_a_store_that_is_damaged(project: Project) -> None:
    project.obtain()
    for pack in project.cache.store.glob("objects/pack/*"):
        pack.unlink()
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=y\n")
    with pytest.raises(InfrastructureError, match="store of sources can't be used") as caught:
        project.obtain()
    assert str(project.cache.store) in caught.value.hint
