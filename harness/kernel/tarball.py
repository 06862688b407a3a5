# SPDX-License-Identifier: GPL-2.0-or-later
"""A tarball into a git store, streamed: nothing is unpacked to the disk on the way."""

from __future__ import annotations

import contextlib
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.errors import UserError
from harness.kernel.cache import no_space
from harness.kernel.gitstore import EMAIL, NAME, Git, environment

# Level 1: 0 saves a tenth of the time and costs four times the disk, for as long as it is kept.
_SETTINGS = ("core.compression=1", "pack.compression=1", "fastimport.unpackLimit=0")
_EPOCH = 946684800
_UNPACKERS = {".xz": ["xz", "-dc", "-T0"], ".gz": ["gzip", "-dc"], ".zst": ["zstd", "-dcq"]}


def import_tarball(tarball: Path, store: Git, ref: str, message: str) -> str:
    """Import the tree in `tarball`, without its top folder, as a commit; return the commit's id.

    `ref` appears once everything is in the store, or not at all. The same tree and message give
    the same commit everywhere.

    Raises:
        UserError: it is no tarball that can be read.
        InfrastructureError: the disk is full.
    """
    _sweep(store)
    argv = store.argv("fast-import", "--quiet", "--depth=0", "--force", "--done")
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    with (
        _unpacked(tarball) as unpacker,
        subprocess.Popen(
            [argv[0], *settings, *argv[1:]],
            env=environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as importer,
    ):
        stream, source = importer.stdin, unpacker.stdout
        if stream is None or source is None:
            raise RuntimeError("pipes were asked for")
        try:
            stream.write(_header(ref, message))
            _write_tree(source, stream)
            stream.write(b"done\n")
            stream.close()
        except (tarfile.TarError, EOFError) as error:
            importer.kill()
            # What is still buffered has nobody to go to any more.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
            raise _unreadable(tarball, str(error)) from error
        except BrokenPipeError:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
            stream = None
        words = importer.stderr.read().decode(errors="replace") if importer.stderr else ""
        if importer.wait() != 0 or stream is None:
            if "No space left" in words:
                raise no_space(store.directory)
            raise _unreadable(tarball, words.strip() or "git fast-import failed")
        if unpacker.wait() != 0:
            store.run("update-ref", "-d", ref)
            raise _unreadable(tarball, "it is damaged")
    return store.run("rev-parse", ref).strip()


def _sweep(store: Git) -> None:
    """Remove what an import that was killed has left; the caller holds the store's lock."""
    for left in (*store.directory.glob("objects/pack/tmp_*"), *store.directory.glob("*crash*")):
        left.unlink(missing_ok=True)


def _unpacked(tarball: Path) -> subprocess.Popen[bytes]:
    argv = _UNPACKERS.get(tarball.suffix, ["cat", "--"])
    try:
        # What is wrong with the file is told by us.
        return subprocess.Popen(
            [*argv, str(tarball)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise UserError(
            f"{tarball} needs {argv[0]}, which is not installed", hint=f"install {argv[0]}"
        ) from error


def _unreadable(tarball: Path, why: str) -> UserError:
    return UserError(f"{tarball} can't be imported: {why}", hint="get the file again")


def _header(ref: str, message: str) -> bytes:
    text = message.encode()
    who = f"{NAME} <{EMAIL}> {_EPOCH} +0000"
    return (
        f"feature done\ncommit {ref}\ncommitter {who}\ndata {len(text)}\n".encode() + text + b"\n"
    )


def _write_tree(source: IO[bytes], stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=source, mode="r|", bufsize=1 << 20) as archive:
        for member in archive:
            for chunk in _commands(archive, member):
                stream.write(chunk)
            # tarfile remembers every member; a kernel has 80,000 and we look back at none.
            archive.members = []  # type: ignore[attr-defined]


def _commands(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    path = _inner(member.name)
    if not path or member.isdir():
        return
    quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if member.islnk():
        yield f'C "{_inner(member.linkname)}" {quoted}\n'.encode()
        return
    if member.issym():
        mode, content = "120000", member.linkname.encode("utf-8", errors="surrogateescape")
    elif member.isreg():
        file = archive.extractfile(member)
        content = file.read() if file is not None else b""
        mode = "100755" if member.mode & 0o100 else "100644"
    else:
        return
    head = f"M {mode} inline {quoted}\ndata {len(content)}\n"
    yield head.encode("utf-8", errors="surrogateescape")
    yield content
    yield b"\n"


def _inner(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts[1:])
