# SPDX-License-Identifier: GPL-2.0-or-later
"""The subject of a mail with a patch: `[RFC PATCH mm v2 03/11] mm: title`, read."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPLY = re.compile(r"(?:re|aw|antw|sv|vs|fw|fwd)(?:\[\d+\])?\s*:\s*", re.IGNORECASE)
_BRACKET = re.compile(r"\[([^\[\]]*)\]\s*")
_VERSION = re.compile(r"(?:^|[\s,]|PATCH|RFC)v(\d+)(?:\.\d+)?(?=$|[\s,])", re.IGNORECASE)
# Kernels that somebody still sends patches for; below 4, v2.1 is a second version mended.
_KERNEL = re.compile(r"(?:^|[\s,-])v?([4-9]\.\d+)(?:\.\d+|\.y|-rc\d+)?(?=$|[\s,])", re.IGNORECASE)
_COUNTER = re.compile(r"(?:^|[\s,])(\d+)\s*/\s*(\d+)(?=$|[\s,])")
_WORD = re.compile(r"(?:^|[\s,])(?:PATCH|RFC|RFT|RESEND|REPOST)", re.IGNORECASE)
_AGAIN = re.compile(r"(?:^|[\s,])(?:RESEND|REPOST)(?=$|[\s,])", re.IGNORECASE)


@dataclass(frozen=True)
class Subject:
    """What a subject says: `index` of `total`, `version` (1 where it names none), the title.

    `kernel` is the major.minor of the kernel that the prefix names ("" where it names none),
    `patchy` says whether there is a prefix of a patch at all.
    """

    title: str
    version: int = 1
    versioned: bool = False
    index: int | None = None
    total: int | None = None
    kernel: str = ""
    resend: bool = False
    reply: bool = False
    patchy: bool = False


def parse_subject(text: str) -> Subject:
    """Return what a decoded subject says.

    Brackets up to the last that belongs to a patch are its prefix; those after it (`[media]`)
    are a part of the title.
    """
    rest, reply = " ".join(text.split()), False
    title = rest
    prefixes: list[str] = []
    seen: list[str] = []
    while rest:
        answer = _REPLY.match(rest)
        if answer:
            rest, reply, seen = rest[answer.end() :], True, []
            title = rest
            continue
        bracket = _BRACKET.match(rest)
        if not bracket:
            break
        rest = rest[bracket.end() :]
        seen.append(bracket.group(1))
        if _is_prefix(bracket.group(1)):
            prefixes += seen
            seen, title = [], rest
    return _read_prefix(" ".join(prefixes), title, reply)


def _is_prefix(words: str) -> bool:
    return any(pattern.search(words) for pattern in (_WORD, _VERSION, _COUNTER))


def _read_prefix(words: str, title: str, reply: bool) -> Subject:
    kernel = _KERNEL.search(words)
    if kernel:
        words = f"{words[: kernel.start()]} {words[kernel.end() :]}"
    version, counter = _VERSION.search(words), _COUNTER.search(words)
    return Subject(
        title=title,
        version=int(version.group(1)) if version else 1,
        versioned=version is not None,
        index=int(counter.group(1)) if counter else None,
        total=int(counter.group(2)) if counter else None,
        kernel=kernel.group(1) if kernel else "",
        resend=_AGAIN.search(words) is not None,
        reply=reply,
        patchy=bool(words.strip()),
    )
