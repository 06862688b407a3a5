# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's command line, as a function of kernel, image and machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.guest.machine import Machine

PROGRAM = "qemu-system-x86_64"
# The guest's end of the user network; its host is .2 and the only one it can reach.
ADDRESS = "10.0.2.15"
# fw_cfg items of ours appear in the guest under /sys/firmware/qemu_fw_cfg/by_name/.
FW_CFG = "opt/patchbed"
AUTHORIZED_KEYS = f"{FW_CFG}/authorized_keys"
HOST_KEY = f"{FW_CFG}/host_key"
COMMAND = f"{FW_CFG}/command"

# earlyprintk shows a death before the console driver is there. No `quiet`: it saves nothing and
# hides warnings. panic=-1 resets at once, which QEMU turns into a pause that keeps memory.
KERNEL_ARGS = (
    "console=ttyS0",
    "earlyprintk=ttyS0",
    "panic=-1",
    "oops=panic",
    "secretmem.enable=1",
)
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_ACCELERATORS = {"tcg": "tcg,thread=multi", "kvm": "kvm"}


@dataclass(frozen=True)
class Files:
    """What QEMU opens, by path: /proc/self/fd/N for what it inherits.

    `items` are fw_cfg items: name to file. `monitor` is the descriptor of a socket that speaks
    QMP, -1 for no monitor.
    """

    kernel: str
    initrd: str
    items: tuple[tuple[str, str], ...] = ()
    monitor: int = -1


def kernel_args(machine: Machine, more: Sequence[str] = ()) -> list[str]:
    """Return the kernel's command line on `machine`, with `more` at its end."""
    return [*KERNEL_ARGS, *machine.kernel_args, *more]


def qemu_argv(
    files: Files,
    machine: Machine,
    accelerator: str,
    more: Sequence[str] = (),
    *,
    keep: bool = True,
) -> list[str]:
    """Return the command line that boots `files` on `machine`; `more` are kernel arguments.

    The serial console is on standard output and input. The network reaches nothing but the
    guest's port 22, through a loopback port that QEMU chooses. With `keep`, a guest that stops
    or resets leaves a paused QEMU, so that its memory can be read; else QEMU ends with it.
    """
    argv = [PROGRAM, "-no-user-config", "-nodefaults", "-display", "none"]
    argv += ["-machine", machine.board, "-accel", _ACCELERATORS[accelerator]]
    argv += ["-cpu", machine.cpu, "-smp", str(machine.cpus), "-m", f"{machine.memory_mib}M"]
    if machine.boot == "pvh":
        # qboot knows nothing but to start a kernel, and does it 80 ms sooner than SeaBIOS.
        argv += ["-bios", "qboot.rom"]
    argv += ["-kernel", files.kernel, "-initrd", files.initrd]
    argv += ["-append", " ".join(kernel_args(machine, more))]
    for name, path in files.items:
        argv += ["-fw_cfg", f"name={name},file={path}"]
    argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    if files.monitor >= 0:
        argv += ["-chardev", f"socket,id=monitor,fd={files.monitor}"]
        argv += ["-mon", "chardev=monitor,mode=control"]
    argv += ["-netdev", "user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]
    argv += ["-device", "virtio-net-pci,netdev=net,romfile="]
    argv += ["-action", f"reboot=shutdown,shutdown={'pause' if keep else 'poweroff'}"]
    argv += ["-sandbox", _SANDBOX]
    return argv
