# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest
from _pytest.mark.expression import Expression
from hypothesis import given
from hypothesis import strategies as st

from harness import paths
from harness.errors import BuildError, UserError
from harness.events import Event
from harness.kernel.filestate import state_of
from harness.kernel.series import Series, load_series
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from verification import child, mutant_table
from verification.hunt import Hunter, fate_of, selection_of
from verification.laboratory import Laboratory, Places, link_folder, settings_toml, without_hashes
from verification.mutant import FOLDER, Mutant, load_mutants, parse_mutant
from verification.verdict import (
    Fate,
    Kill,
    State,
    Verdict,
    confirmed,
    exit_code,
    forget,
    load_state,
    recorded,
    save_state,
    tells,
)

MAIL = """\
SPDX-License-Identifier: GPL-2.0-only
From: patchbed <patchbed@localhost>
Date: Sat, 1 Jan 2000 00:00:00 +0000
Subject: [PATCH] mm: forget it
Seen-By: U1, S6
Profile: fast, debug

What is
broken.

---
diff --git a/x b/x
"""
CELL = "debian-6.1+gfp-unmapped@{version}/fast/q35-4g"
# A run that emits an event a line, slowly enough to be stopped, and notes that it was.
CHILD = """\
import pathlib, signal, sys, time
runs = pathlib.Path(sys.argv[sys.argv.index("--runs") + 1])
variant = sys.argv[sys.argv.index("--variant") + 1]
folder = runs / "20260101-000000-0001"
while folder.exists():
    folder = folder.with_name(f"{folder.name[:-4]}{int(folder.name[-4:]) + 1:04}")
folder.mkdir(parents=True)
lines = pathlib.Path(__file__).with_name(variant.rpartition("@")[2]).read_text().splitlines()
try:
    with (folder / "events.jsonl").open("w") as events:
        for line in lines:
            print(line, file=events, flush=True)
            time.sleep(0.05)
        if "slow" in sys.argv:
            time.sleep(60)
except KeyboardInterrupt:
    (folder / "stopped").touch()
    sys.exit(3)
"""


def finished(version: str, test: str, outcome: str, reason: str = "") -> str:
    cell = CELL.format(version=version)
    return (
        '{"type":"test-finished","time":"2026-01-01T00:00:00Z","boot":1,'
        f'"cell":"{cell}","test":"{test}","outcome":"{outcome}","reason":"{reason}"}}'
    )


def a_mutant(name: str = "one") -> Mutant:
    return Mutant(name, Path(f"{name}.patch"), "mm: forget it", "It is gone.", ("U1",), ("fast",))


def a_verdict(mutant: str, fate: Fate, why: str = "") -> Verdict:
    kill = Kill(test="gfp_unmapped/U1-absence", profile="fast", outcome=Outcome.FAIL)
    kills = [kill] if fate is Fate.KILLED else []
    return Verdict(mutant=mutant, inputs="i", fate=fate, kills=kills, why=why, run_seconds=12.4)


def test_a_mutant_is_read() -> None:
    mutant = parse_mutant(MAIL.encode(), Path("forget-it.patch"))
    assert (mutant.name, mutant.subject) == ("forget-it", "mm: forget it")
    assert mutant.words == "What is broken."
    assert mutant.seen_by == ("U1", "S6")
    assert mutant.profiles == ("fast", "debug")


def test_a_mutant_is_for_fast_unless_it_says_otherwise() -> None:
    mail = MAIL.replace("Profile: fast, debug\n", "")
    assert parse_mutant(mail.encode(), Path("a.patch")).profiles == ("fast",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Seen-By: U1, S6\n", "", "Seen-By is missing"),
        ("U1, S6", "U1-absence", "Seen-By has U1-absence"),
        ("Subject: [PATCH] mm: forget it\n", "", "has no Subject"),
    ],
)
def test_what_is_no_mutant_is_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_mutant(MAIL.replace(old, new).encode(), Path("a.patch"))


def test_the_name_of_a_mutants_file_is_checked() -> None:
    with pytest.raises(UserError, match="like-this"):
        parse_mutant(MAIL.encode(), Path("Not_This.patch"))


@given(st.binary(max_size=400))
def test_any_file_is_a_mutant_or_refused(data: bytes) -> None:
    try:
        mutant = parse_mutant(data, Path("a.patch"))
    except UserError:
        return
    assert mutant.seen_by


def test_the_mutants_there_are_can_be_read() -> None:
    mutants = load_mutants()
    assert len(mutants) >= 14
    for mutant in mutants:
        assert mutant.words.endswith(".")
        first = mutant.patch.read_text(encoding="utf-8").partition("\n")[0]
        assert first == "SPDX-License-Identifier: GPL-2.0-only"


