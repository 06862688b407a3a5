# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench NAME`: run one of the benchmarks."""

from __future__ import annotations

import argparse
import sys

from benchmarks import boot, build
from benchmarks.alternate import BenchmarkError
from harness.errors import PatchbedError

BENCHMARKS = {"boot": boot.main, "build": build.main}


def main() -> int:
    """Run the benchmark that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds that count (7); build takes one"
    )
    arguments = parser.parse_args()
    try:
        BENCHMARKS[arguments.name](arguments.rounds)
    except (BenchmarkError, PatchbedError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
