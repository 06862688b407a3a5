# SPDX-License-Identifier: GPL-2.0-or-later
import gzip
import lzma
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.kernel.importer import Imported, ImportRequest, import_series
from harness.kernel.mail import read_mail
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
        return write(folder / "mbox", mailing.quoted([change(as_sent(mail)) for mail in mails]))

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
    repository.commit("mm: =?utf-8?q?no=20word?= of a header", {"odd.c": None})
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
        b"\n".join
    ),
)
NAME = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
WAYS = st.sampled_from(["format-patch", "archive", "base64", "quoted-printable", "maildir"])


def tidy(name: str) -> str:
    """Return a name such that git keeps it as an author's or a file's."""
    return "n" + "".join(c for c in name if c not in "<>./\\\"'(),:;@[]") + "e"


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
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


def three(folder: Path) -> tuple[Repository, list[bytes]]:
    """Return a repository with two commits, and the mails of a series with its cover letter."""
    repository = Repository(folder / "repo", linux=False)
    repository.commit("mm: one\n\nWords.\n\nSigned-off-by: A <a@example.org>\n", {"a": b"1\n"})
    repository.commit("mm: two\n", {"first.txt": b"one\n2\nthree\n"})
    mails = repository.mails("--thread", "--cover-letter", "-v2")
    mails[0] = mails[0].replace(b"*** SUBJECT HERE ***", b"mm: =?iso-8859-1?q?caf=E9?=\n au lait")
    mails[0] = mails[0].replace(b"*** BLURB HERE ***", b"It rests on v6.2;\nbased on v6.3-rc1.")
    return repository, mails


def test_what_series_toml_gets(tmp_path: Path) -> None:
    _, mails = three(tmp_path)
    answer = reply(message_id(mails[1]), "Reviewed-by: R <r@example.org>\n")
    source = write(tmp_path / "mbox", archived([*mails, answer]))
    done = bring(source, tmp_path / "series", base="")
    assert (done.version, done.base, done.folder) == ("v2", "6.3", tmp_path / "series/x/v2")
    id_ = message_id(mails[0]).decode()
    text = (done.folder / "series.toml").read_text(encoding="utf-8")
    facts = tomllib.loads(text)
    assert facts.pop("patchset_hash") == {"6.3": done.draft.patchset_hash()}
    assert facts == {
        "title": "mm: caf\u00e9 au lait",
        "message_id": id_,
        "link": f"https://lore.kernel.org/r/{id_}",
        "base": "v6.3-rc1",
        "versions": ["v2"],
    }
    assert text.startswith("# SPDX-License-Identifier: GPL-2.0-only\n")
    cover = (done.folder / "cover-letter.txt").read_text(encoding="utf-8")
    assert cover.startswith(f"Subject: mm: caf\u00e9 au lait\nMessage-ID: <{id_}>\n\nIt rests on")
    assert [file.name for file in files(done)] == ["0001-mm-one.patch", "0002-mm-two.patch"]
    assert b"Reviewed-by" not in files(done)[0].read_bytes()
    assert b"Subject: [PATCH v2 1/2] mm: one\n" in files(done)[0].read_bytes()


def test_trailers_of_answers_come_only_when_asked_for(tmp_path: Path) -> None:
    repository, mails = three(tmp_path)
    mails += [
        reply(message_id(mails[1]), "> Acked-by: No <no@example.org>\nReviewed-by: R <r@e.org>\n"),
        reply(message_id(mails[0]), "For all:\nTested-by: T <t@example.org>\n"),
    ]
    source = write(tmp_path / "mbox", archived(mails))
    done = bring(source, tmp_path / "series", trailers=True)
    _, facts = repository.applied(files(done), tmp_path / "scratch")
    assert facts[0].endswith(
        "Words.\n\nSigned-off-by: A <a@example.org>\nReviewed-by: R <r@e.org>\n"
        "Tested-by: T <t@example.org>"
    )
    assert facts[1].endswith("mm: two\nTested-by: T <t@example.org>")
    assert len(done.notes) == 3


def test_one_of_several_versions(tmp_path: Path) -> None:
    repository, mails = three(tmp_path)
    old = repository.mails("--thread", "--cover-letter")
    # Within one second git gives both versions the same ids.
    old = [mail.replace(b".git.", b".old.") for mail in old]
    source = write(tmp_path / "mbox", archived([*old, *mails]))
    assert bring(source, tmp_path / "s").version == "v2"
    done = bring(source, tmp_path / "t")
    assert any("there is v1 too" in note for note in done.notes)
    assert done.draft.versions == ["v1", "v2"]
    first = bring(source, tmp_path / "s", version="v1")
    assert first.version == "v1" and b"[PATCH 1/2]" in files(first)[0].read_bytes()
    for version in ("v3", "odd"):
        with pytest.raises(UserError, match=r"v3|v1, v2"):
            bring(source, tmp_path / "s", version=version)


