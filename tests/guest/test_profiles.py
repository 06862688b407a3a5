# SPDX-License-Identifier: GPL-2.0-or-later
"""Every profile on the kernels it is for: configured, not built."""

import pytest

from harness.errors import UserError
from harness.kernel.artifact import Kernel
from harness.kernel.configuration import obtain_configuration
from harness.kernel.prebuilt import check_base
from harness.kernel.profile import list_profiles
from harness.kernel.provenance import Configuration, State, differences, lines_of, unasked
from harness.kernel.variant import parse


def configured(variant: str, profile: str) -> Configuration:
    try:
        check_base(parse(variant))
    except UserError as error:
        pytest.skip(str(error))
    return obtain_configuration(parse(variant), profile, listen=lambda _event: None)


@pytest.mark.parametrize("base", ["debian-6.1", "debian-6.12"])
@pytest.mark.parametrize("profile", list_profiles())
def test_every_line_of_a_profile_gets_its_value(base: str, profile: str) -> None:
    lines = lines_of(configured(base, profile))
    refused = {str(line.request): line.reasons for line in lines if line.state is State.REFUSED}
    assert refused == {}


def test_it_is_the_configuration_of_the_kernel_that_is_built(kernel: Kernel) -> None:
    assert configured("debian-6.1", "fast").config == kernel.config()


def test_a_series_differs_by_its_own_lines_only() -> None:
    base, series = (
        configured(variant, "fast") for variant in ("debian-6.1", "debian-6.1+gfp-unmapped@v1")
    )
    (only,) = differences(base, series)
    assert only.symbol == "UNMAPPED_ALLOC"
    assert only.right.words.startswith("asked for by gfp-unmapped@v1:1; default y (mm/Kconfig:")


def test_where_everything_comes_from_is_known() -> None:
    found = unasked(configured("debian-6.1", "debug"))
    words = {origin.symbol: origin.words for origin in found}
    assert words["LOCKDEP"].startswith("selected by PROVE_LOCKING")
    assert [symbol for symbol, said in words.items() if said == "Kconfig's own"] == []
