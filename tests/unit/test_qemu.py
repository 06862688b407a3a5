# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from harness.guest.machine import Machine
from harness.guest.qemu import Files, kernel_args, qemu_argv

FILES = Files("/k/vmlinux", "/i.cpio.gz", (("opt/patchbed/host_key", "/proc/self/fd/7"),), 5)
MACHINE = Machine(description="test", memory_mib=1024, cpus=3, kernel_args=["nosmt"])


def option(argv: list[str], name: str) -> str:
    assert argv.count(name) == 1, f"{name} in {argv}"
    return argv[argv.index(name) + 1]


def test_the_machine_is_as_told() -> None:
    argv = qemu_argv(FILES, MACHINE, "tcg")
    assert argv[0] == "qemu-system-x86_64"
    assert option(argv, "-m") == "1024M"
    assert option(argv, "-smp") == "3"
    assert option(argv, "-cpu") == "max"
    assert option(argv, "-accel") == "tcg,thread=multi"
    assert option(argv, "-machine") == "q35"
    assert option(qemu_argv(FILES, MACHINE, "kvm"), "-accel") == "kvm"


def test_it_is_a_function_of_its_arguments() -> None:
    assert qemu_argv(FILES, MACHINE, "tcg") == qemu_argv(FILES, MACHINE, "tcg")


def test_the_guest_reaches_nothing_and_has_no_fixed_port() -> None:
    net = option(qemu_argv(FILES, MACHINE, "tcg"), "-netdev").split(",")
    assert "restrict=on" in net
    assert "hostfwd=tcp:127.0.0.1:0-:22" in net


def test_qemu_itself_is_fenced_in() -> None:
    sandbox = option(qemu_argv(FILES, MACHINE, "tcg"), "-sandbox").split(",")
    assert sandbox[0] == "on"
    assert {"spawn=deny", "elevateprivileges=deny", "obsolete=deny"} <= set(sandbox)


def test_the_kernel_is_started_straight() -> None:
    argv = qemu_argv(FILES, MACHINE, "tcg")
    assert option(argv, "-kernel") == "/k/vmlinux"
    assert option(argv, "-initrd") == "/i.cpio.gz"
    assert option(argv, "-bios") == "qboot.rom"
    assert "virtio-net-pci,netdev=net,romfile=" in argv


def test_qboot_is_not_used_for_what_it_was_not_tried_with() -> None:
    machine = MACHINE.model_copy(update={"boot": "bzimage"})
    assert "-bios" not in qemu_argv(FILES, machine, "tcg")


def test_the_kernel_speaks_from_its_first_byte_and_dies_loudly() -> None:
    words = option(qemu_argv(FILES, MACHINE, "tcg", ["foo=1"]), "-append").split()
    assert words == kernel_args(MACHINE, ["foo=1"])
    assert {"console=ttyS0", "earlyprintk=ttyS0", "panic=-1", "oops=panic"} <= set(words)
    assert "secretmem.enable=1" in words
    assert "quiet" not in words
    assert words[-2:] == ["nosmt", "foo=1"]


@pytest.mark.parametrize(("keep", "end"), [(True, "pause"), (False, "poweroff")])
def test_a_reset_never_boots_again(keep: bool, end: str) -> None:
    action = option(qemu_argv(FILES, MACHINE, "tcg", keep=keep), "-action")
    assert action == f"reboot=shutdown,shutdown={end}"


def test_what_is_handed_in() -> None:
    argv = qemu_argv(FILES, MACHINE, "tcg")
    assert option(argv, "-fw_cfg") == "name=opt/patchbed/host_key,file=/proc/self/fd/7"
    assert "socket,id=monitor,fd=5" in argv
    assert "-mon" not in qemu_argv(Files("k", "i"), MACHINE, "tcg")
