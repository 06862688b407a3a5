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
# What the port is called that a batch's results leave through, where it is a virtio one.
RESULTS = "patchbed.results"

# earlyprintk shows a death before the console driver is there. No `quiet`: it saves nothing and
# hides warnings. panic=-1 resets at once, which QEMU turns into a pause that keeps memory. The
# format names each line's facility: what a process writes to /dev/kmsg has another than the
# kernel's, whatever it pretends. An NMI that nobody expects, ours, makes it panic, and every
# panic tells what the other CPUs did. no_timer_check: on a host with too much to do the timer of a
# guest may stand still for as long as the kernel waits for it at boot, and it would panic.
KERNEL_ARGS = (
    "console=ttyS0",
    "earlyprintk=ttyS0",
    "console_msg_format=syslog",
    "panic=-1",
    "oops=panic",
    "unknown_nmi_panic",
    "no_timer_check",
    "panic_print=0x40",
    "secretmem.enable=1",
)
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_ACCELERATORS = {"tcg": "tcg,thread=multi", "kvm": "kvm"}
# A CPU that waits skips to its next timer (sleep=off), and the date moves with it (clock=vm).
_COUNTED = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
_DATE = ["-rtc", "base=2024-01-01T00:00:00,clock=vm"]


@dataclass(frozen=True)
class Files:
    """What QEMU opens, by path: /proc/self/fd/N for what it inherits.

    `items` are fw_cfg items: name to file. `monitor` is the descriptor of a socket that speaks
    QMP, -1 for no monitor. `console` is the file that the console is written to, "" for standard
    output; `results` is the file for what leaves through the port of results, "" for no such
    port. `memory` is the file that holds the guest's memory, "" for none: what the guest writes
    stays there if it is `shared`, else it is the guest's own. `disk` is the file behind the
    machine's disk; without, that forgets what is written to it. An `incoming` guest waits for a
    saved state instead of booting. `debugger` is the descriptor of a socket that listens for gdb,
    -1 for none; a `halted` guest waits for that to go on.
    """

    kernel: str
    initrd: str
    items: tuple[tuple[str, str], ...] = ()
    monitor: int = -1
    console: str = ""
    results: str = ""
    memory: str = ""
    shared: bool = False
    disk: str = ""
    incoming: bool = False
    debugger: int = -1
    halted: bool = False


def kernel_args(machine: Machine, more: Sequence[str] = (), tsc_khz: int = 0) -> list[str]:
    """Return the kernel's command line on `machine`, with `more` at its end.

    `tsc_khz` is how fast its time stamp counter runs, 0 for a kernel that has to find out.
    """
    known = [f"tsc_early_khz={tsc_khz}"] if tsc_khz else []
    return [*KERNEL_ARGS, *known, *machine.kernel_args, *more]


def qemu_argv(
    files: Files,
    machine: Machine,
    accelerator: str,
    more: Sequence[str] = (),
    *,
    keep: bool = True,
    world: int = 0,
    tsc_khz: int = 0,
) -> list[str]:
    """Return the command line that boots `files` on `machine`; `more` are kernel arguments.

    The serial console is on standard output and input unless it has a file. The network, which a
    deterministic machine has not, reaches nothing but the guest's port 22, through a loopback
    port that QEMU chooses. With `keep`, a guest that stops or resets leaves a paused QEMU, so
    that its memory can be read; else QEMU ends with it. `world` seeds all that is random on a
    deterministic machine. `tsc_khz` is the frequency of the host's time stamp counter, where it is
    known: under TCG it is the guest's too, unless instructions are counted.
    """
    argv = [PROGRAM, "-no-user-config", "-nodefaults", "-display", "none"]
    argv += ["-machine", machine.board, *_time(machine, accelerator, world)]
    # CPUs of one socket that are of different nodes are insane, says the kernel, and warns.
    cpus = str(machine.cpus) if machine.nodes == 1 else f"{machine.cpus},sockets={machine.nodes}"
    argv += ["-cpu", machine.cpu, "-smp", cpus, *_memory(machine, files)]
    if machine.boot == "pvh":
        # qboot knows nothing but to start a kernel, and does it 80 ms sooner than SeaBIOS.
        argv += ["-bios", "qboot.rom"]
    argv += ["-kernel", files.kernel, "-initrd", files.initrd]
    known = tsc_khz if accelerator == "tcg" and not machine.deterministic else 0
    argv += ["-append", " ".join(kernel_args(machine, more, known))]
    for name, path in files.items:
        argv += ["-fw_cfg", f"name={name},file={path}"]
    argv += [*_ports(files, machine), *_disk(files, machine)]
    if files.monitor >= 0:
        argv += ["-chardev", f"socket,id=monitor,fd={files.monitor}"]
        argv += ["-mon", "chardev=monitor,mode=control"]
    if files.debugger >= 0:
        argv += ["-chardev", f"socket,id=gdb,fd={files.debugger},server=on,wait=off"]
        argv += ["-gdb", "chardev:gdb", *(["-S"] if files.halted else [])]
    if machine.deterministic:
        argv += ["-nic", "none"]
    else:
        argv += ["-netdev", "user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]
        argv += ["-device", "virtio-net-pci,netdev=net,romfile="]
    argv += ["-action", f"reboot=shutdown,shutdown={'pause' if keep else 'poweroff'}"]
    if files.incoming:
        argv += ["-incoming", "defer"]
    argv += ["-sandbox", _SANDBOX]
    return argv


def _time(machine: Machine, accelerator: str, world: int) -> list[str]:
    if machine.deterministic:
        return [*_COUNTED, *_DATE, "-seed", str(world)]
    return ["-accel", _ACCELERATORS[accelerator]]


def _memory(machine: Machine, files: Files) -> list[str]:
    argv = ["-m", f"{machine.memory_mib}M"]
    if files.memory:
        share = "on" if files.shared else "off"
        backend = f"memory-backend-file,id=memory,size={machine.memory_mib}M"
        argv += ["-object", f"{backend},mem-path={files.memory},share={share}"]
        argv += ["-machine", "memory-backend=memory"]
    if machine.nodes == 1:
        return argv
    size, cpus = machine.memory_mib // machine.nodes, machine.cpus // machine.nodes
    for node in range(machine.nodes):
        first = node * cpus
        argv += ["-object", f"memory-backend-ram,id=memory{node},size={size}M"]
        argv += [
            "-numa",
            f"node,nodeid={node},cpus={first}-{first + cpus - 1},memdev=memory{node}",
        ]
    return argv


def _disk(files: Files, machine: Machine) -> list[str]:
    if not machine.disk_mib:
        return []
    backend = f"driver=null-co,size={machine.disk_mib << 20},read-zeroes=on"
    if files.disk:
        backend = f"driver=file,filename={files.disk},locking=off"
    return ["-blockdev", f"{backend},node-name=disk", "-device", "virtio-blk-pci,drive=disk"]


def _ports(files: Files, machine: Machine) -> list[str]:
    """Return the console and the port of results.

    A virtio port is served by another thread, whose moments no instruction count fixes; a
    16550's bytes are taken by the CPU's own.
    """
    console = f"file,path={files.console}" if files.console else "stdio,signal=off"
    argv = ["-chardev", f"{console},id=console", "-serial", "chardev:console"]
    if not files.results:
        return argv
    argv += ["-chardev", f"file,id=results,path={files.results}"]
    if machine.deterministic:
        return [*argv, "-serial", "chardev:results"]
    argv += ["-device", "virtio-serial-pci"]
    return [*argv, "-device", f"virtserialport,chardev=results,name={RESULTS}"]
