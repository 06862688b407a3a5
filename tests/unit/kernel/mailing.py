# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository in small, and its commits as the mails that people send."""

from __future__ import annotations

import base64
import quopri
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.kernel.apply import apply_patches
from harness.kernel.gitstore import Git, init_scratch, run_git
from tests.unit.kernel.project import FAKELINUX

MBOXRD = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"
FORMAT_PATCH = re.compile(rb"^From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\n", re.MULTILINE)
Edits = dict[str, bytes | None]


class Repository:
    """A repository with a kernel in small, at `base`."""

    def __init__(self, folder: Path, *, linux: bool = True) -> None:
        self.folder = folder
        if linux:
            shutil.copytree(FAKELINUX, folder)
        else:
            folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Begin", {"first.txt": b"one\ntwo\nthree\n"})
        self.base = self.head()

    def git(self, *arguments: str) -> str:
        return run_git(*arguments, folder=self.folder)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def commit(
        self, message: str, edits: Edits, author: str = "A U Thor <author@example.org>"
    ) -> str:
        """Write and remove files, and commit that."""
        for name, content in edits.items():
            file = self.folder / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.git("add", "--all")
        message_file = self.folder.parent / f"{self.folder.name}.message"
        message_file.write_text(message, encoding="utf-8")
        argv = ("commit", "--quiet", f"--author={author}", "--cleanup=verbatim", "--allow-empty")
        self.git(*argv, "--file", str(message_file))
        return self.head()

    def mails(self, *options: str, commits: str = "") -> list[bytes]:
        """Return what git format-patch makes of the commits after the base, one mail each."""
        what = commits or f"{self.base}..HEAD"
        shown = self.folder.parent / "format-patch"
        shutil.rmtree(shown, ignore_errors=True)
        argv = ("--quiet", "--binary", "--output-directory", str(shown))
        self.git("format-patch", *argv, *options, what)
        return [file.read_bytes() for file in sorted(shown.iterdir())]

    def trees(self, last: str = "HEAD") -> list[str]:
        return self.git("log", "--reverse", "--format=%T", f"{self.base}..{last}").split()

    def facts(self) -> list[str]:
        """Return author, date, subject and message of each commit after the base."""
        form = "--format=%an%n%ae%n%at%n%s%n%b%x00"
        return _facts(self.git("log", "--reverse", form, f"{self.base}..HEAD"))

    def applied(self, patches: Sequence[Path], scratch: Path) -> tuple[list[str], list[str]]:
        """Apply patches to the base; return the trees, and the facts as `facts` does."""
        git = init_scratch(scratch / "git", scratch / "tree", Git(self.folder / ".git"), self.base)
        apply_patches(git, patches, "the base", lambda _done: None)
        trees = git.run("log", "--reverse", "--format=%T", f"{self.base}..HEAD").split()
        form = "--format=%an%n%ae%n%at%n%s%n%b%x00"
        return trees, _facts(git.run("log", "--reverse", form, f"{self.base}..HEAD"))


def _facts(text: str) -> list[str]:
    return [
        "\n".join(line.rstrip() for line in fact.strip().splitlines())
        for fact in text.split("\0")
        if fact.strip()
    ]


def mbox(mails: Sequence[bytes]) -> bytes:
    """Return mails as git format-patch puts them into one file."""
    return b"\n".join(mails)


def archived(mails: Sequence[bytes]) -> bytes:
    """Return mails as an archive's mbox has them: sent, and with From quoted (mboxrd)."""
    return quoted([as_sent(mail) for mail in mails])


def quoted(mails: Sequence[bytes]) -> bytes:
    """Return an mboxrd of mails as they are."""
    form = re.compile(rb"^(>*From )", re.MULTILINE)
    return b"\n".join(MBOXRD + form.sub(rb">\1", mail) for mail in mails)


