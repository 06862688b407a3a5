# SPDX-License-Identifier: GPL-2.0-or-later
"""A project in small around `fakelinux`: its bases, series, profiles and cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

from harness.events import BuildProgress, Event, Listener, Message
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.cache import Cache
from harness.kernel.request import Where
from harness.kernel.variant import parse

FAKELINUX = Path(__file__).parent / "fakelinux"
GIT = ["git", "-c", "user.name=A Tester", "-c", "user.email=tester@example.org"]


class Project:
    """Everything that a build needs, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "mini-1.0"
        shutil.copytree(FAKELINUX, self.source)
        self.tarball = folder / "mini.tar.xz"
        self.patches = folder / "patches"
        self.config = folder / "config"
        self.cache = Cache(folder / "cache")
        self.events: list[Event] = []
        self.config.mkdir()
        (self.config / "profiles.toml").write_text(
            '[fast]\ndescription = "for tests"\nfragments = ["basic"]\n', encoding="utf-8"
        )
        self.fragment("basic", "CONFIG_PARENT=y\n")
        self.pack()

    @property
    def bases(self) -> dict[str, str]:
        return {"mini": f"tarball:{self.tarball}"}

    @property
    def where(self) -> Where:
        return Where(self.patches, self.config, self.bases)

    def pack(self) -> None:
        """Make the base's tarball of the source as it is."""
        with tarfile.open(self.tarball, "w:xz", preset=0) as archive:
            archive.add(self.source, arcname=self.source.name)

    def fragment(self, name: str, text: str) -> None:
        (self.config / f"{name}.config").write_text(text, encoding="utf-8")

    def edit(self, edits: Mapping[str, tuple[str, str]], *, version: str = "v1") -> Path:
        """Write a series `fix` of one patch a file: in it, one text becomes another."""
        work = self.folder / f"edit-{version}"
        shutil.copytree(self.source, work)
        folder = self.patches / "fix" / version / "6.1"
        folder.mkdir(parents=True)
        (folder.parent / "series.toml").write_text('title = "A fix"\n', encoding="utf-8")
        self.git(work, "init", "--quiet")
        self.git(work, "add", "--all")
        self.git(work, "commit", "--quiet", "--message", "base")
        for name, (old, new) in edits.items():
            file = work / name
            text = file.read_text(encoding="utf-8")
            assert old in text
            file.write_text(text.replace(old, new, 1), encoding="utf-8")
            self.git(work, "commit", "--quiet", "--all", "--message", f"Change {name}")
        self.git(work, "format-patch", "--quiet", "-o", str(folder), f"HEAD~{len(edits)}")
        shutil.rmtree(work)
        return folder

    @staticmethod
    def git(folder: Path, *arguments: str) -> str:
        return subprocess.run(
            [*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    def obtain(self, variant: str = "mini", *, listen: Listener | None = None) -> Kernel:
        return obtain(
            parse(variant),
            "fast",
            listen=listen or self.events.append,
            aliases=self.bases,
            series_folder=self.patches,
            config_folder=self.config,
            cache=self.cache,
        )

    def script(self, variant: str = "mini") -> list[str]:
        """Return the argv of another process that does the same as `obtain`."""
        code = f"""
        from pathlib import Path
        from harness.events import Message
        from harness.kernel.builder import obtain
        from harness.kernel.cache import Cache
        from harness.kernel.variant import parse

        def listen(event):
            print(getattr(event, "text", getattr(event, "phase", "")), flush=True)

        kernel = obtain(
            parse({variant!r}), "fast", listen=listen, aliases={self.bases!r},
            series_folder=Path({str(self.patches)!r}), config_folder=Path({str(self.config)!r}),
            cache=Cache(Path({str(self.cache.root)!r})),
        )
        print("cached" if kernel.cached else "built", kernel.key, flush=True)
        """
        return [sys.executable, "-c", textwrap.dedent(code)]

    def phases(self) -> list[str]:
        found = [event.phase for event in self.events if isinstance(event, BuildProgress)]
        return list(dict.fromkeys(found))

    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]

    def whole_entries(self) -> list[Path]:
        """Return the cache's kernels, and check that each is whole."""
        found = [entry for entry in self.cache.kernels.glob("*") if entry.name[0] != "."]
        for entry in found:
            for name in ("bzImage", "vmlinux", "config", "meta.json", "headers/Makefile"):
                assert (entry / name).is_file(), f"{entry} has no {name}"
        return found
