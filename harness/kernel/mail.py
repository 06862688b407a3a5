# SPDX-License-Identifier: GPL-2.0-or-later
"""Mails: read from what holds them, and looked into just far enough to find patches."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime

from harness.kernel.subject import Subject, parse_subject

_DIFF = re.compile(rb"^(?:diff --git .|--- \S.*\n\+\+\+ \S.*\n@@ )", re.MULTILINE)
_ID = re.compile(r"<([^<>\s]+)>")
# What git format-patch puts where a mailbox has the sender and the time of arrival.
_FORMAT_PATCH = re.compile(rb"From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\r?\n")
_PATCH_TYPES = re.compile(r"(?:text|application)/(?:x-)?(?:patch|diff)$")
_MAIL_START = re.compile(rb"(?:From [^\n]*\n)?(?:[A-Za-z-]+: [^\n]*\n(?:[ \t][^\n]*\n)*)+\n")
_COPIED = ("From", "Subject", "Date")


@dataclass(frozen=True)
class Mail:
    """A mail, and what it is: `raw` has one part, and is what `git mailinfo` can read.

    `parents` are the ids of what it answers, nearest first. `sender` is an address, "" where a
    mail was never sent (git format-patch writes the author there). `date` is in seconds since
    1970, 0 where there is none. `crlf` says that every line of the decoded text ends with CR LF:
    the way it came did that, not its author. `place` is words for messages.
    """

    raw: bytes
    id: str
    parents: tuple[str, ...]
    sender: str
    date: float
    subject: Subject
    text: str
    has_diff: bool
    flowed: bool
    crlf: bool
    place: str

    @property
    def is_cover(self) -> bool:
        """Whether it is a series' cover letter."""
        return not self.subject.reply and self.subject.index == 0

    @property
    def is_patch(self) -> bool:
        """Whether it is a patch; a diff within an answer is a remark."""
        return self.has_diff and not self.subject.reply and not self.is_cover

    def __str__(self) -> str:
        return f"{self.subject.title!r} ({self.place})"


def read_mail(raw: bytes, place: str) -> list[Mail]:
    """Return the mail in `raw`, and with it the mails that are attached to it.

    A plain diff that is attached becomes a part of the mail's text. An answer stays one mail,
    whatever is attached to it.
    """
    raw = _own_line_ends(raw)
    drafted = _FORMAT_PATCH.match(raw) is not None
    if raw.startswith((b"From ", b">From ")):
        raw = raw.partition(b"\n")[2]
    message = email.message_from_bytes(raw)
    if not message.is_multipart() and message.get_content_type() not in ("text/html",):
        return [_describe(message, raw, message, _payload(message), drafted, place)]
    return _read_parts(message, drafted, place)


def _read_parts(message: Message, drafted: bool, place: str) -> list[Mail]:
    texts: list[Message] = []
    diffs: list[bytes] = []
    attached: list[bytes] = []
    for part in _leaves(message):
        data = _payload(part)
        if part.get_content_type() == "message/rfc822":
            attached.append(data)
        elif _is_patch_part(part):
            whole = _MAIL_START.match(data) and b"\nSubject:" in b"\n" + data.partition(b"\n\n")[0]
            (attached if whole else diffs).append(data)
        elif part.get_content_type() == "text/plain":
            texts.append(part)
    first = texts[0] if texts else message
    body = b"\n".join(_unix(_payload(text)) for text in texts)
    if diffs:
        body = b"\n---\n".join([body.rstrip(b"\n"), b"\n".join(_unix(diff) for diff in diffs)])
    charset = first.get_content_charset() or "utf-8"
    outer = _describe(message, _compose(message, charset, body), first, body, drafted, place)
    if not attached or outer.subject.reply:
        return [outer]
    return _with_attached(outer, attached)


