# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench build`: what a kernel costs again, as ratios to a cold build in the same run.

It has a cache of its own, so that nothing is known before; it takes some 5 GB and as long as two
cold builds and a half. Nothing else should run meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alternate import BenchmarkError
from benchmarks.edited import write_edited
from harness import paths
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain, plan_build
from harness.kernel.cache import Cache, remove
from harness.kernel.request import Request
from harness.kernel.reuse import Reuse, read_reuse
from harness.kernel.trees import remove_tree
from harness.kernel.variant import parse

COLD, CACHED = "cold build", "the same again"
SOURCE_CHANGED, HEADER_CHANGED = "mm/page_alloc.c changed", "gfp_types.h changed"
HEADER_AGAIN = "gfp_types.h, warm ccache"
PEER = "vng --build"
# What each row may cost, as a part of a cold build; the cached one in seconds.
AIMS = {SOURCE_CHANGED: 0.10, HEADER_AGAIN: 0.20}
CACHED_AIM = 1.0
_CHANGES = {
    "source": ("mm/page_alloc.c", 'pr_info("Built %u zonelists', 'pr_info("Built  %u zonelists'),
    "header": (
        "include/linux/gfp_types.h",
        "#endif /* __LINUX_GFP_TYPES_H */",
        "#define ___GFP_PATCHBED 0u\n#endif /* __LINUX_GFP_TYPES_H */",
    ),
}


@dataclass(frozen=True)
class Row:
    """One build: its name, the seconds it took, and what it reused (None: nothing was built)."""

    name: str
    seconds: float
    reuse: Reuse | None = None


@dataclass(frozen=True)
class Bench:
    """Builds of changes to `variant`, in `cache`, with the series below `series`."""

    cache: Cache
    variant: str
    series: Path

    def request(self) -> Request:
        """Return the request for the variant itself."""
        request, _ = plan_build(
            parse(self.variant), "fast", listen=lambda _: None, cache=self.cache
        )
        return request

    def write(self, name: str, request: Request) -> str:
        """Write the version `name` of the series with its change; return its variant."""
        variant = parse(self.variant)
        file, old, new = _CHANGES[name]
        write_edited(request, self.cache, self.series / variant.series / name, file, old, new)
        return f"{variant.base}+{variant.series}@{name}"

    def build(self, name: str, variant: str, series: Path | None = None) -> tuple[Row, Kernel]:
        """Build a variant; return how long it took, and the kernel."""
        sys.stderr.write(f"{name}: {variant}\n")
        began = time.monotonic()
        kernel = obtain(
            parse(variant),
            "fast",
            listen=lambda _: None,
            series_folder=series or paths.KERNEL_PATCHES,
            cache=self.cache,
        )
        taken = time.monotonic() - began
        if kernel.cached:
            raise BenchmarkError(f"{variant} was in a cache that should not know it")
        return Row(name, taken, read_reuse(kernel.meta)), kernel

    def forget(self, kernel: Kernel) -> None:
        """Remove a kernel and its tree; what ccache knows stays."""
        remove_tree(self.cache, self.cache.trees / kernel.key)
        remove(kernel.folder)

    def rows(self) -> Iterator[Row]:
        """Do all that is measured, in order."""
        request = self.request()
        source, header = (self.write(name, request) for name in ("source", "header"))
        yield self.build(COLD, self.variant)[0]
        yield Row(CACHED, _seconds(_command(self.variant), self.cache))
        yield self.build(SOURCE_CHANGED, source, self.series)[0]
        row, kernel = self.build(HEADER_CHANGED, header, self.series)
        yield row
        self.forget(kernel)
        yield self.build(HEADER_AGAIN, header, self.series)[0]


def _command(variant: str) -> list[str]:
    return [sys.executable, "-m", "harness.cli.main", "kernel", "build", variant]


def _seconds(argv: Sequence[str], cache: Cache, folder: Path = paths.PROJECT) -> float:
    """Return how long a command took, with `cache` as the user's."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache.root.parent),
        "PYTHONPATH": str(paths.PROJECT),
    }
    began = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    taken = time.monotonic() - began
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")[-800:]
        raise BenchmarkError(f"{' '.join(argv)}: exit {done.returncode}\n{said}")
    return taken


def peer(bench: Bench) -> Row | None:
    """Return how long `vng --build` takes for the same source, None where it is not installed.

    It builds a configuration of its own, which is larger.
    """
    if shutil.which("vng") is None:
        return None
    sources = sorted(bench.cache.trees.iterdir())
    tree = bench.cache.root.parent / "vng"
    shutil.copytree(
        sources[0] / "linux", tree, symlinks=True, ignore=shutil.ignore_patterns("build")
    )
    sys.stderr.write(f"{PEER}\n")
    return Row(PEER, _seconds(["vng", "--build"], bench.cache, tree))


def report(rows: Sequence[Row], aims: Mapping[str, float] = AIMS) -> str:
    """Return the table of times and ratios to the cold build, and whether the aims are met."""
    cold = next(row.seconds for row in rows if row.name == COLD)
    lines = [f"{'build':26} {'seconds':>8} {'to cold':>8} {'steps':>6} {'ccache':>13}  aim"]
    for row in rows:
        ratio = row.seconds / cold
        reuse = row.reuse
        steps = str(reuse.steps) if reuse else ""
        ccache = f"{reuse.ccache.hits}+{reuse.ccache.misses}" if reuse else ""
        aim = ""
        if row.name in aims:
            aim = f"{aims[row.name]:.0%}: {'met' if ratio <= aims[row.name] else 'missed'}"
        elif row.name == CACHED:
            aim = f"{CACHED_AIM:.0f} s: {'met' if row.seconds < CACHED_AIM else 'missed'}"
        lines.append(
            f"{row.name:26} {row.seconds:8.1f} {ratio:8.1%} {steps:>6} {ccache:>13}  {aim}".rstrip()
        )
    return "\n".join(lines)


@contextmanager
def fresh_cache(parent: Path | None) -> Iterator[Cache]:
    """Give an empty cache below `parent` (the user's cache folder if None), and remove it."""
    parent = parent or paths.cache().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="patchbed-bench-", dir=parent))
    try:
        yield Cache(folder / "patchbed")
    finally:
        remove(folder)


def main(rounds: int, variant: str = "debian-6.1+gfp-unmapped@v1") -> None:
    """Measure once (`rounds` is for benchmarks that take seconds), and print the table."""
    del rounds
    with fresh_cache(None) as cache:
        bench = Bench(cache, variant, cache.root.parent / "series")
        rows = list(bench.rows())
        other = peer(bench)
        sys.stdout.write(report([*rows, *([other] if other else [])]) + "\n")
