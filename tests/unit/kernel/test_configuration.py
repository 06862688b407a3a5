# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuring without building, on the kernel tree in small, and `patchbed kernel config`."""

import functools
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness.cli.kernel_config import config
from harness.errors import BuildError, ConfigError, UserError
from harness.kernel.configuration import entries, obtain_configuration
from harness.kernel.listing import KCONFIG, list_items, remove_items
from harness.kernel.provenance import Configuration, State, lines_of
from harness.kernel.request import Where
from harness.kernel.variant import parse
from tests.unit.kernel.project import Project


def obtain(project: Project, variant: str = "mini", profile: str = "fast") -> Configuration:
    return obtain_configuration(
        parse(variant),
        profile,
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
    )


def test_it_is_what_a_build_has(project: Project) -> None:
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=y\n")
    found = obtain(project)
    assert "compile" not in project.phases()
    assert found.config == project.obtain().config()
    assert found.start["TINY"] == "y"
    assert [line.state for line in lines_of(found)] == [State.GRANTED, State.GRANTED]


def test_the_second_time_nothing_is_made(project: Project) -> None:
    first = obtain(project)
    assert {"check out", "read Kconfig", "configure"} <= set(project.phases())
    project.events.clear()
    assert obtain(project) == first
    assert project.phases() == []


def test_another_profile_uses_the_same_files(project: Project) -> None:
    obtain(project)
    project.events.clear()
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_SLOW=y\n")
    assert obtain(project).value("SLOW") == "y"
    assert project.phases() == ["configure"]


def test_a_result_that_is_damaged_is_made_again(project: Project) -> None:
    first = obtain(project)
    (result,) = project.cache.root.glob("kconfig/*/final/*.json")
    result.write_text("{")
    assert obtain(project) == first


def test_only_what_configuring_reads_is_checked_out(project: Project) -> None:
    obtain(project)
    (source,) = project.cache.root.glob("kconfig/*/linux")
    assert (source / "arch/x86/Kconfig").is_file()
    assert not (source / "mm/pages.c").exists()
    assert list(project.cache.work.glob("*/")) == []


def test_what_is_kept_is_listed_and_can_go(project: Project) -> None:
    first = obtain(project)
    (item,) = (item for item in list_items(project.cache) if item.kind == KCONFIG)
    assert [item.folder] == entries(project.cache)
    with project.cache.hold(f"kconfig-{item.key[:32]}", "a test", lambda _holder: None):
        assert remove_items(project.cache, [item]) == []
    assert remove_items(project.cache, [item]) == [item]
    assert entries(project.cache) == []
    assert obtain(project) == first


def test_a_series_brings_symbols_and_lines(project: Project) -> None:
    new = 'config FROM_SERIES\n\tbool "New"\n\nconfig SLOW'
    folder = project.edit({"Kconfig": ("config SLOW", new)})
    (folder.parent / "series.toml").write_text(
        'title = "A fix"\nconfig = ["CONFIG_FROM_SERIES=y"]\n', encoding="utf-8"
    )
    last = lines_of(obtain(project, "mini+fix@v1"))[-1]
    assert (last.request.where, last.became) == ("fix@v1:1", "y")
    assert "FROM_SERIES" not in obtain(project).tree.definitions


def test_what_fails_names_its_log_and_leaves_nothing(project: Project) -> None:
    project.edit({"Kconfig": ("config SLOW", "config SLOWER")})
    (project.source / "Kconfig").write_text("config OTHER\n")
    project.pack()
    with pytest.raises(BuildError, match=r"does not apply"):
        obtain(project, "mini+fix@v1")
    assert not list(project.cache.root.glob("kconfig/*"))


def test_an_image_has_no_profile(project: Project) -> None:
    with pytest.raises(UserError, match="was configured by whoever built it"):
        obtain(project, "image:debian-6.1")


def test_a_bad_line_is_named(project: Project) -> None:
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=perhaps\n")
    with pytest.raises(ConfigError, match=r"basic\.config: line 2: 'CONFIG_CHILD=perhaps'"):
        obtain(project)


