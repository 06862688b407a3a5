# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a cell's guest alive: boots it when one is asked for, and again after it died."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from harness.errors import GuestDied, InfrastructureError
from harness.events import BootFinished, BootReady, BootStarted, Listener
from harness.guest.guest import Guest
from harness.guest.machine import load_machine
from harness.guest.snapshot import restored
from harness.kernel.artifact import Kernel
from harness.outcomes import Outcome
from harness.testing.cell import CellPlan

_BOOT_ATTEMPTS = 3


class GuestKeeper:
    """Owns the guest of one cell; leaving it ends the guest."""

    def __init__(self, plan: CellPlan, listen: Listener) -> None:
        self._plan = plan
        self._listen = listen
        self._kernel = Kernel(**plan.kernel.model_dump())
        self._machine = load_machine(plan.machine)
        self._guest: Guest | None = None
        self._restored = False
        self._life = ExitStack()
        self.boots = 0

    @property
    def config(self) -> dict[str, str]:
        """The kernel's configuration, symbols without `CONFIG_`."""
        return self._kernel.config()

    def get(self, *, fresh: bool = False) -> Guest:
        """Return a guest that takes commands, booted or restored if there is none.

        One that was restored is not taken for a `fresh` one. Trouble with the host is tried three
        times; a kernel that dies is not tried again here.

        Raises:
            GuestDied: the kernel did not come up.
            InfrastructureError: the host could not run it.
        """
        if self._guest is not None and (
            self._guest.death is not None or (fresh and self._restored)
        ):
            self.end()
        if self._guest is None:
            for attempt in Retrying(
                retry=retry_if_exception_type(InfrastructureError),
                stop=stop_after_attempt(_BOOT_ATTEMPTS),
                wait=wait_fixed(1),
                reraise=True,
            ):
                with attempt:
                    self._guest = self._boot(restore=self._plan.snapshot and not fresh)
        assert self._guest is not None  # noqa: S101
        return self._guest

    @property
    def current(self) -> Guest | None:
        """The guest that is there now, alive or dead, or None."""
        return self._guest

    def _boot(self, *, restore: bool) -> Guest:
        plan = self._plan
        self.boots += 1
        folder = plan.folder / "cells" / plan.cell / f"boot-{self.boots}"
        folder.mkdir(parents=True, exist_ok=True)
        begun: list[Guest] = []

        def begin(guest: Guest) -> None:
            guest.modules = (plan.modules,) if plan.modules else ()
            guest.again = plan.again
            begun.append(guest)

        way = self._way(folder, begin, restore=restore)
        self._life, self._restored = ExitStack(), restore
        started = datetime.now(UTC)
        try:
            guest = self._life.enter_context(way)
        except (GuestDied, InfrastructureError) as error:
            self._started(begun[-1] if begun else None, folder, started)
            lines = list(error.lines) if isinstance(error, GuestDied) else []
            self._finished(error.outcome, error.message, lines)
            raise
        self._started(guest, folder, started)
        ready = BootReady(cell=plan.cell, boot=self.boots, seconds=guest.seconds_to_ready)
        self._listen(ready)
        return guest

    def _way(
        self, folder: Path, begin: Callable[[Guest], None], *, restore: bool
    ) -> AbstractContextManager[Guest]:
        """Return the context of a guest; `begin` gets the guest before it starts."""
        plan = self._plan
        options: dict[str, Any] = {
            "accelerator": plan.accelerator,
            "boot_limit": plan.boot_limit,
            "silence_limit": plan.silence_limit,
        }
        if restore:
            return restored(
                self._kernel, plan.image, self._machine, folder, prepare=begin, **options
            )
        guest = Guest(self._kernel, plan.image, self._machine, folder, **options)
        begin(guest)
        return guest

    def _started(self, guest: Guest | None, folder: Path, when: datetime) -> None:
        # Told once QEMU has been started: the command line is not known before.
        self._listen(
            BootStarted(
                time=when,
                cell=self._plan.cell,
                boot=self.boots,
                folder=str(folder.relative_to(self._plan.folder)),
                argv=guest.argv if guest else [],
                accelerator=guest.accelerator if guest else "",
                accelerator_reason=guest.accelerator_reason if guest else "",
            )
        )

    def end(self) -> None:
        """End the guest, if there is one, and tell how it ended."""
        guest, self._guest = self._guest, None
        if guest is None:
            return
        self._life.close()
        death = guest.death
        if death is None:
            self._finished(Outcome.PASS, "", [])
        else:
            self._finished(death.outcome, death.title, list(death.lines))

    def _finished(self, outcome: Outcome, title: str, lines: list[str]) -> None:
        self._listen(
            BootFinished(
                cell=self._plan.cell, boot=self.boots, outcome=outcome, title=title, lines=lines
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
