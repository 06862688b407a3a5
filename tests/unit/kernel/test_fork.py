# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds that begin from the tree of an earlier one: the same bytes, and the parent unharmed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError, InfrastructureError
from harness.kernel import checkout, recipe, trees
from harness.kernel.artifact import Kernel
from harness.kernel.cache import Cache
from harness.kernel.filestate import state_of, walk
from harness.kernel.fork import Changes, keeps_configuration, parse_changes
from harness.kernel.reuse import CLEAN, FORKED, Reuse, read_reuse
from harness.kernel.shadows import shadowed_by
from harness.kernel.trees import Candidate, KeptTree, Record, kept_trees, nearest, remove_tree
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project

ONE_TO_TEN = {"mm/pages.c": ("return 1;", "return 10;")}
BYTES = ("vmlinux", "bzImage", "System.map", "Module.symvers", "config")


def reuse_of(kernel: Kernel) -> Reuse:
    reuse = read_reuse(kernel.meta)
    assert reuse is not None
    return reuse


def bytes_of(kernel: Kernel) -> dict[str, bytes]:
    return {name: (kernel.folder / name).read_bytes() for name in BYTES}


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and contents of all files and links below, without the build."""
    return {
        name: (
            entry.stat(follow_symlinks=False).st_mode,
            os.readlink(entry.path).encode()  # noqa: PTH115
            if entry.is_symlink()
            else Path(entry.path).read_bytes(),
        )
        for name, entry in walk(folder)
        if not name.startswith("build/")
    }


def tree_of(project: Project, kernel: Kernel) -> KeptTree:
    (found,) = [tree for tree in kept_trees(project.cache) if tree.record.key == kernel.key]
    return found


def built_clean(project: Project, variant: str = "mini") -> tuple[Kernel, KeptTree]:
    """Build the same variant in a cache that knows nothing."""
    before = project.cache
    project.cache = Cache(project.folder / "clean-cache")
    try:
        kernel = project.obtain(variant)
        return kernel, tree_of(project, kernel)
    finally:
        project.cache = before


def test_a_change_makes_what_it_touches(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    base = project.obtain()
    assert reuse_of(base).how == CLEAN
    before = state_of(tree_of(project, base).source), files_of(tree_of(project, base).source)
    forked = project.obtain("mini+fix@v1")
    reuse = reuse_of(forked)
    assert (reuse.how, reuse.parent, reuse.files) == (FORKED, base.key, 1)
    assert reuse.configured and "tinyconfig" not in forked.log.read_text()
    # One object of two, the link and the image.
    assert (reuse.steps, reuse.usual) == (3, 4)
    clean, _ = built_clean(project, "mini+fix@v1")
    assert reuse_of(clean).how == CLEAN
    assert bytes_of(forked) == bytes_of(clean)
    tree = tree_of(project, base)
    assert (state_of(tree.source), files_of(tree.source)) == before


def test_sources_are_shared_and_objects_are_not(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    base, forked = project.obtain(), project.obtain("mini+fix@v1")
    one, other = (tree_of(project, kernel).source for kernel in (base, forked))
    assert (one / "init/main.c").samefile(other / "init/main.c")
    assert not (one / "mm/pages.c").samefile(other / "mm/pages.c")
    assert not (one / "build/init/main.o").samefile(other / "build/init/main.o")
    assert (other / "build/scripts").is_dir() and not any((other / "build/scripts").iterdir())
    untouched = [(tree / "build/init/main.o").stat().st_mtime_ns for tree in (one, other)]
    assert untouched[0] == untouched[1]


def test_what_goes_back_is_made_again(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    base, forked = project.obtain(), project.obtain("mini+fix@v1")
    whole = bytes_of(base)
    assert remove_tree(project.cache, tree_of(project, base).folder)
    base.bzimage.write_bytes(b"damaged")
    again = project.obtain()
    assert reuse_of(again).parent == forked.key
    assert bytes_of(again) == whole


def test_nothing_changed_makes_nothing(project: Project) -> None:
    base = project.obtain()
    base.bzimage.write_bytes(b"damaged")
    again = project.obtain()
    assert (reuse_of(again).parent, reuse_of(again).files) == (base.key, 0)
    assert reuse_of(again).steps == 0


def rename(source: Path) -> None:
    (source / "mm/pages.c").rename(source / "mm/other.c")
    makefile = source / "Makefile"
    makefile.write_text(makefile.read_text().replace("mm/pages.o", "mm/other.o"))


def delete(source: Path) -> None:
    rename(source)
    (source / "mm/other.c").rename(source / "only.c")
    makefile = source / "Makefile"
    makefile.write_text(makefile.read_text().replace("mm/other.o", "only.o"))


def folder_for_file(source: Path) -> None:
    (source / "Kbuild").unlink()
    (source / "Kbuild").mkdir()
    (source / "Kbuild" / "deep").write_text("deep\n")


def link_for_file(source: Path) -> None:
    (source / "Kbuild").unlink()
    (source / "Kbuild").symlink_to("Kconfig")


def make_executable(source: Path) -> None:
    (source / "Kbuild").chmod(0o755)


def header(source: Path) -> None:
    file = source / "include/linux/pages.h"
    file.write_text(file.read_text() + "#define MORE 1\n")


def other_configuration(source: Path) -> None:
    file = source / "Kconfig"
    file.write_text(file.read_text() + "\nconfig MORE\n\tbool\n\tdefault y\n")


@pytest.mark.parametrize(
    "change",
    [
        rename,
        delete,
        folder_for_file,
        link_for_file,
        make_executable,
        header,
        other_configuration,
    ],
)
def test_a_fork_has_the_files_and_bytes_of_a_clean_build(
    project: Project, change: Callable[[Path], None]
) -> None:
    base = project.obtain()
    change(project.source)
    project.pack()
    forked = project.obtain()
    assert reuse_of(forked).how == FORKED and forked.key != base.key
    clean, tree = built_clean(project)
    assert bytes_of(forked) == bytes_of(clean)
    assert files_of(tree_of(project, forked).source) == files_of(tree.source)


def test_a_fork_of_a_fork_keeps_its_own_objects(project: Project) -> None:
    """What a fork needs must be its own: its parent may go at any time."""
    for number in range(4):
        project.edit({"mm/pages.c": ("return 1;", f"return 1{number};")}, version=f"v{number}")
    kernel = project.obtain("mini+fix@v0")
    for number in range(1, 4):
        child = project.obtain(f"mini+fix@v{number}")
        assert reuse_of(child).parent == kernel.key and reuse_of(child).files == 1
        assert remove_tree(project.cache, tree_of(project, kernel).folder)
        kernel = child


def write_record(tree: KeptTree, record: Record) -> None:
    (tree.folder / trees.RECORD).write_text(json.dumps(asdict(record)))


def touched(tree: KeptTree) -> None:
    (tree.source / "build/init/main.o").write_bytes(b"spoilt")


def added_to(tree: KeptTree) -> None:
    (tree.source / "include/linux/spoilt.h").write_text("#error\n")


def dated(tree: KeptTree) -> None:
    late = time.time() + 1000
    os.utime(tree.source / "build/init/main.o", (late, late))
    write_record(tree, replace(tree.record, state=state_of(tree.source)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (touched, "its files are not those that its build left"),
        (added_to, "its files are not those that its build left"),
        (dated, "build/init/main.o has a date in the future"),
    ],
)
def test_a_spoilt_tree_is_not_used(
    project: Project, spoil: Callable[[KeptTree], None], words: str
) -> None:
    project.edit(ONE_TO_TEN)
    base = project.obtain()
    spoil(tree_of(project, base))
    kernel = project.obtain("mini+fix@v1")
    assert reuse_of(kernel).how == CLEAN
    assert project.messages() == [f"mini+fix@v1: the tree of mini is not used: {words}"]
    assert [tree.record.key for tree in kept_trees(project.cache)] == [kernel.key]
    assert bytes_of(kernel) == bytes_of(built_clean(project, "mini+fix@v1")[0])


def unreadable(tree: KeptTree) -> None:
    (tree.folder / trees.RECORD).write_text("{")


def without_configuration(tree: KeptTree) -> None:
    (tree.source / "build/.config").unlink()


def without_commit(tree: KeptTree) -> None:
    write_record(tree, replace(tree.record, tree="0" * 40))


@pytest.mark.parametrize("spoil", [unreadable, without_configuration, without_commit])
def test_a_tree_that_can_not_be_compared_is_left_alone(
    project: Project, spoil: Callable[[KeptTree], None]
) -> None:
    project.edit(ONE_TO_TEN)
    spoil(tree_of(project, project.obtain()))
    assert reuse_of(project.obtain("mini+fix@v1")).how == CLEAN


def test_no_tree_of_other_tools_is_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.edit(ONE_TO_TEN)
    project.obtain()
    monkeypatch.setattr(recipe, "VERSION", recipe.VERSION + 1)
    reuse = reuse_of(project.obtain("mini+fix@v1"))
    assert (reuse.how, reuse.reason) == (
        CLEAN,
        "no tree of an earlier build with these tools is kept",
    )


def test_a_tree_far_away_is_not_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.edit(ONE_TO_TEN)
    project.obtain()
    monkeypatch.setattr(checkout, "MOST_CHANGED", 0)
    reuse = reuse_of(project.obtain("mini+fix@v1"))
    assert (reuse.how, reuse.reason) == (CLEAN, "the nearest tree, of mini, differs in 1 files")


def test_a_fork_that_does_not_compile_says_what_it_is(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return nosuch;")})
    base = project.obtain()
    with pytest.raises(BuildError) as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.outcome is Outcome.BUILD_COMPILE
    assert "forked from mini; --clean builds without" in caught.value.hint
    assert [tree.record.key for tree in kept_trees(project.cache)] == [base.key]


def kept(key: str, used: float) -> KeptTree:
    record = Record(key, key, "fast", "t", "c", "gcc", 1, "/p", 10, "s")
    return KeptTree(Path(key), record, used)


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.builds(kept, st.text("abc", min_size=1), st.floats(0, 9)),
        st.integers(0, 50),
        st.integers(0, 5),
    )
)


@given(CANDIDATES)
def test_no_other_is_nearer_than_the_nearest(candidates: list[Candidate]) -> None:
    chosen = nearest(candidates)
    if chosen is None:
        assert not candidates
        return
    assert all(chosen.distance <= one.distance for one in candidates)
    alike = [one.tree.used for one in candidates if one.distance == chosen.distance]
    assert chosen.tree.used == max(alike)


def test_configuration_counts_as_files_do() -> None:
    other_files = Candidate(kept("a", 0), 15, 0)
    other_symbols = Candidate(kept("b", 1), 0, 2)
    assert nearest([other_symbols, other_files]) is other_files
    assert nearest([other_symbols, replace(other_files, files=25)]) is other_symbols


def test_changes_as_git_tells_them() -> None:
    changes = parse_changes("A\0new.c\0M\0old.c\0D\0gone.c\0T\0link\0")
    assert changes.added == ("new.c",)
    assert changes.changed == ("old.c", "link")
    assert changes.deleted == ("gone.c",)
    assert len(changes) == 4 and len(parse_changes("")) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from("AMDT"), st.text(min_size=1).filter(lambda t: "\0" not in t))
    )
)
def test_no_change_is_lost(found: list[tuple[str, str]]) -> None:
    changes = parse_changes("".join(f"{status}\0{name}\0" for status, name in found))
    names = [*changes.added, *changes.changed, *changes.deleted]
    assert sorted(names) == sorted(name for _, name in found)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("mm/slub.c", True),
        ("include/linux/mm.h", True),
        ("arch/x86/entry/entry_64.S", True),
        ("mm/Kconfig", False),
        ("mm/Kconfig.debug", False),
        ("Makefile", False),
        ("kernel/configs/tiny.config", False),
        ("scripts/kconfig/conf.c", False),
        ("tools/objtool/check.c", False),
        ("scripts/cc-version.sh", False),
    ],
)
def test_a_configuration_is_kept_where_kconfig_reads_nothing_else(name: str, kept: bool) -> None:
    for changes in (Changes((name,)), Changes((), (name,)), Changes((), (), ("a.c", name))):
        assert keeps_configuration(changes) is kept
    assert keeps_configuration(Changes())


def test_other_wishes_are_configured_anew(project: Project) -> None:
    project.obtain()
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=y\n")
    kernel = project.obtain()
    reuse = reuse_of(kernel)
    assert reuse.how == FORKED and not reuse.configured
    assert kernel.config()["CHILD"] == "y"


def test_a_new_header_touches_those_it_may_stand_in_front_of() -> None:
    names = ["include/uapi/linux/x.h", "build/include/generated/asm/x.h", "include/linux/xx.h"]
    assert shadowed_by(["include/linux/x.h", "doc/y.rst"], names) == names[:2]
    assert shadowed_by(["include/linux/xx.h"], names) == []
    assert shadowed_by(["Documentation/xx.h.rst"], names) == []


@pytest.mark.parametrize("kept", ["tree", "ccache"])
def test_an_object_finds_the_header_that_is_in_front_now(project: Project, kept: str) -> None:
    """Neither kbuild's dependency files nor ccache's manifests tell of a header not there yet."""
    makefile = project.source / "Makefile"
    text = makefile.read_text().replace("-Iinclude -c -o", "-MMD -Iinclude -Iinclude/uapi -c -o")
    makefile.write_text(
        text.replace("%.c include/linux/pages.h\n", "%.c\n") + "\n-include $(OBJECTS:.o=.d)\n"
    )
    header = project.source / "include/uapi/linux/step.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define STEP 1\n")
    main = project.source / "init/main.c"
    main.write_text("#include <linux/step.h>\nint step = STEP;\n" + main.read_text())
    project.pack()
    project.obtain()
    (project.source / "include/linux/step.h").write_text("#define STEP 2\n")
    project.pack()
    if kept == "ccache":
        assert trees.drop_trees(project.cache) == 1
    again = project.obtain()
    assert reuse_of(again).how == (FORKED if kept == "tree" else CLEAN)
    assert bytes_of(again) == bytes_of(built_clean(project)[0])


def tell_dependencies(project: Project) -> None:
    """Have the compiler say what it reads, as kbuild has it."""
    makefile = project.source / "Makefile"
    makefile.write_text(makefile.read_text().replace("-Iinclude -c -o", "-MMD -Iinclude -c -o"))


INCBIN = """__asm__(".data\\n.incbin \\"init/blob\\"\\n.text");\n"""


@pytest.mark.parametrize("place", ["init/main.c", "include/linux/pages.h"])
def test_ccache_gives_no_object_that_took_in_other_bytes(project: Project, place: str) -> None:
    tell_dependencies(project)
    source = project.source / place
    source.write_text(source.read_text() + INCBIN)
    main = project.source / "init/main.c"
    main.write_text("#include <linux/pages.h>\n" + main.read_text())
    for blob in ("one", "two"):
        (project.source / "init/blob").write_text(blob)
        project.pack()
        trees.drop_trees(project.cache)
        kernel = project.obtain()
        assert reuse_of(kernel).how == CLEAN
        assert blob.encode() in (kernel.folder / "vmlinux").read_bytes()


def test_ccache_runs_no_preprocessor_for_what_it_has_not(project: Project) -> None:
    """The compiler tells what it reads: to ask the preprocessor takes half as long again."""
    tell_dependencies(project)
    project.pack()
    project.obtain()
    assert counted(project, "preprocessed_cache_miss") == 0
    assert counted(project, "direct_cache_miss") == 2
    trees.drop_trees(project.cache)
    project.edit({"init/main.c": ("start", "begin")})
    again = project.obtain("mini+fix@v1")
    assert (reuse_of(again).ccache.hits, reuse_of(again).ccache.misses) == (1, 1)


def counted(project: Project, what: str) -> int:
    """Return how often something happened, by ccache's own statistics."""
    folder = project.cache.ccache_of("6.1")
    told = subprocess.run(
        ["ccache", "--dir", str(folder), "--print-stats"],
        capture_output=True,
        text=True,
        check=True,
    )
    numbers = dict(line.split("\t", 1) for line in told.stdout.splitlines())
    return int(numbers[what])


