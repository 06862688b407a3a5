# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the guest that testcases want: boots or restores it when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from harness.errors import GuestDied, InfrastructureError, UserError
from harness.events import BootFinished, BootReady, BootStarted, Listener
from harness.guest.guest import Guest
from harness.guest.machine import Machine, check_interactive, load_machine
from harness.guest.snapshot import RestoredGuest, check_machine, restored
from harness.kernel.artifact import Kernel, read_meta
from harness.outcomes import Outcome
from harness.testing.cell import CellPlan
from harness.testing.troubles import Trouble, troubles_of

_BOOT_ATTEMPTS = 3


@dataclass(frozen=True)
class GuestKind:
    """What tells guests of one kernel apart: the machine's name, and the boot's parameters."""

    machine: str
    kernel_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Demand:
    """The guest that a testcase wants.

    `clean`: no other testcase has used it, and none will. `restored`: one from a snapshot will
    do, if its machine can have one; otherwise it has to be booted.
    """

    kind: GuestKind
    clean: bool = False
    restored: bool = False


class GuestKeeper:
    """Owns the one guest that there is at a time; leaving it ends the guest."""

    def __init__(self, plan: CellPlan, listen: Listener) -> None:
        self._plan = plan
        self._listen = listen
        self._kernel = Kernel(**plan.kernel.model_dump())
        self._demand = Demand(GuestKind(plan.machine))
        self._guest: Guest | None = None
        # What the guest was made for, and whether this testcase and others have had it.
        self._made_for = self._demand
        self._mine = self._used = False
        # How many of the guest's warnings have been judged.
        self._warnings = 0
        self._life = ExitStack()
        # The number in its cell of the guest that is there, or was last; 0 before the first.
        self.boot = 0

    @cached_property
    def config(self) -> dict[str, str]:
        """The kernel's configuration, symbols without `CONFIG_`."""
        return self._kernel.config()

    @cached_property
    def own_modules(self) -> bool:
        """Whether the kernel's own modules are in its guest; if built elsewhere, they are not."""
        return "image" not in (read_meta(self._kernel.folder) or {})

    def begin(self, demand: Demand) -> None:
        """Take what the testcase that begins wants of a guest; nothing is done until `get`."""
        self._demand, self._mine = demand, False

    def get(self) -> Guest:
        """Return a guest as the testcase wants it, alive: booted or restored if there is none.

        Trouble with the host is tried three times; a kernel that dies is not tried again here.

        Raises:
            GuestDied: the kernel did not come up.
            InfrastructureError: the host could not run it.
            UserError: there is no such machine, or it takes no commands.
        """
        if not self._fits():
            self.end()
        if self._guest is None:
            for attempt in Retrying(
                retry=retry_if_exception_type(InfrastructureError),
                stop=stop_after_attempt(_BOOT_ATTEMPTS),
                wait=wait_fixed(1),
                reraise=True,
            ):
                with attempt:
                    self._guest = self._boot()
        assert self._guest is not None  # noqa: S101
        self._mine = self._used = True
        return self._guest

    def _fits(self) -> bool:
        """Return whether the guest that is there will do."""
        if self._guest is None or self._guest.death is not None:
            return False
        demand, made = self._demand, self._made_for
        if demand.kind != made.kind or (made.restored and not demand.restored):
            return False
        return self._mine or not (self._used and demand.clean)

    def troubles(self, *, awaited: bool = False) -> list[Trouble]:
        """Return what the guest reported of itself since it was made, or last asked."""
        if self._guest is None or not self._mine:
            return []
        found = troubles_of(self._guest, self._warnings, awaited=awaited)
        self._warnings = len(self._guest.warnings)
        return found

    def finish(self, *, spoiled: bool = False, declared: bool = False) -> None:
        """The testcase has ended: nobody else gets its guest if that was clean, or is `spoiled`.

        `declared`: what the guest may have died of is what its testcase said it would.
        """
        if self._mine and (self._demand.clean or spoiled):
            self.end(declared=declared)

    @property
    def current(self) -> Guest | None:
        """The guest that is there now, alive or dead, or None."""
        return self._guest

    def _boot(self) -> Guest:
        plan, demand = self._plan, self._demand
        machine = load_machine(demand.kind.machine)
        check_interactive(machine)
        folder = self._new_folder()
        begun: list[Guest] = []

        def begin(guest: Guest) -> None:
            guest.modules = (plan.modules,) if plan.modules else ()
            guest.again = plan.again
            begun.append(guest)

        way = self._way(machine, folder, begin)
        self._life, self._made_for, self._used = ExitStack(), demand, False
        self._warnings = 0
        started = datetime.now(UTC)
        try:
            guest = self._life.enter_context(way)
        except (GuestDied, InfrastructureError) as error:
            self._started(begun[-1] if begun else None, folder, started)
            lines = list(error.lines) if isinstance(error, GuestDied) else []
            self._finished(error.outcome, error.message, lines)
            raise
        self._started(guest, folder, started)
        ready = BootReady(cell=plan.cell, boot=self.boot, seconds=guest.seconds_to_ready)
        self._listen(ready)
        return guest

    def _new_folder(self) -> Path:
        """Make the folder of the cell's next boot, whichever of its workers has that."""
        cell = self._plan.cell_folder
        cell.mkdir(parents=True, exist_ok=True)
        while True:
            self.boot += 1
            try:
                (cell / f"boot-{self.boot}").mkdir()
            except FileExistsError:
                continue
            return cell / f"boot-{self.boot}"

    def _way(
        self, machine: Machine, folder: Path, begin: Callable[[Guest], None]
    ) -> AbstractContextManager[Guest]:
        """Return the context of a guest; `begin` gets the guest before it starts."""
        plan = self._plan
        options: dict[str, Any] = {
            "accelerator": plan.accelerator,
            "boot_limit": plan.boot_limit,
            "silence_limit": plan.silence_limit,
            "kernel_args": self._demand.kind.kernel_args,
        }
        if self._demand.restored and can_be_restored(machine):
            return restored(self._kernel, plan.image, machine, folder, prepare=begin, **options)
        guest = Guest(self._kernel, plan.image, machine, folder, **options)
        begin(guest)
        return guest

    def _started(self, guest: Guest | None, folder: Path, when: datetime) -> None:
        # Told once QEMU has been started: the command line is not known before.
        self._listen(
            BootStarted(
                time=when,
                cell=self._plan.cell,
                boot=self.boot,
                folder=str(folder.relative_to(self._plan.folder)),
                machine=self._demand.kind.machine,
                kernel_args=list(self._demand.kind.kernel_args),
                restored=isinstance(guest, RestoredGuest),
                argv=guest.argv if guest else [],
                accelerator=guest.accelerator if guest else "",
                accelerator_reason=guest.accelerator_reason if guest else "",
            )
        )

    def end(self, *, declared: bool = False) -> None:
        """End the guest, if there is one, and tell how it ended."""
        guest, self._guest = self._guest, None
        if guest is None:
            return
        self._life.close()
        death = guest.death
        if death is None:
            self._finished(Outcome.PASS, "", [])
        else:
            self._finished(death.outcome, death.title, list(death.lines), declared=declared)

    def _finished(
        self, outcome: Outcome, title: str, lines: list[str], *, declared: bool = False
    ) -> None:
        self._listen(
            BootFinished(
                cell=self._plan.cell,
                boot=self.boot,
                outcome=outcome,
                title=title,
                lines=lines,
                declared=declared,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def can_be_restored(machine: Machine) -> bool:
    """Return whether guests of `machine` can come from a snapshot."""
    try:
        check_machine(machine)
    except UserError:
        return False
    return True
