# SPDX-License-Identifier: GPL-2.0-or-later
"""Bisections of a git repository made here, whose commits say what they measure.

Builder and guests are played: a commit's file `splits` is what each of its worlds measures, and
`broken` in it stands for a kernel that does not compile. Real kernels would take a quarter of an
hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from harness.cli.bisect import _Answer, as_git_takes_it
from harness.config import PathsTable, Settings
from harness.errors import InfrastructureError, UserError
from harness.kernel.artifact import Kernel
from harness.kernel.history import History, open_history
from harness.measure.bisection import Side, metric_of
from harness.measure.comparability import Circumstances
from harness.measure.workload import Workload, load_workload
from harness.outcomes import Outcome
from harness.paths import KERNEL_PATCHES, PROJECT, TESTCASES
from harness.report.bisection import Bisected, as_json, report_lines
from harness.results.bisections import (
    BUILDS,
    BisectPlan,
    Build,
    find_bisection,
    new_bisection,
    read_bisection,
    read_builds,
    same_bisection,
)
from harness.results.measurements import Boot, BootRecord, CompareFolder
from harness.run.bisect_bench import Bench
from harness.run.bisect_job import Bisecting, BisectRequest, execute_bisect
from harness.run.bisect_plan import BisectDesign, make_bisect_plan, named, split_metric
from harness.run.compare_local import Ready, places_of

SETTINGS = Settings(paths=PathsTable(kernel_patches=str(KERNEL_PATCHES), testcases=str(TESTCASES)))
METRIC = "secretmem-fragmented/level2_splits"
SOURCE = "vmstat.direct_map_level2_splits"
CONFIG = dict.fromkeys(load_workload("secretmem-fragmented", TESTCASES).file.config, "y")
NOISE = (0, 3, 1, -2, 2, -1, 0, 1)
GIT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in
       ("NAME", "EMAIL")},
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=GIT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def repository(folder: Path, *values: str) -> Path:
    """Return a repository with a commit a value, tagged c0, c1, ..."""
    lines = []
    for place, value in enumerate(values):
        content, message = f"{value}\n{place}\n", f"Commit {place}: {value}"
        lines += [
            "commit refs/heads/main",
            f"mark :{place + 1}",
            f"committer A <a@example.org> {place} +0000",
            f"data {len(message)}\n{message}",
            f"M 100644 inline splits\ndata {len(content)}\n{content}",
            f"reset refs/tags/c{place}\nfrom :{place + 1}\n",
        ]
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    stream = "\n".join([*lines, ""])
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder, env=GIT, input=stream, text=True, check=True
    )
    return folder


@dataclass
class Played:
    """A builder and guests that are none; `built` and `booted` is what they were asked for."""

    history: History
    folder: CompareFolder
    scale: int = 0
    fails: Outcome | None = None
    dies_after: int = 999
    same: bool = True
    built: list[str] = field(default_factory=list)
    booted: list[Boot] = field(default_factory=list)

    def value(self, commit: str) -> str:
        return measured(self.history.folder, commit)

    def build(self, variant: str) -> Ready | Build:
        commit = variant.rpartition("@")[2]
        self.built.append(commit)
        value = self.value(commit)
        if value == "broken":
            return Build(commit="", outcome=Outcome.BUILD_COMPILE, message="it does not compile")
        if value == "full":
            return Build(commit="", outcome=Outcome.INFRA_DISK, message="the disk is full")
        meta = {"checksums": {"bzImage": value, "vmlinux": value}}
        kernel = Kernel(commit, variant, "fast", "6.1.0", "", "", Path("/none"), meta=meta)
        circumstances = Circumstances(
            {"compiler": "gcc", "image": commit, "accelerator": "kvm"}, CONFIG
        )
        return Ready(variant, kernel, Path(f"/none/{value}.cpio.gz"), circumstances)

    def boot(self, ready: Mapping[str, Ready], missing: list[Boot]) -> None:
        for boot in missing:
            if len(self.booted) >= self.dies_after:
                raise KeyboardInterrupt
            self.booted.append(boot)
            value = self.value(boot.variant.rpartition("@")[2])
            noise = self.scale * NOISE[(boot.block + len(value)) % 8]
            same = self.same if boot.repetition else None
            outcome = Outcome.KERNEL_PANIC if value == "panics" else self.fails or Outcome.PASS
            values = {SOURCE: float(value) + noise} if outcome is Outcome.PASS else {}
            with self.folder:
                self.folder.append(BootRecord(boot, outcome, same=same, values=values))


@cache
def measured(repo: Path, commit: str) -> str:
    return git(repo, "show", f"{commit}:splits").split("\n")[0]


def plan_for(repo: Path, good: str = "c0", bad: str = "", worlds: int = 8) -> BisectPlan:
    last = bad or git(repo, "tag", "--list", "--sort=-version:refname").split("\n")[0]
    asked = (METRIC, f"git:{repo}@{good}", last)
    return make_bisect_plan(
        SETTINGS, Path("/"), asked, ["patchbed"], BisectDesign(worlds, seed=1), Path.cwd()
    )


def bisecting(plan: BisectPlan, folder: CompareFolder, played: Played) -> Bisecting:
    workload = load_workload(plan.workload, TESTCASES)
    bench = Bench(plan, workload, folder, played.build, played.boot)
    return Bisecting(plan, bench, played.history, metric_of(workload, plan.metric), lambda _: None)


def find(tmp_path: Path, *values: str, scale: int = 0, worlds: int = 8) -> tuple[Bisected, Played]:
    repo = repository(tmp_path / "repo", *values)
    plan = plan_for(repo, worlds=worlds)
    folder = new_bisection(tmp_path / "runs", plan)
    played = Played(open_history(repo), folder, scale)
    return bisecting(plan, folder, played).run(folder.path.name), played


def test_the_first_bad_commit_is_found_exactly(tmp_path: Path) -> None:
    values = ["1000"] * 9 + ["3"] * 4
    found, played = find(tmp_path, *values)
    assert found.subjects[found.first_bad] == "Commit 9: 3"
    assert found.subjects[found.parent] == "Commit 8: 1000"
    assert len(found.asked) <= 4
    assert all(one.decision.exact for one in found.asked)
    assert found.same is True
    text = "\n".join(report_lines(found))
    assert f"{found.first_bad} is the first bad commit" in text
    assert "from 1,000 to 3 against its parent" in text
    assert f"{len(found.asked)} of {len(found.asked)} exact." in text
    assert "\naccelerator kvm, compiler gcc\n" in text
    assert max(len(line) for line in report_lines(found)) <= 100
    assert json.loads(json.dumps(as_json(found), allow_nan=False))["first_bad"] == found.first_bad
    # Kernels of the same bytes are built each, as nobody knows before, but booted once.
    assert len(played.built) == 2 + len(found.asked)
    assert len(played.booted) == 2 * 8 + 1


def test_the_command_names_the_accelerator_that_was_found(tmp_path: Path) -> None:
    found, _ = find(tmp_path, "1000", "3")
    assert "--accel" not in found.again
    smp = replace(found, plan=found.plan.model_copy(update={"machine": "smp-4"}))
    assert smp.again.endswith("--accel kvm")
    assert "--accel" not in replace(smp, shared={}).again


def test_noise_is_told_with_what_it_rests_on(tmp_path: Path) -> None:
    values = ["100", "101", "99", "102", "204", "203", "202", "201"]
    found, _ = find(tmp_path, *values, scale=2)
    assert found.subjects[found.first_bad] == "Commit 4: 204"
    assert not any(one.decision.exact for one in found.asked)
    text = " ".join("\n".join(report_lines(found)).split())
    assert f"0 of {len(found.asked)} exact; the others would look as they do" in text
    assert as_json(found)["wrong_at_most"] == pytest.approx(len(found.asked) * 2 / 256)


def test_what_does_not_build_is_skipped(tmp_path: Path) -> None:
    values = ["1000", "1000", "1000", "broken", "broken", "3", "3"]
    found, played = find(tmp_path, *values)
    assert found.first_bad == ""
    assert [found.subjects[one] for one in found.candidates] != []
    assert {found.subjects[one] for one in found.candidates} == {
        "Commit 3: broken",
        "Commit 4: broken",
        "Commit 5: 3",
    }
    text = "\n".join(report_lines(found))
    assert "The first bad commit is one of these 3" in text
    assert "build.compile: it does not compile" in text
    again = Played(played.history, played.folder)
    plan = read_bisection(played.folder)
    assert report_lines(bisecting(plan, played.folder, again).run(found.name)) == report_lines(
        found
    )
    assert (again.built, again.booted) == ([], [])


def test_what_does_not_build_is_no_hindrance_elsewhere(tmp_path: Path) -> None:
    values = ["1000", "1000", "1000", "broken", "1000", "1000", "3"]
    assert find(tmp_path, *values)[0].first_bad == git(tmp_path / "repo", "rev-parse", "c6")


def test_what_does_not_boot_is_skipped(tmp_path: Path) -> None:
    found, _ = find(tmp_path, "1000", "panics", "3")
    assert len(found.candidates) == 2
    assert [(one.side, one.lost) for one in found.asked] == [(Side.SKIP, 8)]
    assert "8 boots did not come through" in "\n".join(report_lines(found))


def test_ends_that_do_not_differ_end_it(tmp_path: Path) -> None:
    found, played = find(tmp_path, "1000", "3", "1000")
    assert (found.first_bad, found.candidates) == ("", [])
    text = "\n".join(report_lines(found))
    assert "not shown to differ" in text
    assert "rests on" not in text
    assert len(played.built) == 2


def test_a_merge_is_no_hindrance(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", "1000", "1000", "1000")
    git(repo, "checkout", "--quiet", "-b", "side", "c0")
    (repo / "other").write_text("x")
    git(repo, "add", "other")
    git(repo, "commit", "--quiet", "--message", "Aside")
    git(repo, "merge", "--quiet", "--no-edit", "c2")
    (repo / "splits").write_text("3\n")
    git(repo, "commit", "--quiet", "--all", "--message", "The change")
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "Nothing")
    plan = plan_for(repo, bad="side")
    folder = new_bisection(tmp_path / "runs", plan)
    found = bisecting(plan, folder, Played(open_history(repo), folder)).run("x")
    assert found.subjects[found.first_bad] == "The change"


@pytest.mark.parametrize("after", [0, 9, 20])
def test_it_goes_on_after_a_kill(tmp_path: Path, after: int) -> None:
    """Nothing is booted twice, and the report is the same."""
    values = ["100", "101", "99", "102", "204", "203"]
    (tmp_path / "whole").mkdir()
    whole, _ = find(tmp_path / "whole", *values, scale=2)
    repo = tmp_path / "whole" / "repo"
    plan = read_bisection(find_bisection(tmp_path / "whole" / "runs", "last"))
    folder = new_bisection(tmp_path / "runs", plan)
    first = Played(open_history(repo), folder, 2, dies_after=after)
    with pytest.raises(KeyboardInterrupt):
        bisecting(plan, folder, first).run("x")
    second = Played(open_history(repo), folder, 2)
    found = bisecting(plan, folder, second).run(whole.name)
    assert report_lines(found) == report_lines(whole)
    assert not {*first.booted} & {*second.booted}


def test_trouble_of_the_host_is_no_answer(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", "1000", "full", "3")
    plan = plan_for(repo)
    folder = new_bisection(tmp_path / "runs", plan)
    played = Played(open_history(repo), folder)
    with pytest.raises(InfrastructureError, match="disk is full"):
        bisecting(plan, folder, played).run("x")
    assert len(read_builds(folder)) == 2
    failing = Played(open_history(repo), folder, fails=Outcome.INFRA_QEMU)
    other = new_bisection(tmp_path / "runs", plan)
    failing.folder = other
    with pytest.raises(InfrastructureError, match="could not be measured"):
        bisecting(plan, other, failing).run("x")


def test_other_circumstances_are_refused(tmp_path: Path) -> None:
    _, played = find(tmp_path, "1000", "1000", "3")
    folder = played.folder
    builds = (folder.path / BUILDS).read_text().replace("gcc", "clang")
    (folder.path / BUILDS).write_text(builds)
    (folder.path / "boots.jsonl").unlink()
    with pytest.raises(UserError, match="this has changed: compiler"):
        bisecting(read_bisection(folder), folder, played).run("x")


def test_a_line_that_was_cut_does_not_count(tmp_path: Path) -> None:
    _, played = find(tmp_path, "1000", "1000", "3")
    path = played.folder.path / BUILDS
    known = read_builds(played.folder)
    path.write_text(path.read_text()[:-40])
    assert len(read_builds(played.folder)) == len(known) - 1


def test_git_s_calls_share_what_was_measured(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo", "1000", "1000", "3")
    plan = plan_for(repo)
    folder = new_bisection(tmp_path / "runs", plan)
    again = plan.model_copy(update={"command": ["other"], "good_name": "v1"})
    known = same_bisection(tmp_path / "runs", again)
    assert known is not None
    assert known.path == folder.path
    other = plan.model_copy(update={"metric": "reach"})
    assert same_bisection(tmp_path / "runs", other) is None


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("c2", "c0", "does not lead to c0"),
        ("c0", "c0", "the same commit"),
        ("c0", "nonesuch", "no commit 'nonesuch'"),
    ],
)
def test_what_can_t_be_bisected(tmp_path: Path, good: str, bad: str, words: str) -> None:
    repo = repository(tmp_path / "repo", "1", "2", "3")
    with pytest.raises(UserError, match=words) as caught:
        plan_for(repo, good, bad)
    assert caught.value.hint
    with pytest.raises(UserError, match="no folder"):
        open_history(tmp_path / "nonesuch")
    with pytest.raises(UserError, match="not a git repository"):
        open_history(tmp_path)


def test_names_of_metrics_and_commits() -> None:
    known = ["idle-boot", "secretmem-idle"]
    assert split_metric("idle-boot/reach", known) == ("idle-boot", "reach")
    assert split_metric("idle-boot.vmstat.x", known) == ("idle-boot", "vmstat.x")
    assert split_metric("secretmem-idle:pages=64/a.b", known) == ("secretmem-idle:pages=64", "a.b")
    for text in ("reach", "nonesuch/reach", "idle-boot/", "idle-boot"):
        with pytest.raises(UserError, match="no WORKLOAD/METRIC"):
            split_metric(text, known)
    bases = {"next": "git:/src/linux@next"}
    assert named("v6.1", bases).revision == "v6.1"
    assert named("next", bases).repository == "/src/linux"
    one = named("git:/src/linux@v6.3+fix@v2", bases)
    assert (one.repository, one.revision, one.series) == ("/src/linux", "v6.3", "fix@v2")
    with pytest.raises(UserError, match="no commit of a git repository"):
        named("mine", {"mine": "tree:/src/linux"})


def play_benches(repo: Path, monkeypatch: pytest.MonkeyPatch, *, same: bool = True) -> list[Played]:
    """Let bisections of `repo` be played; return who plays, one more for each."""
    played: list[Played] = []

    def bench(
        plan: BisectPlan, workload: Workload, folder: CompareFolder, *_: object, **__: object
    ) -> Bench:
        played.append(Played(open_history(repo), folder, same=same))
        return Bench(plan, workload, folder, played[-1].build, played[-1].boot)

    monkeypatch.setattr("harness.run.bisect_job.local_bench", bench)
    return played


@pytest.mark.parametrize(("same", "code"), [(True, 0), (False, 3)])
def test_what_a_failed_self_check_leaves_is_no_result(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    same: bool,
    code: int,
) -> None:
    """If this failed, a broken instrument would name a commit, and a script would believe it."""
    repo = repository(tmp_path / "repo", "1000", "1000", "3")
    play_benches(repo, monkeypatch, same=same)
    request = BisectRequest(tmp_path / "runs", places_of(SETTINGS, Path("/")), plan_for(repo))
    assert execute_bisect(request) == code
    told = capsys.readouterr().out
    assert "is the first bad commit" in told
    assert ("DIFFERED: the instrument is broken" in told) is not same


def test_git_gets_no_answer_from_a_broken_instrument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repository(tmp_path / "repo", "1000", "1000", "3", "3")
    play_benches(repo, monkeypatch, same=False)
    places = places_of(SETTINGS, Path("/"))
    request = BisectRequest(tmp_path / "runs", places, plan_for(repo), for_git=True)
    git(repo, "update-ref", "--no-deref", "HEAD", "c1")
    with pytest.raises(InfrastructureError, match="self-check"):
        execute_bisect(request)
    with pytest.raises(SystemExit) as caught, as_git_takes_it(["bisect", "--git-bisect"]):
        sys.exit(execute_bisect(request))
    assert caught.value.code == 128


def test_git_is_told_about_the_commit_that_it_asks_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repository(tmp_path / "repo", "1000", "1000", "broken", "3", "3")
    played = play_benches(repo, monkeypatch)
    places = places_of(SETTINGS, Path("/"))
    request = BisectRequest(tmp_path / "runs", places, plan_for(repo), for_git=True)
    codes = []
    for commit in ("c1", "c2", "c3"):
        git(repo, "update-ref", "--no-deref", "HEAD", commit)
        codes.append(execute_bisect(request))
    assert codes == [0, 125, 1]
    # What stands for HEAD where git checks nothing out.
    git(repo, "update-ref", "BISECT_HEAD", "c1")
    assert execute_bisect(request) == 0
    assert [len(one.built) for one in played] == [3, 1, 1, 0]
    assert [len(one.booted) for one in played] == [17, 0, 0, 0]
    same = BisectRequest(tmp_path / "runs", places, plan_for(repo, "c0", "c1"), for_git=True)
    with pytest.raises(UserError, match="1,000 in BAD: EQUIVALENT"):
        execute_bisect(same)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        [METRIC, "git:/nonesuch@a", "b"],
    ],
)
def test_nothing_but_an_answer_is_one_for_git(tmp_path: Path, arguments: list[str]) -> None:
    """Any other code below 128 would tell git that the commit is bad, or good."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "bisect", "--git-bisect", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 128


def test_an_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither a signal, an error nor a 1 that nobody meant is one."""
    for meant, came, told in ((1, 1, 1), (0, 0, 0), (125, 125, 125), (None, 1, 128), (1, 2, 128)):
        monkeypatch.setattr(_Answer, "code", meant)
        with pytest.raises(SystemExit) as caught, as_git_takes_it(["bisect", "--git-bisect"]):
            sys.exit(came)
        assert caught.value.code == told
    for error in (RuntimeError("no"), KeyboardInterrupt()):
        with pytest.raises(SystemExit) as caught, as_git_takes_it(["bisect", "--git-bisect"]):
            raise error
        assert caught.value.code == 128
    with pytest.raises(RuntimeError), as_git_takes_it(["bisect"]):
        raise RuntimeError
