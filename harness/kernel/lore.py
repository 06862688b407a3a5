# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread from a mailing list's archive, fetched by b4."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

from harness.errors import InfrastructureError, UserError
from harness.kernel.gitstore import environment
from harness.outcomes import Outcome

ARCHIVE = "https://lore.kernel.org/all"
_MESSAGE_ID = re.compile(r"<?([^<>\s/@]+@[^<>\s/@]+)>?")
_ADDRESS = re.compile(r"https?://[^\s]+?/([^/\s]+@[^/\s]+)(?:/.*)?")
# What reaches the network may have to go through somebody.
_KEPT = re.compile(r"(?:https?|no|all)_proxy|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE", re.I)
_FOLDERS = ("cache", "config", "data")
_SECONDS = 120.0


def parse_message_id(text: str) -> str:
    """Return the message id that `text` is, bare, in <> or in an archive's address; else ""."""
    found = _ADDRESS.fullmatch(text)
    if found:
        return unquote(found.group(1))
    found = _MESSAGE_ID.fullmatch(text)
    return found.group(1) if found else ""


def link(message_id: str) -> str:
    """Return the address where a mail can be read."""
    return f"https://lore.kernel.org/r/{message_id}"


def fetch_thread(message_id: str, *, archive: str = ARCHIVE, seconds: float = _SECONDS) -> bytes:
    """Return the mbox of the thread that holds a message.

    b4 sees none of the user's settings, and leaves nothing in the user's folders. `archive` is
    the address of a public-inbox, `seconds` the most that it may take.

    Raises:
        UserError: b4 is not installed.
        InfrastructureError: infra.worker: there is no network, or no such message.
    """
    argv = _find_b4()
    with tempfile.TemporaryDirectory(prefix="patchbed-b4-") as name:
        folder = Path(name)
        for part in (*_FOLDERS, "out"):
            (folder / part).mkdir()
        argv += ["mbox", "--no-cache", "--outdir", str(folder / "out"), "--mbox-name", "thread"]
        try:
            done = subprocess.run(
                [*argv, message_id],
                cwd=folder,
                env=_environment(folder, archive),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            words = f"no answer within {seconds:.0f} s"
            raise _unreachable(message_id, archive, words) from error
        found = next(iter(sorted((folder / "out").glob("thread*"))), None)
        if done.returncode != 0 or found is None:
            lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
            raise _unreachable(message_id, archive, _cause(lines[-1] if lines else ""))
        return found.read_bytes()


def _find_b4() -> list[str]:
    if importlib.util.find_spec("b4") is not None:
        return [sys.executable, "-m", "b4.command"]
    program = shutil.which("b4")
    if program:
        return [program]
    raise UserError(
        "a message id needs b4, which is not installed",
        hint="install the package b4, or save the thread from the archive and import the mbox file",
    )


def _environment(home: Path, archive: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    return {
        **environment(),
        **kept,
        "HOME": str(home),
        **{f"XDG_{part.upper()}_HOME": str(home / part) for part in _FOLDERS},
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "b4.midmask",
        "GIT_CONFIG_VALUE_0": f"{archive.rstrip('/')}/%s",
    }


def _cause(line: str) -> str:
    """Return the gist of b4's last line, which may hold a chain of exceptions."""
    system = re.search(r"\[Errno -?\d+\] ([^'\"()]+)", line)
    return system.group(1) if system else line or "b4 says nothing"


def _unreachable(message_id: str, archive: str, words: str) -> InfrastructureError:
    return InfrastructureError(
        Outcome.INFRA_WORKER,
        f"{message_id} can't be fetched from {archive}: {words}",
        hint="check the message id and the network, or save the thread as an mbox file elsewhere"
        " and import that",
    )
