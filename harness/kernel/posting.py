# SPDX-License-Identifier: GPL-2.0-or-later
"""Postings: which mails belong together as one version of a series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UserError
from harness.kernel.mail import Mail

# Versions, senders and roots that make mails members of one posting.
_Key = tuple[int, str]


@dataclass
class Posting:
    """One version of a series, as it was posted: `patches` by their number, from 1.

    `superseded` are the mails in whose place others were sent later; `root` says that it begins
    a thread.
    """

    version: int
    sender: str
    cover: Mail | None = None
    patches: dict[int, Mail] = field(default_factory=dict)
    total: int = 0
    superseded: list[Mail] = field(default_factory=list)
    root: bool = True

    @property
    def first(self) -> Mail | None:
        """The cover letter, else the first patch that there is."""
        return self.cover or (self.patches[min(self.patches)] if self.patches else None)

    @property
    def title(self) -> str:
        return self.first.subject.title if self.first else ""

    @property
    def message_id(self) -> str:
        return self.first.id.partition("#")[0] if self.first else ""

    @property
    def mails(self) -> list[Mail]:
        """Its mails in order, the cover letter first."""
        return [*([self.cover] if self.cover else []), *self.in_order()]

    def in_order(self) -> list[Mail]:
        """Return the patches in the order of their numbers."""
        return [self.patches[number] for number in sorted(self.patches)]

    def missing(self) -> list[int]:
        """Return the numbers of the patches that are not there."""
        return [number for number in range(1, self.total + 1) if number not in self.patches]

    def __str__(self) -> str:
        sender = f" from {self.sender}" if self.sender else ""
        return f"v{self.version} {self.title!r}, {len(self.patches)} of {self.total}{sender}"


def find_postings(mails: Sequence[Mail], *, ordered: bool) -> list[Posting]:
    """Return the postings that `mails` hold, by version.

    `ordered` says that patches without a number are one series, in the order of `mails`.
    Mails that arrived twice count once; of two mails with the same place in a posting the later
    one counts.
    """
    mails = _once(mails)
    members = [mail for mail in mails if mail.is_patch or mail.is_cover]
    numbered = [mail for mail in members if mail.subject.index is not None]
    roots = _Roots(mails, members)
    groups: dict[_Key, list[Mail]] = {}
    for mail in numbered:
        groups.setdefault((mail.subject.version, roots.find(mail)), []).append(mail)
    groups = _join_loose(groups, roots)
    postings = [_gather(group, roots) for group in groups.values()]
    postings = _join_resent([posting for posting in postings if posting.patches])
    single = [mail for mail in members if mail.subject.index is None]
    if ordered and not numbered:
        return [*_in_given_order(single)]
    taken = {roots.find(mail) for mail in numbered}
    alone = [mail for mail in single if roots.find(mail) not in taken]
    postings += _join_resent([_alone(mail, roots) for mail in alone])
    return sorted(postings, key=lambda posting: posting.version)


def choose_posting(
    postings: Sequence[Posting], *, version: int | None, pick: str, holds: str = ""
) -> Posting:
    """Return the posting that is meant: of `version`, else the newest.

    `pick` is a message id, or words of the title; `holds` is the id of a mail in it.

    Raises:
        UserError: there is none, or more than one; the message lists them.
    """
    if not postings:
        raise UserError(
            "there is no patch in it",
            hint="answers and mails without a diff are no patches; give the thread's mails",
        )
    found = [
        posting
        for posting in postings
        if not pick or pick.strip("<>") in _ids(posting) or pick.casefold() in _words(posting)
    ]
    held = [posting for posting in found if holds and holds in _ids(posting)]
    if held and version is None:
        return held[0]
    found = _of_one_sender(held or found, found)
    if version is not None:
        found = [posting for posting in found if posting.version == version]
    if not found:
        wanted = " ".join([f"v{version}" if version else "series", f"{pick!r}" if pick else ""])
        raise UserError(f"there is no {wanted.strip()} in it", hint=_listed(postings))
    newest = max(posting.version for posting in found)
    found = [posting for posting in found if posting.version == newest]
    if len(found) > 1:
        raise UserError(
            f"there are {len(found)} series in it; --pick MESSAGE-ID or words of its subject"
            " says which",
            hint=_listed(found),
        )
    return found[0]


def check_whole(posting: Posting, mails: Iterable[Mail]) -> None:
    """Raise UserError, naming them, where parts of a posting are missing."""
    missing = posting.missing()
    if not missing:
        return
    names = ", ".join(f"{number}/{posting.total}" for number in missing)
    empty = [
        mail
        for mail in mails
        if not mail.subject.reply
        and not mail.has_diff
        and mail.subject.version == posting.version
        and mail.subject.index in missing
    ]
    words = "".join(f"; {mail} has no diff in it" for mail in empty)
    raise UserError(
        f"v{posting.version} {posting.title!r} lacks {names}{words}",
        hint="give the whole thread: an archive's mbox of it has every part",
    )


class _Roots:
    """Finds the mail that a posting begins with, from any of its mails."""

    def __init__(self, mails: Iterable[Mail], members: Iterable[Mail]) -> None:
        self._by_id = {mail.id: mail for mail in mails if mail.id}
        self._members = {id(mail) for mail in members}

    def find(self, mail: Mail) -> str:
        """Return the id of the posting's first mail, which may not be there itself."""
        best = self._climb(mail)
        if best.parents and best.parents[0] not in self._by_id:
            lonely = best.is_cover or best.subject.total == 1
            return best.id if lonely else best.parents[0]
        return best.id or best.place

    def is_loose(self, mail: Mail) -> bool:
        """Whether a mail is in no thread at all."""
        return not mail.parents

    def is_root(self, mail: Mail) -> bool:
        """Whether a posting that begins with `mail` answers no mail that is there."""
        return not any(parent in self._by_id for parent in self._climb(mail).parents)

    def _climb(self, mail: Mail) -> Mail:
        best = current = mail
        seen: set[str] = set()
        while True:
            parent = next((id_ for id_ in current.parents if id_ in self._by_id), "")
            if not parent or parent in seen:
                return best
            seen.add(parent)
            current = self._by_id[parent]
            if id(current) in self._members and _together(mail, current):
                best = current