def test_mutants_are_chosen_by_name() -> None:
    assert [mutant.name for mutant in load_mutants(FOLDER, ["no-lock"])] == ["no-lock"]
    with pytest.raises(UserError, match="no mutant is called 'no-such'"):
        load_mutants(FOLDER, ["no-such"])


def test_profiles_of_mutants_exist() -> None:
    known = (paths.KERNEL_CONFIG / "profiles.toml").read_text(encoding="utf-8")
    for mutant in load_mutants():
        assert all(f"[{profile}]" in known for profile in mutant.profiles), mutant.name


@pytest.mark.parametrize(
    ("test", "selected"),
    [
        ("gfp_unmapped/U1-absence", True),
        ("gfp_unmapped/U10-zero", False),
        ("secretmem/S6-absent-while-held", True),
        ("gfp_unmapped/U3-free-and-coalesce", False),
    ],
)
def test_a_mutants_lines_select_their_testcases_only(test: str, *, selected: bool) -> None:
    mutant = parse_mutant(MAIL.encode(), Path("a.patch"))
    expression = Expression.compile(mutant.selection)
    assert expression.evaluate(lambda word, **_: word.lower() in test.lower()) is selected


def test_a_testcase_with_parameters_is_selected_by_its_id() -> None:
    assert selection_of("upstream/X1-lkdtm[WRITE_RO]") == "upstream/X1-lkdtm"


@pytest.mark.parametrize(
    ("outcome", "may"),
    [
        (Outcome.FAIL, True),
        (Outcome.KERNEL_OOPS, True),
        (Outcome.KERNEL_WARN, True),
        (Outcome.TEST_TIMEOUT, True),
        (Outcome.XPASS, True),
        (Outcome.PASS, False),
        (Outcome.SKIP, False),
        (Outcome.XFAIL, False),
        (Outcome.INFRA_QEMU, False),
        (Outcome.HARNESS_BUG, False),
        (Outcome.BUILD_COMPILE, False),
    ],
)
def test_what_may_be_a_kill(outcome: Outcome, *, may: bool) -> None:
    assert tells(outcome) is may


@pytest.mark.parametrize(
    ("control", "counts"),
    [(Outcome.PASS, True), (Outcome.FAIL, False), (Outcome.XFAIL, True), (None, False)],
)
def test_a_kill_is_one_only_if_the_series_passes(control: Outcome | None, *, counts: bool) -> None:
    kill = Kill(test="a", profile="fast", outcome=Outcome.FAIL)
    assert confirmed(kill, control) == ([kill] if counts else [])


@pytest.mark.parametrize(
    ("fate", "inputs", "tests", "stands"),
    [
        (Fate.KILLED, "i", {"a": "1", "b": "1"}, True),
        (Fate.KILLED, "i", {"a": "1", "b": "2"}, True),
        (Fate.KILLED, "i", {"a": "2", "b": "1"}, False),
        (Fate.KILLED, "i", {"b": "1"}, False),
        (Fate.KILLED, "i2", {"a": "1", "b": "1"}, False),
        (Fate.SURVIVED, "i", {"a": "1"}, True),
        (Fate.SURVIVED, "i", {"a": "1", "b": "1"}, False),
    ],
)
def test_a_verdict_stands_as_long_as_what_it_rests_on(
    fate: Fate, inputs: str, tests: dict[str, str], *, stands: bool
) -> None:
    verdict = a_verdict("m", fate).model_copy(update={"tests": {"a": "1"}})
    assert verdict.stands(inputs, tests) is stands


def test_a_fate() -> None:
    assert fate_of(1, 5, "") is Fate.KILLED
    assert fate_of(1, 5, "the host") is Fate.KILLED
    assert fate_of(0, 5, "") is Fate.SURVIVED
    assert fate_of(0, 5, "the host") is Fate.UNKNOWN
    assert fate_of(0, 0, "") is Fate.UNKNOWN


def test_exit_codes() -> None:
    killed, unknown = a_verdict("a", Fate.KILLED), a_verdict("b", Fate.UNKNOWN)
    assert exit_code([killed]) == 0
    assert exit_code([killed, unknown]) == 3
    assert exit_code([unknown, a_verdict("c", Fate.SURVIVED)]) == 1
    assert exit_code([killed, a_verdict("c", Fate.BROKEN)]) == 1
    assert exit_code([]) == 4


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert load_state(file) == State()
    state = State(verdicts={"a": a_verdict("a", Fate.KILLED)}, control={"k": {"t": Outcome.PASS}})
    save_state(file, state)
    assert load_state(file) == state
    file.write_text('{"verdicts": {"a": 3}}', encoding="utf-8")
    assert load_state(file) == State()


