# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.kernel import recall as module
from harness.kernel.artifact import FORMAT, Kernel
from harness.kernel.cache import Cache
from harness.kernel.recall import Question, recall, remember
from harness.kernel.variant import parse

KEY = "0123abcd"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Question:
    dpkg = tmp_path / "status"
    dpkg.write_text("Package: linux-source-6.1\n")
    monkeypatch.setattr(module, "_DPKG", dpkg)
    series, config = tmp_path / "series", tmp_path / "config"
    (series / "one" / "v1" / "6.1").mkdir(parents=True)
    (series / "one" / "v1" / "6.1" / "0001.patch").write_text("a patch\n")
    (series / "one" / "v2").mkdir()
    config.mkdir()
    (config / "boot.config").write_text("CONFIG_64BIT=y\n")
    return Question(parse("debian-6.1+one@v1"), "fast", series, config)


@pytest.fixture
def kernel(cache: Cache) -> Kernel:
    folder = cache.kernels / KEY
    folder.mkdir(parents=True)
    facts = {"key": KEY, "release": "6.1.1", "tree": "t", "compiler": "gcc", "variant": "another's"}
    (folder / "meta.json").write_text(json.dumps({"format": FORMAT, **facts}))
    for name in ("vmlinux", "bzImage", "config"):
        (folder / name).write_text(name)
    return Kernel(KEY, "debian-6.1+one@v1", "fast", "6.1.1", "t", "gcc", folder)


def test_what_was_found_is_found_again(question: Question, kernel: Kernel, cache: Cache) -> None:
    assert recall(question, {}, cache) is None
    remember(question, kernel, {}, cache)
    assert recall(question, {}, cache) == kernel
    assert (kernel.folder / "last-used").exists()


@pytest.mark.parametrize(
    "name",
    [
        "status",
        "series/one/v1/6.1/0001.patch",
        "series/one/v1/6.1/0002.patch",
        "config/boot.config",
        f"cache/kernels/{KEY}/vmlinux",
        f"cache/kernels/{KEY}/meta.json",
    ],
)
def test_a_file_that_it_depends_on_changes(
    question: Question, kernel: Kernel, cache: Cache, tmp_path: Path, name: str
) -> None:
    remember(question, kernel, {}, cache)
    file = tmp_path / name
    before = file.stat() if file.exists() else None
    with file.open("a") as stream:
        stream.write("!")
    if before is not None:
        # Who sets the date back does not hide a change.
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert recall(question, {}, cache) is None


def test_another_version_does_not_matter(question: Question, kernel: Kernel, cache: Cache) -> None:
    remember(question, kernel, {}, cache)
    (question.series / "one" / "v2" / "series.toml").write_text("")
    assert recall(question, {}, cache) == kernel


def test_a_kernel_that_is_gone(question: Question, kernel: Kernel, cache: Cache) -> None:
    remember(question, kernel, {}, cache)
    for file in kernel.folder.iterdir():
        file.unlink()
    assert recall(question, {}, cache) is None


def test_a_compiler_that_is_another_now(
    question: Question,
    kernel: Kernel,
    cache: Cache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in (1, 2):
        tool = tmp_path / str(number) / "gcc"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tmp_path / '1'}:{path}")
    remember(question, kernel, {}, cache)
    assert recall(question, {}, cache) == kernel
    monkeypatch.setenv("PATH", f"{tmp_path / '2'}:{path}")
    assert recall(question, {}, cache) is None


def test_only_debians_bases_are_remembered(kernel: Kernel, cache: Cache, tmp_path: Path) -> None:
    for base in ("tree:/linux", "git:/linux@v6.1", "mine"):
        question = Question(parse(base), "fast", tmp_path, tmp_path)
        remember(question, kernel, {}, cache)
        assert recall(question, {}, cache) is None
    assert not cache.index.exists()


def test_a_name_of_debians_that_patchbed_toml_gives_to_another(
    question: Question, kernel: Kernel, cache: Cache
) -> None:
    remember(question, kernel, {}, cache)
    assert recall(question, {"debian-6.1": "tree:/linux"}, cache) is None


def test_what_was_written_down_is_damaged(question: Question, kernel: Kernel, cache: Cache) -> None:
    remember(question, kernel, {}, cache)
    (file,) = cache.index.iterdir()
    for text in ("", "{}", "[]", '{"key": 1, "states": []}'):
        file.write_text(text)
        assert recall(question, {}, cache) is None
