# SPDX-License-Identifier: GPL-2.0-or-later
import re
from pathlib import Path

import pytest

from harness import paths
from harness.errors import ConfigError, UserError
from harness.kernel.fragment import merge, select
from harness.kernel.profile import ProfileTable, list_profiles, load_profile

DOCS = (paths.PROJECT / "docs" / "profiles.md").read_text(encoding="utf-8")


def write(folder: Path, fragments: str) -> None:
    (folder / "profiles.toml").write_text(f'[x]\ndescription = "d"\nfragments = {fragments}\n')
    (folder / "a.config").write_text("CONFIG_A=y\n")
    (folder / "b.config").write_text("CONFIG_B=m\n")


def test_the_projects_own_profiles_can_be_read_and_do_not_contradict_themselves() -> None:
    profiles = list_profiles()
    assert "fast" in profiles
    for name in profiles:
        assert merge(load_profile(name).requests).conflicts == ()


def test_every_profile_and_key_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(\w+)` \| [^|]*\|[^|]*\|$", DOCS, re.MULTILINE)
    assert documented == list(list_profiles())
    keys = re.findall(r"^\| `(\w+)` \| [^|]*\|$", DOCS, re.MULTILINE)
    assert sorted(keys) == sorted(ProfileTable.model_fields)


def test_no_profile_asks_for_what_it_has_already() -> None:
    fast = {request.origin for request in load_profile("fast").requests}
    for name in list_profiles():
        for version in ("6.1", "6.12"):
            seen: dict[tuple[str, str], str] = {}
            for request in select(load_profile(name).requests, version)[0]:
                before = seen.get((request.symbol, request.value))
                # Two fragments that can be had without each other may need the same.
                again = before == request.origin or before in fast
                assert not again, f"{name}: {request.where}"
                seen[request.symbol, request.value] = request.origin


def test_what_says_that_it_overrides_does() -> None:
    said = {
        request.where
        for name in list_profiles()
        for request in load_profile(name).requests
        if request.overrides
    }
    does = {
        conflict.winner.where
        for name in list_profiles()
        for conflict in merge(load_profile(name).requests).overridden
    }
    assert said == does


def test_what_fast_asks_is_asked_in_every_profile() -> None:
    fast = load_profile("fast").requests
    for name in list_profiles():
        assert load_profile(name).requests[: len(fast)] == fast


def test_every_fragment_is_used_by_a_profile() -> None:
    used = {request.origin for name in list_profiles() for request in load_profile(name).requests}
    assert {file.name for file in paths.KERNEL_CONFIG.glob("*.config")} == used


def test_fragments_come_in_order(tmp_path: Path) -> None:
    write(tmp_path, '["b", "a"]')
    profile = load_profile("x", tmp_path)
    assert [request.symbol for request in profile.requests] == ["B", "A"]
    assert profile.start == "tinyconfig"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, '["a", "nosuch"]')
    with pytest.raises(UserError, match="profiles: x"):
        load_profile("y", tmp_path)
    with pytest.raises(ConfigError, match=r"x\.fragments: there is no fragment 'nosuch'"):
        load_profile("x", tmp_path)
    write(tmp_path, "[]")
    with pytest.raises(ConfigError, match="fragments"):
        load_profile("x", tmp_path)


def write_family(folder: Path, tables: str) -> None:
    write(folder, '["a"]')
    with (folder / "profiles.toml").open("a") as file:
        file.write(tables)


def test_a_profile_adds_to_the_one_it_extends(tmp_path: Path) -> None:
    write_family(
        tmp_path,
        '[y]\ndescription = "d"\nextends = "x"\nstart = "allnoconfig"\nfragments = ["b"]\n'
        '[z]\ndescription = "z"\nextends = "y"\nfragments = ["a"]\n',
    )
    profile = load_profile("z", tmp_path)
    assert [request.symbol for request in profile.requests] == ["A", "B", "A"]
    assert (profile.start, profile.description) == ("allnoconfig", "z")
    assert load_profile("x", tmp_path).start == "tinyconfig"


def test_a_profile_that_extends_nothing_or_itself(tmp_path: Path) -> None:
    write_family(
        tmp_path,
        '[p]\ndescription = "d"\nextends = "nosuch"\nfragments = ["b"]\n'
        '[q]\ndescription = "d"\nextends = "r"\nfragments = ["b"]\n'
        '[r]\ndescription = "d"\nextends = "q"\nfragments = ["b"]\n',
    )
    with pytest.raises(ConfigError, match=r"p\.extends: there is no profile 'nosuch'"):
        load_profile("p", tmp_path)
    with pytest.raises(ConfigError, match="in a circle: q -> r -> q"):
        load_profile("q", tmp_path)
