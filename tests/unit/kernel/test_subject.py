# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.subject import Subject, parse_subject


def patch(title: str, **facts: object) -> Subject:
    return Subject(title, patchy=True, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[PATCH] mm: x", patch("mm: x")),
        ("[PATCH 03/11] mm: x", patch("mm: x", index=3, total=11)),
        (
            "[RFC PATCH mm v2 03/11] mm: x",
            patch("mm: x", version=2, versioned=True, index=3, total=11),
        ),
        ("[PATCHv3 1/2] x", patch("x", version=3, versioned=True, index=1, total=2)),
        ("[patch V4 1 / 2] x", patch("x", version=4, versioned=True, index=1, total=2)),
        ("[PATCH RESEND v2] x", patch("x", version=2, versioned=True, resend=True)),
        (
            "[RESEND][PATCH net-next,v2,1/2] x",
            patch("x", version=2, versioned=True, index=1, total=2, resend=True),
        ),
        ("[PATCH 6.1 001/200] x", patch("x", index=1, total=200, kernel="6.1")),
        ("[PATCH v6.1.y 1/2] x", patch("x", index=1, total=2, kernel="6.1")),
        ("[PATCH v2.1 3/5] x", patch("x", version=2, versioned=True, index=3, total=5)),
        ("[linux-mm] [PATCH 0/0] x", patch("x", index=0, total=0)),
        ("[PATCH 1/2] [media] dvb: x", patch("[media] dvb: x", index=1, total=2)),
        ("[PATCH] [RFC] [1/2] x", patch("x", index=1, total=2)),
        ("Re: [PATCH 1/2] x", patch("x", index=1, total=2, reply=True)),
        ("[list] Re: AW: [PATCH] x", patch("x", reply=True)),
        ("[media] dvb: x [PATCH]", Subject("[media] dvb: x [PATCH]")),
        ("[PATCH 1/2]\n mm:\tx", patch("mm: x", index=1, total=2)),
        ("[PATCH 1/2", Subject("[PATCH 1/2")),
        ("", Subject("")),
    ],
)
def test_a_subject(text: str, found: Subject) -> None:
    assert parse_subject(text) == found


@given(st.text(alphabet="[]/ 0129vRPATCHe:,x."))
def test_any_subject_can_be_read(text: str) -> None:
    found = parse_subject(text)
    assert " ".join(text.split()).endswith(found.title)
    assert parse_subject(f"[PATCH] {found.title}").title in found.title
