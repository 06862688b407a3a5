# SPDX-License-Identifier: GPL-2.0-or-later
"""Configurations for another architecture than x86-64."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.errors import BuildError
from harness.kernel.fragment import Request
from harness.outcomes import Outcome

# The symbols that arch/*/Kconfig select themselves by.
ARCHITECTURES = ["ALPHA", "ARC", "ARM", "ARM64", "CSKY", "HEXAGON", "LOONGARCH", "M68K"]
ARCHITECTURES += ["MICROBLAZE", "MIPS", "NIOS2", "OPENRISC", "PARISC", "PPC", "RISCV", "S390"]
ARCHITECTURES += ["SPARC", "SUPERH", "UML", "X86_32", "XTENSA"]


def other_architecture(config: Mapping[str, str]) -> str:
    """Return the symbol of the architecture that `config` is for; "" if that is x86-64."""
    if config.get("X86_64") == "y":
        return ""
    return next((name for name in ARCHITECTURES if config.get(name) == "y"), "")


def refuse_other_architecture(requests: Iterable[Request], variant: str) -> None:
    """Raise build.config where one of `requests` asks for another architecture."""
    for request in requests:
        if request.symbol in ARCHITECTURES and request.value == "y":
            raise BuildError(
                Outcome.BUILD_CONFIG,
                f"{variant}: {request.where} asks for CONFIG_{request.symbol}=y, which is another"
                " architecture",
                hint="patchbed builds x86-64 kernels: take the line out, or use another profile",
            )
