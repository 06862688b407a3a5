# SPDX-License-Identifier: GPL-2.0-or-later
"""Timing commands alternately, so that a drift of the host touches each alike."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

LIMIT = 300.0


class BenchmarkError(Exception):
    """A command that is measured did not do what it should."""


@dataclass(frozen=True)
class Timing:
    """How long the rounds of one command took, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def time_once(argv: Sequence[str]) -> float:
    """Return how long `argv` took, in seconds of the whole process.

    Raises:
        BenchmarkError: it failed; the message has the end of what it said.
    """
    start = time.monotonic()
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    taken = time.monotonic() - start
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")[-800:]
        raise BenchmarkError(f"{' '.join(argv)[:200]}: exit {done.returncode}\n{said}")
    return taken


def time_together(argv: Sequence[str], count: int) -> float:
    """Return how long `count` of `argv`, started at once, took until the last had ended.

    Raises:
        BenchmarkError: one failed.
    """
    if count == 1:
        return time_once(argv)
    start = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        for each in [pool.submit(time_once, argv) for _ in range(count)]:
            each.result()
    return time.monotonic() - start


def alternate(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Timing]:
    """Run each command `rounds` times, in turns, after one round that does not count."""
    calls = {name: functools.partial(time_once, argv) for name, argv in commands.items()}
    return alternate_calls(calls, rounds)


def alternate_calls(calls: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Timing]:
    """Call each `rounds` times for its seconds, in turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = call()
            sys.stderr.write(f"round {number}: {name} {taken:.2f} s\n")
            if number > 0:
                seconds[name].append(taken)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratios(timings: Mapping[str, Timing], reference: str) -> dict[str, float]:
    """Return the median, over the rounds, of each command's time over the reference's."""
    base = timings[reference].seconds
    return {
        name: statistics.median(a / b for a, b in zip(timing.seconds, base, strict=True))
        for name, timing in timings.items()
    }