def _with_attached(outer: Mail, attached: list[bytes]) -> list[Mail]:
    """Return a mail and those attached to it.

    They answer the cover letter among them; where there is none, the mail itself is it.
    """
    found: list[Mail] = []
    for number, raw in enumerate(attached, start=1):
        for mail in read_mail(raw, f"{outer.place}, attachment {number}"):
            subject = mail.subject
            if subject.index is None and not subject.reply:
                subject = replace(subject, index=number, total=len(attached))
            if not subject.versioned and outer.subject.versioned:
                subject = replace(subject, version=outer.subject.version, versioned=True)
            own = f"{outer.id}#{number}"
            found.append(
                replace(mail, id=own, parents=(outer.id,), sender=outer.sender, subject=subject)
            )
    cover = next((mail for mail in found if mail.is_cover), None)
    if cover is not None:
        answers = [replace(mail, parents=() if mail is cover else (cover.id,)) for mail in found]
        return [outer, *answers]
    if not outer.has_diff and outer.subject.index is None and found:
        first = found[0].subject
        subject = replace(outer.subject, index=0, total=len(attached), version=first.version)
        outer = replace(outer, subject=subject)
    return [outer, *found]


def _describe(
    message: Message, raw: bytes, part: Message, body: bytes, drafted: bool, place: str
) -> Mail:
    text = _decode(body, part.get_content_charset())
    return Mail(
        raw=raw,
        id=next(iter(_ids(message, "Message-ID")), ""),
        parents=_parents(message),
        sender="" if drafted else parseaddr(header(message, "From"))[1].lower(),
        date=_date(message),
        subject=parse_subject(header(message, "Subject")),
        text=text.replace("\r\n", "\n"),
        has_diff=_DIFF.search(_unix(body)) is not None,
        flowed=str(part.get_param("format", "")).lower() == "flowed",
        crlf=_all_crlf(body),
        place=place,
    )


def header(message: Message, name: str) -> str:
    """Return a header, decoded as far as it can be, on one line; "" where it is not there."""
    raw = _raw_header(message, name).encode("ascii", "surrogateescape")
    text = _decode(raw, None)
    try:
        decoded = str(make_header(decode_header(text)))
    except (ValueError, LookupError):
        decoded = text
    return " ".join(decoded.encode("utf-8", "replace").decode("utf-8").split())


def _raw_header(message: Message, name: str) -> str:
    """Return a header as it is written; its 8-bit bytes are surrogates."""
    return next(
        (str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""
    )


def _own_line_ends(raw: bytes) -> bytes:
    """Return a mail with its own line ends: where headers end with CR LF, its way put them in."""
    return raw.replace(b"\r\n", b"\n") if raw.partition(b"\n")[0].endswith(b"\r") else raw


def _unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n") if _all_crlf(data) else data


def _all_crlf(data: bytes) -> bool:
    return 0 < data.count(b"\n") == data.count(b"\r\n")


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that hold something; a mail within a mail is one of them."""
    if message.get_content_type() == "message/rfc822" or not message.is_multipart():
        yield message
        return
    for part in message.get_payload():
        if isinstance(part, Message):
            yield from _leaves(part)


def _payload(part: Message) -> bytes:
    if part.is_multipart():
        inner = part.get_payload(0)
        return inner.as_bytes() if isinstance(inner, Message) else b""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _is_patch_part(part: Message) -> bool:
    named = (part.get_filename() or "").lower().endswith((".patch", ".diff", ".eml"))
    return named or _PATCH_TYPES.match(part.get_content_type()) is not None


def _compose(message: Message, charset: str, body: bytes) -> bytes:
    """Return a mail of one part, with the headers that matter as they were."""
    lines = [f"{name}: {_raw_header(message, name)}" for name in _COPIED if name in message]
    lines.append(f"Content-Type: text/plain; charset={charset}")
    lines.append("Content-Transfer-Encoding: 8bit")
    return "\n".join([*lines, "", ""]).encode("ascii", "surrogateescape") + body


def _decode(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8")
    except (UnicodeDecodeError, LookupError):
        return data.decode("latin-1")


def _ids(message: Message, name: str) -> list[str]:
    return _ID.findall(header(message, name))


def _parents(message: Message) -> tuple[str, ...]:
    ids = [*_ids(message, "In-Reply-To"), *reversed(_ids(message, "References"))]
    return tuple(dict.fromkeys(ids))


def _date(message: Message) -> float:
    try:
        return parsedate_to_datetime(header(message, "Date")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
