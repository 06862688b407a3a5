# SPDX-License-Identifier: GPL-2.0-or-later
"""A patch out of a mail, by `git mailinfo`, and back into a file that `git am` takes."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from email.charset import QP, Charset
from email.header import Header
from pathlib import Path

from harness.errors import UserError
from harness.kernel.gitstore import environment
from harness.kernel.mail import Mail
from harness.kernel.subject import parse_subject

_ZERO = "0" * 40
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]')
# What git takes for a header at the top of a mail's text, or for the begin of another mail.
_LIKE_HEADER = re.compile(r">?(?:From|Subject|Date)\b|\[PATCH\]\s", re.IGNORECASE)
_CORRUPT = re.compile(r"corrupt patch at (?:.*:|line )(\d+)")
_LONGEST_NAME = 63
_UTF8 = Charset("utf-8")
_UTF8.header_encoding = QP


@dataclass(frozen=True)
class Patch:
    """A patch: its author, date (as the mail has it), title, message and diff.

    `diff` begins with the `---` line and the diffstat, where there are any.
    """

    author: str
    address: str
    date: str
    title: str
    message: str
    diff: bytes
    message_id: str = ""


def decode_mail(mail: Mail) -> Patch:
    """Return the patch that a mail holds; what is above scissors is left out.

    Raises:
        UserError: git can't read it, or the diff was damaged on its way.
    """
    patch = _mailinfo(mail.raw, str(mail), scissors=True, strip=mail.crlf)
    if not patch.author or not patch.title:
        raise UserError(
            f"{mail} has no {'subject' if patch.author else 'From: line'}",
            hint="a patch needs both, as git format-patch writes them",
        )
    _check_diff(patch.diff, mail)
    return replace(patch, message_id=mail.id.partition("#")[0])


def format_patch(patch: Patch, prefix: str) -> bytes:
    """Return `patch` in git format-patch's form; `prefix` is the subject's, such as `[PATCH 1/2]`.

    Raises:
        UserError: git would read something else from it than is in `patch`.
    """
    author = patch.author
    if not author.isascii() or "=?" in author:
        author = _encoded(author, "From")
    elif _SPECIALS.search(author):
        author = '"{}"'.format(re.sub(r'(["\\])', r"\\\1", author))
    title = f"{prefix} {patch.title}"
    if not title.isascii() or "=?" in title:
        title = _encoded(title, "Subject")
    lines = [f"From {_ZERO} Mon Sep 17 00:00:00 2001"]
    if patch.message_id:
        lines.append(f"Message-ID: <{patch.message_id}>")
    lines += [f"From: {author} <{patch.address}>", f"Date: {patch.date}", f"Subject: {title}"]
    if not patch.message.isascii():
        lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=UTF-8"]
        lines.append("Content-Transfer-Encoding: 8bit")
    lines.append("")
    if _LIKE_HEADER.match(patch.message.lstrip()):
        # git reads headers from the top of the text as well, but only once.
        lines += [f"From: {patch.author} <{patch.address}>", ""]
    head = "\n".join([*lines, patch.message.rstrip("\n"), ""]).encode()
    rule = b"" if patch.diff.startswith(b"---\n") else b"---\n\n"
    text = head + rule + patch.diff
    _check_form(text, patch)
    return text


def file_name(number: int, title: str) -> str:
    """Return the name that git format-patch gives to a patch."""
    words = re.sub(r"\.+", ".", re.sub(r"[^A-Za-z0-9._]+", "-", title)).strip("-")
    room = _LONGEST_NAME - len("0001-") - len(".patch")
    return f"{number:04d}-{words[:room].rstrip('-.') or 'patch'}.patch"


def _encoded(text: str, name: str) -> str:
    return Header(text, _UTF8, maxlinelen=76, header_name=name).encode(linesep="\n")


def _check_form(text: bytes, patch: Patch) -> None:
    again = _mailinfo(text, patch.title, scissors=False, strip=False)
    for what, wanted, got in (
        ("title", " ".join(patch.title.split()), again.title),
        ("author", patch.author, again.author),
        ("author's address", patch.address, again.address),
        ("date", patch.date, again.date),
        ("message", patch.message.strip(), again.message.strip()),
        ("diff", _bare(patch.diff), _bare(again.diff)),
    ):
        if got != wanted:
            raise UserError(
                f"{patch.title!r}: git reads its {what} as {got!r}, not {wanted!r}",
                hint="write the patch by hand, or import the commits with git:REPO@A..B",
            )


def _bare(diff: bytes) -> bytes:
    return diff.removeprefix(b"---\n").strip()


def _mailinfo(raw: bytes, place: str, *, scissors: bool, strip: bool) -> Patch:
    with tempfile.TemporaryDirectory(prefix="patchbed-mail-") as name:
        folder = Path(name)
        # Everything becomes UTF-8, by default; git 2.39 with --encoding=UTF-8 leaves it as it is.
        options = ["--scissors" if scissors else "--no-scissors"]
        options.append(f"--quoted-cr={'strip' if strip else 'nowarn'}")
        done = subprocess.run(
            ["git", "mailinfo", "-k", *options, "message", "diff"],
            cwd=folder,
            env={**environment(), "GIT_CEILING_DIRECTORIES": str(folder.parent)},
            input=raw,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", errors="replace").strip()
            raise UserError(f"{place} can't be read: {words}", hint="get the mail again")
        message = (folder / "message").read_bytes().decode("utf-8", errors="replace")
        diff = (folder / "diff").read_bytes()
    facts: dict[str, list[str]] = {}
    for line in done.stdout.decode("utf-8", errors="replace").splitlines():
        key, _, value = line.partition(": ")
        facts.setdefault(key, []).append(value)
    told = {key: " ".join(" ".join(values).split()) for key, values in facts.items()}
    return Patch(
        author=told.get("Author", ""),
        address=told.get("Email", ""),
        date=told.get("Date", ""),
        title=parse_subject(told.get("Subject", "")).title,
        message=message,
        diff=diff,
    )


def _check_diff(diff: bytes, mail: Mail) -> None:
    """Raise UserError where lines of the diff were wrapped or lost on the way.

    git undoes what format=flowed does to lines, so it is damage where a program only said so.
    """
    hint = "get the mail as it was sent (an archive's raw form), or ask its author to send it again"
    with tempfile.TemporaryDirectory(prefix="patchbed-mail-") as name:
        done = subprocess.run(
            ["git", "apply", "--numstat", "-"],
            cwd=name,
            env={**environment(), "GIT_CEILING_DIRECTORIES": str(Path(name).parent)},
            input=diff,
            capture_output=True,
            check=False,
        )
    if done.returncode == 0:
        return
    words = done.stderr.decode("utf-8", errors="replace").strip()
    corrupt = _CORRUPT.search(words)
    if corrupt:
        lines = diff.splitlines()
        at = min(int(corrupt.group(1)), len(lines)) - 1
        shown = lines[at].decode("utf-8", errors="replace") if lines else ""
        words = f"line {at + 1} of its diff does not belong there: {shown!r}"
    cause = ": it was sent as format=flowed, but not in that form" if mail.flowed else ""
    raise UserError(f"{mail} is damaged{cause}; {words}", hint=hint)
