# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from harness import paths
from harness.errors import ConfigError, UserError
from harness.kernel.fragment import merge
from harness.kernel.profile import list_profiles, load_profile


def write(folder: Path, fragments: str) -> None:
    (folder / "profiles.toml").write_text(f'[x]\ndescription = "d"\nfragments = {fragments}\n')
    (folder / "a.config").write_text("CONFIG_A=y\n")
    (folder / "b.config").write_text("CONFIG_B=m\n")


def test_the_projects_own_profiles_can_be_read_and_do_not_contradict_themselves() -> None:
    profiles = list_profiles()
    assert "fast" in profiles
    for name in profiles:
        assert merge(load_profile(name).requests).conflicts == ()


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
