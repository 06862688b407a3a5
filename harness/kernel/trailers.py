# SPDX-License-Identifier: GPL-2.0-or-later
"""Trailers that others give to a patch in their answers: Reviewed-by and its like."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.kernel.mail import Mail
from harness.kernel.posting import Posting

_TRAILER = re.compile(r"^((?:Reviewed|Acked|Tested)-by: [^<>\n]*<[^<>\s]+@[^<>\s]+>)\s*$", re.M)
_ANY = re.compile(r"[A-Za-z][A-Za-z-]*: \S.*")


def add_trailers(
    message: str, mail: Mail, posting: Posting, mails: Sequence[Mail]
) -> tuple[str, list[str]]:
    """Return a patch's message with the trailers of the answers, and those that are new in it.

    Answers to the patch count, and those to the cover letter, which mean the whole series.
    """
    targets = {mail.id, posting.cover.id if posting.cover else mail.id} - {""}
    added: list[str] = []
    for answer in _answers(targets, mails):
        for trailer in _TRAILER.findall(answer.text):
            if trailer not in message and trailer not in added:
                added.append(trailer)
    if not added:
        return message, []
    body = message.rstrip("\n")
    last = body.rpartition("\n\n")[2]
    gap = "\n" if all(_ANY.fullmatch(line) for line in last.splitlines()) else "\n\n"
    lines = "\n".join(added)
    return f"{body}{gap}{lines}\n", added


def _answers(targets: set[str], mails: Sequence[Mail]) -> list[Mail]:
    """Return the answers to the mails with the ids `targets`, and the answers to those."""
    found: list[Mail] = []
    wanted = set(targets)
    remaining = [mail for mail in mails if mail.subject.reply and mail.parents]
    while True:
        more = [mail for mail in remaining if mail.parents[0] in wanted]
        if not more:
            return sorted(found, key=lambda mail: mail.date)
        found += more
        wanted |= {mail.id for mail in more if mail.id}
        remaining = [mail for mail in remaining if mail not in more]
