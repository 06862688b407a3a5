# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.framing import KINDS, LONGEST, MAGIC, Decoder, Frame, Loss, encode

PAYLOADS = st.one_of(
    st.binary(max_size=300),
    # What looks like a frame, or nearly: the worst that a command can print.
    st.builds(lambda text: MAGIC + text, st.binary(max_size=40)),
    st.builds(lambda n: encode(Frame(n, "out", 1, b"inner")), st.integers(0, 9)),
)
CONTENTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99), PAYLOADS), max_size=8)


def frames_of(contents: list[tuple[str, int, bytes]]) -> list[Frame]:
    return [
        Frame(number, kind, step, payload) for number, (kind, step, payload) in enumerate(contents)
    ]


def decode(data: bytes, size: int = 1 << 20) -> tuple[list[Frame], list[Loss]]:
    decoder = Decoder()
    found: list[Frame | Loss] = []
    for start in range(0, len(data), size):
        found += decoder.feed(data[start : start + size])
    found += decoder.close()
    return (
        [item for item in found if isinstance(item, Frame)],
        [item for item in found if isinstance(item, Loss)],
    )


@given(CONTENTS, st.integers(1, 64))
def test_what_is_sent_arrives_however_it_is_cut(
    contents: list[tuple[str, int, bytes]], size: int
) -> None:
    frames = frames_of(contents)
    assert decode(b"".join(map(encode, frames)), size) == (frames, [])


@given(CONTENTS, st.data())
def test_a_changed_byte_is_a_named_loss(
    contents: list[tuple[str, int, bytes]], data: st.DataObject
) -> None:
    frames = frames_of([*contents, ("bye", 0, b"")])
    sent = bytearray(b"".join(map(encode, frames)))
    at = data.draw(st.integers(0, len(sent) - 1))
    sent[at] ^= data.draw(st.integers(1, 255))
    found, losses = decode(bytes(sent), data.draw(st.integers(1, 64)))
    assert losses
    assert not [frame for frame in found if frame not in frames and frame.payload != b"inner"]


@given(CONTENTS, st.data())
def test_a_cut_is_a_loss_or_ends_between_frames(
    contents: list[tuple[str, int, bytes]], data: st.DataObject
) -> None:
    frames = frames_of([*contents, ("bye", 0, b"")])
    sent = b"".join(map(encode, frames))
    size = data.draw(st.integers(0, len(sent) - 1))
    found, losses = decode(sent[:size])
    if losses:
        return
    assert found == frames[: len(found)]
    assert b"".join(map(encode, found)) == sent[:size]


@given(CONTENTS, st.binary(min_size=1, max_size=99), st.binary(max_size=99))
def test_noise_around_is_told_and_costs_no_frame(
    contents: list[tuple[str, int, bytes]], before: bytes, after: bytes
) -> None:
    frames = frames_of(contents)
    # Noise that ends in the beginning of a head could swallow the first frame's own.
    before = before.replace(b"\x1e", b"?") + b"\n"
    after = after.replace(b"\x1e", b"?")
    found, losses = decode(before + b"".join(map(encode, frames)) + after)
    assert found == frames
    assert losses[0].problem == f"{len(before) + (0 if frames else len(after))} bytes before " + (
        "frame 0 are no frame"
    )
    assert len(losses) == 1 + bool(after and frames)


@given(st.binary(max_size=3000))
def test_anything_is_read_without_an_error(data: bytes) -> None:
    found, losses = decode(data)
    assert found or losses or not data


def test_a_missing_frame_is_named() -> None:
    one, two, three = (Frame(number, "out", 1, b"x") for number in (0, 1, 2))
    found, losses = decode(encode(one) + encode(three))
    assert found == [one, three]
    assert losses == [Loss("frames 1 to 1 are missing")]
    assert decode(encode(one) + encode(two) + encode(two))[1] == [
        Loss("frame 1 comes out of order, after 1")
    ]


def test_what_can_be_no_frame_is_refused() -> None:
    for frame in (Frame(0, "shout", 0, b""), Frame(0, "out", 0, bytes(LONGEST + 1))):
        with pytest.raises(ValueError, match="no frame"):
            encode(frame)


def test_a_length_that_lies_does_not_hide_what_follows() -> None:
    good = Frame(1, "out", 1, b"good")
    liar = b"\x1ePB1 0 out 1 60000 00000000\nshort\n"
    assert decode(liar + encode(good))[0] == [good]
