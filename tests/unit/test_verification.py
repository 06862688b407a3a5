# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import paths
from harness.config import Settings
from harness.errors import InfrastructureError, UserError
from harness.events import Event, Message, load_event
from harness.kernel.cache import Cache
from harness.kernel.check import Step as PatchStep
from harness.kernel.profile import group_profiles
from harness.kernel.series import list_series
from harness.kernel.variant import Variant
from harness.outcomes import Outcome
from harness.report.words import duration
from harness.results.model import build_results
from verification import child, mutant_table, mutants, step_table, verify
from verification.digest import digest_folders
from verification.memory import Memory
from verification.step_result import (
    Done,
    Inputs,
    StepResult,
    VariantResult,
    load_done,
    overall,
    patches_result,
    recorded,
    save_done,
    variant_results,
)
from verification.steps import PROFILES, Step, choose, make_patch_steps, make_steps

RECORDED = Path(__file__).parent / "data" / "recorded-events.jsonl"
INPUTS = Inputs(kernels="k", tests={"a/U1-x": "t", "a/U2-y": "t"})
STEPS = [
    Step("debian-6.1", ("fast",), ("debian-6.1", "debian-6.1+s@v1")),
    Step("debian-6.1", ("wide", "numa"), ("debian-6.1",)),
    Step("debian-6.12", ("fast",), ("debian-6.12",)),
]


def a_result(step: str, code: int = 0, folder: str = "/nowhere", seconds: float = 60) -> StepResult:
    found = VariantResult(
        variant="debian-6.1",
        outcomes={Outcome.PASS: 5, Outcome.SKIP: 3, Outcome.XFAIL: 1, Outcome.FAIL: 1},
        unexpected=["a/U1-x: fail: it does"],
    )
    return StepResult(
        step=step,
        inputs=INPUTS,
        folder=folder,
        exit_code=code,
        seconds=seconds,
        day="2026-01-01",
        variants=[found],
    )


def test_every_version_is_verified_on_the_bases_that_it_has_patches_for() -> None:
    series = [one for one in list_series(paths.KERNEL_PATCHES) if one.name == "gfp-unmapped"]
    steps = make_steps(["debian-6.1", "debian-6.12"], [("fast",), ("wide", "numa")], series)
    assert [step.name for step in steps] == [
        "debian-6.1/fast",
        "debian-6.12/fast",
        "debian-6.1/wide",
        "debian-6.12/wide",
    ]
    assert steps[0].variants[:2] == ("debian-6.1", "debian-6.1+gfp-unmapped@v1")
    assert steps[1].variants[0] == "debian-6.12"
    for step in steps:
        fitting = {str(one) for one in series if one.base == step.base.removeprefix("debian-")}
        assert {variant.partition("+")[2] for variant in step.variants[1:]} == fitting


def test_each_version_is_walked_along_its_patches() -> None:
    series = [one for one in list_series(paths.KERNEL_PATCHES) if one.name == "gfp-unmapped"]
    steps = make_patch_steps(["debian-6.1", "debian-6.12"], series)
    assert sorted(step.name for step in steps) == [
        "debian-6.1/patches-v1-debug",
        "debian-6.1/patches-v1-fast",
        "debian-6.1/patches-v2-debug",
        "debian-6.1/patches-v2-fast",
        "debian-6.1/patches-v2-off",
        "debian-6.12/patches-v1-fast",
        "debian-6.12/patches-v2-fast",
        "debian-6.12/patches-v2-off",
    ]
    off = next(step for step in steps if step.name == "debian-6.12/patches-v2-off")
    assert off.variants == ("debian-6.12+gfp-unmapped@v2",)
    assert (off.profiles, off.config) == (("fast",), ("CONFIG_UNMAPPED_ALLOC=n",))
    assert choose([*STEPS, off], ["patches"]) == [off]
    assert off not in choose([*STEPS, off], ["fast"])


