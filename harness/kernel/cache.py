# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache folder: where things are in it, locks that tell who holds them, whole entries only."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness import paths
from harness.errors import BuildError, InfrastructureError
from harness.files import replace_text
from harness.outcomes import Outcome

Waiting = Callable[[str], None]
_GONE = ".gone-"
_GONE_SECONDS = 60
_MOST_LOGS = 50
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Cache:
    """The folders of a cache at `root`."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "sources" / "linux.git"

    @property
    def kernels(self) -> Path:
        return self.root / "kernels"

    @property
    def modules(self) -> Path:
        return self.root / "modules"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def trees(self) -> Path:
        return self.root / "trees"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ccache(self) -> Path:
        return self.root / "ccache"

    def ccache_of(self, series_version: str) -> Path:
        """Return ccache's folder for kernels of a major.minor.

        Headers that are new in one of them can't mislead ccache in the other.
        """
        return self.ccache / series_version

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @contextlib.contextmanager
    def hold(self, name: str, purpose: str, waiting: Waiting) -> Iterator[None]:
        """Hold the lock called `name`, across processes, while the context lasts.

        `purpose` is what others are told who wait for us; `waiting` is called once, with words
        about who holds the lock, if someone does. The lock ends with the process that holds it.
        """
        self.locks.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_acquired(self.locks, name, purpose))
            except Timeout:
                waiting(describe_holder(self.locks / f"{name}.holder"))
                stack.enter_context(_acquired(self.locks, name, purpose, wait=True))
            yield

    @contextlib.contextmanager
    def try_hold(self, name: str, purpose: str) -> Iterator[bool]:
        """Hold the lock called `name` while the context lasts, if nobody does; say whether."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_acquired(self.locks, name, purpose))
            except Timeout:
                yield False
            else:
                yield True

    @contextlib.contextmanager
    def scratch(self, needed: int = 0) -> Iterator[Path]:
        """Give a new folder below `work`, and remove it; a dead process's are removed first.

        `needed` is what is told, in bytes, where the disk is full.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        # Nobody may take a folder for a dead process's before its lock is held.
        with FileLock(self.work / ".guard"):
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix="", dir=self.work))
            lock = FileLock(self.work / f"{folder.name}.lock")
            lock.acquire()
        try:
            with disk_full(folder, needed):
                yield folder
        except KeyboardInterrupt:
            # Whoever interrupts us waits for the end, and a kernel tree has 80,000 files.
            remove_later(folder)
            raise
        finally:
            remove(folder)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def _sweep(self) -> None:
        for gone in self.work.glob(f"{_GONE}*"):
            remove(gone)
        # A folder's lock file is there before it and after it, as long as our guard is held.
        for folder in self.work.glob("[!.]*"):
            if folder.is_dir() and not folder.with_name(f"{folder.name}.lock").exists():
                remove(folder)
        for parent in (self.kernels, self.trees, self.modules):
            for gone in parent.glob(f"{_GONE}*"):
                # A younger one may be about to receive what its owner removes.
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - gone.stat().st_mtime > _GONE_SECONDS:
                        remove(gone)
        for lock_file in self.work.glob("*.lock"):
            lock = FileLock(lock_file)
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                remove(lock_file.with_suffix(""))
                lock_file.unlink(missing_ok=True)
                lock.release()


@contextlib.contextmanager
def _acquired(locks: Path, name: str, purpose: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock and tell so beside it; raises Timeout where it is held and we do not wait."""
    lock = FileLock(locks / f"{name}.lock")
    holder = locks / f"{name}.holder"
    lock.acquire(blocking=wait, poll_interval=0.1)
    try:
        facts = {"pid": os.getpid(), "purpose": purpose, "since": time.time()}
        replace_text(holder, json.dumps(facts))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def default_cache() -> Cache:
    """Return the user's cache."""
    return Cache(paths.cache())


def describe_holder(holder: Path) -> str:
    """Return words about who holds a lock, from the file that its holder wrote."""
    try:
        facts = json.loads(holder.read_text(encoding="utf-8"))
        since = max(0.0, time.time() - float(facts["since"]))
        return f"process {facts['pid']}, {facts['purpose']} since {since:.0f} s"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def kept_on_failure(log: Path) -> Iterator[None]:
    """Remove `log` in the end, unless a BuildError leaves the context, which names it.

    The oldest of the logs beside it go where there are too many.
    """
    try:
        yield
    except BuildError:
        logs = sorted(log.parent.glob("*.log"))
        for old in logs[:-_MOST_LOGS]:
            old.unlink(missing_ok=True)
        raise
    except BaseException:
        log.unlink(missing_ok=True)
        raise
    log.unlink(missing_ok=True)


def publish(folder: Path, entry: Path) -> None:
    """Make `folder` the cache's `entry`, in one step; both are in the same filesystem.

    What stood at `entry` (an entry found damaged) is moved away first.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    if entry.exists():
        discard(entry)
    folder.rename(entry)


def discard(entry: Path, *, later: bool = False) -> None:
    """Remove a cache entry: it is gone at once, even if removing its files takes a while.

    With `later`, a process does that which may outlive us: nobody waits for its room.
    """
    aside = Path(tempfile.mkdtemp(prefix=_GONE, dir=entry.parent))
    entry.rename(aside / entry.name)
    if later:
        _remove_behind(aside)
    else:
        remove(aside)


def remove_later(folder: Path) -> None:
    """Remove a folder, if it is there, by a process that may outlive us; its name is free now."""
    aside = folder.with_name(f"{_GONE}{folder.name}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
        _remove_behind(aside)


def _remove_behind(folder: Path) -> None:
    """Let a process of its own remove a folder; whoever sweeps does it, should it be killed."""
    subprocess.run(
        ["sh", "-c", 'nice rm -rf -- "$1" </dev/null >/dev/null 2>&1 &', "sh", str(folder)],
        start_new_session=True,
        check=False,
    )


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, whatever it holds."""
    shutil.rmtree(folder, ignore_errors=True)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_json(value: object) -> str:
    """Return the SHA-256 of `value` as canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def disk_full(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn a full disk into `infra.disk`, with the place, what it has and what is `needed`."""
    try:
        yield
    except OSError as error:
        # shutil collects the errors of a whole tree, and keeps only their words.
        if error.errno not in _NO_SPACE and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise no_space(path, needed) from error


def no_space(path: Path, needed: int = 0) -> InfrastructureError:
    """Return the error for a disk without room; `needed` is in bytes, 0 if unknown."""
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    need = f", {needed / 2**20:.0f} MiB are needed" if needed else ""
    return InfrastructureError(
        Outcome.INFRA_DISK,
        f"no space left for {path}: {free / 2**20:.0f} MiB are free{need}",
        hint="free space there (patchbed kernel prune), or set XDG_CACHE_HOME to another disk",
    )


def check_space(path: Path, needed: int) -> None:
    """Raise infra.disk unless `needed` bytes are free where `path` is (or will be)."""
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    if shutil.disk_usage(place).free < needed:
        raise no_space(path, needed)


def command_name() -> str:
    """Return this process's command, for those who wait for it."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:120]
