# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetching threads, from an archive on this machine."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UserError
from harness.kernel import lore
from harness.kernel.importer import ImportRequest, import_series
from harness.kernel.lore import fetch_thread, parse_message_id
from harness.outcomes import Outcome
from tests.unit.kernel.archive import Archive, Handler
from tests.unit.kernel.mailing import Repository, archived, message_id


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a.b-1@example.org>", "a.b-1@example.org"),
        ("a@example.org", "a@example.org"),
        ("https://lore.kernel.org/r/a@example.org", "a@example.org"),
        ("https://lore.kernel.org/all/a%2Bb@example.org/T/#u", "a+b@example.org"),
        ("a/b@example.org", ""),
        ("a", ""),
    ],
)
def test_message_ids(text: str, found: str) -> None:
    assert parse_message_id(text) == found


def test_a_thread_is_fetched_and_imported(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("b4")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    repository = Repository(tmp_path / "repo", linux=False)
    author = "Zo\u00eb <z@example.org>"
    repository.commit("mm: caf\u00e9\n\nFrom here.\n", {"a": b"/* \xe9 */\n"}, author)
    repository.commit("mm: two\n", {"b": b"1\n"})
    mails = repository.mails("--thread", "--cover-letter", "-v2")
    old = [mail.replace(b"PATCH v2", b"PATCH").replace(b".git.", b".old.") for mail in mails]
    archive.thread = archived([*old, *mails])
    wanted = message_id(old[0]).decode()
    request = ImportRequest(wanted, "x", base="6.1", archive=archive.address)
    done = import_series(request, tmp_path / "series")
    assert (done.version, done.draft.message_id) == ("v1", wanted)
    patches = sorted((done.folder / "6.1").glob("*.patch"))
    trees, facts = repository.applied(patches, tmp_path / "scratch")
    assert (trees, facts) == (repository.trees(), repository.facts())
    assert list(home.iterdir()) == []


def test_what_can_not_be_fetched(archive: Archive) -> None:
    pytest.importorskip("b4")
    with pytest.raises(InfrastructureError, match=r"a@example.org can't be fetched") as caught:
        fetch_thread("a@example.org", archive=archive.address)
    assert caught.value.outcome is Outcome.INFRA_WORKER
    archive.shutdown()
    archive.server_close()
    with pytest.raises(InfrastructureError, match="Connection refused") as caught:
        fetch_thread("a@example.org", archive=archive.address)
    assert "mbox file" in caught.value.hint


def test_an_archive_that_does_not_answer(archive: Archive) -> None:
    pytest.importorskip("b4")
    archive.delay = 4.0
    with pytest.raises(InfrastructureError, match="no answer within 2 s"):
        fetch_thread("a@example.org", archive=archive.address, seconds=2.0)


def test_without_b4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's lack of b4 can only be played here."""
    monkeypatch.setattr(lore.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="b4, which is not installed") as caught:
        fetch_thread("a@example.org")
    assert "install the package b4" in caught.value.hint
