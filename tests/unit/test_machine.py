# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError, UserError
from harness.guest.machine import list_machines, load_machine


@pytest.mark.parametrize("name", list_machines())
def test_every_machine_loads(name: str) -> None:
    assert load_machine(name).memory_mib >= 1024


def test_the_machines_that_plans_name_are_there() -> None:
    assert {"q35-1g", "q35-4g", "q35-8g", "smp-4", "numa-2", "nogbpages"} <= set(list_machines())
    default = load_machine("q35-4g")
    assert (default.memory_mib, default.cpus) == (4096, 2)


def test_an_unknown_machine_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no machine 'vax'[\s\S]*q35-4g"):
        load_machine("vax")


@pytest.mark.parametrize(
    ("text", "key", "word"),
    [
        ("memory_mib = 64", "description", "required"),
        ('description = "x"\nmemory_mib = "4G"', "memory_mib", "integer"),
        ('description = "x"\nmemory_mib = 1', "memory_mib", "64"),
        ('description = "x"\nmemory_mib = 64\ncpus = 0', "cpus", "1"),
        ('description = "x"\nmemory_mib = 64\nboot = "floppy"', "boot", "pvh"),
        ('description = "x"\nmemory_mib = 64\ncpu = "max -S"', "cpu", "pattern"),
        ('description = "x"\nmemory_mib = 64\nmemory = 1', "memory", "memory_mib"),
        ('description = "x"\nmemory_mib = 64\nnodes = 2', "", "evenly"),
        ('description = "x"\nmemory_mib = 64\ndeterministic = true', "", "bzimage"),
        (
            'description = "x"\nmemory_mib = 64\ndisk_mib = 1\n'
            'boot = "bzimage"\ndeterministic = true',
            "",
            "no disk",
        ),
        ("description = ", "", "TOML"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, key: str, word: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_machine("bad", tmp_path)
    assert caught.value.key == key
    assert str(tmp_path / "bad.toml") in str(caught.value)
    assert word in str(caught.value)
