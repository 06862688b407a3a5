# SPDX-License-Identifier: GPL-2.0-or-later
"""Which mails are a series: threads as they are on the lists."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.kernel.mail import Mail, read_mail
from harness.kernel.posting import Posting, check_whole, choose_posting, find_postings

DIFF = "---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"
ANNA, BORIS = "Anna <anna@example.org>", "Boris <boris@example.org>"


def mail(
    subject: str,
    id_: str,
    to: str = "",
    sender: str = ANNA,
    day: int = 6,
    text: str = DIFF,
) -> Mail:
    lines = [f"From: {sender}", f"Subject: {subject}", f"Message-ID: <{id_}>"]
    lines += [f"In-Reply-To: <{to}>", f"References: <{to}>"] if to else []
    lines += [f"Date: {day} Mar 2023 10:00:00 +0000", "", text]
    (found,) = read_mail("\n".join(lines).encode(), id_)
    return found


def cover(subject: str, id_: str, to: str = "", sender: str = ANNA, day: int = 6) -> Mail:
    return mail(subject, id_, to, sender, day, "Words.\n")


def ids(posting: Posting) -> list[str]:
    return [each.id for each in posting.in_order()]


def chosen(mails: Sequence[Mail], version: int | None = None, pick: str = "") -> Posting:
    return choose_posting(find_postings(mails, ordered=False), version=version, pick=pick)


THREAD = [
    cover("[PATCH 0/2] mm: a cache", "c1"),
    mail("[PATCH 1/2] mm: one", "p1", "c1"),
    mail("[PATCH 2/2] mm: two", "p2", "c1"),
    mail("Re: [PATCH 2/2] mm: two", "r1", "p2", BORIS, text=f"Do it so:\n{DIFF}"),
    mail("[PATCH] mm: another way", "q1", "r1", BORIS),
    mail("[PATCH] mm: two: fix", "p2-fix", "p2"),
    cover("[RFC PATCH mm v2 00/03] mm: a cache", "c2", "c1", day=8),
    mail("[RFC PATCH mm v2 01/03] mm: one", "v1", "c2", day=8),
    mail("[RFC PATCH mm v2 02/03] mm: two", "v2", "c2", day=8),
    mail("[RFC PATCH mm v2 03/03] mm: three", "v3", "c2", day=8),
]


@given(st.randoms())
def test_a_thread_in_any_order(chance: random.Random) -> None:
    mails = list(THREAD)
    chance.shuffle(mails)
    newest = chosen(mails)
    assert (newest.version, ids(newest), newest.message_id) == (2, ["v1", "v2", "v3"], "c2")
    first = chosen(mails, version=1)
    assert (ids(first), first.message_id) == (["p1", "p2"], "c1")
    assert first.cover is not None and first.missing() == []
    assert ids(chosen(mails, pick="another way")) == ["q1"]
    assert ids(chosen(mails, pick="<p1>")) == ["p1", "p2"]


def test_the_message_asked_for_says_the_version() -> None:
    postings = find_postings(THREAD, ordered=False)
    for holds, version in (("p2", 1), ("c1", 1), ("v2", 2), ("r1", 2)):
        assert choose_posting(postings, version=None, pick="", holds=holds).version == version


def test_a_patch_sent_again_takes_the_place_of_the_first() -> None:
    again = mail("[PATCH RESEND 2/2] mm: two", "p2b", "p2", day=7)
    for mails in ([*THREAD, again], [again, *THREAD]):
        found = chosen(mails, version=1)
        assert ids(found) == ["p1", "p2b"]
        assert [each.id for each in found.superseded] == ["p2"]
    loose = mail("[PATCH RESEND 2/2] mm: two", "p2c", day=9)
    assert ids(chosen([*THREAD, loose], version=1)) == ["p1", "p2c"]


def test_a_whole_series_sent_again_takes_the_place_of_the_first() -> None:
    again = [
        cover("[PATCH RESEND 0/2] mm: a cache", "d0", day=7),
        mail("[PATCH RESEND 1/2] mm: one", "d1", "d0", day=7),
        mail("[PATCH RESEND 2/2] mm: two", "d2", "d0", day=7),
    ]
    found = chosen([*again, *THREAD], version=1)
    assert (ids(found), found.message_id) == (["d1", "d2"], "d0")


def test_every_part_that_is_missing_is_named() -> None:
    mails = [mail(f"[PATCH v3 {at}/5] x{at}", f"m{at}", "c") for at in (1, 2, 4)]
    html = mail("[PATCH v3 5/5] x5", "m5", "c", text="<html>no diff</html>")
    found = chosen([*mails, html])
    with pytest.raises(UserError) as caught:
        check_whole(found, [*mails, html])
    assert caught.value.message == "v3 'x1' lacks 3/5, 5/5; 'x5' (m5) has no diff in it"


def test_a_thread_whose_cover_letter_is_not_there() -> None:
    found = chosen(THREAD[1:3])
    assert (ids(found), found.cover, found.title) == (["p1", "p2"], None, "mm: one")


def test_patches_that_answer_each_other() -> None:
    chain = [mail(f"[PATCH {at}/3] x", f"m{at}", f"m{at - 1}") for at in (3, 1, 2)]
    assert ids(chosen(chain)) == ["m1", "m2", "m3"]


def test_patches_in_no_thread() -> None:
    assert ids(chosen([mail(f"[PATCH {at}/3] x", f"m{at}") for at in (3, 1, 2)])) == [
        "m1",
        "m2",
        "m3",
    ]


def test_patches_that_several_people_sent() -> None:
    mails = [
        cover("[PATCH 0/2] x", "c"),
        mail("[PATCH 1/2] x: one", "p1", "c"),
        mail("[PATCH 2/2] x: two", "p2", "c", BORIS),
    ]
    assert ids(chosen(mails)) == ["p1", "p2"]


def test_a_cover_letter_of_no_patches() -> None:
    mails = [cover("[PATCH 0/0] x", "c"), mail("[PATCH 1/1] x: one", "p", "c")]
    found = chosen(mails)
    assert found.cover is not None and ids(found) == ["p"] and found.missing() == []
    with pytest.raises(UserError, match="no patch in it"):
        chosen(mails[:1])


def test_one_more_than_announced() -> None:
    found = chosen([*THREAD[:3], mail("[PATCH 3/2] mm: three", "p3", "c1")])
    assert ids(found) == ["p1", "p2", "p3"]


def test_a_single_patch() -> None:
    assert ids(chosen([mail("[PATCH] x", "p")])) == ["p"]
    assert ids(chosen([mail("x: without any prefix", "p")])) == ["p"]


def test_patches_without_numbers_in_their_order() -> None:
    mails = [mail(f"[PATCH] x{at}", f"m{at}") for at in (2, 1)]
    (found,) = find_postings(mails, ordered=True)
    assert [each.subject.title for each in found.in_order()] == ["x2", "x1"]


def test_what_can_not_be_told_apart_is_listed() -> None:
    two = [mail("[PATCH] x", "p"), mail("[PATCH] y", "q")]
    with pytest.raises(UserError) as caught:
        chosen(two)
    assert "there are 2 series" in caught.value.message
    assert "v1 'x', 1 of 1 from anna@example.org <p>; v1 'y'" in caught.value.hint
    with pytest.raises(UserError, match="several people"):
        chosen([two[0], mail("[PATCH v2] z", "r", sender=BORIS)])
    discussed = [
        mail("Ideas?", "i", text="Words."),
        mail("[PATCH] x", "p", "i"),
        mail("[PATCH v2] z", "r", "i", BORIS),
    ]
    with pytest.raises(UserError, match="several people"):
        chosen(discussed)
    assert ids(chosen(discussed, pick="<p>")) == ["p"]
    with pytest.raises(UserError, match="there is no v7 in it"):
        chosen(two, version=7)


SUBJECTS = st.sampled_from(
    ["[PATCH", "[RFC v2", "1/2]", "0/2]", "3/2]", "]", "x", "Re: ", "[media]"]
)
IDS = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(
        st.builds(
            mail,
            st.lists(SUBJECTS).map(" ".join),
            IDS,
            IDS,
            st.sampled_from([ANNA, BORIS]),
            st.integers(1, 9),
            st.sampled_from([DIFF, "", "words"]),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_mails_can_be_sorted(mails: list[Mail], ordered: bool) -> None:
    for posting in find_postings(mails, ordered=ordered):
        assert posting.patches and all(each.is_patch for each in posting.in_order())
        assert str(posting)
