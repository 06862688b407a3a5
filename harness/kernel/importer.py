# SPDX-License-Identifier: GPL-2.0-or-later
"""Importing a series: from mails or commits to a folder below `kernel-patches/`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.kernel.basehint import BaseHint, read_base
from harness.kernel.cache import Cache
from harness.kernel.gitrange import Range, find_range, format_range, read_makefile
from harness.kernel.interrupt import terminable
from harness.kernel.lore import ARCHIVE, fetch_thread, link, parse_message_id
from harness.kernel.mail import Mail, read_mail
from harness.kernel.mailbox import read_mails, split_mbox
from harness.kernel.mailinfo import Patch, decode_mail, file_name, format_patch
from harness.kernel.posting import Posting, check_whole, choose_posting, find_postings
from harness.kernel.seriesfolder import Draft, check_names, write_series
from harness.kernel.trailers import add_trailers

_SIGNATURE = re.compile(r"^-- $.*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and as what.

    `source` is a file, a folder, a range of commits or a message id. `version` names the version
    (of mails it also says which, where there are several), `base` is the kernel's major.minor;
    "" is what the source says. `pick` says which of several series in the mails. `trailers` adds
    the Reviewed-by: and the like of answers. `archive` is the address of a public-inbox.
    """

    source: str
    name: str
    version: str = ""
    base: str = ""
    pick: str = ""
    force: bool = False
    trailers: bool = False
    archive: str = ARCHIVE


@dataclass(frozen=True)
class Imported:
    """What was written: `folder` holds series.toml; `notes` are worth telling."""

    name: str
    version: str
    base: str
    folder: Path
    draft: Draft
    notes: Sequence[str]


def import_series(
    request: ImportRequest,
    folder: Path,
    *,
    bases: Mapping[str, str] | None = None,
    cache: Cache | None = None,
) -> Imported:
    """Import a series below `folder`; `bases` and `cache` are where commits are looked up in.

    Raises:
        UserError: the source is not there, is no series or not whole, there are several, or the
            series is there already; nothing is written.
        InfrastructureError: the network or the disk fails; nothing is written.
        KeyboardInterrupt: also for SIGTERM; nothing is written.
    """
    check_names(request.name, request.version or "v1", request.base or "6.1")
    with terminable():
        if request.source.startswith("git:"):
            commits = find_range(request.source)
            draft, version, base, notes = _from_range(request, commits)
        else:
            mails, ordered, holds = _collect(request)
            draft, version, base, notes = _from_mails(
                request, mails, ordered, holds, _Lookup(bases or {}, cache)
            )
        where = write_series(draft, folder, request.name, version, base, force=request.force)
    return Imported(request.name, version, base, where, draft, notes)


def _from_range(request: ImportRequest, commits: Range) -> tuple[Draft, str, str, list[str]]:
    version = request.version or "v1"
    base = request.base or read_makefile(commits.repository, commits.first)
    if not base:
        raise UserError(
            f"{commits.first[:12]} has no Makefile that says which kernel it is",
            hint="give --base MAJOR.MINOR, such as 6.1",
        )
    patches = format_range(commits, version)
    first = read_mail(patches[0][1], patches[0][0])[0]
    draft = Draft(title=first.subject.title, patches=patches, base=commits.first)
    return draft, version, base, [f"the title is that of the first patch: {draft.title!r}"]


def _collect(request: ImportRequest) -> tuple[list[Mail], bool, str]:
    """Return the source's mails, whether they are in order, and the id of one that is meant."""
    path = Path(request.source).expanduser()
    if path.exists():
        mails, ordered = read_mails(path)
        return mails, ordered, ""
    message_id = parse_message_id(request.source)
    if not message_id:
        raise UserError(
            f"{request.source!r} is no file or folder, and no message id",
            hint="give an mbox file, a maildir, a folder of patches, git:REPO@A..B or a message id",
        )
    raws = split_mbox(fetch_thread(message_id, archive=request.archive))
    mails = [
        mail
        for at, raw in enumerate(raws, start=1)
        for mail in read_mail(raw, f"{message_id}, mail {at}")
    ]
    return mails, False, message_id


