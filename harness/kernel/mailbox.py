# SPDX-License-Identifier: GPL-2.0-or-later
"""Where mails are: an mbox file, a maildir, a folder of patches."""

from __future__ import annotations

import gzip
import lzma
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.kernel.gitstore import GitError, run_git
from harness.kernel.mail import Mail, read_mail

_UNPACKERS = {".gz": gzip.decompress, ".xz": lzma.decompress}
# Archives that quote lines beginning with From (mboxrd) say so in their first line.
_QUOTED = (b"From mboxrd@z ",)
_PATCHES = (".patch", ".eml", ".diff")


def read_mails(path: Path) -> tuple[list[Mail], bool]:
    """Return the mails at `path`, and whether their order is that of a series.

    It is for a folder of patches, and for an mbox that git format-patch wrote.

    Raises:
        UserError: there is nothing, or nothing that can be read; the message says what.
    """
    if path.is_dir():
        return _read_folder(path)
    raws = split_mbox(_read_file(path))
    mails = _read_all(raws, [f"{path.name}, mail {at}" for at in range(1, len(raws) + 1)])
    return mails, bool(mails) and all(not mail.sender for mail in mails)


def split_mbox(data: bytes) -> list[bytes]:
    """Return the mails of an mbox; what has no line `From ...` on top is one mail.

    Raises:
        UserError: it is no mailbox.
    """
    if not data.strip():
        return []
    with tempfile.TemporaryDirectory(prefix="patchbed-mbox-") as name:
        folder = Path(name)
        (folder / "mbox").write_bytes(data.lstrip())
        (folder / "mails").mkdir()
        options = ["--mboxrd"] if data.lstrip().startswith(_QUOTED) else []
        try:
            run_git("mailsplit", "-b", "--keep-cr", *options, "-omails", "mbox", folder=folder)
        except GitError as error:
            raise UserError(
                f"this is no mailbox: {error.stderr.strip()}", hint="give an mbox file or a mail"
            ) from error
        return [file.read_bytes() for file in sorted((folder / "mails").iterdir(), key=_number)]


def _number(file: Path) -> int:
    return int(file.name)


def _read_folder(folder: Path) -> tuple[list[Mail], bool]:
    if (folder / "cur").is_dir() or (folder / "new").is_dir():
        files = [
            file
            for part in ("cur", "new")
            for file in (folder / part).glob("*")
            if file.is_file() and not file.name.startswith(".")
        ]
        files.sort(key=lambda file: file.name)
        return _read_all([_read_file(file) for file in files], [file.name for file in files]), False
    files = sorted(file for file in folder.iterdir() if file.suffix in _PATCHES and file.is_file())
    if not files:
        raise UserError(
            f"{folder} holds no mails: neither a maildir's cur/, nor any *.patch",
            hint="give a folder that git format-patch wrote, a maildir or an mbox file",
        )
    mails = _read_all([_read_file(file) for file in files], [file.name for file in files])
    return mails, True


def _read_all(raws: Sequence[bytes], places: Sequence[str]) -> list[Mail]:
    return [mail for raw, place in zip(raws, places, strict=True) for mail in read_mail(raw, place)]


def _read_file(path: Path) -> bytes:
    unpack = _UNPACKERS.get(path.suffix)
    try:
        data = path.read_bytes()
        return unpack(data) if unpack else data
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path} can't be read: {words}", hint="get the file again") from error
