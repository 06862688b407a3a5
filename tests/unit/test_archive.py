# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.guest.archive import Entry, folder, link, pack, regular

ENTRIES = {
    "bin/tool": regular(b"#!/bin/sh\n", executable=True),
    "etc/odd": regular(b"123"),
    "etc/empty": regular(b""),
    "root": folder(0o700),
    "sh": link("bin/tool"),
}


def test_cpio_unpacks_it(tmp_path: Path) -> None:
    subprocess.run(
        ["cpio", "--quiet", "-im", "--no-absolute-filenames"],
        input=pack(ENTRIES),
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/odd").read_bytes() == b"123"
    assert (tmp_path / "etc/empty").read_bytes() == b""
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "sh").readlink() == Path("bin/tool")
    assert (tmp_path / "etc/odd").stat().st_mtime == 0


def test_order_does_not_matter() -> None:
    assert pack(dict(reversed(ENTRIES.items()))) == pack(ENTRIES)


def test_a_folder_that_is_given_keeps_its_mode() -> None:
    data = pack({"root/.ssh/x": regular(b""), "root": folder(0o700)})
    assert data.count(b"root\0") == 1
    assert b"070701" + b"%08X%08X" % (1, 0o040700) in data


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}(/[a-z]{1,9}){0,3}", fullmatch=True), st.binary()))
def test_records_are_whole_and_aligned(files: dict[str, bytes]) -> None:
    data = pack({path: Entry(0o100644, content) for path, content in files.items()})
    assert len(data) % 4 == 0
    found: dict[str, bytes] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        start = at + 110 + name_size + -(110 + name_size) % 4
        if name == "TRAILER!!!":
            break
        if fields[1] == 0o100644:
            found[name] = data[start : start + size]
        at = start + size + -size % 4
    assert found == files
