# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin that runs testcases against the guest of one cell.

`pytest -p harness.testing.plugin --patchbed-cell CELL.json --patchbed-events FD testcases`;
what it finds leaves as events, one line of JSON each, through the file descriptor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

import pytest
from _pytest.nodeid import coerce_node_id

from harness.errors import CommandTimeout, GuestDied, PatchbedError
from harness.events import (
    CellFinished,
    CellStarted,
    CountersPulled,
    Event,
    TestFinished,
    TestsCollected,
    TestStarted,
    dump_event,
)
from harness.guest.guest import Guest
from harness.guest.machine import load_machine
from harness.kernel.selftests import Selftest, Selftests, load_selftests
from harness.measure.directmap import OutsideView, parse_info_tlb
from harness.outcomes import Outcome
from harness.testing.cell import CellPlan
from harness.testing.checks import Checks
from harness.testing.counters import Counters, read_counters
from harness.testing.keeper import Demand, GuestKeeper, GuestKind
from harness.testing.known_issues import Judged, judge_test
from harness.testing.testcase import MARKER, Testcase, catalogue_order, symbols_for, unmet_need
from harness.testing.troubles import Trouble, judge_troubles
from harness.testing.units import Claims, Wanted, longest_first, seconds_of, split_units


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the process that starts us has to say."""
    group = parser.getgroup("patchbed")
    group.addoption("--patchbed-cell", metavar="FILE", help="the cell to run, as JSON")
    group.addoption("--patchbed-events", metavar="FD", type=int, help="where events go")


def pytest_configure(config: pytest.Config) -> None:
    """Set the cell up, where one is named."""
    config.addinivalue_line("markers", f"{MARKER}(spec): the testcase's id and needs")
    file = config.getoption("--patchbed-cell")
    if file is None:
        return
    plan = CellPlan.model_validate_json(Path(file).read_text(encoding="utf-8"))
    descriptor = config.getoption("--patchbed-events")
    stream = os.fdopen(os.dup(1 if descriptor is None else descriptor), "w", buffering=1)
    config.pluginmanager.register(CellSession(plan, stream), "patchbed-cell-session")


@dataclass
class _Running:
    """What is known of a testcase while it runs."""

    spec: Testcase
    test: str
    own: Judged = field(default_factory=lambda: Judged(Outcome.PASS))
    detail: str = ""
    checks: Checks | None = None

    def ended(self, judged: Judged, detail: str) -> None:
        """Take the end of a phase into account; the first that is no pass counts."""
        if self.own.outcome is Outcome.PASS:
            self.own, self.detail = judged, detail

    @property
    def alive(self) -> bool:
        """Whether it ran to its end, as far as one can tell."""
        return self.own.outcome is Outcome.PASS

    def take(self, troubles: Sequence[Trouble]) -> None:
        """Take into account what the kernel reported meanwhile."""
        judged = judge_troubles(self.own, self.spec.expects, troubles)
        if judged != self.own and troubles:
            self.detail = "\n".join(troubles[-1].lines)
        self.own = judged


# The fixture that every testcase uses which needs the test modules.
_ORACLE = "oracle"
# Seconds: a storm may leave a million pages of 4K to be listed.
_LONG_TABLES = 120.0
_RUNNING = pytest.StashKey[_Running]()


class CellSession:
    """The hooks and fixtures of one cell's pytest session."""

    def __init__(self, plan: CellPlan, stream: TextIO) -> None:
        self._plan = plan
        self._stream = stream
        self._keeper = GuestKeeper(plan, self._emit)
        self._started = time.monotonic()

    def _emit(self, event: Event) -> None:
        self._stream.write(dump_event(event) + "\n")
        self._stream.flush()

    def pytest_sessionstart(self) -> None:
        """Tell that the cell begins."""
        plan = self._plan
        self._emit(
            CellStarted(
                cell=plan.cell,
                variant=plan.kernel.variant,
                profile=plan.profile,
                machine=plan.machine,
            )
        )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a testcase of each program of the selftests that the run asks for."""
        if "kselftest" in metafunc.fixturenames:
            programs = self._programs()
            metafunc.parametrize("kselftest", programs, ids=[found.name for found in programs])

    def _programs(self) -> Sequence[Selftest]:
        folder = self._plan.kselftests
        return load_selftests(folder).programs if folder else ()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give every testcase its catalogue id, and the catalogue's order."""
        items[:] = [item for item in items if item.get_closest_marker(MARKER) and _is_real(item)]
        for item in items:
            spec = _spec(item)
            test = f"{item.path.parent.name}/{_name(item)}"
            # pytest has no public way to name an item; its version is pinned.
            item._id = coerce_node_id(test)
            item.extra_keyword_matches.update({spec.id, test})
            item.stash[_RUNNING] = _Running(spec, test)
        items.sort(key=lambda item: catalogue_order(item.path.parent.name, _spec(item).id))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which testcases are going to run."""
        tests = [item.nodeid for item in session.items]
        self._emit(TestsCollected(cell=self._plan.cell, tests=tests))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run one unit after the other that no other process of the cell has taken."""
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        if session.config.option.collectonly:
            return True
        items = {item.nodeid: item for item in session.items}
        known = self._plan.durations
        wanted = [Wanted(name, self._demand(_spec(item))) for name, item in items.items()]
        units = longest_first(split_units(wanted), known)
        claims = Claims(self._plan.claims)
        claims.announce([seconds_of(unit, known) for unit in units])
        for number, unit in enumerate(units):
            if claims.take(number):
                self._run_unit(session, [items[name] for name in unit])
        return True

    def _run_unit(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        self._keeper.end()

    def _demand(self, spec: Testcase) -> Demand:
        """Return the guest that a testcase wants under this plan."""
        kind = GuestKind(spec.machine or self._plan.machine, spec.kernel_args)
        # A guest that is going to die is nobody else's.
        clean = spec.clean or bool(spec.expects) or self._plan.snapshot
        return Demand(kind, clean, restored=clean and not spec.fresh_boot)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run one testcase, and tell how it began and ended."""
        running = item.stash[_RUNNING]
        cell, boot = self._plan.cell, self._keeper.boot
        self._emit(TestStarted(cell=cell, boot=boot, test=running.test))
        start = time.monotonic()
        self._keeper.begin(self._demand(running.spec))
        result = yield
        troubles = self._keeper.troubles(awaited=bool(running.spec.expects) and running.alive)
        running.take(troubles)
        checks = running.checks.results if running.checks else []
        judged = judge_test(self._plan.issues, running.test, running.own, checks)
        self._emit(
            TestFinished(
                cell=cell,
                boot=self._keeper.boot,
                test=running.test,
                outcome=judged.outcome,
                reason=judged.reason,
                detail=running.detail,
                seconds=time.monotonic() - start,
                checks=len(checks),
            )
        )
        self._keeper.finish(spoiled=bool(troubles), declared=judged.outcome is Outcome.PASS)
        return result

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip, or fail, a testcase that lacks what it needs."""
        spec = item.stash[_RUNNING].spec
        machine = load_machine(spec.machine or self._plan.machine)
        need = unmet_need(
            spec,
            variant=self._plan.kernel.variant,
            patched=self._plan.patched,
            config=self._keeper.config,
            own_modules=self._keeper.own_modules,
            machine_needs=symbols_for(machine) if spec.machine else (),
            probe=self._plan.probe,
            probe_found=self._probe_found,
        )
        if need is not None and need.broken:
            pytest.fail(need.reason, pytrace=False)
        if need is not None:
            pytest.skip(need.reason)
        if self._plan.no_modules and _ORACLE in item.fixturenames:  # type: ignore[attr-defined]
            pytest.skip(self._plan.no_modules)

    def _probe_found(self) -> bool:
        return self._keeper.get().run(f"test -e '{self._plan.probe}'").status == 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how a phase of a testcase ended."""
        report = yield
        running = item.stash[_RUNNING]
        if running.checks is not None and running.checks.recording:
            # A check's own report: what it means for the testcase is judged at the end.
            return report
        if call.excinfo is not None:
            running.ended(_judge_exception(call.excinfo.value), report.longreprtext)
        return report

    def pytest_sessionfinish(self) -> None:
        """End the guest and the cell."""
        self._keeper.end()
        self._emit(CellFinished(cell=self._plan.cell, seconds=time.monotonic() - self._started))

    @pytest.fixture
    def guest(self, request: pytest.FixtureRequest) -> Iterator[Guest]:
        """The cell's guest; its counters are pulled before and after the testcase."""
        test = request.node.stash[_RUNNING].test
        self._pull(self._keeper.get(), test, "before")
        yield self._keeper.get()
        current = self._keeper.current
        if current is not None and current.death is None:
            self._pull(current, test, "after")

    def _pull(self, guest: Guest, test: str, when: Literal["before", "after"]) -> None:
        folder = guest.folder / "counters" / test.replace("/", ".") / when
        counters = read_counters(guest, folder)
        self._emit(
            CountersPulled(
                cell=self._plan.cell,
                boot=self._keeper.boot,
                test=test,
                when=when,
                folder=str(folder.relative_to(self._plan.folder)),
                vmstat=counters.vmstat,
                meminfo=counters.meminfo,
                leaves=counters.leaves,
                cache=counters.cache,
            )
        )

    @pytest.fixture
    def checks(
        self, request: pytest.FixtureRequest, guest: Guest, subtests: pytest.Subtests
    ) -> Checks:
        """Where a testcase records what it finds."""
        running = request.node.stash[_RUNNING]
        running.checks = Checks(
            cell=self._plan.cell,
            test=running.test,
            guest=guest,
            issues=self._plan.issues,
            listen=self._emit,
            subtests=subtests,
            limit=self._plan.test_limit * max(self._plan.stress, 1.0),
            sources=request.config.rootpath,
        )
        checks: Checks = running.checks
        return checks

    @pytest.fixture
    def outside(self, guest: Guest) -> Callable[[], OutsideView]:
        """Takes a view of the guest's page tables through QEMU, not trusting its kernel."""
        return lambda: take_outside_view(guest)

    @pytest.fixture
    def counters(self, guest: Guest) -> Callable[[], Counters]:
        """Reads the guest's counters now."""
        return lambda: read_counters(guest)

    @pytest.fixture
    def feature(self) -> bool:
        """Whether the variant has a series that says, by its probe, that it adds the feature."""
        return bool(self._plan.probe)

    @pytest.fixture
    def selftests(self) -> Selftests:
        """Those of the kernel's own selftests that the catalogue has, from its own source."""
        if self._plan.selftests is None:
            pytest.skip(self._plan.no_selftests)
        return load_selftests(self._plan.selftests)

    @pytest.fixture
    def kselftests(self) -> Selftests:
        """The collection of the kernel's selftests that the run asks for."""
        if self._plan.kselftests is None:
            pytest.skip("the run asks for no selftests")
        return load_selftests(self._plan.kselftests)

    @pytest.fixture
    def stress(self) -> float:
        """What a storm multiplies its amount of work by: 1.0 unless the run says more."""
        return self._plan.stress


def take_outside_view(guest: Guest) -> OutsideView:
    """Return the guest's page tables as QEMU walks them.

    The guest stands still meanwhile: the walk is printed first and asked about afterwards, and a
    mapping that is split in between would be misjudged.
    """
    guest.hmp("stop")
    try:
        return OutsideView(parse_info_tlb(guest.hmp("info tlb", _LONG_TABLES), guest.translate))
    finally:
        guest.hmp("cont")


def _name(item: pytest.Item) -> str:
    """Return what a testcase is reported as in its area."""
    program = _program(item)
    if isinstance(program, Selftest):
        return f"kselftest-{program.collection}/{program.name}"
    parameters = item.name.partition("[")[2]
    return _spec(item).id + (f"[{parameters}" if parameters else "")


def _program(item: pytest.Item) -> object:
    call = getattr(item, "callspec", None)
    return call.params.get("kselftest") if call is not None else None


def _is_real(item: pytest.Item) -> bool:
    """Return whether this is more than what pytest makes of a parameter that has no values."""
    asked = "kselftest" in getattr(item, "fixturenames", ())
    return not asked or isinstance(_program(item), Selftest)


def _spec(item: pytest.Item) -> Testcase:
    marker = item.get_closest_marker(MARKER)
    assert marker is not None  # noqa: S101
    spec = marker.args[0]
    assert isinstance(spec, Testcase)  # noqa: S101
    return spec


def _judge_exception(error: BaseException) -> Judged:
    if isinstance(error, pytest.skip.Exception):
        return Judged(Outcome.SKIP, str(error.msg or ""))
    if isinstance(error, GuestDied):
        return Judged(error.outcome, error.title)
    if isinstance(error, CommandTimeout):
        return Judged(Outcome.TEST_TIMEOUT, error.message)
    if isinstance(error, PatchbedError):
        return Judged(error.outcome, error.message)
    if isinstance(error, pytest.fail.Exception | AssertionError):
        return Judged(Outcome.FAIL, str(error).split("\n")[0])
    return Judged(Outcome.TEST_ERROR, f"{type(error).__name__}: {error}".split("\n")[0])
