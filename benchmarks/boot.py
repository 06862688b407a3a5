# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed boot ... -- true` each way, whole process, against the bare QEMU it is made of.

The peer is virtme-ng, where it is installed, at its own best: `vng -- uname -r` on a kernel built
with its own config. VNG_KERNEL names that kernel's bzImage; without it vng gets ours.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.alternate import Timing, alternate_calls, ratios, time_together
from harness.guest.image import build_image
from harness.guest.machine import load_machine
from harness.guest.qemu import COMMAND, Files, qemu_argv
from harness.kernel.builder import obtain
from harness.kernel.variant import parse

BARE = "bare QEMU"
OURS = "patchbed boot"
WAYS: Mapping[str, Sequence[str]] = {
    OURS: (),
    f"{OURS} --snapshot": ("--snapshot",),
    f"{OURS} --batch": ("--batch",),
    f"{OURS} --world 1": ("--world", "1"),
}
PEER = "vng -- uname -r"
# So many at once; a way has a row for one and a row for all of them.
TOGETHER = 4
_MACHINE = "q35-4g"


def commands(variant: str, machine: str, folder: Path) -> dict[str, Sequence[str]]:
    """Return what is compared: QEMU alone, ours each way, and virtme-ng where it is installed.

    QEMU alone boots the same kernel with the same initrd and kernel command line; the guest's
    init runs the same command, handed in through fw_cfg, and powers off.
    """
    kernel = obtain(parse(variant), "fast", listen=lambda event: None)
    script = folder / "command"
    script.write_text("true\n", encoding="utf-8")
    files = Files(
        kernel=str(kernel.vmlinux), initrd=str(build_image({})), items=((COMMAND, str(script)),)
    )
    python = [sys.executable, "-m", "harness.cli.main", "boot", "--accel", "tcg"]
    found: dict[str, Sequence[str]] = {
        BARE: qemu_argv(files, load_machine(machine), "tcg", keep=False)
    }
    for name, options in WAYS.items():
        chosen = options if "--world" in options else ("--machine", machine, *options)
        found[name] = [*python, *chosen, variant, "--", "true"]
    if shutil.which("vng"):
        peer = os.environ.get("VNG_KERNEL", str(kernel.bzimage))
        found[PEER] = ["vng", "--disable-kvm", "-r", peer, "--", "uname", "-r"]
    return found


def report(timings: Mapping[str, Timing]) -> str:
    """Return the table of times and ratios, and what several at once gain."""
    over = ratios(timings, BARE)
    lines = [f"{'command':26} {'median s':>9} {'fastest':>9} {'slowest':>9} {'to bare':>8}"]
    lines += [
        f"{name:26} {timing.median:9.2f} {min(timing.seconds):9.2f} "
        f"{max(timing.seconds):9.2f} {over[name]:8.2f}"
        for name, timing in timings.items()
    ]
    lines += ["", f"{'compared':58} {'ratio':>8}"]
    lines += [f"{what:58} {ratio:8.2f}" for what, ratio in comparisons(timings).items()]
    return "\n".join(lines)


def comparisons(timings: Mapping[str, Timing]) -> dict[str, float]:
    """Return the ratios that there are aims for, by what they compare; each within its round."""
    found: dict[str, float] = {f"{OURS} / {BARE}": ratios(timings, BARE)[OURS]}
    restored = f"{OURS} --snapshot"
    if restored in timings:
        found[f"{restored} / {OURS}"] = ratios(timings, OURS)[restored]
    if PEER in timings:
        found[f"{PEER} / {OURS}"] = ratios(timings, OURS)[PEER]
    for name in timings:
        many = together(name)
        if many in timings:
            pace = TOGETHER / ratios({name: timings[name], many: timings[many]}, name)[many]
            found[f"throughput of {TOGETHER} at once / of one: {name}"] = pace
    return found


def together(name: str) -> str:
    """Return the name of the row for several at once."""
    return f"{TOGETHER} x {name}"


def main(rounds: int, variant: str = "debian-6.1", machine: str = _MACHINE) -> None:
    """Measure, and print the table.

    Raises:
        BenchmarkError: a command failed.
    """
    with tempfile.TemporaryDirectory(prefix="patchbed-bench-") as name:
        argvs = commands(variant, machine, Path(name))
        counts = {name: (argv, 1) for name, argv in argvs.items()}
        counts |= {together(name): (argv, TOGETHER) for name, argv in argvs.items() if name != PEER}
        calls = {
            name: functools.partial(time_together, argv, count)
            for name, (argv, count) in counts.items()
        }
        timings = alternate_calls(calls, rounds)
    sys.stdout.write(report(timings) + "\n")