def _together(mail: Mail, other: Mail) -> bool:
    """Whether two mails of a thread may be of one posting."""
    one, two = mail.subject, other.subject
    same_size = one.total is not None and two.total in {one.total, 0}
    return one.version == two.version and (mail.sender == other.sender or same_size)


def _once(mails: Iterable[Mail]) -> list[Mail]:
    seen: dict[str, Mail] = {}
    for mail in mails:
        seen.setdefault(mail.id or f"{mail.place}\n", mail)
    return list(seen.values())


def _join_loose(groups: Mapping[_Key, list[Mail]], roots: _Roots) -> dict[_Key, list[Mail]]:
    """Put mails that are in no thread into the posting that they would belong to."""
    joined: dict[_Key, list[Mail]] = {}
    loose: dict[tuple[int, str, int | None], list[Mail]] = {}
    for key, group in groups.items():
        if len(group) == 1 and roots.is_loose(group[0]):
            mail = group[0]
            loose.setdefault((key[0], mail.sender, mail.subject.total), []).append(mail)
        else:
            joined[key] = group
    for (version, sender, total), group in loose.items():
        fitting = [
            key
            for key, other in joined.items()
            if key[0] == version
            and any(mail.sender == sender and mail.subject.total == total for mail in other)
        ]
        key = fitting[0] if len(fitting) == 1 else (version, f"loose {sender} {total}")
        joined.setdefault(key, []).extend(group)
    return joined


def _gather(group: Iterable[Mail], roots: _Roots) -> Posting:
    mails = list(group)
    first = min(mails, key=lambda mail: mail.subject.index or 0)
    posting = Posting(first.subject.version, first.sender, root=roots.is_root(first))
    for mail in mails:
        _put(posting, mail)
    return posting


def _put(posting: Posting, mail: Mail) -> None:
    """Put a mail into its place; of two for the same place the later one stays."""
    number = mail.subject.index or 0
    posting.total = max(posting.total, mail.subject.total or 0)
    there = posting.cover if number == 0 else posting.patches.get(number)
    if there is not None:
        old, mail = (there, mail) if mail.date >= there.date else (mail, there)
        posting.superseded.append(old)
    if number == 0:
        posting.cover = mail
    else:
        posting.patches[number] = mail


def _join_resent(postings: Iterable[Posting]) -> list[Posting]:
    """Make one of a posting and the whole of it sent again."""
    found: dict[tuple[int, str, str], Posting] = {}
    for posting in postings:
        key = (posting.version, posting.sender, posting.title)
        earlier = found.setdefault(key, posting)
        if earlier is not posting:
            for mail in posting.mails:
                _put(earlier, mail)
            earlier.superseded += posting.superseded
    return list(found.values())


def _alone(mail: Mail, roots: _Roots) -> Posting:
    posting = Posting(mail.subject.version, mail.sender, root=roots.is_root(mail))
    posting.patches[1], posting.total = mail, 1
    return posting


def _in_given_order(mails: Sequence[Mail]) -> list[Posting]:
    """Return a posting for each version, of patches without numbers."""
    found: dict[int, Posting] = {}
    for mail in mails:
        version = mail.subject.version
        posting = found.setdefault(version, Posting(version, mail.sender))
        posting.total += 1
        posting.patches[posting.total] = mail
    return sorted(found.values(), key=lambda posting: posting.version)


def _of_one_sender(wanted: Sequence[Posting], found: Sequence[Posting]) -> list[Posting]:
    """Return the postings of whoever began the thread, and not others' within it."""
    senders = {posting.sender for posting in wanted if posting.root}
    senders = senders or {posting.sender for posting in wanted}
    if len(senders) > 1:
        raise UserError(
            "there are series from several people in it; --pick MESSAGE-ID or words of a subject"
            " says which",
            hint=_listed(wanted),
        )
    return [posting for posting in found if posting.sender in senders]


def _ids(posting: Posting) -> set[str]:
    return {mail.id.partition("#")[0] for mail in [*posting.mails, *posting.superseded]}


def _words(posting: Posting) -> str:
    return "\n".join(mail.subject.title for mail in posting.mails).casefold()


def _listed(postings: Iterable[Posting]) -> str:
    return "there are " + "; ".join(f"{posting} <{posting.message_id}>" for posting in postings)
