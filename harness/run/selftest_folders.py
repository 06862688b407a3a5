# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the kernel's own selftests a run needs, built for one variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError
from harness.events import Listener
from harness.kernel.artifact import Kernel
from harness.kernel.selftest_build import obtain_selftests
from harness.kernel.variant import Variant
from harness.run.plan import Plan, selects

# The memory management's collection has two names: it is vm up to 6.2.
_OTHER_NAMES = {"mm": "mm|vm", "vm": "vm|mm"}
_USUAL = "memfd_secret"
# What pytest knows its testcase by.
_NAMES = ("upstream/K1-memfd-secret", "test_selftests.py", "test_memfd_secret", "testcases")


@dataclass(frozen=True)
class SelftestFolders:
    """Where selftests are: `usual` those of the catalogue, or why not; `asked` a collection."""

    usual: Path | None = None
    reason: str = "it was not built: the run's selection leaves it out"
    asked: Path | None = None


def selftests_for(
    kernel: Kernel, variant: Variant, plan: Plan, listen: Listener
) -> SelftestFolders:
    """Return the selftests that `plan` needs of a variant.

    Raises:
        UserError: the variant has no collection of the name that was asked for.
        BuildError: that collection can't be built; the one that the catalogue has is skipped.
        InfrastructureError: the host can't build it.
    """

    def obtain(collection: str, *only: str) -> Path:
        built = obtain_selftests(
            kernel,
            variant,
            collection,
            only=only,
            listen=listen,
            aliases=plan.bases,
            series_folder=plan.kernel_patches,
        )
        return built.folder

    asked = None
    if plan.kselftest:
        asked = obtain(_OTHER_NAMES.get(plan.kselftest, plan.kselftest))
    if "image" in kernel.meta:
        return SelftestFolders(reason=f"{variant} was built elsewhere: its source is not here")
    if not selects(plan.selection, *_NAMES):
        return SelftestFolders(asked=asked)
    try:
        return SelftestFolders(obtain(_OTHER_NAMES["mm"], _USUAL), "", asked)
    except BuildError as error:
        return SelftestFolders(reason="; ".join((error.message, *error.lines[:1])), asked=asked)
