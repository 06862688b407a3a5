# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong, by who can mend it; every message says what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.outcomes import ExitCode, Outcome


class PatchbedError(Exception):
    """Anything that ends a command with a message instead of a traceback.

    `outcome` is its kind in results, `exit_code` what the command ends with, `hint` what to do
    next, `log` a file that tells more.
    """

    outcome: Outcome = Outcome.HARNESS_BUG
    exit_code: int = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        lines = [self.message]
        if self.log is not None:
            lines.append(f"log: {self.log}")
        if self.hint:
            lines.append(f"next: {self.hint}")
        return "\n".join(lines)


class UserError(PatchbedError):
    """The command, a file or a value that the user gave can't be used."""

    outcome = Outcome.TEST_ERROR
    exit_code = ExitCode.USAGE


class ConfigError(UserError):
    """A configuration file has an unknown key or a wrong value."""

    def __init__(self, file: Path, key: str, problem: str, *, hint: str = "") -> None:
        where = f"{file}: {key}" if key else str(file)
        super().__init__(f"{where}: {problem}", hint=hint)
        self.file = file
        self.key = key


class BuildError(PatchbedError):
    """A variant does not apply, configure or compile. In a run this is a result.

    `outcome` is one of build.apply, build.config, build.compile; `lines` are the lines that
    matter (the hunk that failed, the symbols that did not stick, the compiler's words).
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        outcome: Outcome,
        message: str,
        *,
        lines: tuple[str, ...] = (),
        hint: str = "",
        log: Path | None = None,
    ) -> None:
        super().__init__(message, hint=hint, log=log)
        self.outcome = outcome
        self.lines = lines

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join([head, *(f"  {line}" for line in self.lines), *rest])


class InfrastructureError(PatchbedError):
    """The host can't do what it should: `outcome` is one of infra.*."""

    exit_code = ExitCode.INFRASTRUCTURE

    def __init__(
        self, outcome: Outcome, message: str, *, hint: str = "", log: Path | None = None
    ) -> None:
        super().__init__(message, hint=hint, log=log)
        self.outcome = outcome


class GuestDied(PatchbedError):
    """The kernel under test can't go on: `outcome` is one of kernel.*.

    `title` is one line ("Kernel panic - not syncing: ..."), `lines` the console's first lines of
    the report. `kind` is finer than the outcome ("double_fault"), `function` the one to blame,
    `fingerprint` the same for the same trouble in another boot, and `stack` what was decoded of
    it, innermost first; each is empty where it is not known.
    """

    def __init__(
        self,
        outcome: Outcome,
        title: str,
        *,
        lines: tuple[str, ...] = (),
        kind: str = "",
        function: str = "",
        fingerprint: str = "",
        stack: tuple[str, ...] = (),
    ) -> None:
        super().__init__(title)
        self.outcome = outcome
        self.title = title
        self.lines = lines
        self.kind = kind
        self.function = function
        self.fingerprint = fingerprint
        self.stack = stack

    def facts(self) -> dict[str, Any]:
        """Return what is known but the console's lines, as JSON takes it."""
        return {
            "outcome": self.outcome,
            "kind": self.kind,
            "title": self.title,
            "function": self.function,
            "fingerprint": self.fingerprint,
            "stack": list(self.stack),
        }


class CommandTimeout(PatchbedError):
    """A command in the guest took longer than it may; the guest lives on."""

    outcome = Outcome.TEST_TIMEOUT


class ParseError(PatchbedError):
    """What a guest or QEMU printed is not what its format promises.

    `line` is the number of the line in question, from 1; 0 where it is no single line.
    """

    outcome = Outcome.TEST_ERROR

    def __init__(self, what: str, line: int, problem: str, *, hint: str = "") -> None:
        where = f"{what}, line {line}" if line else what
        super().__init__(f"{where}: {problem}", hint=hint)
        self.line = line
