# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands in a guest: status, standard output and standard error apart, and limits that hold."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import socket
import threading
import time
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Self

from harness.errors import CommandTimeout, InfrastructureError
from harness.guest.completed import Completed
from harness.guest.image import PATH
from harness.guest.keys import KIND, BootKeys
from harness.guest.ssh import Channel, SSHException, Transport
from harness.outcomes import Outcome

# The exchanges that cost the guest least, measured under TCG; the first common one is taken.
_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
_CIPHERS = ("aes128-ctr",)
_MACS = ("hmac-sha1", "hmac-sha2-256")
_HOST_KEYS = (KIND,)

# How long a process may take to obey SIGTERM, and to vanish after SIGKILL.
_OBEY = 1.0
# How long the guest may take to take a command at all, on a loaded host.
_TAKE = 20.0
# And to let us in: it computes the keys, beside other guests on a host with too few cores for all.
_LET_IN = 90.0
_LONGEST = 3600.0
_STEP = 0.1
_CHUNK = 1 << 16
_WINDOW = 1 << 21
_MARK = "PATCHBED_COMMAND"


class Shell:
    """A connection to a guest's shell through the loopback `port`.

    `check` raises what has become of the guest, if anything has; `wake` is a descriptor that is
    readable from then on. `examine` is called with what was seen when the guest does not answer
    although nothing is known of it: it may find out more, and `check` raises it then.
    """

    def __init__(
        self,
        port: int,
        keys: BootKeys,
        check: Callable[[], None],
        wake: int,
        examine: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        self._check = check
        self._wake = wake
        self._examine = examine
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._transport = self._connect(port, keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transport.close()

    def run(self, command: str, *, timeout: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run `command` in the guest's shell with `stdin`; return how it ended.

        Raises:
            CommandTimeout: it took longer than `timeout` seconds; it was killed, with all that
                it started.
            GuestDied, InfrastructureError: what has become of the guest meanwhile.
        """
        with self.start(command) as process:
            process.feed(stdin)
            return process.wait(timeout)

    def start(self, command: str) -> Process:
        """Start `command` in the guest's shell, in a session of its own, and don't wait."""
        mark = f"{_MARK}={next(self._numbers)}."
        # The outer shell stays to turn a death by signal into a status: without the `exit` it
        # would be replaced, and paramiko does not understand the message that would come then.
        line = f"PATH={PATH} {mark} setsid sh -c {shlex.quote(command)}; exit $?"
        return Process(self, self.channel(line), command, mark)

    def channel(self, line: str) -> Channel:
        """Return a channel on which the guest runs `line`.

        Raises:
            GuestDied, InfrastructureError: the guest takes no more commands.
        """
        self._check()
        try:
            channel = self._transport.open_session(window_size=_WINDOW, timeout=_TAKE)
            channel.exec_command(line)
        except (SSHException, EOFError, OSError) as error:
            raise self.lost(f"the guest takes no command: {error}") from error
        return channel

    def terminal(self, kind: str, columns: int, lines: int) -> Channel:
        """Return a channel with a login shell on a terminal of that kind and size."""
        self._check()
        try:
            channel = self._transport.open_session(timeout=_TAKE)
            channel.get_pty(kind, columns, lines)
            channel.invoke_shell()
        except (SSHException, EOFError, OSError) as error:
            raise self.lost(f"the guest gives no shell: {error}") from error
        return channel

    def lost(self, problem: str) -> InfrastructureError:
        """Return the error for a connection that failed, once nothing better is known.

        Raises:
            GuestDied: the guest is to blame.
        """
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            self._check()
            select.select([self._wake], [], [], 0.1)
        self._examine(problem)
        self._check()
        return InfrastructureError(Outcome.INFRA_QEMU, problem, hint="see the boot's console.log")

    def terminate(self, mark: str, command: str, signal: str) -> None:
        """Send `signal` to every process that carries `mark`, and to their groups."""
        script = (
            f"echo '<4>patchbed: {signal} to a command that took too long' > /dev/kmsg\n"
            f"for file in $(grep -lsF {mark} /proc/[0-9]*/environ); do\n"
            "file=${file%/environ} pid=${file#/proc/}\n"
            f"kill -{signal} -- -$pid $pid\n"
            "done 2> /dev/null\n"
        )
        channel = self.channel(script)
        try:
            self.poll(channel, _TAKE)
            deadline = time.monotonic() + _TAKE
            while not channel.closed and time.monotonic() < deadline:
                self.poll(channel, 0.05)
        finally:
            channel.close()

    def poll(self, channel: Channel, seconds: float, extra: int = -1) -> bool:
        """Wait until `channel` or the descriptor `extra` has something, or the guest is gone.

        Return whether `extra` has.
        """
        poller = select.poll()
        for descriptor in (channel.fileno(), self._wake, extra):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        found = poller.poll(min(max(0.0, seconds), _LONGEST) * 1000)
        self._check()
        return extra >= 0 and any(descriptor == extra for descriptor, _what in found)

    def _connect(self, port: int, keys: BootKeys) -> Transport:
        try:
            link = socket.create_connection(("127.0.0.1", port), timeout=_TAKE)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = Transport(link)
            transport.daemon = True
            # The library's own limits end before ours.
            transport.banner_timeout = transport.handshake_timeout = _LET_IN
            options = transport.get_security_options()
            options.kex, options.ciphers = _KEX, _CIPHERS
            options.digests, options.key_types = _MACS, _HOST_KEYS
            self._await(transport, transport.start_client)
            if transport.get_remote_server_key().asbytes() != keys.host_blob():
                transport.close()
                raise InfrastructureError(
                    Outcome.INFRA_QEMU, f"another than our guest answers on port {port}"
                )
            key = keys.user_key()
            self._await(transport, lambda done: transport.auth_publickey("root", key, done))
            if not transport.is_authenticated():
                raise SSHException("it does not take our key")
        except (SSHException, EOFError, OSError) as error:
            raise self.lost(f"no way into the guest: {error}") from error
        return transport

    def _await(self, transport: Transport, begin: Callable[[threading.Event], object]) -> None:
        """Let `begin` start a part of the handshake that sets its event, and wait for its end."""
        done = threading.Event()
        begin(done)
        deadline = time.monotonic() + _LET_IN
        while not done.wait(_STEP):
            self._check()
            if time.monotonic() >= deadline:
                transport.close()
                raise SSHException(f"it did not let us in within {_LET_IN:g} s")
        error = transport.get_exception()
        if error is not None or not transport.is_active():
            raise error or SSHException("it ended the connection")


class Process:
    """A command that runs in the guest. Leaving its context ends it."""

    def __init__(self, shell: Shell, channel: Channel, command: str, mark: str) -> None:
        self._shell = shell
        self._channel = channel
        self._command = command
        self._mark = mark
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._done and kind is None:
            with contextlib.suppress(CommandTimeout):
                self._end(0.0)
        self._channel.close()

    def write(self, data: bytes) -> None:
        """Write `data` to its standard input."""
        view = memoryview(data)
        while view and not self._channel.closed:
            if self._channel.send_ready():
                with contextlib.suppress(OSError):
                    view = view[self._channel.send(bytes(view[:_CHUNK])) :]
            else:
                self._take()
                self._shell.poll(self._channel, 0.02)

    def close_stdin(self) -> None:
        """Let its standard input end."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def feed(self, data: bytes) -> None:
        """Write `data` to its standard input and let that end."""
        self.write(data)
        self.close_stdin()

    def readline(self, timeout: float = 30.0) -> bytes:
        r"""Return the next line of its standard output with its \n; what is left at the end.

        Raises:
            CommandTimeout: no whole line came within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._stdout:
            self._take()
            if self._ended():
                break
            if b"\n" in self._stdout:
                break
            if time.monotonic() >= deadline:
                raise CommandTimeout(f"no line within {timeout:g} s from: {self._command}")
            self._poll(deadline)
        size = self._stdout.find(b"\n") + 1 or len(self._stdout)
        line = bytes(self._stdout[:size])
        del self._stdout[:size]
        return line

    def wait(self, timeout: float = 30.0) -> Completed:
        """Return how it ended, with the output that no `readline` took.

        Raises:
            CommandTimeout: it took longer than `timeout` seconds more; it was killed.
        """
        deadline = time.monotonic() + timeout
        while not self._ended():
            if time.monotonic() >= deadline:
                self._end(timeout)
            self._take()
            self._poll(deadline)
        self._take()
        self._done = True
        status = self._channel.exit_status
        if status < 0:
            raise self._shell.lost(f"the connection ended during: {self._command}")
        return Completed(status, bytes(self._stdout), bytes(self._stderr))

    def stream(
        self,
        timeout: float,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        stdin: int = -1,
    ) -> int:
        """Hand its output on as it comes, and what comes from `stdin` to it; return its status.

        Raises:
            CommandTimeout: it took longer than `timeout` seconds; it was killed.
        """
        deadline = time.monotonic() + timeout
        if stdin < 0:
            self.close_stdin()
        while True:
            ended = self._ended()
            self._take()
            for buffer, sink in ((self._stdout, out), (self._stderr, err)):
                if buffer:
                    sink(bytes(buffer))
                    buffer.clear()
            if ended:
                return self.wait(0.0).status
            if time.monotonic() >= deadline:
                self._end(timeout)
            writable = stdin >= 0 and self._channel.send_ready()
            ready = self._poll(deadline, extra=stdin if writable else -1)
            if writable and ready:
                data = os.read(stdin, _CHUNK)
                self.write(data)
                if not data:
                    self.close_stdin()
                    stdin = -1

    def _ended(self) -> bool:
        channel = self._channel
        return bool(channel.closed or (channel.exit_status_ready() and channel.eof_received))

    def _take(self) -> None:
        while self._channel.recv_ready():
            self._stdout += self._channel.recv(_CHUNK)
        while self._channel.recv_stderr_ready():
            self._stderr += self._channel.recv_stderr(_CHUNK)

    def _poll(self, deadline: float, extra: int = -1) -> bool:
        """Wait for something new until `deadline`; return whether `extra` has something."""
        if self._ended():
            return False
        return self._shell.poll(self._channel, deadline - time.monotonic(), extra)

    def _end(self, timeout: float) -> None:
        """Kill it and all that it started, by and by; raise CommandTimeout."""
        for signal in ("TERM", "KILL"):
            self._shell.terminate(self._mark, self._command, signal)
            deadline = time.monotonic() + _OBEY
            while not self._ended() and time.monotonic() < deadline:
                self._take()
                self._shell.poll(self._channel, 0.05)
            if self._ended():
                break
        self._take()
        self._done = True
        said = (bytes(self._stderr) or bytes(self._stdout))[-400:].decode(errors="replace").strip()
        raise CommandTimeout(
            f"took longer than {timeout:g} s: {self._command}",
            hint=f"it had said last: {said}" if said else "it had said nothing",
        )