def test_mails_without_a_version_get_the_one_given(tmp_path: Path) -> None:
    repository, _ = three(tmp_path)
    source = write(tmp_path / "mbox", mbox(repository.mails()))
    done = bring(source, tmp_path / "s", version="v7")
    assert done.version == "v7" and b"[PATCH v7 1/2]" in files(done)[0].read_bytes()


FLOWED = b"\nContent-Type: text/plain; format=flowed\n\n"


def changed(mail: bytes, old: bytes, new: bytes) -> bytes:
    assert old in mail
    return mail.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mails: mails[:1], "lacks 1/2, 2/2|no patch in it"),
        (lambda mails: mails[::2], "lacks 1/2"),
        (
            lambda mails: [
                *mails[:2],
                changed(mails[2], b"\n+2\n", b"\n+2\nwrapped\n"),
            ],
            "'mm: two' .* is damaged; line .* 'wrapped'",
        ),
        (
            lambda mails: [*mails[:2], changed(mails[2], b"\n\n", FLOWED)],
            "sent as format=flowed, but not in that form; line .* 'one'",
        ),
        (
            lambda mails: [*mails[:2], changed(mails[2], b"\nFrom: ", b"\nX-From: ")],
            "has no From: line",
        ),
        (
            lambda mails: [
                *mails[:2],
                changed(
                    mails[2],
                    b"\n\n",
                    b"\nContent-Type: text/plain; charset=x-none\n\nB\xfccher\n",
                ),
            ],
            "can't be read: .*x-none",
        ),
    ],
)
def test_mails_that_are_no_series(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    _, mails = three(tmp_path)
    source = write(tmp_path / "mbox", mbox(change(mails)))
    with pytest.raises(UserError) as caught:
        bring(source, tmp_path / "series")
    assert re.search(words, caught.value.message), caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "series").exists()


def test_a_flowed_mail_in_its_form(tmp_path: Path) -> None:
    repository, mails = three(tmp_path)
    head, _, body = mails[2].partition(b"\n\n")
    mails[2] = head + FLOWED + re.sub(rb"^( |From )", rb" \1", body, flags=re.MULTILINE)
    done = bring(write(tmp_path / "mbox", mbox(mails)), tmp_path / "series")
    assert repository.applied(files(done), tmp_path / "scratch")[0] == repository.trees()


