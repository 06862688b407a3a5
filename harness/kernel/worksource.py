# SPDX-License-Identifier: GPL-2.0-or-later
"""Bases from a folder of files, with its uncommitted changes, as it is at that moment."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.files import replace_text
from harness.kernel.base import Source, no_kernel, parse_makefile_version
from harness.kernel.cache import Cache
from harness.kernel.gitstore import OURS, Git, GitError, environment, init_bare, run_git

# What a build leaves behind, for folders that have no .gitignore to say so.
_PRODUCTS = """\
.*.cmd
.*.d
.tmp_*
*.o
*.a
*.ko
*.mod
*.mod.c
*.order
*.symvers
*.dtb
/.config
/.config.old
/.version
/.vmlinux.*
/vmlinux
/vmlinux.*
/System.map
/include/config/
/include/generated/
/arch/*/include/generated/
/arch/x86/boot/bzImage
/arch/x86/boot/*.bin
/arch/x86/boot/*.elf
/arch/x86/boot/compressed/vmlinux*
!/arch/x86/boot/compressed/vmlinux.lds.S
/arch/x86/kernel/vmlinux.lds
/scripts/module.lds
/scripts/basic/fixdep
/scripts/kconfig/conf
/scripts/mod/modpost
"""


@dataclass
class WorkSource(Source):
    """The kernel's source in a folder: what is tracked, changed, or new and not ignored.

    Neither the folder nor its repository is written to: all git keeps of it is in the cache. Once
    `identity` was asked for, it is what the folder held then.
    """

    folder: Path
    _tree: str = field(default="", init=False, compare=False)

    def check(self) -> None:
        """Look whether the folder holds a kernel; raises UserError if not."""
        if not self.folder.is_dir():
            raise UserError(f"base tree:{self.folder}: there is no such folder", hint="check it")
        try:
            makefile = (self.folder / "Makefile").read_text(encoding="utf-8", errors="replace")
        except OSError:
            makefile = ""
        kconfig = self.folder / "arch" / "x86" / "Kconfig"
        if parse_makefile_version(makefile) is None or not kconfig.is_file():
            raise no_kernel(f"tree:{self.folder}")

    def identity(self, cache: Cache) -> str:
        self.check()
        with cache.hold(f"tree-{_name(self.folder)}", f"reads {self.folder}", lambda _: None):
            self._tree = _Snapshot(self.folder, cache).take()
        return f"tree:{self._tree}"

    def bring(self, store: Git, ref: str, cache: Cache) -> str:
        with cache.hold(f"tree-{_name(self.folder)}", f"imports {self.folder}", lambda _: None):
            _Snapshot(self.folder, cache).pack(self._tree, store)
        commit = store.run("commit-tree", self._tree, "-m", f"tree:{self._tree}").strip()
        store.run("update-ref", ref, commit)
        return commit


def _name(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]


class _Snapshot:
    """Git's view of a folder: an index of ours, and objects of ours beside those that it has.

    The index remembers each file's size and times, so that only what changed is read again; the
    first is a copy of the repository's own.
    """

    def __init__(self, folder: Path, cache: Cache) -> None:
        self._folder = folder
        self._place = cache.root / "sources" / "trees" / _name(folder)
        self._store = cache.store
        self._repository = self._find_repository()

    def take(self) -> str:
        """Return the hash of the tree that the folder is now.

        Raises:
            UserError: a file can't be read.
        """
        init_bare(self._store)
        (self._place / "index.lock").unlink(missing_ok=True)
        try:
            return self._take()
        except GitError:
            # An index of ours that is damaged, or whose objects are gone, is made anew.
            shutil.rmtree(self._place, ignore_errors=True)
        try:
            return self._take()
        except GitError as error:
            why = error.stderr.strip().splitlines() or ["git said nothing"]
            raise UserError(
                f"base tree:{self._folder}: {why[0].removeprefix('error: ')}",
                hint="every file that git does not ignore must be readable",
            ) from error

    def _take(self) -> str:
        index = self._place / "index"
        if not index.is_file() and not self._seed(index):
            index.unlink(missing_ok=True)
        replace_text(self._place / "path", f"{self._folder}\n")
        self._git("add", "--all", ".")
        more = self._more()
        if more:
            self._git("update-index", "--add", "--remove", "-z", "--stdin", stdin=more)
        return self._git("write-tree", "--missing-ok").decode().strip()

    def _seed(self, index: Path) -> bool:
        """Begin with the index of the folder's repository, if it has one that can be used."""
        if self._repository is None:
            return False
        try:
            users = self._folder / self._users("rev-parse", "--git-path", "index").strip()
            index.parent.mkdir(parents=True, exist_ok=True)
            # Its time tells git which files may have changed since without a trace.
            shutil.copy2(users, index)
            self._distrust()
        except (OSError, GitError):
            return False
        return True

    def _distrust(self) -> None:
        """Look at files that git was told to overlook; but those left out of the folder stay so."""
        flags: dict[bytes, list[bytes]] = {b"h": [], b"S": []}
        for line in self._git("ls-files", "-v", "-z").split(b"\0"):
            there = os.path.lexists(os.fsencode(self._folder) + b"/" + line[2:])
            if line[:1] in flags and there:
                flags[line[:1]].append(line[2:] + b"\0")
        for flag, option in ((b"h", "--no-assume-unchanged"), (b"S", "--no-skip-worktree")):
            if flags[flag]:
                paths = b"".join(flags[flag])
                self._git("update-index", option, "-z", "--stdin", stdin=paths)

    def _more(self) -> bytes:
        """Return the files to take although they are ignored, each with a NUL at its end."""
        if self._repository is not None:
            argv = ("ls-files", "--cached", "--ignored", "--exclude-standard", "-z")
            tracked = [path for path in self._users(*argv).split("\0") if path]
            there = [path for path in tracked if os.path.lexists(self._folder / path)]
            return b"".join(os.fsencode(path) + b"\0" for path in there)
        try:
            self._git("check-ignore", "--quiet", "Makefile")
        except GitError:
            return b""
        # Debian's source packages have a .gitignore which is for their packaging alone.
        listed = ("ls-files", "--others", "--cached", f"--exclude-from={self._excludes()}", "-z")
        return self._git(*listed)

    def pack(self, tree: str, store: Git) -> None:
        """Put the objects of `tree` that `store` lacks into it, as one pack."""
        objects = {tree}
        listed = _feed(self._argv("ls-tree", "-r", "-t", tree), self._environment(read=True))
        for line in listed.splitlines():
            _, kind, name = line.split("\t")[0].split()
            if kind != "commit":
                objects.add(name)
        asked = _feed(store.argv("cat-file", "--batch-check", "--buffer"), environment(), objects)
        missing = [line.split()[0] for line in asked.splitlines() if line.endswith(" missing")]
        if missing:
            target = store.directory / "objects" / "pack" / "pack"
            settings = ("-c", "pack.compression=1", "-c", "pack.window=0")
            argv = self._argv(*settings, "pack-objects", "--quiet", str(target))
            _feed(argv, self._environment(read=True), missing)
        # The store has them now, and is an alternate of ours.
        shutil.rmtree(self._place / "objects", ignore_errors=True)

    def _find_repository(self) -> Path | None:
        """Return the objects of the repository whose work tree the folder is, or None."""
        if not (self._folder / ".git").exists():
            return None
        try:
            path = self._users("rev-parse", "--git-path", "objects").strip()
        except GitError:
            return None
        return (self._folder / path).resolve()

    def _users(self, *arguments: str) -> str:
        """Ask the folder's own repository; nothing is written."""
        return run_git(*OURS, "--no-optional-locks", "-C", str(self._folder), *arguments)

    def _excludes(self) -> Path:
        if self._repository is not None:
            return self._repository.parent / "info" / "exclude"
        own = self._place / "exclude"
        if not own.is_file():
            replace_text(own, _PRODUCTS)
        return own

    def _argv(self, *arguments: str) -> list[str]:
        return [
            "git",
            f"--git-dir={self._store}",
            f"--work-tree={self._folder}",
            *("-c", "core.bare=false"),
            *("-c", f"core.excludesFile={self._excludes()}"),
            *("-c", "core.compression=1"),
            *("-c", "advice.addEmbeddedRepo=false"),
            # All that is new goes into one pack, not one file each.
            *("-c", "core.bigFileThreshold=1"),
            *arguments,
        ]

    def _environment(self, *, read: bool = False) -> dict[str, str]:
        """Return git's environment; only to `read` may it know the repository's own objects.

        To write, git would set the times of those that it has no need to write.
        """
        others = [self._store / "objects"]
        if read and self._repository is not None:
            others.append(self._repository)
        (self._place / "objects").mkdir(parents=True, exist_ok=True)
        return {
            **environment(),
            "GIT_INDEX_FILE": str(self._place / "index"),
            "GIT_OBJECT_DIRECTORY": str(self._place / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(_quoted(path) for path in others),
        }

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        argv = self._argv(*arguments)
        done = subprocess.run(
            argv,
            cwd=self._folder,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace")
            if "No space left" in words:
                raise OSError(28, "No space left on device")
            raise GitError(argv, done.returncode, "", words)
        return done.stdout


def _feed(argv: list[str], environ: dict[str, str], names: Iterable[str] = ()) -> str:
    """Run git with the ids `names` as its standard input; return what it prints."""
    text = "".join(f"{name}\n" for name in names)
    done = subprocess.run(
        argv,
        env=environ,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        if "No space left" in done.stderr:
            raise OSError(28, "No space left on device")
        raise GitError(argv, done.returncode, done.stdout, done.stderr)
    return done.stdout


def _quoted(path: Path) -> str:
    """Return a path as GIT_ALTERNATE_OBJECT_DIRECTORIES takes it: quoted if it holds a colon."""
    text = str(path)
    if ":" not in text and not text.startswith('"'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
