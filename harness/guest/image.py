# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's root file system: made from the host's packages, the same bytes each time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness import paths
from harness.errors import InfrastructureError
from harness.files import replace_bytes, replace_text
from harness.guest import qemu
from harness.guest.archive import Entry, folder, link, pack, regular
from harness.kernel.filestate import stamp
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.kernel.artifact import Kernel

# Said on the console as soon as commands are taken.
READY = "patchbed: ready"
BIN = "/patchbed/bin"
MODULES = "/patchbed/modules"
# The kernel's own modules, where modprobe looks for them.
OWN_MODULES = "/lib/modules"
# Modules that init loads before all else, in the order of their names.
BOOT_MODULES = "/patchbed/boot"
# A batch's steps, and the program that does them; see harness/guest/batch.py.
PLAN = "/patchbed/plan"
AGENT = "/patchbed/batch"
# Tells a restored guest the time and something random; see harness/guest/snapshot.py.
RESUME = "/patchbed/resume"
PATH = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
# What the guest sees of QEMU's fw_cfg items.
ITEMS = "/sys/firmware/qemu_fw_cfg/by_name"

_RECIPE = 1
# QEMU opens an image itself where that is not handed to it, and is nobody.
_READABLE = 0o644
_PACKAGES = {"busybox": "busybox-static", "dropbear": "dropbear-bin"}
_INIT = "init.j2"
_MOUNTS = (
    ("/dev", "devtmpfs"),
    ("/proc", "proc"),
    ("/sys", "sysfs"),
    ("/sys/kernel/debug", "debugfs"),
    ("/tmp", "tmpfs"),  # noqa: S108
    ("/run", "tmpfs"),
)
_LIBRARY = re.compile(r"(/\S+) \(0x[0-9a-f]+\)")


def build_image(files: Mapping[str, Path]) -> Path:
    """Return an image that holds `files` (path in the guest to file here), busybox and dropbear.

    It is a gzip-compressed cpio archive in the cache, named by what is in it. A file that may be
    executed here may be executed there.

    Raises:
        InfrastructureError: a program or a file is missing, or the cache can't be written.
    """
    images = paths.cache() / "images"
    index = images / f"{_digest(_request(files))}.json"
    known = _look_up(index)
    if known is not None:
        return known
    try:
        images.mkdir(parents=True, exist_ok=True)
        sources, entries = _collect(files)
        seen = {str(path): stamp(path) for path in sources}
        data = pack(entries)
        image = images / f"{hashlib.sha256(data).hexdigest()[:32]}.cpio.gz"
        if not image.is_file():
            replace_bytes(image, gzip.compress(data, 6, mtime=0), _READABLE)
        replace_text(index, json.dumps({"image": image.name, "sources": seen}))
    except OSError as error:
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"can't make the guest's image: {error}",
            hint=f"is {error.filename or images} there, and is there room on its disk?",
        ) from error
    return image


def boot_files(kernel: Kernel) -> dict[str, Path]:
    """Return the modules in every guest of `kernel`: guest path to file here.

    What it needs to boot our machines; and all of its own, for modprobe, unless it was built
    elsewhere: a distribution's kernel has thousands.
    """
    files = {f"{BOOT_MODULES}/{file.name}": file for file in kernel.boot_modules()}
    if "image" in kernel.meta:
        return files
    top = kernel.modules / "lib" / "modules"
    # busybox's modprobe reads the indices that are text.
    own = (file for file in sorted(top.rglob("*")) if file.is_file() and file.suffix != ".bin")
    return files | {f"{OWN_MODULES}/{file.relative_to(top)}": file for file in own}


def render_init(template: str) -> str:
    """Return the guest's first process from its jinja2 `template`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(template).render(
        path=PATH,
        address=qemu.ADDRESS,
        authorized_keys=f"{ITEMS}/{qemu.AUTHORIZED_KEYS}/raw",
        host_key=f"{ITEMS}/{qemu.HOST_KEY}/raw",
        command=f"{ITEMS}/{qemu.COMMAND}/raw",
        boot_modules=BOOT_MODULES,
        plan=PLAN,
        agent=AGENT,
        ready=READY,
    )


def layout() -> dict[str, Entry]:
    """Return the folders and small files that every image has."""
    fstab = "".join(f"{kind} {where} {kind} defaults 0 0\n" for where, kind in _MOUNTS)
    entries = {where.lstrip("/"): folder() for where, _kind in _MOUNTS}
    return entries | {
        "etc/fstab": regular(fstab.encode()),
        "etc/group": regular(b"root:x:0:\n"),
        "etc/hosts": regular(b"127.0.0.1 localhost\n"),
        "etc/passwd": regular(b"root:x:0:0:root:/root:/bin/sh\n"),
        "etc/profile": regular(f"export PATH={PATH} PS1='\\w # '\n".encode()),
        "etc/shells": regular(b"/bin/sh\n"),
        BIN.lstrip("/"): folder(),
        MODULES.lstrip("/"): folder(),
        "root": folder(0o700),
        "root/.ssh": folder(0o700),
        "var/run": link("../run"),
    }


def _request(files: Mapping[str, Path]) -> bytes:
    """Return all that decides what is in an image, but for the files' own contents."""
    names = sorted((where, str(path)) for where, path in files.items())
    return json.dumps([_RECIPE, str(paths.INIT), os.environ.get("PATH"), names]).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _look_up(index: Path) -> Path | None:
    """Return the image that `index` names, if all that went into it is as it was then."""
    try:
        facts = json.loads(index.read_bytes())
        unchanged = all(stamp(Path(path)) == state for path, state in facts["sources"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    image = index.parent / str(facts["image"])
    return image if unchanged and image.is_file() else None


def _collect(files: Mapping[str, Path]) -> tuple[list[Path], dict[str, Entry]]:
    """Return the files to read, and the image's entries."""
    busybox, dropbear = _program("busybox"), _program("dropbear")
    template = paths.INIT / _INIT
    placed = {"bin/busybox": busybox, "usr/sbin/dropbear": dropbear}
    placed |= {str(path).lstrip("/"): path for path in _libraries(dropbear)}
    placed |= {where.lstrip("/"): path for where, path in files.items()}
    entries = layout()
    entries |= {f"bin/{name}": link("busybox") for name in _applets(busybox)}
    entries |= {where: _read(path) for where, path in placed.items()}
    init = render_init(template.read_text(encoding="utf-8"))
    entries["init"] = regular(init.encode(), executable=True)
    return [template, *placed.values()], entries


def _read(path: Path) -> Entry:
    return regular(path.read_bytes(), executable=os.access(path, os.X_OK))


def _program(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise InfrastructureError(
            Outcome.INFRA_QEMU,
            f"no {name} for the guest's image",
            hint=f"install the package {_PACKAGES[name]}",
        )
    return Path(found)


def _applets(busybox: Path) -> Iterable[str]:
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise InfrastructureError(Outcome.INFRA_QEMU, f"{busybox} --list failed: {listed.stderr}")
    return (name for name in listed.stdout.split() if name != "busybox")


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise InfrastructureError(Outcome.INFRA_QEMU, f"ldd {program} failed: {listed.stderr}")
    return [Path(path) for path in _LIBRARY.findall(listed.stdout)]
