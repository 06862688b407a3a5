# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from harness.guest.machine import Machine, load_machine
from harness.guest.qemu import Files, kernel_args, qemu_argv

FILES = Files("/k/vmlinux", "/i.cpio.gz", (("opt/patchbed/host_key", "/proc/self/fd/7"),), 5)
MACHINE = Machine(description="test", memory_mib=1024, cpus=3, kernel_args=("nosmt",))


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


def test_the_kernel_need_not_measure_a_counter_that_is_the_hosts() -> None:
    def told(machine: Machine, accelerator: str, khz: int) -> bool:
        argv = qemu_argv(FILES, machine, accelerator, tsc_khz=khz)
        return f"tsc_early_khz={khz}" in option(argv, "-append").split()

    assert told(MACHINE, "tcg", 2_596_100)
    assert not told(MACHINE, "tcg", 0)
    assert not told(MACHINE, "kvm", 2_596_100)
    assert not told(DETERMINISTIC, "tcg", 2_596_100)


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
    machine = replace(MACHINE, boot="bzimage")
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


DETERMINISTIC = load_machine("deterministic")


def test_a_deterministic_machine_has_nothing_that_another_thread_serves() -> None:
    files = Files("/k/bzImage", "/i", monitor=5, console="/c", results="/r")
    argv = qemu_argv(files, DETERMINISTIC, "tcg", world=7)
    assert option(argv, "-accel") == "tcg,thread=single"
    assert option(argv, "-icount") == "shift=0,sleep=off"
    assert option(argv, "-rtc") == "base=2024-01-01T00:00:00,clock=vm"
    assert option(argv, "-seed") == "7"
    assert option(argv, "-smp") == "1"
    assert option(argv, "-nic") == "none"
    assert "-device" not in argv
    assert "-netdev" not in argv
    serial = [argv[at + 1] for at, word in enumerate(argv) if word == "-serial"]
    assert serial == ["chardev:console", "chardev:results"]
    assert "file,path=/c,id=console" in argv
    assert "file,id=results,path=/r" in argv


def test_nothing_but_the_seed_tells_worlds_apart() -> None:
    one, two = (qemu_argv(FILES, DETERMINISTIC, "tcg", world=world) for world in (1, 2))
    assert [pair for pair in zip(one, two, strict=True) if pair[0] != pair[1]] == [("1", "2")]


def test_results_have_a_port_of_their_own() -> None:
    argv = qemu_argv(Files("k", "i", results="/r"), MACHINE, "tcg")
    assert "virtserialport,chardev=results,name=patchbed.results" in argv
    assert "virtio-serial-pci" not in qemu_argv(Files("k", "i"), MACHINE, "tcg")


def test_nodes_share_memory_and_cpus() -> None:
    argv = qemu_argv(FILES, load_machine("numa-2"), "tcg")
    nodes = [argv[at + 1] for at, word in enumerate(argv) if word == "-numa"]
    assert nodes == [
        "node,nodeid=0,cpus=0-0,memdev=memory0",
        "node,nodeid=1,cpus=1-1,memdev=memory1",
    ]
    assert option(argv, "-m") == "4096M"
    assert "memory-backend-ram,id=memory1,size=2048M" in argv
    assert "-numa" not in qemu_argv(FILES, MACHINE, "tcg")


def test_each_node_has_a_socket_of_its_own() -> None:
    machine = replace(MACHINE, cpus=4, nodes=2)
    assert option(qemu_argv(FILES, machine, "tcg"), "-smp") == "4,sockets=2"


def test_a_disk_is_kept_in_its_file_and_forgets_without_one() -> None:
    machine = load_machine("disk")
    argv = qemu_argv(Files("k", "i", disk="/d"), machine, "tcg")
    assert option(argv, "-blockdev") == "driver=file,filename=/d,locking=off,node-name=disk"
    assert "virtio-blk-pci,drive=disk" in argv
    forgetful = option(qemu_argv(FILES, machine, "tcg"), "-blockdev")
    assert forgetful.startswith(f"driver=null-co,size={machine.disk_mib << 20},")
    assert "-blockdev" not in qemu_argv(FILES, MACHINE, "tcg")


def test_no_gigabyte_pages() -> None:
    assert option(qemu_argv(FILES, load_machine("nogbpages"), "tcg"), "-cpu") == "max,pdpe1gb=off"


def test_a_snapshots_memory_is_shared_while_it_is_made_and_private_after() -> None:
    making = qemu_argv(Files("k", "i", memory="/m", shared=True), MACHINE, "tcg")
    assert "memory-backend-file,id=memory,size=1024M,mem-path=/m,share=on" in making
    assert "memory-backend=memory" in making
    assert "-incoming" not in making
    restoring = qemu_argv(Files("k", "i", memory="/m", incoming=True), MACHINE, "tcg")
    assert "memory-backend-file,id=memory,size=1024M,mem-path=/m,share=off" in restoring
    assert option(restoring, "-incoming") == "defer"
