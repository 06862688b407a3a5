# SPDX-License-Identifier: GPL-2.0-or-later
"""Git without the user's settings: the store of kernel sources, and scratch repositories on it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.process import Group

NAME = "patchbed"
# Before a command on a repository of somebody else's, which was named: it may be another user's,
# and none of its programs is to be run.
OURS = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
# What reaching another host may take; it decides no byte of what comes from there.
_NETWORK = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "GIT_SSH_COMMAND"),
)
EMAIL = "patchbed@localhost"
# One date for every commit we make: the same source gives the same commit ids everywhere.
DATE = "2000-01-01T00:00:00+0000"

# A checkout that runs out of space says no more than the second; all else that can befall the
# file is told as "unable to create".
_DISK_FULL = (os.strerror(errno.ENOSPC), "unable to write file")


class GitError(Exception):
    """A git command failed; `stderr` holds its words."""

    def __init__(self, argv: Sequence[str], status: int, stdout: str, stderr: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {status}: {stderr.strip()}")
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


def environment() -> dict[str, str]:
    """Return the environment for git: nobody's configuration, fixed names and dates."""
    return {
        # Nothing may ask, or wait for an answer without end.
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=30",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        **{name: os.environ[name] for name in _NETWORK if name in os.environ},
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_AUTHOR_DATE": DATE,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "GIT_COMMITTER_DATE": DATE,
    }


def run_git(*arguments: str, folder: Path = Path("/")) -> str:
    """Run `git` with `arguments` in `folder`; return its standard output.

    Raises:
        GitError: it failed.
        OSError: the disk is full.
    """
    argv = ["git", *arguments]
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    stdout = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        stderr = done.stderr.decode("utf-8", errors="replace")
        raise _failure(argv, done.returncode, stdout, stderr)
    return stdout


def _failure(argv: Sequence[str], status: int, stdout: str, stderr: str) -> Exception:
    if any(words in stderr for words in _DISK_FULL):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return GitError(argv, status, stdout, stderr)


@dataclass(frozen=True)
class Git:
    """A repository: its git directory and, perhaps, its work tree."""

    directory: Path
    work_tree: Path | None = None

    def run(self, *arguments: str) -> str:
        """Run a git command on this repository; return its standard output.

        Raises:
            GitError: it failed.
        """
        return run_git(*self.argv(*arguments)[1:], folder=self.work_tree or self.directory)

    def argv(self, *arguments: str) -> list[str]:
        """Return the argv that runs `arguments` on this repository."""
        where = [f"--git-dir={self.directory}"]
        if self.work_tree is not None:
            where.append(f"--work-tree={self.work_tree}")
        return ["git", *where, *arguments]

    def find(self, revision: str) -> str:
        """Return the object id of `revision`, or "" where there is no such object."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", revision).strip()
        except GitError:
            return ""


def init_bare(directory: Path) -> Git:
    """Return the bare repository at `directory`, made if it is not there.

    It is made aside: a git that outlives its killed parent must not write where the next one does.
    """
    if not (directory / "HEAD").is_file():
        directory.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=directory.parent))
        try:
            run_git("init", "--quiet", "--bare", "--template=", str(aside))
            # What lies there without a HEAD is no repository; another process may be as fast.
            if directory.is_dir() and not (directory / "HEAD").is_file():
                shutil.rmtree(directory)
            with contextlib.suppress(OSError):
                aside.rename(directory)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return Git(directory)


def init_scratch(directory: Path, work_tree: Path, store: Git, commit: str) -> Git:
    """Make a repository at `directory` which stands at `commit` and borrows `store`'s objects.

    `work_tree` stays empty: git fetches a file into it when a patch touches it, so applying a
    series to a kernel costs a second, not a checkout.
    """
    directory.mkdir(parents=True)
    work_tree.mkdir(parents=True, exist_ok=True)
    Git(directory).run("init", "--quiet", "--bare", str(directory))
    alternates = directory / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{store.directory / 'objects'}\n", encoding="utf-8")
    # Commits that were fetched without their history: git must not look for their parents.
    shallow = store.directory / "shallow"
    if shallow.is_file():
        shutil.copyfile(shallow, directory / "shallow")
    git = Git(directory, work_tree)
    git.run("config", "core.bare", "false")
    git.run("config", "gc.auto", "0")
    git.run("update-ref", "HEAD", commit)
    git.run("read-tree", "HEAD")
    return git


def check_out(git: Git, commit: str) -> None:
    """Fill `git`'s work tree with the files of `commit`, on all CPUs.

    It may take a minute, and ends with us however we end: nothing is left that writes to a
    folder which somebody else is going to remove.

    Raises:
        GitError: it failed.
        OSError: the disk is full.
    """
    parallel = ("-c", "checkout.workers=0", "-c", "checkout.thresholdForParallelism=100")
    argv = git.argv(*parallel, "read-tree", "--reset", "-u", commit)
    with Group(argv, git.work_tree or git.directory, environment()) as group:
        said = "\n".join(group.lines())
        status = group.wait()
    if status != 0:
        raise _failure(argv, status, "", said)
