# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/mutants` and `scripts/verify`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from harness.errors import PatchbedError
from harness.outcomes import ExitCode
from verification import mutants, verify

COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "mutants": mutants.main,
    "verify": verify.main,
}
ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "mutants": mutants.add_arguments,
    "verify": verify.add_arguments,
}


def main() -> int:
    """Run the command that the first argument names; return the exit code."""
    name = sys.argv[1]
    parser = argparse.ArgumentParser(prog=f"scripts/{name}", description=__doc__)
    ARGUMENTS[name](parser)
    try:
        return COMMANDS[name](parser.parse_args(sys.argv[2:]))
    except PatchbedError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted; call it again and it goes on from here\n")
        return ExitCode.INFRASTRUCTURE


if __name__ == "__main__":
    sys.exit(main())
