# SPDX-License-Identifier: GPL-2.0-or-later
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.testing.testcase import (
    Need,
    Testcase,
    catalogue_order,
    split_id,
    testcase,
    unmet_need,
    written_ids,
)

PROBE = "/sys/kernel/debug/unmapped_alloc"


def need(
    spec: Testcase,
    *,
    patched: bool = True,
    config: dict[str, str] | None = None,
    probe: str = PROBE,
    probe_found: Callable[[], bool] = lambda: True,
) -> Need | None:
    return unmet_need(
        spec,
        variant="debian-6.1",
        patched=patched,
        config=config or {},
        probe=probe,
        probe_found=probe_found,
    )


def test_a_module_counts_only_where_the_guest_has_it() -> None:
    spec = Testcase("K4-test-bpf", config=("TEST_BPF",))
    for own_modules, reason in (
        (True, None),
        (False, "needs CONFIG_TEST_BPF, here a module, of which its guest has none"),
    ):
        found = unmet_need(
            spec,
            variant="image:debian-6.1",
            patched=False,
            config={"TEST_BPF": "m"},
            own_modules=own_modules,
            probe="",
            probe_found=lambda: False,
        )
        assert (found and found.reason) == reason


def test_a_missing_symbol_is_named() -> None:
    found = need(Testcase("U1-absence", config=("KUNIT",)), config={"KUNIT": "n"})
    assert found == Need("needs CONFIG_KUNIT, which this kernel has not set")


@pytest.mark.parametrize("value", ["y", "m"])
def test_a_symbol_may_be_built_in_or_a_module(value: str) -> None:
    assert need(Testcase("U1-absence", config=("KUNIT",)), config={"KUNIT": value}) is None


def test_without_a_series_the_feature_is_no_failure_and_the_guest_is_not_asked() -> None:
    def ask() -> bool:
        raise AssertionError("the guest was asked")

    found = need(Testcase("U1-absence", needs_feature=True), patched=False, probe_found=ask)
    assert found is not None
    assert not found.broken
    assert "debian-6.1" in found.reason


def test_a_series_that_does_not_show_its_probe_is_broken() -> None:
    found = need(Testcase("U1-absence", needs_feature=True), probe_found=lambda: False)
    assert found is not None
    assert found.broken
    assert PROBE in found.reason


def test_a_series_about_something_else_is_not_asked_for_the_feature() -> None:
    found = need(Testcase("U1-absence", needs_feature=True), probe="", probe_found=lambda: False)
    assert found is not None
    assert not found.broken
    assert "its series.toml has no probe" in found.reason


def test_a_testcase_without_needs_always_runs() -> None:
    assert need(Testcase("M1-sections"), patched=False, probe_found=lambda: False) is None


def test_the_order_is_the_catalogues() -> None:
    wanted = [
        ("gfp_unmapped", "U2-one-block"),
        ("gfp_unmapped", "U10-zero"),
        ("module_alloc", "M1-sections"),
        ("secretmem", "S1-access"),
        ("counters", "V-consistency"),
        ("zebra", "Z1-own"),
    ]
    mixed = wanted[::-1]
    assert sorted(mixed, key=lambda pair: catalogue_order(*pair)) == wanted


@pytest.mark.parametrize("text", ["u1-absence", "U1", "U1 absence", "U1-Absence", ""])
def test_an_id_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no testcase id"):
        testcase(text)


def test_a_file_s_ids_are_those_of_its_decorators(tmp_path: Path) -> None:
    module = tmp_path / "test_some.py"
    module.write_text(
        '@testcase("U1-absence", clean=True)\ndef test_a(): "U2-other"\n\n'
        "@testcase(\n    'V-consistency',\n)\ndef test_b(: not whole yet\n"
        '@testcase("no-id")\n@another("U3-no")\n',
        encoding="utf-8",
    )
    assert written_ids(module) == ["U1-absence", "V-consistency"]


def test_an_id_has_a_letter_a_number_and_a_name() -> None:
    assert split_id("U15-fragmented") == ("U", 15, "fragmented")
    assert split_id("V-all-counters") == ("V", 0, "all-counters")
    with pytest.raises(ValueError, match="'u1-x' is no testcase id"):
        split_id("u1-x")


@given(st.text())
def test_what_is_split_was_an_id(text: str) -> None:
    try:
        letter, number, name = split_id(text)
    except ValueError:
        return
    assert catalogue_order("a", text)[2:4] == (letter, number)
    assert text.endswith(f"-{name}")
