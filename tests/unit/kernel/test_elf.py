# SPDX-License-Identifier: GPL-2.0-or-later
import errno
import subprocess
from pathlib import Path

import pytest

from harness.kernel.elf import strip_debug


@pytest.fixture
def made(tmp_path: Path) -> Path:
    source = tmp_path / "x.c"
    source.write_text("static char page[1 << 20] = {1};\nchar *f(void) { return page; }\n")
    subprocess.run(["gcc", "-g", "-c", "x.c"], cwd=tmp_path, check=True)
    return tmp_path / "x.o"


def test_debug_information_goes_and_the_rest_stays(made: Path, tmp_path: Path) -> None:
    assert b".debug_info" in made.read_bytes()
    strip_debug(made, tmp_path / "y.o")
    assert b".debug_info" not in (tmp_path / "y.o").read_bytes()
    assert b".debug_info" in made.read_bytes()


def test_a_full_disk_is_called_so(made: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            strip_debug(made, small / "y.o")
        assert caught.value.errno == errno.ENOSPC
    finally:
        subprocess.run(["umount", str(small)], check=True)
