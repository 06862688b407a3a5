# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench NAME`: run one of the benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import boot, boots, build, reporting, statistics
from benchmarks.alternate import BenchmarkError
from harness.errors import PatchbedError

BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "boot": lambda arguments: boot.main(arguments.rounds),
    "boots": lambda arguments: boots.main(arguments.count),
    "build": lambda arguments: build.main(arguments.rounds),
    "statistics": lambda arguments: _statistics(),
}


def _statistics() -> None:
    # The short one first.
    reporting.main()
    statistics.main()


def main() -> int:
    """Run the benchmark that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds that count (7); build takes one"
    )
    parser.add_argument("--count", type=int, default=200, help="how many boots (200)")
    arguments = parser.parse_args()
    try:
        BENCHMARKS[arguments.name](arguments)
    except (BenchmarkError, PatchbedError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