def test_the_table_names_every_mutant() -> None:
    mutants = [a_mutant("one"), a_mutant("two"), a_mutant("three")]
    verdicts = {
        "one": a_verdict("one", Fate.KILLED),
        "two": a_verdict("two", Fate.BROKEN, "a|b does not apply"),
    }
    inputs = {name: verdict.inputs for name, verdict in verdicts.items()}
    text = mutant_table.document(mutants, verdicts, inputs, {})
    assert "## 3 mutants: 1 broken, 1 killed" in text
    assert "| `one` | It is gone. | `gfp_unmapped/U1-absence` (fast, fail) | 0 | 12 |" in text
    assert "BROKEN: a\\|b does not apply" in text
    assert "| `three` | It is gone. | not run |" in text
    assert mutant_table.lines(list(verdicts.values()))[0].startswith("one ")


def test_a_verdict_of_other_inputs_has_a_star() -> None:
    verdicts = {"one": a_verdict("one", Fate.KILLED)}
    text = mutant_table.document([a_mutant("one")], verdicts, {"one": "others"}, {})
    assert "| `one` * | It is gone. |" in text


def test_what_is_done_again_is_forgotten_and_no_more() -> None:
    verdicts = {name: a_verdict(name, Fate.KILLED) for name in ("a", "b")}
    state = State(verdicts=verdicts, control={"k": {"t": Outcome.PASS}})
    assert forget(state, ["a"]) == State(verdicts={"b": verdicts["b"]})


def test_what_was_found_on_other_machines_stays_on_record() -> None:
    then, now = a_verdict("b", Fate.SURVIVED), a_verdict("b", Fate.KILLED)
    record = State(verdicts={"b": then, "a": then})
    state = State(
        verdicts={"b": now, "c": a_verdict("c", Fate.UNKNOWN)}, control={"k": {"t": Outcome.PASS}}
    )
    assert recorded(record, state) == State(verdicts={"a": then, "b": now})


def test_the_hashes_of_a_series_go_and_the_rest_stays() -> None:
    toml = 'title = "x"\n\n[patchset_hash]\n"6.1" = "ab"\n\n[[known_issues]]\ntestcase = "*"\n'
    assert without_hashes(toml) == 'title = "x"\n\n[[known_issues]]\ntestcase = "*"\n'
    assert without_hashes('title = "x"\n') == 'title = "x"\n'


def test_the_settings_of_a_laboratory_are_toml() -> None:
    import tomllib

    places = Places(Path("/s"), Path('/t"'), {"mine": "tree:/x"})
    found = tomllib.loads(settings_toml(Path("/p"), places))
    assert found["paths"] == {"kernel_patches": "/p", "testcases": '/t"'}
    assert found["bases"] == {"mine": "tree:/x"}


def test_a_linked_folder_has_the_state_of_the_other(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "linux" / "empty").mkdir(parents=True)
    (source / "linux" / "a.c").write_text("a", encoding="utf-8")
    (source / "linux" / "link").symlink_to("a.c")
    (source / "tree.json").write_text("{}", encoding="utf-8")
    link_folder(source, tmp_path / "copy")
    assert state_of(tmp_path / "copy") == state_of(source)
    assert (tmp_path / "copy" / "linux" / "a.c").samefile(source / "linux" / "a.c")
    assert not (tmp_path / "copy" / "tree.json").samefile(source / "tree.json")
    assert (tmp_path / "copy" / "linux" / "empty").is_dir()


class NoBuilds(Laboratory):
    """A laboratory that builds nothing, as that would take a kernel's sources and minutes."""

    failure: BuildError | None = None
    built: ClassVar[list[str]] = []

    def build(self, mutant: Mutant, profile: str, listen: object) -> None:  # type: ignore[override]
        self.built.append(profile)
        if self.failure is not None:
            raise self.failure

    def build_series(self, profile: str, listen: object) -> None:  # type: ignore[override]
        pass

    def drop(self, mutant: Mutant, profile: str, listen: object) -> None:
        pass

    def inputs(self, series: Series, mutant: Mutant | None) -> str:
        return mutant.name if mutant else "series"

    def tests(self) -> dict[str, str]:
        return {"a/U1-x": "x", "a/U1-y": "y", "a/U1-z": "z"}


@pytest.fixture
def hunter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hunter:
    script = tmp_path / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    monkeypatch.setattr(child, "run_argv", lambda options: [sys.executable, str(script), *options])
    places = Places(paths.KERNEL_PATCHES, paths.TESTCASES, {})
    series = load_series("gfp-unmapped", "v1")
    laboratory = NoBuilds(tmp_path / "lab", tmp_path, parse("debian-6.1+gfp-unmapped@v1"), places)
    laboratory.root.mkdir()
    (tmp_path / "one.patch").write_text(MAIL, encoding="utf-8")
    return Hunter(laboratory, series, State(), lambda _: None)