def test_other_charsets(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo", linux=False)
    repository.commit("mm: caf\u00e9\n\n\u00fcber\n", {"a": b"\xe9\n"}, "Zo\u00eb <z@example.org>")
    repository.git("config", "i18n.logOutputEncoding", "ISO-8859-1")
    (latin,) = repository.mails()
    assert b"charset=ISO-8859-1" in latin and b"\n\xfcber\n" in latin
    done = bring(write(tmp_path / "mbox", latin), tmp_path / "series")
    repository.git("config", "i18n.logOutputEncoding", "UTF-8")
    trees, facts = repository.applied(files(done), tmp_path / "scratch")
    assert (trees, facts) == (repository.trees(), repository.facts())


def test_a_diff_that_is_attached(tmp_path: Path) -> None:
    repository, mails = three(tmp_path)
    mails[1:] = [mailing.attached(as_sent(mail)) for mail in mails[1:]]
    done = bring(write(tmp_path / "mbox", archived(mails)), tmp_path / "series")
    assert repository.applied(files(done), tmp_path / "scratch")[0] == repository.trees()


def test_a_text_that_looks_like_headers(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo", linux=False)
    repository.commit("mm: one\n\nSubject: is no header\nFrom: neither\n", {"a": b"1\n"})
    (sent,) = (as_sent(mail) for mail in repository.mails())
    done = bring(write(tmp_path / "mbox", sent), tmp_path / "series")
    assert repository.applied(files(done), tmp_path / "scratch")[1] == repository.facts()


def test_mails_within_a_mail(tmp_path: Path) -> None:
    repository, mails = three(tmp_path)
    parts = [b"--=-=-\nContent-Type: message/rfc822\n\n" + mail + b"\n" for mail in mails]
    outer = (
        b"From: Sender <sender@example.org>\nSubject: Fwd: a series\nMessage-ID: <o@example.org>\n"
        b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=-=-"\n\n'
    )
    mailed = outer.replace(b"Fwd: ", b"") + b"".join(parts) + b"--=-=---\n"
    done = bring(write(tmp_path / "mbox", mailed), tmp_path / "series")
    assert repository.applied(files(done), tmp_path / "scratch")[0] == repository.trees()
    answer = outer.replace(b"Fwd", b"Re") + b"".join(parts) + b"--=-=---\n"
    with pytest.raises(UserError, match="no patch in it"):
        bring(write(tmp_path / "answer", answer), tmp_path / "series")


def test_what_is_above_scissors_is_left_out(tmp_path: Path) -> None:
    _, mails = three(tmp_path)
    mails[1] = changed(mails[1], b"\n\n", b"\n\nHello,\n\n-- >8 --\nSubject: mm: better\n\n")
    done = bring(write(tmp_path / "mbox", mbox(mails)), tmp_path / "series")
    text = files(done)[0].read_bytes()
    assert b"Hello" not in text and b"Subject: [PATCH v2 1/2] mm: better\n" in text


def test_a_base_that_nobody_told(tmp_path: Path) -> None:
    _, mails = three(tmp_path)
    mails[0] = changed(mails[0], b"based on v6.3-rc1.", f"\nbase-commit: {'1' * 40}".encode())
    with pytest.raises(UserError, match=r"base-commit 1111.* is in no repository") as caught:
        bring(write(tmp_path / "mbox", mbox(mails)), tmp_path / "series", base="")
    assert "--base" in caught.value.hint


def test_a_base_commit_that_a_base_has(tmp_path: Path) -> None:
    linux = Repository(tmp_path / "linux")
    _, mails = three(tmp_path)
    mails[0] = changed(mails[0], b"based on v6.3-rc1.", f"\nbase-commit: {linux.base}".encode())
    request = ImportRequest(str(write(tmp_path / "mbox", mbox(mails))), "x")
    bases = {"mine": f"git:{linux.folder}@main"}
    done = import_series(request, tmp_path / "series", bases=bases)
    assert (done.base, done.draft.base) == ("6.1", linux.base)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    _, mails = three(tmp_path)
    series = tmp_path / "series"
    source = write(tmp_path / "mbox", mbox(mails))
    done = bring(source, series)
    toml = done.folder / "series.toml"
    toml.write_text(toml.read_text() + '\n[[known_issues]]\ntestcase = "x"\nreason = "y"\n')
    before = everything(series)
    with pytest.raises(UserError, match="is there already"):
        bring(source, series)
    assert everything(series) == before
    bring(source, series, base="6.12")
    loaded = load_series("x", "v2", "6.12", series)
    assert sorted(loaded.facts.patchset_hash) == ["6.1", "6.12"]
    assert len(loaded.known_issues) == 1
    mails[1] = changed(mails[1], b"Words.", b"Other words.")
    bring(write(tmp_path / "mbox", mbox(mails)), series, force=True)
    loaded = load_series("x", "v2", "6.1", series)
    assert b"Other words." in loaded.patches[0].read_bytes()
    assert not loaded.edited() and len(loaded.known_issues) == 1
    loaded.patches[0].write_bytes(b"Subject: x\n\n")
    assert loaded.edited()
    assert [entry.name for entry in (series / "x").iterdir()] == ["v2"]


def test_an_interrupt_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal can't be sent between two given system calls: a rename raises instead."""
    _, mails = three(tmp_path)
    source = write(tmp_path / "mbox", mbox(mails))
    series = tmp_path / "series"
    bring(source, series)
    before = everything(series)
    rename = Path.rename
    for last in (1, 2):
        calls: list[Path] = []

        def interrupted(
            path: Path, target: Path, last: int = last, calls: list[Path] = calls
        ) -> Path:
            calls.append(path)
            if len(calls) == last:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, "rename", interrupted)
            bring(source, series, force=True)
        assert everything(series) == before
        assert [entry.name for entry in (series / "x").iterdir()] == ["v2"]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(
            Path, "rename", lambda path, target: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        bring(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    _, mails = three(tmp_path)
    source = write(tmp_path / "mbox", mbox(mails))
    with pytest.raises(UserError, match="can't be written: Not a directory") as caught:
        bring(source, source / "series")
    assert "kernel_patches" in caught.value.hint


def test_of_two_imports_at_once_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other import can't be made to come between two given system calls: it is played."""
    _, mails = three(tmp_path)
    source = write(tmp_path / "mbox", mbox(mails))
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        (target / "6.1").mkdir(parents=True)
        return rename(path, target)

    with monkeypatch.context() as patched, pytest.raises(UserError, match="not empty"):
        patched.setattr(Path, "rename", late)
        bring(source, tmp_path / "series")
    assert everything(tmp_path / "series") == {}


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("nosuch", {}, "is no file or folder, and no message id"),
        ("git:nosuch@a..b", {}, "is no folder"),
        ("git:x", {}, "is no range"),
        ("mbox", {"version": "../v1"}, "can't be the name of a version"),
        ("mbox", {"base": "v6.1"}, "no kernel's major.minor"),
        ("empty", {}, "no patch in it"),
        ("empty.gz", {}, "no patch in it"),
        ("broken.gz", {}, "can't be read"),
        ("broken.xz", {}, "can't be read"),
        ("folder", {}, "holds no mails"),
    ],
)
def test_sources_that_are_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    options: dict[str, str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "empty", b"")
    write(tmp_path / "empty.gz", gzip.compress(b""))
    write(tmp_path / "broken.gz", b"no gzip")
    write(tmp_path / "broken.xz", b"no xz")
    with pytest.raises(UserError, match=words):
        bring(source, tmp_path / "series", **options)


@given(st.binary(max_size=300))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    for raw in (data, b"From: a\nSubject: [PATCH] x\nContent-Type: " + data):
        for mail in read_mail(raw, "here"):
            assert str(mail)