def test_a_walk_along_patches_is_settled_without_a_run() -> None:
    good = PatchStep(1, "0001-a.patch", Outcome.PASS)
    bad = PatchStep(2, "0002-b.patch", Outcome.KERNEL_PANIC, message="it died")
    result = patches_result("v", [good, bad])
    assert result.outcomes == {Outcome.PASS: 1, Outcome.KERNEL_PANIC: 1}
    assert result.unexpected == ["0002-b.patch: kernel.panic: it died"]
    step = Step("debian-6.1", ("fast",), ("v@v2",), "off", ("CONFIG_X=n",))
    found = a_result(step.name, code=1, folder="").model_copy(update={"variants": [result]})
    assert found.settled
    text = step_table.document([step], {step.name: found}, {step.name: INPUTS})
    row = f"| `v` | fast, `CONFIG_X=n` | 1 | 1 | {duration(60)} | 2026-01-01 |  |"
    assert row in text
    assert "0002-b.patch: kernel.panic: it died" in text
    assert step_table.lines([step], {step.name: found})[1].split() == [
        "v",
        "off",
        "1",
        "0",
        "0",
        "1",
    ]


def test_a_version_is_built_and_booted_after_each_patch(
    setting: verify.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, object]] = []

    def check(variant: Variant, profile: str, **options: object) -> list[PatchStep]:
        asked.append((str(variant), profile, options["config"]))
        return [PatchStep(1, "0001-a.patch", Outcome.PASS)]

    # The walk itself takes kernels and minutes; tests/guest/test_series_check.py does one.
    monkeypatch.setattr(verify, "check_series", check)
    step = Step("debian-6.1", ("fast",), ("debian-6.1+s@v2",), "off", ("CONFIG_X=n",))
    result = verify._do(step, INPUTS, setting, lambda _: None)
    assert asked == [("debian-6.1+s@v2", "fast", ("CONFIG_X=n",))]
    assert result.exit_code == 0
    assert result.settled
    assert result.variants[0].outcomes == {Outcome.PASS: 1}


def test_names_of_one_kernel_are_one_step() -> None:
    groups = group_profiles(PROFILES)
    assert ("wide", "numa", "fault", "hwpoison", "hibernate", "upstream") in groups
    assert [group[0] for group in groups] == ["fast", "debug", "wide"]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        ([], [0, 1, 2]),
        (["fast"], [0, 2]),
        (["debian-6.1"], [0, 1]),
        (["numa"], [1]),
        (["debian-6.1/numa", "debian-6.12/fast"], [1, 2]),
    ],
)
def test_steps_are_chosen(only: list[str], chosen: list[int]) -> None:
    assert choose(STEPS, only) == [STEPS[number] for number in chosen]


def test_a_step_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="no step is called"):
        choose(STEPS, ["debian-5.10"])


def test_a_step_is_settled_while_its_run_is_there(tmp_path: Path) -> None:
    assert not a_result("a", folder=str(tmp_path)).settled
    (tmp_path / "events.jsonl").touch()
    assert a_result("a", folder=str(tmp_path)).settled
    assert a_result("a", code=1, folder=str(tmp_path)).settled
    assert not a_result("a", code=3, folder=str(tmp_path)).settled


def test_what_is_done_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert load_done(file) == Done()
    save_done(file, Done(steps={"a": a_result("a")}))
    assert load_done(file).steps["a"] == a_result("a")
    file.write_text("{", encoding="utf-8")
    assert load_done(file) == Done()


def test_a_recorded_run_is_counted_by_variant() -> None:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    results = build_results([load_event(line) for line in lines])
    found = variant_results(results)
    assert [one.variant for one in found] == results.run.variants
    counted = sum(sum(one.outcomes.values()) for one in found)
    assert counted == sum(results.outcomes.values())
    unexpected = [
        test for cell in results.cells for test in cell.tests if not test.outcome.expected
    ]
    assert sum(len(one.unexpected) for one in found) >= len(unexpected)


def test_the_worst_code_counts() -> None:
    assert overall([a_result("a"), a_result("b")]) == 0
    assert overall([a_result("a", 3), a_result("b", 1)]) == 1
    assert overall([a_result("a", 4), a_result("b", 3)]) == 3
    assert overall([a_result("a", -9)]) == 3
    assert overall([]) == 0


def test_what_is_left_is_estimated_from_what_was_done() -> None:
    assert verify.Pace({}).left({"a": 1.0}) is None
    assert verify.Pace({"a": 10.0, "b": 30.0}).left({"a": 1.0, "c": 1.0}) == 30.0
    assert verify.Pace({"a": 10.0}).left({"a": 0.5}) == 5.0


