# SPDX-License-Identifier: GPL-2.0-or-later
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CommandTimeout, ConfigError, GuestDied, UserError
from harness.kernel.artifact import Kernel
from harness.kernel.check import Step, check_series, remaining
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from harness.run.check_job import CheckRequest, execute_check, lines
from tests.unit.kernel.project import Project

EDITS = {
    "mm/pages.c": ("return 1;", "return 10;"),
    "init/main.c": ("PAGES;", "PAGES + 1;"),
    "include/linux/pages.h": ("#define PAGES", "#define NUMBER"),
}


def check(project: Project, **options: object) -> list[Step]:
    return check_series(
        parse("mini+fix@v1"),
        "fast",
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def broken(project: Project) -> Project:
    """A project whose series' third patch does not compile."""
    project.edit(EDITS)
    return project


def test_the_first_that_breaks_is_named_with_its_log(broken: Project) -> None:
    steps = check(broken)
    assert [(step.number, step.patch[:4], step.outcome) for step in steps] == [
        (1, "0001", Outcome.PASS),
        (2, "0002", Outcome.PASS),
        (3, "0003", Outcome.BUILD_COMPILE),
    ]
    assert any("PAGES" in line for line in steps[2].lines)
    assert Path(steps[2].log).is_file()
    assert any(text.startswith("3 of 3: build.compile") for text in broken.messages())


def test_nothing_is_built_twice(broken: Project) -> None:
    first = check(broken)
    keys = {entry.name: entry.stat().st_mtime_ns for entry in broken.whole_entries()}
    again = check(broken)
    assert [step.cached for step in again] == [True, True, False]
    assert [step.key for step in again] == [step.key for step in first]
    assert {entry.name: entry.stat().st_mtime_ns for entry in broken.whole_entries()} == keys


def test_it_begins_where_it_is_told_to(broken: Project) -> None:
    assert [step.number for step in check(broken, first=2)] == [2, 3]
    for first in (0, 4):
        with pytest.raises(UserError, match="it has 3"):
            check(broken, first=first)


def test_a_part_of_a_series_is_a_variant(broken: Project) -> None:
    """Its kernel is the one that was checked after that patch, and no other is asked for."""
    first, second, _ = check(broken)
    kernel = broken.obtain("mini+fix@v1:2")
    assert (kernel.key, kernel.cached) == (second.key, True)
    assert broken.obtain("mini+fix@v1:1").key == first.key
    with pytest.raises(UserError, match=r"fix@v1 has no patch 4 .* it has 3"):
        broken.obtain("mini+fix@v1:4")


def test_each_kernel_is_probed_once_it_is_built(broken: Project) -> None:
    """The probe is played: what boots a guest is seen in the guests' own tests."""
    probed: list[str] = []

    def probe(kernel: Kernel) -> None:
        probed.append(kernel.key)
        if len(probed) == 2:
            raise GuestDied(Outcome.KERNEL_PANIC, "Kernel panic", lines=("why",))

    steps = check(broken, probe=probe)
    assert [step.outcome for step in steps] == [Outcome.PASS, Outcome.KERNEL_PANIC]
    assert [step.key for step in steps] == probed
    assert (steps[1].message, steps[1].lines) == ("Kernel panic", ("why",))

    def slow(kernel: Kernel) -> None:
        raise CommandTimeout("`true` took too long")

    assert [step.outcome for step in check(broken, probe=slow)] == [Outcome.TEST_TIMEOUT]


@given(st.lists(st.floats(0, 1e6)), st.integers(0, 50))
def test_what_is_left(seconds: list[float], steps: int) -> None:
    left = remaining(seconds, steps)
    assert 0 <= left <= steps * max(seconds, default=0) * 1.01
    assert remaining([100, 3, 3, 3], 2) == remaining([100, 3], 2) == 6
    assert remaining([100], 2) == 200


def test_the_report(
    capsys: pytest.CaptureFixture[str], broken: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(broken.folder / "xdg"))
    monkeypatch.setenv("NO_COLOR", "1")
    code = execute_check(CheckRequest("mini+fix@v1", broken.where))
    printed = capsys.readouterr().out.splitlines()
    assert code == 2
    assert printed[0] == "0001-Change-mm-pages.c.patch: builds"
    assert printed[2].startswith("0003-Change-include-linux-pages.h.patch: build.compile: ")
    assert printed[-1] == "the first that breaks: patch 3, 0003-Change-include-linux-pages.h.patch"
    assert execute_check(CheckRequest("mini+fix@v1", broken.where, as_json=True)) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["broken"] == 3
    assert [step["outcome"] for step in document["steps"]] == ["pass", "pass", "build.compile"]
    (patch,) = (broken.patches / "fix/v1/6.1").glob("0003*")
    patch.unlink()
    assert execute_check(CheckRequest("mini+fix@v1", broken.where)) == 0


def test_what_boots_is_said_so() -> None:
    step = Step(1, "0001-x.patch", Outcome.PASS)
    assert lines([step], boot=True) == ["0001-x.patch: builds and boots"]


def test_a_series_is_checked_with_its_own_option_off(project: Project) -> None:
    """If this failed, nobody would see that a series does not build where it is not wanted."""
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    configs: list[dict[str, str]] = []

    def probe(kernel: Kernel) -> None:
        configs.append(kernel.config())

    assert check(project, probe=probe)[-1].outcome is Outcome.PASS
    assert check(project, probe=probe, config=["CONFIG_PARENT=n"])[-1].outcome is Outcome.PASS
    assert "PARENT" in configs[0]
    assert "PARENT" not in configs[-1]
    wrong = check(project, config=["CONFIG_PARENT=n", "CONFIG_CHILD=y"])[-1]
    assert wrong.outcome is Outcome.BUILD_CONFIG
    with pytest.raises(ConfigError, match="no configuration line"):
        check(project, config=["PARENT is off"])
