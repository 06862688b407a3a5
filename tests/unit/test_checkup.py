# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json

import pytest

from harness.run.checkup import (
    Finding,
    examine,
    exit_code,
    lines,
    missing_packages,
    qemu_version,
    show,
)

GOOD = Finding("qemu", True, "7.2", "install it")
BAD = Finding("disk", False, "1 GiB", "make room")
SLOW = Finding("accelerator", False, "tcg", "nothing", needed=False)


def test_only_what_is_needed_decides() -> None:
    assert exit_code([GOOD, SLOW]) == 0
    assert exit_code([GOOD, SLOW, BAD]) == 3


def test_each_that_is_missing_says_what_to_do() -> None:
    text = "\n".join(lines([GOOD, SLOW, BAD]))
    assert "MISSING" in text
    assert "make room" in text
    assert "install it" not in text


def test_json_is_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([GOOD, BAD], as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 3
    assert told["findings"][1] == {
        "name": "disk",
        "ok": False,
        "found": "1 GiB",
        "next": "make room",
        "needed": True,
    }


def test_every_host_can_be_examined() -> None:
    names = [finding.name for finding in examine()]
    assert {"python", "packages", "qemu", "accelerator", "disk", "memory"} <= set(names)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", (7, 2)),
        ("QEMU emulator version 10.0.2", (10, 0)),
        ("bash: command not found", None),
    ],
)
def test_qemu_versions(text: str, version: tuple[int, int] | None) -> None:
    assert qemu_version(text) == version


def test_packages_that_were_removed_are_missing() -> None:
    status = "bc installed\ngcc config-files\n"
    assert missing_packages(["bc", "gcc", "xz-utils"], status) == ["gcc", "xz-utils"]


def test_of_several_packages_one_will_do() -> None:
    wanted = ["linux-source-6.1 | linux-source-6.12"]
    assert missing_packages(wanted, "linux-source-6.12 installed\n") == []
    assert missing_packages(wanted, "") == ["linux-source-6.1"]
