# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel that we did not configure needs to boot our machines."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

# What our machines have and our init uses, by the symbol that brings it; a module will do for those
# that have one.
NEEDED: Mapping[str, str] = {
    "X86_64": "",
    "MODULES": "",
    "BLK_DEV_INITRD": "",
    "RD_GZIP": "",
    "BINFMT_ELF": "",
    "BINFMT_SCRIPT": "",
    "DEVTMPFS": "",
    "PROC_FS": "",
    "SYSFS": "",
    "TMPFS": "",
    "INET": "",
    "UNIX98_PTYS": "",
    "SERIAL_8250_CONSOLE": "",
    "FW_CFG_SYSFS": "qemu_fw_cfg",
    "VIRTIO_PCI": "virtio_pci",
    "VIRTIO_NET": "virtio_net",
}
# Devices that some machines have: loaded where the kernel has them as modules.
_ALSO = ("virtio_console", "virtio_rng")
_OPEN = {".xz": lzma.decompress}


def lacking(config: Mapping[str, str], has_modules: bool) -> list[str]:
    """Return the symbols that a kernel with `config` lacks to boot our machines."""
    enough = ("y", "m") if has_modules else ("y",)
    return [
        symbol
        for symbol, module in NEEDED.items()
        if config.get(symbol, "n") not in (enough if module else ("y",))
    ]


def write_boot_modules(modules: Path, target: Path) -> list[str]:
    """Copy what must be loaded at boot from `modules` (lib/modules/RELEASE) to `target`.

    Names begin with a number, for their order; modules that are packed are unpacked. Makes
    modules.dep where it is missing. Returns the names of the modules.

    Raises:
        InfrastructureError: depmod is not installed, or fails.
    """
    index = modules / "modules.dep"
    if not index.is_file():
        _depmod(modules)
    wanted = [*(module for module in NEEDED.values() if module), *_ALSO]
    order = load_order(index.read_text(encoding="utf-8"), wanted)
    target.mkdir()
    names = [module_name(path) for path in order]
    for number, (path, name) in enumerate(zip(order, names, strict=True)):
        data = (modules / path).read_bytes()
        (target / f"{number:02}-{name}.ko").write_bytes(_unpacked(path, data))
    return names


def load_order(dependencies: str, wanted: Sequence[str]) -> list[str]:
    """Return the files of the modules called `wanted`, each after those that it depends on.

    `dependencies` is a modules.dep; what it does not name (built in, or not there) is left out.
    """
    lines = (line.partition(":") for line in dependencies.splitlines())
    known = {module_name(path): (path, rest.split()) for path, _, rest in lines}
    order: list[str] = []
    for name in wanted:
        if name in known:
            path, needed = known[name]
            # modules.dep names the nearest first: the last of them depends on none.
            order += [*reversed(needed), path]
    return list(dict.fromkeys(order))


def module_name(path: str) -> str:
    """Return the name of the module in the file `path`, as the kernel has it."""
    return os.path.basename(path).partition(".")[0].replace("-", "_")  # noqa: PTH119


def _unpacked(path: str, data: bytes) -> bytes:
    suffix = Path(path).suffix
    if suffix == ".zst":
        argv = ["zstd", "-dcq"]
        return subprocess.run(argv, input=data, capture_output=True, check=True).stdout
    return _OPEN[suffix](data) if suffix in _OPEN else data


def _depmod(modules: Path) -> None:
    base = modules.parents[2]
    program = shutil.which("depmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise InfrastructureError(
            Outcome.INFRA_WORKER, "depmod is not installed", hint="install the package kmod"
        )
    done = subprocess.run(
        [program, "-b", str(base), modules.name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InfrastructureError(
            Outcome.INFRA_WORKER,
            f"depmod fails for {modules}: {done.stderr.strip()}",
            hint="is the folder whole?",
        )
