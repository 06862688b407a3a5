# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.guest import image
from harness.guest.image import READY, boot_files, build_image, layout, render_init
from harness.kernel.artifact import Kernel
from harness.paths import INIT

TOOLS = {"busybox": "sh\nbusybox\nmount", "dropbear": ""}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which small scripts stand for the host's busybox, dropbear and ldd."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in TOOLS.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{text}'\n")
    library = tmp_path / "libz.so.1"
    library.write_bytes(b"a library")
    (folder / "ldd").write_text(f"#!/bin/sh\necho ' libz.so.1 => {library} (0x00007f00)'\n")
    for tool in folder.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def unpack(path: Path, to: Path) -> Path:
    data = gzip.decompress(path.read_bytes())
    to.mkdir()
    command = ["cpio", "--quiet", "-i", "--no-absolute-filenames"]
    subprocess.run(command, input=data, cwd=to, check=True)
    return to


def test_it_holds_the_system_and_the_files(tools: Path, tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    module = tmp_path / "x.ko"
    module.write_bytes(b"module")
    made = build_image({"/patchbed/bin/prog": program, "/patchbed/modules/x.ko": module})
    root = unpack(made, tmp_path / "root")
    assert (root / "patchbed/bin/prog").read_bytes() == b"\x7fELF"
    assert os.access(root / "patchbed/bin/prog", os.X_OK)
    assert (root / "patchbed/modules/x.ko").stat().st_mode & 0o777 == 0o644
    assert (root / "bin/mount").readlink() == Path("busybox")
    assert (root / "bin/busybox").is_file()
    assert not (root / "bin/busybox").is_symlink()
    assert (root / "usr/sbin/dropbear").is_file()
    assert (root / str(tmp_path / "libz.so.1").lstrip("/")).read_bytes() == b"a library"
    assert os.access(root / "init", os.X_OK)


def test_the_same_input_gives_the_same_bytes(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_image({"/a": tools / "ldd"})
    copy = tmp_path / "other-ldd"
    shutil.copy(tools / "ldd", copy)
    os.utime(copy, (1, 1))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    second = build_image({"/a": copy})
    assert first != second
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_it_is_made_once(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_image({})
    monkeypatch.setattr(image, "_collect", lambda _files: pytest.fail("made again"))
    assert build_image({}) == first


def test_a_changed_file_makes_another(tools: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    first = build_image({"/f": file})
    file.write_bytes(b"two")
    second = build_image({"/f": file})
    assert first != second
    assert first.is_file()


def test_an_image_that_was_removed_is_made_again(tools: Path) -> None:
    first = build_image({})
    first.unlink()
    assert build_image({}).is_file()


def test_a_damaged_index_is_no_trouble(tools: Path, tmp_path: Path) -> None:
    first = build_image({})
    for index in first.parent.glob("*.json"):
        index.write_text('{"image": 3, "sources": [')
    assert build_image({}) == first


def test_nothing_is_left_beside_the_image(tools: Path) -> None:
    folder = build_image({}).parent
    assert sorted(path.suffix for path in folder.iterdir()) == [".gz", ".json"]


def test_a_missing_program_names_its_package(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which

    def which(name: str, **options: str) -> str | None:
        return None if name == "dropbear" else real(name, **options)

    monkeypatch.setattr(image.shutil, "which", which)
    with pytest.raises(InfrastructureError, match="dropbear-bin"):
        build_image({})


def test_a_missing_file_is_named(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"no-such\.ko"):
        build_image({"/x": tmp_path / "no-such.ko"})


def test_init_says_that_it_is_ready_and_mounts_what_tests_need() -> None:
    init = render_init((INIT / "init.j2").read_text())
    assert init.startswith("#!/bin/sh\n")
    assert f"'<5>{READY}' > /dev/kmsg" in init
    subprocess.run(["sh", "-n"], input=init.encode(), check=True)
    fstab = layout()["etc/fstab"].data.decode()
    assert {line.split()[1] for line in fstab.splitlines()} >= {
        "/proc",
        "/sys",
        "/sys/kernel/debug",
        "/tmp",
    }


def make_kernel(folder: Path, **meta: object) -> Kernel:
    """Return a kernel whose entry holds a module to boot with, and modules of its own."""
    own = folder / "modules" / "lib" / "modules" / "6.1.0"
    for name in ("boot/00-virtio.ko", f"{own}/kernel/lib/test_bpf.ko", f"{own}/modules.dep.bin"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (own / "modules.dep").write_bytes(b"")
    return Kernel("key", "debian-6.1", "wide", "6.1.0", "tree", "gcc", folder, meta=meta)


def test_a_kernel_of_ours_has_its_modules_where_modprobe_looks(tmp_path: Path) -> None:
    assert sorted(boot_files(make_kernel(tmp_path))) == [
        "/lib/modules/6.1.0/kernel/lib/test_bpf.ko",
        "/lib/modules/6.1.0/modules.dep",
        "/patchbed/boot/00-virtio.ko",
    ]


def test_of_a_distribution_s_kernel_no_more_than_it_boots_with(tmp_path: Path) -> None:
    assert list(boot_files(make_kernel(tmp_path, image="debian"))) == [
        "/patchbed/boot/00-virtio.ko"
    ]