def the_mutant(tmp_path: Path) -> Mutant:
    return parse_mutant(MAIL.encode(), tmp_path / "one.patch")


def test_a_mutant_is_killed_by_what_its_series_passes(
    tmp_path: Path, hunter: Hunter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        finished("one", "a/U1-x", "fail", "as on the series"),
        finished("one", "a/U1-y", "fail", "seen"),
        finished("one", "a/U1-z", "fail", "later"),
    ]
    (tmp_path / "one").write_text("\n".join(lines), encoding="utf-8")
    series = [finished("v1", "a/U1-x", "fail"), finished("v1", "a/U1-y", "pass")]
    (tmp_path / "v1").write_text("\n".join(series), encoding="utf-8")
    monkeypatch.setattr(NoBuilds, "built", [])
    verdict = hunter.hunt(the_mutant(tmp_path))
    assert verdict.fate is Fate.KILLED
    # What kills it in the first profile needs no kernel of the next.
    assert NoBuilds.built == ["fast"]
    assert [(kill.test, kill.profile, kill.reason) for kill in verdict.kills] == [
        ("a/U1-y", "fast", "seen")
    ]
    assert verdict.named
    patches = sorted((tmp_path / "lab/kernel-patches/gfp-unmapped/one/6.1").iterdir())
    assert patches[-1].name.endswith("-one.patch")
    series = load_series("gfp-unmapped", "v1")
    assert len(patches) == len(series.patches) + 1
    assert {patch.suffix for patch in patches} == {".patch"}
    assert load_state(tmp_path / "lab/state.json").verdicts["one"] == verdict
    assert verdict.tests == {"a/U1-y": "y"}


def test_a_mutant_survives_when_all_passes(tmp_path: Path, hunter: Hunter) -> None:
    (tmp_path / "one").write_text(finished("one", "a/U1-x", "pass"), encoding="utf-8")
    verdict = hunter.hunt(the_mutant(tmp_path))
    assert verdict.fate is Fate.SURVIVED
    assert verdict.tests.keys() == {"a/U1-x", "a/U1-y", "a/U1-z"}
    assert not verdict.named
    # Named and others, in each of two profiles.
    assert len(list((tmp_path / "lab/runs/one").glob("2026*"))) == 4


def test_a_mutant_of_which_only_skips_are_known_has_not_survived(
    tmp_path: Path, hunter: Hunter
) -> None:
    (tmp_path / "one").write_text(finished("one", "a/U1-x", "skip"), encoding="utf-8")
    assert hunter.hunt(the_mutant(tmp_path)).fate is Fate.UNKNOWN


def test_trouble_of_the_host_kills_no_mutant(tmp_path: Path, hunter: Hunter) -> None:
    (tmp_path / "one").write_text(finished("one", "a/U1-x", "infra.qemu", "oh"), encoding="utf-8")
    verdict = hunter.hunt(the_mutant(tmp_path))
    assert (verdict.fate, verdict.why) == (Fate.UNKNOWN, "a/U1-x: oh")


def test_a_mutant_that_does_not_compile_is_broken(
    tmp_path: Path, hunter: Hunter, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = BuildError(Outcome.BUILD_COMPILE, "no compile", lines=("x.c:1: error",))
    monkeypatch.setattr(NoBuilds, "failure", failure)
    verdict = hunter.hunt(the_mutant(tmp_path))
    assert (verdict.fate, verdict.why) == (Fate.BROKEN, "no compile; x.c:1: error")


def test_a_run_is_stopped_when_it_has_told_enough(tmp_path: Path, hunter: Hunter) -> None:
    lines = [finished("v1", f"a/U{number}-x", "pass") for number in range(3)]
    (tmp_path / "v1").write_text("\n".join(lines), encoding="utf-8")
    seen: list[Event] = []

    def wants(event: Event) -> bool:
        seen.append(event)
        return len(seen) < 2

    options = ["--variant", "debian-6.1+gfp-unmapped@v1", "slow"]
    ended = child.run_child(options, tmp_path / "runs", wants=wants, log=tmp_path / "log")
    assert (ended.code, ended.stopped, len(seen)) == (3, True, 2)
    assert ended.folder is not None
    assert (ended.folder / "stopped").exists()


def test_an_exception_ends_the_run(tmp_path: Path, hunter: Hunter) -> None:
    (tmp_path / "v1").write_text(finished("v1", "a/U1-x", "pass"), encoding="utf-8")

    def wants(_: Event) -> bool:
        raise KeyboardInterrupt

    options = ["--variant", "debian-6.1+gfp-unmapped@v1", "slow"]
    with pytest.raises(KeyboardInterrupt):
        child.run_child(options, tmp_path / "runs", wants=wants, log=tmp_path / "log")
    assert list((tmp_path / "runs").glob("*/stopped"))
