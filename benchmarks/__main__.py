# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench NAME`: run one of the benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import boot, boots, build, comparing, placebo, reporting, statistics, worlds
from benchmarks.alternate import BenchmarkError
from harness.errors import PatchbedError
from harness.outcomes import ExitCode
from harness.run.compare_plan import DEFAULT_WORKLOADS

BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "boot": lambda arguments: boot.main(arguments.rounds),
    "boots": lambda arguments: boots.main(arguments.count),
    "build": lambda arguments: build.main(arguments.rounds),
    "placebo": lambda arguments: placebo.main(
        arguments.worlds or placebo.WORLDS,
        arguments.comparisons,
        arguments.workload or placebo.WORKLOADS,
        arguments.runs.resolve(),
    ),
    "statistics": lambda arguments: _statistics(),
    "worlds": lambda arguments: worlds.main(
        arguments.worlds or worlds.WORLDS,
        arguments.workload or DEFAULT_WORKLOADS,
        arguments.runs.resolve(),
    ),
}


def _statistics() -> None:
    # The short one first.
    reporting.main()
    statistics.main()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument(
        "--rounds", type=_number, default=7, help="rounds that count (7); build takes one"
    )
    parser.add_argument("--count", type=_number, default=200, help="how many boots (200)")
    parser.add_argument(
        "--worlds",
        type=_number,
        help=f"how many (placebo {placebo.WORLDS}, worlds {worlds.WORLDS})",
    )
    parser.add_argument(
        "--comparisons",
        type=_number,
        default=placebo.COMPARISONS,
        help=f"how many are made of the placebo's boots ({placebo.COMPARISONS})",
    )
    parser.add_argument(
        "--workload",
        "-w",
        action="append",
        help=f"again for more (placebo {', '.join(placebo.WORKLOADS)}; worlds those of compare)",
    )
    parser.add_argument(
        "--runs", type=Path, default=comparing.RUNS, help="where comparisons are kept (runs/bench)"
    )
    return parser


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def main() -> int:
    """Run the benchmark that the command line names; return the exit code."""
    arguments = _parser().parse_args()
    try:
        BENCHMARKS[arguments.name](arguments)
    except (BenchmarkError, PatchbedError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return getattr(error, "exit_code", ExitCode.FAILURE)
    except KeyboardInterrupt:
        sys.stderr.write("bench: cancelled\n")
        return ExitCode.INFRASTRUCTURE
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
