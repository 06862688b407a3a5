# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed series` as it is called, and the commands of docs/series.md."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.paths import PROJECT
from tests.unit.kernel.archive import Archive, Handler
from tests.unit.kernel.mailing import Repository, archived, message_id

DOC = (PROJECT / "docs" / "series.md").read_text(encoding="utf-8")
POSTED = "20230308094106.227365-1-rppt@kernel.org"


class Place:
    """A folder with a patchbed.toml, a cache, a kernel in small and a thread of mails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.linux = Repository(folder / "linux")
        self.linux.git("tag", "v1")
        self.linux.commit("mm: one\n\nWords.\n", {"first.txt": b"one\n2\nthree\n"})
        self.linux.commit("mm: tw\u00f6\n", {"second.txt": b"1\n"}, "Zo\u00eb <z@example.org>")
        self.mails = self.linux.mails("--thread", "--cover-letter")
        self.mails[0] = self.mails[0].replace(b"*** SUBJECT HERE ***", b"mm: both")
        (folder / "posted.mbox").write_bytes(archived(self.mails))
        (folder / "patchbed.toml").write_text(
            f'[paths]\nkernel_patches = "mine"\n[bases]\nmini = "git:{self.linux.folder}@v1"\n',
            encoding="utf-8",
        )

    def series(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("series", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(PROJECT), "XDG_CACHE_HOME": str(self.folder / "cache")}
        return {**os.environ, **own, "NO_COLOR": "1", "COLUMNS": "100"}

    def json(self, *arguments: str) -> Any:  # noqa: ANN401
        done = self.series(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def archive(place: Place) -> Iterator[Archive]:
    with Archive(("127.0.0.1", 0), Handler) as server:
        server.thread = (place.folder / "posted.mbox").read_bytes()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_a_series_from_its_import_to_its_source(place: Place) -> None:
    assert place.json("list") == []
    done = place.series("import", "posted.mbox", "--name", "s", "--base", "6.1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "s@v1 for 6.1: mm: both"
    assert lines[1].endswith("mine/s/v1/6.1/0001-mm-one.patch")
    assert place.series("list").stdout == "s@v1  6.1  2 patches  mm: both\n"
    (row,) = place.json("list")
    shown = place.json("show", "s@v1")
    assert (row["patches"], row["edited"]) == (2, False)
    assert shown["facts"]["patchset_hash"] == {"6.1": row["patchset_hash"]}
    assert [patch["subject"] for patch in shown["patches"]] == ["mm: one", "mm: tw\u00f6"]
    applied = place.json("apply", "mini+s@v1", "source")
    assert applied["tree"] == place.linux.trees()[-1]
    patch = place.folder / "mine/s/v1/6.1/0001-mm-one.patch"
    patch.write_bytes(patch.read_bytes().replace(b"Words", b"Other words"))
    assert "(edited since its import)" in place.series("list").stdout
    assert "edited since its import" in place.series("show", "s@v1").stdout
    again = place.series("import", "posted.mbox", "--name", "s", "--base", "6.1")
    assert again.returncode == 2 and "is there already" in again.stderr
    forced = place.json("import", "posted.mbox", "--name", "s", "--base", "6.1", "--force")
    assert forced["patchset_hash"] == row["patchset_hash"]


def test_two_versions_compared(place: Place) -> None:
    place.json("import", "posted.mbox", "--name", "s", "--base", "6.1")
    place.linux.commit("mm: three\n", {"third.txt": b"1\n"})
    commits = f"git:{place.linux.folder}@v1..main"
    assert place.json("import", commits, "--name", "s", "--version", "v2")["base"] == "6.1"
    found = place.json("diff", "s@v1", "s@v2", "--base", "mini")
    assert [entry["change"] for entry in found["patches"]] == ["unchanged", "unchanged", "added"]
    assert found["patches"][2]["new"] == {"index": 3, "subject": "mm: three"}
    done = place.series("diff", "s@v1", "s@v2", "--base", "mini")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
    assert "\x1b" not in done.stdout


def test_a_comparison_has_colours_on_a_terminal_only(place: Place) -> None:
    place.json("import", "posted.mbox", "--name", "s", "--base", "6.1")
    argv = [sys.executable, "-m", "harness.cli.main", "series", "diff", "s@v1", "s@v1"]
    seen = []
    for no_colour in ("", "1"):
        main, terminal = pty.openpty()
        environment = {**place.environment(), "NO_COLOR": no_colour}
        done = subprocess.run(
            [*argv, "--base", "mini"],
            cwd=place.folder,
            env=environment,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0
        seen.append(b"\x1b[" in os.read(main, 65536))
        os.close(main)
        os.close(terminal)
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "nosuch", "--name", "s"], "is no file or folder, and no message id"),
        (["import", "posted.mbox", "--name", "s"], "--base MAJOR.MINOR"),
        (["import", "posted.mbox", "--name", "s/t", "--base", "6.1"], "name of a series"),
        (["show", "s@v1"], "has no series 's'"),
        (["diff", "s@v1", "s@v2"], "has no series 's'"),
        (["check", "mini"], "has no series to check"),
        (["check", "mini+s@v1"], "has no series 's'"),
        (["apply", "mini+s@v1", "source"], "has no series 's'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    place: Place, arguments: list[str], words: str
) -> None:
    before = sorted(place.folder.iterdir())
    done = place.series(*arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
    left = {path.name for path in place.folder.iterdir()} - {path.name for path in before}
    assert left <= {"cache"}


def documented(heading: str) -> list[list[str]]:
    """Return the commands of docs/series.md between two headings, block by block."""
    part = DOC.partition(f"\n{heading}\n")[2]
    blocks = re.findall(r"```sh\n(.*?)```", part.partition("\n## ")[0], re.DOTALL)
    return [block.strip().splitlines() for block in blocks]


@pytest.mark.parametrize("way", [0, 1])
def test_the_posted_series_as_documented(place: Place, archive: Archive, way: int) -> None:
    """Everything but building, booting and running: a kernel in small does none of them.

    The names are replaced, and the archive is one on this machine.
    """
    pytest.importorskip("b4")
    *ways, comparison = documented("## The series as it was posted")
    assert len(ways) == 2
    ran = []
    names = {
        "/src/linux@v6.3-rc1": f"{place.linux.folder}@v1",
        "--base 6.3": "--base 6.1",
        "debian-6.1+gfp-unmapped": "mini+posted",
        POSTED: f"{message_id(place.mails[0]).decode()} --archive {archive.address}",
    }
    for command in [*ways[way], *comparison]:
        line = command
        for name, own in names.items():
            line = line.replace(name, own)
        program, *arguments = shlex.split(line)
        assert program == "patchbed"
        if arguments[0] == "run" or arguments[1] == "check":
            helped = place.run(*arguments[: 1 if arguments[0] == "run" else 2], "--help")
            options = [word for word in arguments if word.startswith("--")]
            assert all(option in helped.stdout for option in options)
            continue
        done = place.run(*arguments)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        ran.append(arguments[1])
    assert ran == ["import", "show", "apply", "diff"]
    work_tree = place.folder / "posted-source"
    made = subprocess.run(
        ["git", "log", "-1", "--format=%T"],
        cwd=work_tree,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == place.linux.trees()[-1]


def test_every_command_is_documented() -> None:
    table = set(re.findall(r"^\| `patchbed series (\w+)", DOC, re.MULTILINE))
    from harness.cli.series import app

    names = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in app.registered_commands
    }
    assert table == names


def test_every_option_of_an_import_is_documented() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "series", "import", "--help"],
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in set(re.findall(r"--[a-z]+", helped)) - {"--help"}:
        assert option in DOC
