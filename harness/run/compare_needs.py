# SPDX-License-Identifier: GPL-2.0-or-later
"""What workloads need of a kernel's configuration, and who has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import paths
from harness.errors import UserError
from harness.kernel.profile import list_profiles, load_profile
from harness.measure.workload import Workload


def check_needs(
    workloads: Sequence[Workload],
    configs: Mapping[str, Mapping[str, str]],
    profile: str,
    folder: Path = paths.KERNEL_CONFIG,
) -> None:
    """Refuse workloads that a kernel can't do.

    `configs` are the kernels' configurations by variant, symbols without CONFIG_; `profile` is
    what they were built with.

    Raises:
        UserError: some lack a symbol; the message says which, the hint which profiles have it.
    """
    lines: list[str] = []
    wanted: dict[str, None] = {}
    for workload in workloads:
        lacking = {name: workload.lacks(config) for name, config in configs.items()}
        for symbols in dict.fromkeys(tuple(each) for each in lacking.values() if each):
            who = ", ".join(name for name, each in lacking.items() if tuple(each) == symbols)
            names = ", ".join(f"CONFIG_{symbol}" for symbol in symbols)
            lines.append(f"workload {workload.name} needs {names}, not set in {who}")
            wanted |= dict.fromkeys(symbols)
    if not lines:
        return
    having = profiles_with(list(wanted), folder)
    names = f"another profile than {profile} with -p: {', '.join(having)}" if having else ""
    raise UserError("; ".join(lines), hint=f"take {names or 'another workload with -w'}")


def profiles_with(symbols: Sequence[str], folder: Path = paths.KERNEL_CONFIG) -> list[str]:
    """Return the profiles that ask for all of `symbols` (without CONFIG_), in the file's order.

    Raises:
        ConfigError: a profile or a fragment can't be used.
    """
    having: list[str] = []
    for name in list_profiles(folder):
        asked = {one.symbol for one in load_profile(name, folder).requests if one.value != "n"}
        if asked.issuperset(symbols):
            having.append(name)
    return having
