# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.guest.keys import load_keys, make_keys, save_keys


def test_keys_are_made_for_each_boot() -> None:
    one, two = make_keys(), make_keys()
    assert one.authorized_keys() != two.authorized_keys()
    assert one.host_key() != two.host_key()
    assert one.host_blob() not in one.authorized_keys()


@pytest.mark.skipif(shutil.which("dropbearkey") is None, reason="needs dropbearkey")
def test_dropbear_reads_the_host_key(tmp_path: Path) -> None:
    for _ in range(20):
        keys = make_keys()
        file = tmp_path / "key"
        file.write_bytes(keys.host_key())
        shown = subprocess.run(
            ["dropbearkey", "-y", "-f", file], capture_output=True, text=True, check=True
        )
        line = next(
            line for line in shown.stdout.splitlines() if line.startswith("ecdsa-sha2-nistp256")
        )
        assert base64.b64decode(line.split()[1]) == keys.host_blob()


def test_our_key_is_the_one_that_is_let_in() -> None:
    keys = make_keys()
    name, blob = keys.authorized_keys().split()
    assert name == b"ecdsa-sha2-nistp256"
    assert keys.user_key().get_base64().encode() == blob


def test_saved_keys_are_the_same_again() -> None:
    keys = make_keys()
    again = load_keys(save_keys(keys))
    assert again.authorized_keys() == keys.authorized_keys()
    assert again.host_key() == keys.host_key()


@pytest.mark.parametrize("data", [b"", b"garbage", b"-----END PRIVATE KEY-----\n" * 2])
def test_what_are_no_keys_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        load_keys(data)


def test_one_key_is_not_enough() -> None:
    with pytest.raises(ValueError, match="two keys"):
        load_keys(save_keys(make_keys())[: len(save_keys(make_keys())) // 2 + 1])
