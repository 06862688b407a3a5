# SPDX-License-Identifier: GPL-2.0-or-later
r"""Frames: how a batch's results leave the guest, so that damage is seen and named.

Version 1 of the form, with one space between the words of the head:

    \x1ePB1 SEQUENCE KIND STEP LENGTH CRC\n PAYLOAD \n

SEQUENCE counts frames from 0, STEP is the step that it belongs to (0: none), LENGTH is the
payload's in bytes, CRC the zlib CRC-32, 8 hexadecimal digits, of "SEQUENCE KIND STEP LENGTH\n" and
the payload. guest-config/agent/programs/patchbed-batch.c writes it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x1ePB1 "
LONGEST = 1 << 16
# What each kind's payload is: see docs/guests.md.
KINDS = ("hello", "begin", "out", "err", "file", "data", "whole", "gone", "exit", "late", "bye")
_HEAD = re.compile(rb"\x1ePB1 (\d{1,10}) ([a-z]{1,8}) (\d{1,6}) (\d{1,6}) ([0-9a-f]{8})\n")
_LONGEST_HEAD = 64


@dataclass(frozen=True)
class Frame:
    """A frame that came whole."""

    sequence: int
    kind: str
    step: int
    payload: bytes


@dataclass(frozen=True)
class Loss:
    """What did not come whole, in words."""

    problem: str


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes.

    Raises:
        ValueError: its kind is unknown or its payload too long.
    """
    if frame.kind not in KINDS or len(frame.payload) > LONGEST:
        raise ValueError(f"no frame: {frame.kind}, {len(frame.payload)} bytes")
    covered = f"{frame.sequence} {frame.kind} {frame.step} {len(frame.payload)}".encode()
    crc = zlib.crc32(frame.payload, zlib.crc32(covered + b"\n"))
    return b"%b%b %08x\n%b\n" % (MAGIC, covered, crc, frame.payload)


class Decoder:
    """Finds frames in bytes as they come; what is no whole frame, or missing, becomes a `Loss`."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._skipped = 0
        self._next = 0

    def feed(self, data: bytes) -> list[Frame | Loss]:
        """Return what `data` completes."""
        self._data += data
        return list(self._take(ended=False))

    def close(self) -> list[Frame | Loss]:
        """Return what is left when nothing more can come."""
        return [*self._take(ended=True), *self._lost()]

    def _take(self, *, ended: bool) -> Iterator[Frame | Loss]:
        while self._data:
            at = self._data.find(MAGIC)
            if at != 0:
                # The beginning of a magic may be the last that came.
                keep = 0 if ended else len(MAGIC) - 1
                self._skip(at if at > 0 else max(0, len(self._data) - keep))
                if at < 0:
                    return
            found = self._first()
            if found is not None:
                frame, size = found
                del self._data[:size]
                yield from self._accept(frame)
            elif not ended and self._may_grow():
                return
            else:
                self._skip(1)

    def _first(self) -> tuple[Frame, int] | None:
        """Return the frame at the beginning and its size, None if there is none, or not yet."""
        head = _HEAD.match(self._data)
        if head is None:
            return None
        size = int(head[4])
        payload = bytes(self._data[head.end() : head.end() + size])
        frame = Frame(int(head[1]), head[2].decode(), int(head[3]), payload)
        if frame.kind not in KINDS or size > LONGEST:
            return None
        whole = encode(frame)
        return (frame, len(whole)) if self._data.startswith(whole) else None

    def _may_grow(self) -> bool:
        """Whether what is at the beginning may become a frame when more comes."""
        head = _HEAD.match(self._data)
        if head is None:
            return len(self._data) < _LONGEST_HEAD and b"\n" not in self._data
        return int(head[4]) <= LONGEST and len(self._data) < head.end() + int(head[4]) + 1

    def _skip(self, size: int) -> None:
        self._skipped += size
        del self._data[:size]

    def _lost(self) -> Iterator[Loss]:
        if self._skipped:
            yield Loss(f"{self._skipped} bytes before frame {self._next} are no frame")
        self._skipped = 0

    def _accept(self, frame: Frame) -> Iterator[Frame | Loss]:
        yield from self._lost()
        if frame.sequence < self._next:
            yield Loss(f"frame {frame.sequence} comes out of order, after {self._next - 1}")
            return
        if frame.sequence > self._next:
            yield Loss(f"frames {self._next} to {frame.sequence - 1} are missing")
        self._next = frame.sequence + 1
        yield frame
