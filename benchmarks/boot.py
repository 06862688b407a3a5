# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed boot ... -- true`, whole process, against the bare QEMU command line that it uses."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alternate import Timing, alternate, ratios
from harness.guest.image import build_image
from harness.guest.machine import load_machine
from harness.guest.qemu import COMMAND, Files, qemu_argv
from harness.kernel.builder import obtain
from harness.kernel.variant import parse

BARE = "bare QEMU"
OURS = "patchbed boot"
PEER = "vng"


def commands(variant: str, machine: str, folder: Path) -> dict[str, Sequence[str]]:
    """Return what is compared: ours, QEMU alone, and virtme-ng where it is installed.

    QEMU alone boots the same kernel with the same initrd and kernel command line; the guest's
    init runs the same command, handed in through fw_cfg, and powers off.
    """
    kernel = obtain(parse(variant), "fast", listen=lambda event: None)
    script = folder / "command"
    script.write_text("true\n", encoding="utf-8")
    files = Files(
        kernel=str(kernel.vmlinux), initrd=str(build_image({})), items=((COMMAND, str(script)),)
    )
    python = [sys.executable, "-m", "harness.cli.main"]
    found: dict[str, Sequence[str]] = {
        BARE: qemu_argv(files, load_machine(machine), "tcg", keep=False),
        OURS: [*python, "boot", "--machine", machine, "--accel", "tcg", variant, "--", "true"],
    }
    if shutil.which("vng"):
        found[PEER] = ["vng", "--disable-kvm", "-r", str(kernel.bzimage), "--", "true"]
    return found


def report(timings: dict[str, Timing]) -> str:
    """Return the table of times and ratios."""
    over = ratios(timings, BARE)
    lines = [f"{'command':16} {'median s':>9} {'fastest':>9} {'slowest':>9} {'to bare':>8}"]
    lines += [
        f"{name:16} {timing.median:9.2f} {min(timing.seconds):9.2f} "
        f"{max(timing.seconds):9.2f} {over[name]:8.2f}"
        for name, timing in timings.items()
    ]
    return "\n".join(lines)


def main(rounds: int, variant: str = "debian-6.1", machine: str = "q35-4g") -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory(prefix="patchbed-bench-") as name:
        timings = alternate(commands(variant, machine, Path(name)), rounds)
    sys.stdout.write(report(timings) + "\n")
