# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests on real guests share: a kernel, an image with the crasher module, and booting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from harness.guest.guest import Guest
from harness.guest.image import build_image
from harness.guest.machine import load_machine
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.modules import build_modules
from harness.kernel.variant import parse
from harness.paths import PROJECT

Boot = Callable[..., AbstractContextManager[Guest]]


@pytest.fixture(scope="session", autouse=True)
def kernel() -> Kernel:
    """The unpatched kernel, from the cache where it is there.

    It is made before any test: a test's own limits are not meant for a build.
    """
    return obtain(parse("debian-6.1"), "fast", listen=lambda _event: None)


@pytest.fixture(scope="session")
def image(kernel: Kernel) -> Path:
    modules = build_modules(kernel, PROJECT / "tests" / "guest" / "modules")
    return build_image({f"/patchbed/modules/{file.name}": file for file in modules.glob("*.ko")})


@pytest.fixture(scope="session")
def boot(kernel: Kernel, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Boot:
    """Make a guest on a small machine; keyword arguments go to Guest."""

    def make(machine: str = "q35-1g", **options: object) -> Guest:
        folder = tmp_path_factory.mktemp("boot")
        arguments = {"accelerator": "tcg", **options}
        return Guest(kernel, image, load_machine(machine), folder, **arguments)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def guest(boot: Boot) -> Iterator[Guest]:
    """A guest that a module's tests share: they leave it alive."""
    with boot() as guest:
        yield guest
