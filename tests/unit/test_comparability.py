# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from harness.measure.comparability import (
    Circumstances,
    defined_symbols,
    differing_fields,
    own_symbols,
)

FACTS = {"compiler": "gcc 12", "QEMU": "7.2"}
BASE = Circumstances(FACTS, {"SECRETMEM": "y", "MODULES": "y"})


def test_the_series_own_lines_are_the_only_excuse() -> None:
    own = own_symbols(["CONFIG_UNMAPPED_ALLOC=y", "# CONFIG_OTHER is not set"])
    assert own == {"UNMAPPED_ALLOC", "OTHER"}
    patched = Circumstances(FACTS, {**BASE.config, "UNMAPPED_ALLOC": "y"}, own)
    assert differing_fields(BASE, {"v1": patched}) == []
    also = Circumstances(FACTS, {**patched.config, "KASAN": "y"}, own)
    assert [str(one) for one in differing_fields(BASE, {"v1": also})] == [
        "v1: CONFIG_KASAN is 'y', not 'not set'"
    ]


def test_what_is_missing_differs_too() -> None:
    less = Circumstances({"compiler": "gcc 12"}, {"MODULES": "y"})
    fields = [one.field for one in differing_fields(BASE, {"v1": less})]
    assert fields == ["QEMU", "CONFIG_SECRETMEM"]


def test_another_compiler_is_named() -> None:
    other = Circumstances({**FACTS, "compiler": "clang 14"}, BASE.config)
    [found] = differing_fields(BASE, {"base": BASE, "v1": other})
    assert (found.variant, found.reference, found.value) == ("v1", "gcc 12", "clang 14")


def test_what_a_patch_defines_is_its_own() -> None:
    patch = "+config ARCH_HAS_X\n+\tbool\n config OLD\n+menuconfig Y\n+\tselect CONFIG_Z\n"
    assert defined_symbols(patch) == {"ARCH_HAS_X", "Y"}
