# SPDX-License-Identifier: GPL-2.0-or-later
"""The `patchbed` command: puts the groups together and turns errors into exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

import typer

from harness import __version__
from harness.cli import bisect, boot, compare, doctor, kernel, report, run, series, test
from harness.errors import PatchbedError
from harness.kernel.interrupt import interrupt_on
from harness.outcomes import ExitCode

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

app = typer.Typer(
    name="patchbed",
    help="Build, boot, test and compare versions of a Linux kernel patch series.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command(context_settings={"ignore_unknown_options": True})(boot.boot)
app.command()(compare.compare)
app.command()(bisect.bisect)
app.command()(report.report)
app.command()(doctor.doctor)
app.add_typer(kernel.app, name="kernel")
app.add_typer(series.app, name="series")
app.add_typer(test.app, name="test")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"patchbed {__version__}")
        raise typer.Exit


@app.callback()
def _patchbed(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Build, boot, test and compare versions of a Linux kernel patch series."""


def main() -> None:
    """Run the command line; what goes wrong becomes a message and an exit code."""
    with bisect.as_git_takes_it(sys.argv[1:]):
        try:
            interrupt_on(*_ENDS)
            _run()
        except KeyboardInterrupt:
            # It came before the command began, or while its end was being told.
            _cancelled()


def _run() -> None:
    try:
        app(boot.spell_out(sys.argv[1:]), prog_name="patchbed")
    except PatchbedError as error:
        sys.stderr.write(f"patchbed: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except (KeyboardInterrupt, SystemExit) as error:
        if not _interrupted(error):
            raise
        _cancelled()


def _cancelled() -> NoReturn:
    # Another signal changes nothing any more.
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        sys.stderr.write("patchbed: cancelled; finished builds are kept\n")
    sys.exit(ExitCode.INFRASTRUCTURE)


def _interrupted(error: BaseException | None) -> bool:
    # Typer makes an exit of its own code out of an interrupt, which stays its context.
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


if __name__ == "__main__":
    main()
