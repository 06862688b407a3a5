# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CommandTimeout, GuestDied, ParseError
from harness.guest.archive import pack, regular
from harness.guest.assembly import Assembly
from harness.guest.batch import joined, plan_archive
from harness.guest.completed import Completed
from harness.guest.framing import Decoder, Frame, encode
from harness.guest.image import render_init
from harness.guest.qemu import RESULTS
from harness.guest.script import ScriptResult, Step, carry_out
from harness.outcomes import Outcome
from harness.paths import INIT

AGENT = INIT.parent / "agent" / "programs" / "patchbed-batch.c"
STEPS = (Step("one", "echo 1", files=("/a", "/b")), Step("two", "false"), Step("three", "sleep 9"))
SENT = [
    ("hello", 0, b"1"),
    ("begin", 1, b"one"),
    ("out", 1, b"1"),
    ("err", 1, b"!"),
    ("out", 1, b"\n"),
    ("file", 1, b"/a"),
    ("data", 1, b"aa"),
    ("data", 1, b"AA"),
    ("whole", 1, b""),
    ("file", 1, b"/b"),
    ("gone", 1, b"No such file or directory"),
    ("exit", 1, b"0"),
    ("begin", 2, b"two"),
    ("exit", 2, b"1"),
    ("begin", 3, b"three"),
    ("late", 3, b"143"),
    ("bye", 0, b"16"),
]
BYTES = b"".join(encode(Frame(number, *sent)) for number, sent in enumerate(SENT))


def assemble(data: bytes, error: GuestDied | None = None) -> ScriptResult:
    decoder, assembly = Decoder(), Assembly(STEPS)
    for item in [*decoder.feed(data), *decoder.close()]:
        assembly.take(item)
    return assembly.result(error)


def test_frames_become_results() -> None:
    result = assemble(BYTES)
    result.check()
    one, two, three = result.steps
    assert (one.outcome, one.completed) == (Outcome.PASS, Completed(0, b"1\n", b"!"))
    assert one.files == {"/a": b"aaAA"}
    assert one.problems == ("/b in the guest: No such file or directory",)
    assert (two.outcome, two.completed) == (Outcome.FAIL, Completed(1, b"", b""))
    assert (three.outcome, three.completed) == (Outcome.TEST_TIMEOUT, None)
    assert result["two"] is two


@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_nothing_passes_after_damage(at: int, change: int) -> None:
    damaged = bytearray(BYTES)
    damaged[at] ^= change
    result = assemble(bytes(damaged))
    assert isinstance(result.error, ParseError)
    assert {step.outcome for step in result.steps} == {Outcome.TEST_ERROR}
    with pytest.raises(ParseError, match="the batch's results"):
        result.check()


@given(st.integers(0, len(BYTES) - 1))
def test_nothing_is_whole_without_its_end(size: int) -> None:
    assert isinstance(assemble(BYTES[:size]).error, ParseError)


def test_a_death_is_the_outcome_of_what_it_cut_short() -> None:
    cut = BYTES.index(b"exit 2") - len(b"\x1ePB1 13 ")
    death = GuestDied(Outcome.KERNEL_PANIC, "Kernel panic")
    result = assemble(BYTES[:cut], death)
    assert [step.outcome for step in result.steps] == [
        Outcome.PASS,
        Outcome.KERNEL_PANIC,
        Outcome.KERNEL_PANIC,
    ]
    assert result.error is death


def test_frames_that_fit_nowhere_are_losses() -> None:
    assembly = Assembly(STEPS[:1])
    assembly.take(Frame(0, "begin", 1, b"another"))
    assembly.take(Frame(1, "out", 7, b""))
    assert assembly.losses == [
        "step 1 is not called 'one' there",
        "frame 1 is of step 7, which there is not",
    ]


def test_a_plan_is_a_folder_a_step(tmp_path: Path) -> None:
    steps = [STEPS[0], Step("in", "cat", limit=0, stdin=b"\0in")]
    archive = plan_archive(steps, b"\x7fELF")
    assert archive == plan_archive(steps, b"\x7fELF")
    extract = ["cpio", "--quiet", "-i", "--no-absolute-filenames"]
    subprocess.run(extract, input=archive, cwd=tmp_path, check=True)
    plan = tmp_path / "patchbed" / "plan"
    assert (plan / "1" / "command").read_bytes() == b"echo 1\n"
    assert (plan / "1" / "files").read_bytes() == b"/a\n/b"
    assert not (plan / "1" / "stdin").exists()
    assert (plan / "2" / "stdin").read_bytes() == b"\0in"
    assert (plan / "2" / "limit").read_bytes() == b"0"
    init = render_init((INIT / "init.j2").read_text())
    assert "/patchbed/batch /patchbed/plan\n" in init


@given(st.binary(max_size=9))
def test_a_plain_archive_begins_at_a_multiple_of_four(image: bytes) -> None:
    archive = pack({"a": regular(b"")})
    whole = joined(image, archive)
    assert whole.startswith(image)
    assert whole.endswith(archive)
    assert (len(whole) - len(archive)) % 4 == 0


def test_agent_and_harness_agree() -> None:
    text = AGENT.read_text()
    assert f'#define PORT_NAME "{RESULTS}"' in text
    sent = set(re.findall(r'send_(?:text|frame)\((?:late \? )?"([a-z]+)"', text))
    kinds = {kind for kind, _step, _payload in SENT}
    assert sent | {"out", "err", "exit"} == kinds


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": ""}, "a name is"),
        ({"name": "a\nb"}, "a name is"),
        ({"files": ("relative",)}, "absolute"),
        ({"files": ("/a\nb",)}, "absolute"),
        ({"files": tuple(f"/{number:0999}" for number in range(9))}, "longer than"),
    ],
)
def test_steps_that_can_not_be_sent(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Step(**{"name": "s", "command": "true", **arguments})  # type: ignore[arg-type]


class Talker:
    """Stands for a guest that dies in its third command: deaths of real ones are timed by luck."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, command: str, *, timeout: float = 0, stdin: bytes = b"") -> Completed:
        self.calls += 1
        if self.calls == 2:
            raise CommandTimeout("took longer than 1 s")
        if self.calls == 3:
            raise GuestDied(Outcome.KERNEL_OOPS, "BUG")
        return Completed(0, command.encode() + stdin, b"")

    def get(self, path: str) -> bytes:
        if path == "/b":
            raise OSError("/b in the guest: no")
        return b"content"


def test_an_interactive_guest_does_steps_too() -> None:
    heard: list[str] = []
    result = carry_out(Talker(), STEPS, lambda step: heard.append(step.name))
    assert [step.outcome for step in result.steps] == [
        Outcome.PASS,
        Outcome.TEST_TIMEOUT,
        Outcome.KERNEL_OOPS,
    ]
    assert result["one"].files == {"/a": b"content"}
    assert result["one"].problems == ("/b in the guest: no",)
    assert heard == ["one", "two"]
    with pytest.raises(GuestDied):
        result.check()