@dataclass(frozen=True)
class _Lookup:
    """Where a commit of a kernel may be found: local repositories among the bases, the store."""

    bases: Mapping[str, str]
    cache: Cache | None

    def find(self, commit: str) -> str:
        """Return the major.minor of a kernel's commit, "" where nobody has it."""
        folders = [self.cache.store] if self.cache else []
        for base in self.bases.values():
            repository = base.removeprefix("git:").rpartition("@")[0]
            if base.startswith("git:") and Path(repository).expanduser().is_dir():
                folders.append(Path(repository).expanduser())
        return next((found for folder in folders if (found := read_makefile(folder, commit))), "")


def _from_mails(
    request: ImportRequest, mails: list[Mail], ordered: bool, holds: str, lookup: _Lookup
) -> tuple[Draft, str, str, list[str]]:
    postings = find_postings(mails, ordered=ordered)
    wanted = _number(request.version, postings)
    posting = choose_posting(postings, version=wanted, pick=request.pick, holds=holds)
    check_whole(posting, mails)
    version = request.version or f"v{posting.version}"
    notes = _notes(posting, postings, bool(wanted))
    hint = read_base(
        [mail.text for mail in posting.mails], [mail.subject.kernel for mail in posting.mails]
    )
    base = request.base or _base(hint, lookup, notes)
    patches = [decode_mail(mail) for mail in posting.in_order()]
    if request.trailers:
        patches = _with_trailers(patches, posting, mails, notes)
    draft = Draft(
        title=posting.title,
        patches=_files(patches, version),
        message_id=posting.message_id,
        link=link(posting.message_id) if posting.message_id else "",
        cover=_cover(posting.cover) if posting.cover else "",
        base=hint.commit or hint.tag,
        versions=[f"v{number}" for number in sorted({each.version for each in postings})],
    )
    return draft, version, base, notes


def _number(version: str, postings: Sequence[Posting]) -> int | None:
    """Return the version to pick of `postings`; None: they do not say, so any will do."""
    if not version or not any(mail.subject.versioned for each in postings for mail in each.mails):
        return None
    found = re.fullmatch(r"v?(\d+)", version)
    if not found:
        raise UserError(
            f"{version!r} is no version of a posting",
            hint=f"give one of {', '.join(sorted({f'v{each.version}' for each in postings}))}",
        )
    return int(found.group(1))


def _notes(posting: Posting, postings: Sequence[Posting], asked: bool) -> list[str]:
    notes = []
    others = sorted({each.version for each in postings} - {posting.version})
    if others and not asked:
        names = ", ".join(f"v{number}" for number in others)
        notes.append(f"took v{posting.version}; there is {names} too (--version picks)")
    notes += [f"left out, since it was sent again: {mail}" for mail in posting.superseded]
    foreign = [each for each in postings if each.sender != posting.sender]
    notes += [f"left out, since somebody else sent it: {each}" for each in foreign]
    return notes


def _base(hint: BaseHint, lookup: _Lookup, notes: list[str]) -> str:
    found = lookup.find(hint.commit) if hint.commit else ""
    if found:
        notes.append(f"for kernels {found}: base-commit {hint.commit[:12]} is one")
        return found
    if hint.kernel:
        notes.append(f"for kernels {hint.kernel}: the mails say {hint.tag}")
        return hint.kernel
    said = f"base-commit {hint.commit} is in no repository of [bases]" if hint.commit else ""
    raise UserError(
        f"the mails don't say which kernel they are for{f': {said}' if said else ''}",
        hint="give --base MAJOR.MINOR, such as 6.1",
    )


def _files(patches: Sequence[Patch], version: str) -> list[tuple[str, bytes]]:
    word = "PATCH" if version in ("v1", "1") else f"PATCH {version}"
    total = len(patches)
    width = len(str(total))
    return [
        (
            file_name(number, patch.title),
            format_patch(patch, f"[{word} {number:0{width}d}/{total}]"),
        )
        for number, patch in enumerate(patches, start=1)
    ]


def _with_trailers(
    patches: Sequence[Patch], posting: Posting, mails: Sequence[Mail], notes: list[str]
) -> list[Patch]:
    result = []
    for mail, patch in zip(posting.in_order(), patches, strict=True):
        message, added = add_trailers(patch.message, mail, posting, mails)
        notes += [f"added to {patch.title!r}: {trailer}" for trailer in added]
        result.append(replace(patch, message=message))
    return result


def _cover(mail: Mail) -> str:
    """Return a cover letter as text."""
    body = _SIGNATURE.sub("", mail.text).strip("\n")
    return f"Subject: {mail.subject.title}\nMessage-ID: <{mail.id}>\n\n{body}\n"
