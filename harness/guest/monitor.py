# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor, spoken to from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from qemu.qmp import ExecuteError, QMPClient, QMPError

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

_TIMEOUT = 10.0
# An answer is one line: `info tlb` of 8 GiB that are mapped in 4K has 160 MB.
_LONGEST_ANSWER = 1 << 30
_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)")

# The library logs each lost connection as an error; that QEMU goes away is nothing unusual here.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor:
    """A QMP connection over `channel`, served by a thread of its own.

    `on_event` is called with each event's name and data, from that thread.
    """

    def __init__(
        self, channel: socket.socket, on_event: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._channel = channel
        self._on_event = on_event
        self._client = QMPClient("patchbed", readbuflen=_LONGEST_ANSWER)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._connect(), _TIMEOUT)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(InfrastructureError):
            self._wait(self._disconnect(), 1.0)
        self._stop()

    def execute(self, command: str, /, timeout: float = _TIMEOUT, **arguments: object) -> Any:  # noqa: ANN401
        """Return what QEMU answers to `command`.

        Raises:
            InfrastructureError: QEMU refuses it, does not answer in time, or is gone.
        """
        return self._wait(self._client.execute(command, arguments or None), timeout, command)

    def hand_over(self, name: str, descriptor: int) -> None:
        """Give QEMU a copy of `descriptor`, which it calls `name`. Raises as `execute` does."""
        self._wait(self._hand_over(name, descriptor), _TIMEOUT, "getfd")

    def hmp(self, line: str, timeout: float = _TIMEOUT) -> str:
        """Return what the human monitor prints for `line`."""
        text: str = self.execute("human-monitor-command", timeout, **{"command-line": line})
        return text.replace("\r\n", "\n")

    def port(self) -> int:
        """Return the loopback port that leads to the guest's shell."""
        text = self.hmp("info usernet")
        found = _FORWARD.search(text)
        if found is None:
            raise InfrastructureError(
                Outcome.INFRA_QEMU, f"QEMU names no forwarded port: {text.strip()!r}"
            )
        return int(found[1])

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()

    async def _connect(self) -> None:
        await self._client.connect(self._channel)
        self._listener = asyncio.create_task(self._listen())

    async def _hand_over(self, name: str, descriptor: int) -> None:
        self._client.send_fd_scm(descriptor)
        await self._client.execute("getfd", {"fdname": name})

    async def _disconnect(self) -> None:
        self._listener.cancel()
        # Of what was wrong with the connection the command that it was for has told.
        with contextlib.suppress(QMPError, EOFError, OSError, ValueError):
            await self._client.disconnect()

    async def _listen(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async for event in self._client.events:
                self._on_event(str(event["event"]), dict(event.get("data", {})))  # type: ignore[call-overload]

    def _wait(
        self, work: Coroutine[Any, Any, Any], timeout: float, what: str = "connection"
    ) -> Any:  # noqa: ANN401
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except ExecuteError as error:
            raise InfrastructureError(
                Outcome.INFRA_QEMU, f"QEMU refuses {what}: {error}"
            ) from error
        except TimeoutError as error:
            future.cancel()
            raise InfrastructureError(
                Outcome.INFRA_QEMU, f"QEMU's monitor gave no answer in {timeout:g} s ({what})"
            ) from error
        except (QMPError, OSError, EOFError, ValueError) as error:
            raise InfrastructureError(
                Outcome.INFRA_QEMU, f"QEMU's monitor is gone ({what}: {error})"
            ) from error