@pytest.fixture
def command(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Command":
    """Return the command, with the small project's folders and cache in place of ours."""
    monkeypatch.setattr(
        "harness.kernel.request.Where",
        functools.partial(Where, series=project.patches, config=project.config),
    )
    monkeypatch.setattr("harness.kernel.configuration.default_cache", lambda: project.cache)
    (tmp_path / "patchbed.toml").write_text(f'[bases]\nmini = "{project.bases["mini"]}"\n')
    monkeypatch.chdir(tmp_path)
    return Command()


class Command:
    """`kernel config` as it is called; what it raises comes out."""

    def __init__(self) -> None:
        self._app = typer.Typer()
        self._app.command()(config)
        self.output = ""

    def __call__(self, *arguments: str) -> str:
        result = CliRunner().invoke(self._app, list(arguments))
        self.output = result.stdout
        if result.exception is not None:
            raise result.exception
        return self.output


def test_the_command_tells_each_line(project: Project, command: Command) -> None:
    project.fragment("basic", "CONFIG_PARENT=y\n# since 6.5: new\nCONFIG_CHILD=y\n")
    told = command("mini").splitlines()
    assert told == [
        "basic.config:1  CONFIG_PARENT=y: is y",
        "basic.config:3  CONFIG_CHILD=y: not for this kernel: only for kernels since 6.5: new",
        "mini, profile fast, over tinyconfig: 2 lines: 1 granted, 1 left out."
        " 2 symbols more are set; --all shows them, a SYMBOL's name explains it.",
    ]
    assert "-               CONFIG_ALWAYS=y: default y (Kconfig:9)" in command("mini", "--all")
    assert "-               CONFIG_TINY=y: as tinyconfig has it" in command("mini", "--all")


def test_the_command_ends_with_2_where_a_line_is_refused(
    project: Project, command: Command
) -> None:
    project.fragment("basic", "CONFIG_CHILD=y\nCONFIG_PARENNT=y\n")
    with pytest.raises(UserError, match="not the value asked for: CONFIG_CHILD, CONFIG_PARENNT"):
        command("mini")
    assert command.output.splitlines()[:4] == [
        "basic.config:1  CONFIG_CHILD=y: REFUSED, is n",
        "                  depends on PARENT (Kconfig:5): PARENT is n",
        "basic.config:2  CONFIG_PARENNT=y: REFUSED, is n",
        "                  this kernel has no symbol PARENNT (near: PARENT)",
    ]
    with pytest.raises(UserError):
        command("mini", "--json")
    (child, _) = json.loads(command.output)["lines"]
    assert child == {
        "symbol": "CHILD",
        "wanted": "y",
        "asked_by": "basic.config:1",
        "became": "n",
        "state": "refused",
        "reasons": ["depends on PARENT (Kconfig:5): PARENT is n"],
    }


def test_the_command_explains_a_symbol(command: Command) -> None:
    assert command("mini", "CONFIG_ALWAYS", "CHILD").splitlines() == [
        "CONFIG_ALWAYS=y",
        "  bool, no prompt (Kconfig:9)",
        "  is y: default y (Kconfig:9)",
        "# CONFIG_CHILD is not set",
        '  bool, "A child" (Kconfig:5)',
        "  depends on PARENT",
        "  is n: no fragment asks for it, and no default sets it",
    ]
    (told,) = json.loads(command("mini", "ALWAYS", "--json"))
    assert (told["symbol"], told["value"], told["from"]) == ("ALWAYS", "y", "default y (Kconfig:9)")
    with pytest.raises(UserError, match=r"no symbol ALWAYSS \(near: ALWAYS"):
        command("mini", "ALWAYSS")


def test_the_command_compares_profiles_and_variants(project: Project, command: Command) -> None:
    with (project.config / "profiles.toml").open("a") as file:
        file.write('[slow]\ndescription = "d"\nextends = "fast"\nfragments = ["slow"]\n')
    project.fragment("slow", "CONFIG_SLOW=y\n# overrides: alone\n# CONFIG_PARENT is not set\n")
    told = command("mini", "-p", "slow", "--diff", "mini").splitlines()
    assert told == ["0 symbols differ between mini (slow) and mini (slow)"]
    told = command("mini", "-p", "slow", "--diff", "fast").splitlines()
    assert told == [
        "CONFIG_PARENT: n -> y: asked for by basic.config:1",
        "CONFIG_SLOW: y -> n: was asked for by slow.config:1",
        "2 symbols differ between mini (slow) and mini (fast)",
    ]
    with pytest.raises(UserError, match="no base is called 'sloww'") as caught:
        command("mini", "--diff", "sloww")
    assert caught.value.hint.endswith("or a profile: fast, slow")
    document = json.loads(command("mini", "--diff", "slow", "--json"))
    assert document["right"] == {"variant": "mini", "profile": "slow"}
    assert [each["symbol"] for each in document["differences"]] == ["PARENT", "SLOW"]


def test_the_command_names_the_profiles_there_are(command: Command) -> None:
    with pytest.raises(UserError, match="no profile is called 'nosuch'") as caught:
        command("mini", "-p", "nosuch")
    assert caught.value.hint == "profiles: fast"