def as_sent(mail: bytes, sender: str = "Sender <sender@example.org>") -> bytes:
    """Return a mail as git send-email sends it: the author goes into the text."""
    mail = FORMAT_PATCH.sub(b"", mail, count=1)
    head, _, body = mail.partition(b"\n\n")
    found = re.search(rb"^From: (.*(?:\n[ \t].*)*)", head, re.MULTILINE)
    assert found
    author = found.group(1).replace(b"\n", b"")
    head = head.replace(found.group(0), b"From: " + sender.encode())
    if author == sender.encode() or re.search(rb"\[PATCH [v0-9 ]*0/", head):
        return head + b"\n\n" + body
    return head + b"\n\nFrom: " + author + b"\n\n" + body


def _recoded(mail: bytes, name: str, code: Callable[[bytes], bytes]) -> bytes:
    head, _, body = mail.partition(b"\n\n")
    lines = re.sub(rb"^(MIME-Version|Content-\S+): .*\n?", b"", head + b"\n", flags=re.MULTILINE)
    lines += b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
    lines += b"Content-Transfer-Encoding: " + name.encode() + b"\n"
    return lines + b"\n" + code(body)


def in_base64(mail: bytes) -> bytes:
    return _recoded(mail, "base64", base64.encodebytes)


def in_base64_with_crlf(mail: bytes) -> bytes:
    return _recoded(mail, "base64", lambda body: base64.encodebytes(with_crlf(body)))


def in_quoted_printable(mail: bytes) -> bytes:
    return _recoded(mail, "quoted-printable", _quoted_printable)


def _quoted_printable(body: bytes) -> bytes:
    # quopri keeps a carriage return before a line's end, which mail would take away.
    return quopri.encodestring(body.replace(b"\r", b"\0")).replace(b"=00", b"=0D")


def with_crlf(mail: bytes) -> bytes:
    return mail.replace(b"\n", b"\r\n")


def attached(mail: bytes, kind: bytes = b"text/x-patch") -> bytes:
    """Return a mail whose text and diff are an inline attachment of a multipart mail."""
    head, _, body = mail.partition(b"\n\n")
    head = re.sub(rb"^(MIME-Version|Content-\S+): .*\n?", b"", head + b"\n", flags=re.MULTILINE)
    message, rule, diff = body.partition(b"\n---\n")
    assert rule
    return (
        head
        + b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=-=-"\n\n'
        + b"--=-=-\nContent-Type: text/plain; charset=UTF-8\n"
        + b"Content-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(message)
        + b"\n--=-=-\nContent-Type: "
        + kind
        + b'; name="a.patch"\nContent-Disposition: inline\n'
        + b"Content-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(diff)
        + b"\n--=-=---\n"
    )


def wrapped_up(mails: Sequence[bytes]) -> bytes:
    """Return one mail with whole mails attached, as people who can't use send-email do it."""
    parts = [
        b"--=-=-\nContent-Type: text/x-patch\nContent-Disposition: attachment\n"
        b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(mail) + b"\n"
        for mail in mails
    ]
    return (
        b"From: Sender <sender@example.org>\nSubject: [PATCH v3] all in one\n"
        b"Message-ID: <all@example.org>\nDate: Mon, 6 Mar 2023 10:00:00 +0000\n"
        b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=-=-"\n\n'
        b"--=-=-\nContent-Type: text/plain\n\nThe cover's text.\n\n"
        + b"".join(parts)
        + b"--=-=---\n"
    )


def reply(to: bytes, text: str, subject: str = "Re: [PATCH 1/2] x") -> bytes:
    """Return an answer to the mail with the id `to`."""
    return (
        b"From: Reviewer <reviewer@example.org>\nSubject: "
        + subject.encode()
        + b"\nMessage-ID: <answer-"
        + to
        + b">\nIn-Reply-To: <"
        + to
        + b">\nDate: Tue, 7 Mar 2023 10:00:00 +0000\n\n"
        + text.encode()
    )


def message_id(mail: bytes) -> bytes:
    found = re.search(rb"^Message-ID: <(.*)>$", mail, re.MULTILINE | re.IGNORECASE)
    assert found
    return found.group(1)
