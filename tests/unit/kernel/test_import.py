# SPDX-License-Identifier: GPL-2.0-or-later
import gzip
import lzma
import tempfile
import os
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.kernel.importer import Imported, ImportRequest, import_series
from harness.kernel.series import load_series
from tests.unit.kernel import mailing
from tests.unit.kernel.mailing import Repository, archived, as_sent, mbox, message_id, reply

Packed = Callable[[Path, Sequence[bytes]], Path]


def bring(source: object, folder: Path, **options: object) -> Imported:
    request = ImportRequest(str(source), "x", **{"base": "6.1", **options})  # type: ignore[arg-type]
    return import_series(request, folder)


def files(done: Imported) -> list[Path]:
    return sorted((done.folder / done.base).iterdir())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def maildir(folder: Path, mails: Sequence[bytes]) -> Path:
    for part in ("cur", "new", "tmp"):
        (folder / "mail" / part).mkdir(parents=True)
    # The order of the names is not the order of the patches.
    for at, mail in enumerate(reversed(mails)):
        name = f"1678100000.{at}.host:2,S" if at % 2 else f"1678100000.{at}.host"
        write(folder / "mail" / ("cur" if at % 2 else "new") / name, mail)
    return folder / "mail"


def folder_of(folder: Path, mails: Sequence[bytes]) -> Path:
    (folder / "patches").mkdir()
    for at, mail in enumerate(mails):
        write(folder / "patches" / f"{at:04d}-x.patch", mail)
    return folder / "patches"


def an_mbox(change: Callable[[bytes], bytes]) -> Packed:
    def pack(folder: Path, mails: Sequence[bytes]) -> Path:
        parts = (mailing.MBOXRD + change(as_sent(mail)) for mail in mails)
        return write(folder / "mbox", b"\n".join(parts))

    return pack


PACKED: dict[str, Packed] = {
    "format-patch": lambda folder, mails: write(folder / "mbox", mbox(mails)),
    "archive": lambda folder, mails: write(folder / "mbox", archived(mails)),
    "gz": lambda folder, mails: write(folder / "mbox.gz", gzip.compress(archived(mails))),
    "xz": lambda folder, mails: write(folder / "mbox.xz", lzma.compress(archived(mails))),
    "backwards": lambda folder, mails: write(folder / "mbox", archived(mails[::-1])),
    "twice": lambda folder, mails: write(folder / "mbox", archived([*mails, *mails])),
    "folder": folder_of,
    "maildir": lambda folder, mails: maildir(folder, [as_sent(mail) for mail in mails]),
    "base64": an_mbox(mailing.in_base64),
    "base64 with CR LF": an_mbox(mailing.in_base64_with_crlf),
    "quoted-printable": an_mbox(mailing.in_quoted_printable),
    "CR LF": lambda folder, mails: write(folder / "mbox", mailing.with_crlf(archived(mails))),
    "all attached": lambda folder, mails: write(folder / "mbox", mailing.wrapped_up(mails)),
}


def odd_commits(repository: Repository) -> None:
    repository.commit(
        "mm: a first [step] with a subject that is so long that git has to fold it into two lines"
        " and \u00fcml\u00e4uts\n\nIt's the \u201cfirst\u201d one.\n\nFrom here on it goes.\n"
        "> From a quotation\n\nSigned-off-by: Zo\u00eb <zoe@example.org>\n",
        {"first.txt": b"one\n2\nthree\n", "caf\u00e9 au lait.txt": b"sugar\n"},
        "Zo\u00eb \u00dcnal, Dr. <zoe@example.org>",
    )
    repository.commit("[media] dvb: odd  bytes", {"odd.c": b"/* caf\xe9 */\n\tint x;\f\n"})
    repository.commit(
        "Line ends\n\nText.\n\nSubject: this is no header\n\nScissors are -- >8 -- here.\n",
        {"dos.txt": b"one\r\ntwo\r\n", "odd.c": b"/* caf\xe9 */\n\tint y;\f\nno end"},
        "\u5c71\u7530\u592a\u90ce <yamada@example.org>",
    )
    repository.commit("Binary", {"blob": bytes(range(256)), "first.txt": None})


@pytest.mark.parametrize("packed", PACKED)
def test_what_is_imported_makes_the_same_commits(tmp_path: Path, packed: str) -> None:
    repository = Repository(tmp_path / "repo", linux=False)
    odd_commits(repository)
    mails = repository.mails("--thread", "--numbered")
    source = PACKED[packed](tmp_path, mails)
    done = bring(source, tmp_path / "series")
    trees, facts = repository.applied(files(done), tmp_path / "scratch")
    assert trees == repository.trees()
    # git am itself makes one space of two.
    assert facts == [fact.replace("odd  bytes", "odd bytes") for fact in repository.facts()]
    assert load_series("x", done.version, "6.1", tmp_path / "series").edited() is False


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"))
LINE = st.one_of(
    TEXT,
    st.sampled_from(["", "From here", ">From there", "Signed-off-by: A <a@example.org>", "-- "]),
)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"a", b"\xe9", b"b\r", b" ", b"\t", b"+", b"--- a", b"From x"])).map(
        lambda lines: b"\n".join(lines)
    ),
)
NAME = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
WAYS = st.sampled_from(["format-patch", "archive", "base64", "quoted-printable", "maildir"])


def tidy(name: str) -> str:
    """Return a name such that git keeps it as an author's or a file's."""
    return "n" + "".join(c for c in name if c not in "<>./\\\"'(),:;@[]") + "e"


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_commits_come_out_as_they_went_in(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = Repository(folder / "repo", linux=False)
        file, author = tidy(data.draw(NAME)), tidy(data.draw(NAME))
        for number in range(data.draw(st.integers(1, 3))):
            lines = [f"Change {number} {data.draw(TEXT)}", "", "Text:", *data.draw(st.lists(LINE))]
            edits = {f"{file} {number}": data.draw(CONTENT), "n": b"%d\n" % number}
            repository.commit("\n".join(lines) + "\n", edits, f"{author} <a@example.org>")
        mails = repository.mails("--thread", "--numbered")
        # git does not quote From in what it formats: its mbox can't hold every message.
        way = data.draw(WAYS)
        if way == "format-patch" and any(b"\nFrom " in mail for mail in mails):
            way = "maildir"
        done = bring(PACKED[way](folder, mails), folder / "series")
        trees, facts = repository.applied(files(done), folder / "scratch")
        assert trees == repository.trees()
        assert [squeezed(fact) for fact in facts] == [squeezed(f) for f in repository.facts()]


def squeezed(fact: str) -> str:
    """git am makes one space of several in a title, and drops spaces at a line's end."""
    return " ".join(fact.split())
