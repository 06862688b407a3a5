# SPDX-License-Identifier: GPL-2.0-or-later
import re
from pathlib import Path

import pytest

from harness.config import Settings, load_toml
from harness.errors import ConfigError
from harness.paths import PROJECT, find_settings


def write(folder: Path, text: str) -> Path:
    file = folder / "patchbed.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_projects_own_plan_is_valid() -> None:
    settings = load_toml(PROJECT / "patchbed.toml", Settings)
    assert settings.plan.variants == [
        "debian",
        "debian+gfp-unmapped@v1",
        "debian+gfp-unmapped@v2",
    ]
    assert settings.plan.profile == "fast"
    assert settings.plan.machine == "q35-4g"


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    settings = load_toml(write(tmp_path, '[plan]\nmachine = "q35-1g"\n'), Settings)
    assert settings.plan.machine == "q35-1g"
    assert settings.plan.variants == ["debian"]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[plan]\nprofil = 'fast'\n", "plan.profil", ["unknown key", "profile", "machine"]),
        ("[plans]\n", "plans", ["unknown key", "plan", "limits", "bases"]),
        ("[plan]\nvariants = 'debian-6.1'\n", "plan.variants", ["list", "'debian-6.1'"]),
        ("[plan]\nvariants = []\n", "plan.variants", ["at least 1"]),
        ("[limits]\nboot = -1.0\n", "limits.boot", ["greater than 0", "-1.0"]),
        ("[limits]\nboot = '60'\n", "limits.boot", ["number"]),
    ],
)
def test_an_error_names_file_key_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, words: list[str]
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_toml(file, Settings)
    message = str(caught.value)
    assert message.startswith(f"{file}: {key}: ")
    for word in words:
        assert word in message
    assert caught.value.exit_code == 2


def test_broken_toml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 3"):
        load_toml(write(tmp_path, "[plan]\nvariants = [\n]]"), Settings)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_toml(tmp_path / "patchbed.toml", Settings)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_settings(below) == file


def test_the_projects_file_is_the_last_resort(tmp_path: Path) -> None:
    assert find_settings(tmp_path) == PROJECT / "patchbed.toml"


def test_the_documentation_names_every_key_and_no_other() -> None:
    text = (PROJECT / "docs" / "patchbed-toml.md").read_text(encoding="utf-8")
    sections = re.split(r"^## `\[(\w+)\]`\n", text, flags=re.MULTILINE)[1:]
    documented = {
        table: set(re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE))
        for table, body in zip(sections[::2], sections[1::2], strict=True)
    }
    for name, info in Settings.model_fields.items():
        keys = set(getattr(info.annotation, "model_fields", {}))
        assert documented.pop(name) == keys
    assert documented == {}


def test_the_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "patchbed-toml.md").read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    assert load_toml(write(tmp_path, example), Settings).limits.test == 300.0
