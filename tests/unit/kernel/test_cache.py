# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import BuildError, InfrastructureError
from harness.files import replace_text
from harness.kernel import recipe
from harness.kernel.cache import (
    Cache,
    check_space,
    describe_holder,
    disk_full,
    kept_on_failure,
    publish,
)
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project


def silent(words: str) -> None:
    raise AssertionError(f"there is nobody to wait for: {words}")


def test_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    said: list[str] = []
    order: list[str] = []
    waits = threading.Event()

    def wait() -> None:
        def tell(words: str) -> None:
            said.append(words)
            waits.set()

        with cache.hold("x", "second", tell):
            order.append("second")

    with cache.hold("x", "builds debian-6.1", silent):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert said[0].startswith(f"process {os.getpid()}, builds debian-6.1 since ")
    with cache.hold("x", "third", silent), cache.hold("y", "another", silent):
        pass


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom harness.kernel.cache import Cache\n"
        f"with Cache(Path({str(tmp_path)!r})).hold('x', 'dies', print):\n    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    with Cache(tmp_path).hold("x", "lives", silent):
        pass


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"pid": 1}', "[]"])
def test_an_unreadable_holder_is_another_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "holder").write_text(text)
    assert describe_holder(tmp_path / "holder") == "another process"


def test_scratch_is_removed_and_so_is_a_dead_ones(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    code = (
        "import os\nfrom pathlib import Path\nfrom harness.kernel.cache import Cache\n"
        f"with Cache(Path({str(tmp_path)!r})).scratch() as folder:\n"
        "    (folder / 'file').touch()\n    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (dead,) = [folder for folder in cache.work.iterdir() if folder.is_dir()]
    orphan = cache.work / "orphan"
    orphan.mkdir()
    with cache.scratch() as mine:
        assert not dead.exists() and not orphan.exists()
        with cache.scratch() as other:
            assert mine.is_dir() and other.is_dir() and mine != other
        assert mine.is_dir()
    assert [left.name for left in cache.work.iterdir()] == [".guard"]


def test_who_interrupts_does_not_wait_for_the_removal(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt), cache.scratch() as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt
    assert not folder.exists()
    left = cache.work / f".gone-{folder.name}"
    deadline = time.monotonic() + 60
    while left.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [entry.name for entry in cache.work.iterdir()] == [".guard"]
    # Where the process that removes it was killed, the next one does it.
    left.mkdir()
    with cache.scratch():
        assert not left.exists()


def test_removals_that_were_cut_short_are_finished(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name, age in ((".gone-old", 1000), (".gone-young", 0)):
        folder = cache.trees / name / "key"
        folder.mkdir(parents=True)
        when = time.time() - age
        os.utime(folder.parent, (when, when))
    with cache.scratch():
        assert [left.name for left in cache.trees.iterdir()] == [".gone-young"]


def test_a_lock_is_taken_only_where_it_is_free(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.try_hold("x", "first") as first, cache.try_hold("x", "second") as second:
        assert first and not second
        assert "first" in describe_holder(cache.locks / "x.holder")
    with cache.try_hold("x", "third") as third:
        assert third


def test_only_the_last_logs_of_failures_are_kept(tmp_path: Path) -> None:
    for number in range(60):
        log = tmp_path / f"{number:02}.log"
        log.touch()
        with pytest.raises(BuildError), kept_on_failure(log):
            raise BuildError(Outcome.BUILD_COMPILE, "no")
    assert sorted(left.name for left in tmp_path.iterdir()) == [f"{n}.log" for n in range(10, 60)]


def test_text_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "file"
    replace_text(file, "old")

    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError):
        replace_text(file, "new")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_an_entry_takes_the_place_of_another(tmp_path: Path) -> None:
    for content in ("old", "new"):
        aside = tmp_path / "aside"
        aside.mkdir()
        (aside / "file").write_text(content)
        publish(aside, tmp_path / "kernels" / "key")
    assert (tmp_path / "kernels" / "key" / "file").read_text() == "new"
    assert [entry.name for entry in (tmp_path / "kernels").iterdir()] == ["key"]


def test_a_full_disk_is_told_with_place_and_need(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught:
        check_space(tmp_path / "not" / "yet", 1 << 60)
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert str(tmp_path / "not" / "yet") in str(caught.value)
    check_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(InfrastructureError), disk_full(tmp_path):
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])
    with pytest.raises(FileNotFoundError), disk_full(tmp_path):
        (tmp_path / "nosuch").read_text()


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """Put the project's cache on a disk of 1 MiB, which takes a part of a build."""
    root = project.cache.root
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield root
    subprocess.run(["umount", str(root)], check=True)


@pytest.mark.parametrize("big", ["scripts/big", "include/big.h"])
def test_a_disk_that_fills_up(
    project: Project, small_disk: Path, monkeypatch: pytest.MonkeyPatch, big: str
) -> None:
    monkeypatch.setattr(recipe, "DISK_NEEDED", 0)
    # The one is too big for the checkout, the other for the entry's copy of it.
    size = (3 << 20) if big == "scripts/big" else (550 << 10)
    (project.source / big).write_bytes(b"// words\n" * (size // 9))
    project.pack()
    with pytest.raises(InfrastructureError) as caught:
        project.obtain()
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert str(small_disk) in str(caught.value)
    assert project.whole_entries() == []
    assert list(project.cache.work.glob("[!.]*")) == []