def test_a_step_of_which_little_is_to_be_done_takes_a_part_of_its_time(tmp_path: Path) -> None:
    known = a_result("a", folder=str(a_run(tmp_path, 1, {"a/U1-x": "pass"})))
    now = Inputs(kernels="k", tests=INPUTS.tests | {"a/U2-y": "t2"})
    assert verify.share(known, now) == 0.5
    assert verify.share(None, now) == 1.0
    assert verify.share(None, Inputs(kernels="k")) == 1.0


def test_the_table_has_a_row_for_every_variant() -> None:
    results = {"debian-6.1/fast": a_result("debian-6.1/fast")}
    text = step_table.document(STEPS, results, {"debian-6.1/fast": INPUTS})
    assert f"| `debian-6.1` | fast | 5 | 3 | 1 | 1 | {duration(60)} | 2026-01-01 |  |" in text
    assert "| `debian-6.1` | wide, numa | not run |" in text
    assert "- `debian-6.1`, fast: a/U1-x: fail: it does" in text
    lines = step_table.lines(STEPS, results)
    assert lines[1].split() == ["debian-6.1", "fast", "5", "3", "1", "1"]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Inputs(kernels="k2", tests=INPUTS.tests), "kernels"),
        (Inputs(kernels="k", tests=dict.fromkeys(INPUTS.tests, "t2")), "tests"),
        (Inputs(kernels="k2", tests={"a/U3-z": "t"}), "kernels, tests"),
        (Inputs(kernels="k", tests=INPUTS.tests | {"a/U2-y": "t2"}), "1 of 2 tests"),
        (Inputs(kernels="k", tests=INPUTS.tests | {"a/U3-z": "t"}), "1 of 3 tests"),
        (Inputs(kernels="k", tests={"a/U1-x": "t"}), "tests"),
    ],
)
def test_a_row_says_what_has_changed_since(now: Inputs, told: str) -> None:
    results = {"debian-6.1/fast": a_result("debian-6.1/fast")}
    text = step_table.document(STEPS, results, {"debian-6.1/fast": now})
    assert f"| 2026-01-01 | {told} |" in text


def test_what_was_found_on_other_machines_stays_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "20260101-000000-0001"
    folder.mkdir()
    (folder / "events.jsonl").touch()
    record = Done(steps={"a": a_result("a", folder="then"), "b": a_result("b", folder="then")})
    here = {"b": a_result("b", folder=str(folder)), "c": a_result("c", 3, folder=str(folder))}
    found = recorded(record, Done(steps=here)).steps
    assert {name: result.folder for name, result in found.items()} == {
        "a": "then",
        "b": folder.name,
    }


