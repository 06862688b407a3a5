# SPDX-License-Identifier: GPL-2.0-or-later
"""Which accelerator QEMU uses, and why: KVM only where a kernel was seen to boot with it."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.errors import InfrastructureError, UserError
from harness.files import replace_text
from harness.guest.qemu import PROGRAM
from harness.outcomes import Outcome

KVM = Path("/dev/kvm")
# All that a probe may take; a kernel that runs under KVM says something within a second.
PROBE_LIMIT = 20.0
PROBE_SILENCE = 5.0

# Boots a kernel with KVM within the limits above: "" if it came up, else what went wrong.
Probe = Callable[[], str]


@dataclass(frozen=True)
class Choice:
    """An accelerator, "kvm" or "tcg", and the reason for it."""

    name: str
    reason: str


def choose_accelerator(wanted: str, probe: Probe | None) -> Choice:
    """Return the accelerator for `wanted`: auto, kvm or tcg.

    For auto, `probe` is run once per host and QEMU and its result remembered in the cache;
    without a probe only what is remembered counts.

    Raises:
        UserError: `wanted` is no accelerator.
        InfrastructureError: kvm is wanted and can't be opened.
    """
    if wanted == "tcg":
        return Choice("tcg", "asked for")
    if wanted not in ("auto", "kvm"):
        raise UserError(f"no accelerator {wanted!r}", hint="choose from: auto, kvm, tcg")
    closed = "" if os.access(KVM, os.R_OK | os.W_OK) else f"{KVM} can't be opened"
    if wanted == "kvm":
        if closed:
            raise InfrastructureError(
                Outcome.INFRA_ACCEL, closed, hint="use the accelerator tcg, or auto"
            )
        return Choice("kvm", "asked for")
    if closed:
        return Choice("tcg", closed)
    return _remembered(probe)


def _remembered(probe: Probe | None) -> Choice:
    folder = paths.cache()
    store = folder / "accelerator.json"
    known = _read(store).get(host())
    if known is None and probe is not None:
        from filelock import FileLock

        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "accelerator.lock"):
            facts = _read(store)
            known = facts.get(host())
            if known is None:
                known = probe()
                replace_text(store, json.dumps(facts | {host(): known}, indent=1))
    if known is None:
        return Choice("tcg", "no kernel has been tried with KVM yet")
    if known:
        return Choice("tcg", f"KVM was tried and failed: {known}")
    return Choice("kvm", "a kernel was seen to boot with KVM")


def host() -> str:
    """Return what a probe's result holds for: this host, its kernel, and this QEMU."""
    program = Path(shutil.which(PROGRAM) or PROGRAM)
    qemu = f"{program.stat().st_size}-{program.stat().st_mtime_ns}" if program.exists() else "none"
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = platform.node()
    return f"{machine} {platform.release()} {qemu}"


def _read(store: Path) -> dict[str, str]:
    try:
        facts = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in facts.items()} if isinstance(facts, dict) else {}