def test_a_tree_in_use_stays(project: Project) -> None:
    kernel = project.obtain()
    tree = tree_of(project, kernel)
    with trees.hold_tree(project.cache, kernel.key, lambda _: None):
        assert not remove_tree(project.cache, tree.folder)
        assert trees.drop_trees(project.cache) == 0
    assert tree.folder.is_dir()
    assert trees.drop_trees(project.cache) == 1
    assert not tree.folder.exists()


def test_a_fork_waits_for_a_tree_that_is_in_use(project: Project) -> None:
    project.edit(ONE_TO_TEN)
    kernel = project.obtain()
    with subprocess.Popen(
        project.script("mini+fix@v1"), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        with trees.hold_tree(project.cache, kernel.key, lambda _: None):
            assert process.stdout is not None
            said = next(line for line in process.stdout if "waiting for" in line)
        rest, _ = process.communicate(timeout=60)
    assert f"mini+fix@v1: waiting for process {os.getpid()}, " in said
    assert rest.splitlines()[-1].startswith("built ")


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """Put the project's cache on a disk of 3 MiB."""
    root = project.cache.root
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield root
    subprocess.run(["umount", str(root)], check=True)


def big_build(project: Project) -> None:
    """Let a build leave 1 MiB beside its objects."""
    makefile = project.source / "Makefile"
    text = makefile.read_text()
    makefile.write_text(
        text.replace("\t@cat $(OBJECTS)", "\t@head -c 1M /dev/zero > $(O)/big\n\t@cat $(OBJECTS)")
    )
    project.pack()


def test_a_disk_that_fills_up_during_a_fork(
    project: Project, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "DISK_NEEDED", 1000)
    monkeypatch.setattr(checkout, "_FORK_EXTRA", -(1 << 30))
    big_build(project)
    project.edit(ONE_TO_TEN)
    base = project.obtain()
    (small_disk / "filler").write_bytes(bytes((1 << 20) + (400 << 10)))
    with pytest.raises(InfrastructureError) as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert str(small_disk) in caught.value.message and "are needed" in caught.value.message
    assert [entry.name for entry in project.whole_entries()] == [base.key]
    assert list(project.cache.work.glob("[!.]*")) == []
    (small_disk / "filler").unlink()
    assert reuse_of(project.obtain("mini+fix@v1")).parent == base.key


def test_the_room_for_a_fork_is_looked_for_before(
    project: Project, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "DISK_NEEDED", 1000)
    project.edit(ONE_TO_TEN)
    project.obtain()
    with pytest.raises(InfrastructureError, match=r"\d+ MiB are needed") as caught:
        project.obtain("mini+fix@v1")
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert "fork" in project.phases() and "configure" not in project.phases()[-1:]


def test_trees_go_before_a_build_is_refused(
    project: Project, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "DISK_NEEDED", 1000)
    big_build(project)
    project.edit(ONE_TO_TEN)
    project.obtain()
    monkeypatch.setattr(recipe, "DISK_NEEDED", 5 << 19)
    kernel = project.obtain("mini+fix@v1")
    assert reuse_of(kernel).how == CLEAN
    assert [tree.record.key for tree in kept_trees(project.cache)] == [kernel.key]
    assert len(project.whole_entries()) == 2


def test_clean_uses_no_tree(project: Project) -> None:
    from harness.kernel.builder import obtain

    project.edit(ONE_TO_TEN)
    project.obtain()
    kernel = obtain(
        parse("mini+fix@v1"),
        "fast",
        listen=project.events.append,
        aliases=project.bases,
        series_folder=project.patches,
        config_folder=project.config,
        cache=project.cache,
        fork=False,
    )
    assert (reuse_of(kernel).how, reuse_of(kernel).reason) == (CLEAN, "it was asked for")