def test_a_digest_changes_with_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1", encoding="utf-8")
    before = digest_folders([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x").touch()
    assert digest_folders([tmp_path]) == before
    (tmp_path / "one").write_text("2", encoding="utf-8")
    changed = digest_folders([tmp_path])
    (tmp_path / "one").rename(tmp_path / "two")
    assert len({before, changed, digest_folders([tmp_path])}) == 3


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> verify.Setting:
    """Steps whose runs are recorded ones: a real one takes its kernels, and minutes."""
    script = tmp_path / "child.py"
    script.write_text(
        "import pathlib, shutil, sys\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--runs') + 1], '20260101-000000-0001')\n"
        "folder.mkdir(parents=True)\n"
        f"shutil.copy({str(RECORDED)!r}, folder / 'events.jsonl')\n"
        "print(*sys.argv[1:])\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(child, "run_argv", lambda options: [sys.executable, str(script), *options])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return verify.Setting(tmp_path / "patchbed.toml", Settings(), 4.0)


@pytest.fixture
def memory(setting: verify.Setting) -> Memory:
    return Memory(Cache(paths.cache()))


def test_steps_are_remembered_as_they_are_done(
    tmp_path: Path, setting: verify.Setting, memory: Memory
) -> None:
    inputs = {step.name: INPUTS for step in STEPS}
    memory.keep(a_result("another"))
    verify._work(STEPS[:1], inputs, memory, setting, lambda _: None)
    assert memory.load().steps.keys() == {"another", "debian-6.1/fast"}
    result = memory.load().steps["debian-6.1/fast"]
    assert result.settled
    assert result.inputs == INPUTS
    assert Path(result.folder).parent == tmp_path / "runs" / "debian-6.1-fast"
    assert result.variants
    said = (tmp_path / "cache/patchbed/verify/debian-6.1-fast.log").read_text(encoding="utf-8")
    assert "--variant debian-6.1 --variant debian-6.1+s@v1 --stress 4" in said


def an_event(kind: str, **facts: object) -> str:
    return json.dumps({"type": kind, "time": "2026-01-01T00:00:00Z", **facts})


def a_run(runs: Path, number: int, outcomes: dict[str, str]) -> Path:
    """Make a run's folder with testcases of one cell."""
    cell = "debian-6.1/fast/q35-4g"
    begun = json.loads(RECORDED.read_text(encoding="utf-8").splitlines()[0])
    lines = [
        json.dumps({**begun, "variants": ["debian-6.1"], "profiles": ["fast"], "kernels": []}),
        an_event("build-finished", variant="debian-6.1", profile="fast", outcome="pass"),
        an_event("cell-started", cell=cell, variant="debian-6.1", profile="fast", machine="q35-4g"),
        *(
            an_event("test-finished", cell=cell, boot=1, test=test, outcome=outcome)
            for test, outcome in outcomes.items()
        ),
        an_event("cell-finished", cell=cell, seconds=1.0),
    ]
    folder = runs / f"20260101-000000-{number:04}"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_only_testcases_that_have_changed_run_again(
    tmp_path: Path, setting: verify.Setting, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, now = STEPS[1], Inputs(kernels="k", tests=INPUTS.tests | {"a/U2-y": "t2"})
    whole = a_run(tmp_path / "before", 1, {"a/U1-x": "pass", "a/U2-y": "fail", "a/U4-a": "skip"})
    memory.keep(a_result(step.name, code=1, folder=str(whole)))
    part = a_run(tmp_path / "after", 2, {"a/U2-y": "pass"})
    asked: list[Sequence[str]] = []

    def run_child(options: Sequence[str], *_: object, **__: object) -> child.Ended:
        asked.append(options)
        return child.Ended(0, part)

    # What becomes of two runs is looked at here; that one takes `-k` is seen where runs are.
    monkeypatch.setattr(verify, "run_child", run_child)
    said: list[str] = []
    verify._work([step], {step.name: now}, memory, setting, lambda event: said.append(str(event)))
    assert asked[0][-2:] == ["-k", "a/U2-y"]
    assert any("(1 of 2 testcases)" in text for text in said)
    result = memory.load().steps[step.name]
    assert (result.folder, result.later) == (str(whole), [str(part)])
    assert (result.exit_code, result.inputs, result.settled) == (0, now, True)
    assert result.variants[0].outcomes == {Outcome.PASS: 2, Outcome.SKIP: 1}
    verify._work([step], {step.name: now}, memory, setting, lambda _: None, again=True)
    assert "-k" not in asked[1]
    (part / "events.jsonl").unlink()
    assert not result.settled


def test_what_the_host_cuts_short_replaces_no_earlier_result(
    tmp_path: Path, setting: verify.Setting, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, now = STEPS[1], Inputs(kernels="k", tests=INPUTS.tests | {"a/U2-y": "t2"})
    whole = a_run(tmp_path / "before", 1, {"a/U1-x": "pass", "a/U2-y": "pass"})
    part = a_run(tmp_path / "after", 2, {})
    # A host in trouble can't be had on demand; the run that tells of it is a made one.
    monkeypatch.setattr(verify, "run_child", lambda *_, **__: child.Ended(3, part))
    cut = verify._work([step], {step.name: now}, memory, setting, lambda _: None)
    assert cut == {}
    assert memory.load().steps[step.name].exit_code == 3

    earlier = a_result(step.name, folder=str(whole))
    memory.keep(earlier)
    cut = verify._work([step], {step.name: now}, memory, setting, lambda _: None)
    assert memory.load().steps[step.name] == earlier
    assert verify.some_tests(earlier, now) == ["a/U2-y"]
    arguments = argparse.Namespace(json=False)
    assert verify._report([step], {**memory.load().steps, **cut}, arguments) == 3


@pytest.mark.parametrize(
    "now",
    [
        Inputs(kernels="k2", tests=INPUTS.tests | {"a/U2-y": "t2"}),
        Inputs(kernels="k", tests=dict.fromkeys(INPUTS.tests, "t2")),
        # One that was counted has gone.
        Inputs(kernels="k", tests={"a/U1-x": "t", "a/U3-z": "t"}),
    ],
)
def test_a_step_is_done_whole_where_less_would_not_do(tmp_path: Path, now: Inputs) -> None:
    known = a_result("a", folder=str(a_run(tmp_path, 1, {"a/U1-x": "pass"})))
    assert verify.some_tests(known, now) == []
    assert verify.some_tests(None, now) == []


@pytest.mark.parametrize(
    ("last", "unexpected", "code"), [(0, [], 0), (4, [], 0), (0, ["x"], 1), (1, [], 0), (3, [], 3)]
)
def test_the_code_of_a_step_of_several_runs(last: int, unexpected: list[str], code: int) -> None:
    found = [VariantResult(variant="a"), VariantResult(variant="b", unexpected=unexpected)]
    assert verify.code_of(last, found) == code


def test_calls_at_the_same_time_forget_nothing_of_each_other(memory: Memory) -> None:
    names = [f"step-{number}" for number in range(16)]
    calls = [threading.Thread(target=memory.keep, args=[a_result(name)]) for name in names]
    for call in calls:
        call.start()
    for call in calls:
        call.join(timeout=30)
    assert memory.load().steps.keys() == set(names)


def test_a_step_that_another_call_is_at_is_not_done_twice(
    tmp_path: Path, setting: verify.Setting, memory: Memory
) -> None:
    inputs = {step.name: INPUTS for step in STEPS}
    others = tmp_path / "others"
    others.mkdir()
    (others / "events.jsonl").touch()
    said: list[str] = []
    begun = threading.Event()

    def listen(event: Event) -> None:
        said.append(event.text if isinstance(event, Message) else "")
        if "waiting for" in said[-1]:
            begun.set()

    def work() -> None:
        verify._work(STEPS[:1], inputs, memory, setting, listen)

    other = threading.Thread(target=work)
    with memory.working_on("debian-6.1/fast", said.append):
        other.start()
        assert begun.wait(timeout=30)
        memory.keep(a_result("debian-6.1/fast", folder=str(others)))
    other.join(timeout=30)
    assert not other.is_alive()
    assert said[-1].endswith("done by another call")
    runs = setting.runs(STEPS[0])
    assert not runs.exists()
    verify._work(STEPS[:1], inputs, memory, setting, listen, again=True)
    assert len(list(runs.iterdir())) == 1


def test_a_run_that_does_not_begin_stops_the_verification(
    memory: Memory, setting: verify.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "run_argv", lambda _: [sys.executable, "-c", "raise SystemExit(2)"])
    with pytest.raises(InfrastructureError, match="ended with 2"):
        verify._work(STEPS[:1], {"debian-6.1/fast": INPUTS}, memory, setting, lambda _: None)
    assert not memory.load().steps


def test_a_base_that_is_not_here_leaves_the_others_what_they_are(
    tmp_path: Path, setting: verify.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inputs(_: object, step: Step, *__: object) -> Inputs:
        if step.base == "debian-6.12":
            raise UserError("its sources are not here")
        return INPUTS

    monkeypatch.setattr(verify.Setting, "inputs", inputs)
    monkeypatch.setattr(verify, "RECORD", tmp_path / "found.json")
    monkeypatch.setattr(verify, "DOCUMENT", tmp_path / "verification.md")
    found = {step.name: a_result(step.name) for step in STEPS}
    save_done(verify.RECORD, Done(steps=found))
    told = list(verify._listed(STEPS, Done(), setting, {}, lambda _: None, False))
    assert told[0] == "debian-6.1/fast: to do\n"
    assert told[2] == "debian-6.12/fast: not possible here: its sources are not here\n"
    verify._write(STEPS, Done(), setting, {}, lambda _: None)
    rows = verify.DOCUMENT.read_text(encoding="utf-8")
    assert "| 2026-01-01 |  |" in rows
    assert "| 2026-01-01 | not known |" in rows


def test_the_pages_begin_as_they_are_written() -> None:
    assert verify.DOCUMENT.read_text(encoding="utf-8").startswith(step_table._HEAD)
    assert mutants.DOCUMENT.read_text(encoding="utf-8").startswith(mutant_table._HEAD)
