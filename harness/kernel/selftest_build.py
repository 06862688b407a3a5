# SPDX-License-Identifier: GPL-2.0-or-later
"""Building a collection of selftests (tools/testing/selftests) from a variant's own source."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import paths
from harness.errors import BuildError, UserError
from harness.events import Listener
from harness.files import replace_text
from harness.kernel import recipe
from harness.kernel.artifact import Kernel
from harness.kernel.cache import (
    Cache,
    command_name,
    default_cache,
    digest_json,
    kept_on_failure,
    publish,
)
from harness.kernel.checkout import Patched, patch_source
from harness.kernel.compiler import find_compiler
from harness.kernel.interrupt import terminable
from harness.kernel.make import Make
from harness.kernel.request import Request, Where, resolve
from harness.kernel.selftests import (
    MANIFEST,
    SCRIPT,
    Selftest,
    Selftests,
    compile_reasons,
    invocations,
    load_selftests,
    parse_limit,
    parse_list,
    plan_programs,
)
from harness.kernel.teller import Teller
from harness.kernel.trees import SOURCE
from harness.kernel.variant import Variant
from harness.outcomes import Outcome

# Part of every key: count it up when what comes out changes.
VERSION = 3
SELFTESTS = "tools/testing/selftests"
# What the selftests and the headers for user space are made from; what a tree lacks is left out.
_SOURCES = (
    "Makefile",
    "Kbuild",
    "scripts",
    "usr",
    "include/uapi",
    "include/vdso",
    "include/asm-generic",
    "include/linux/compiler_types.h",
    "arch/x86/Makefile",
    "arch/x86/include/uapi",
    "arch/x86/include/asm",
    "arch/x86/entry/syscalls",
    "arch/x86/tools",
    "tools/include",
    "tools/arch/x86",
    "tools/lib",
    "tools/scripts",
    "mm/gup_test.h",
    "lib/test_hmm_uapi.h",
    SELFTESTS,
)
# Libraries that some programs are linked with: by one that appears, more programs compile.
_LIBRARIES = ("sys/capability.h", "numa.h", "liburing.h", "sys/fuse.h", "popt.h", "mnl.h")
# The seconds that a program may take where its collection does not say; kselftest/runner.sh.
_USUAL_LIMIT = 45.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_FAILED = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[[^\]]*?([^/\]\s]+)\] Error ")
_RUN = re.compile(r"^\s*(?:CATEGORY=\S+\s+)?run_test\s+(?P<words>[^#|;&]*\S)\s*$")
# What run_vmtests.sh has set before it runs them, or leaves to the machine.
_VARIABLES = {"mnt": "/tmp/kselftest-huge", "half_ufd_size_MB": "64", "mod": ""}  # noqa: S108
_SCRIPT = "run_vmtests.sh"
_LINE_BUFFERED = """\
#include <stdio.h>
static void __attribute__((constructor)) line_buffered(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}
"""
# Printed by a rule of ours, by which make tells what a collection consists of.
_LIST = (
    "patchbed-list: ; @printf 'program %s\\n' $(notdir $(TEST_GEN_PROGS) $(TEST_CUSTOM_PROGS));"
    " printf 'file %s\\n' $(notdir $(TEST_GEN_FILES)); printf 'script %s\\n' $(TEST_PROGS)"
)
# The seconds that a program may take where its collection does not say; kselftest/runner.sh.
_USUAL_LIMIT = 45.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
# Printed by a rule of ours, by which make tells what a collection consists of.
_LIST = (
    "patchbed-list: ; @printf 'program %s\\n' $(notdir $(TEST_GEN_PROGS) $(TEST_CUSTOM_PROGS));"
    " printf 'file %s\\n' $(notdir $(TEST_GEN_FILES)); printf 'script %s\\n' $(TEST_PROGS)"
)


def obtain_selftests(
    kernel: Kernel,
    variant: Variant,
    collection: str,
    *,
    only: Sequence[str] = (),
    listen: Listener,
    aliases: Mapping[str, str] | None = None,
    series_folder: Path = paths.KERNEL_PATCHES,
    cache: Cache | None = None,
) -> Selftests:
    """Return a collection of selftests from the source of `variant`, built if need be.

    `collection` is a folder below tools/testing/selftests; of several with `|` between them, the
    first that there is. `only` are the programs to build, all unless some are named. They are
    linked statically, so that a guest needs nothing else. What does not compile has its reason.
    The folder is in the cache; variants whose selftests and headers are the same share it.

    Raises:
        UserError: the variant has no source, or no such collection.
        BuildError: build.compile: the headers for user space can't be made.
        InfrastructureError: the disk is full, or a tool is missing.
    """
    cache = cache or default_cache()
    if "image" in kernel.meta:
        raise UserError(
            f"{variant} was built elsewhere: there is no source to build selftests from",
            hint="name a base with a source: debian-6.1, git:REPO@REF, tree:PATH or tarball:FILE",
        )
    _check_name(collection)
    command = kernel.meta.get("command", "gcc")
    with terminable():
        asked = [collection, sorted(only), find_compiler(command).identity, _libraries(), VERSION]
        known = cache.root / "selftests" / ".index" / digest_json([kernel.tree, *asked])
        entry = _read_index(cache, known)
        if entry is not None:
            return entry
        teller = Teller(variant, kernel.profile, listen)
        where = Where(series_folder, bases=aliases)
        request = resolve(variant, kernel.profile, teller, cache, where=where, compiler=command)
        with cache.scratch() as folder:
            patched = patch_source(folder, request, cache, teller)
            build = _Build(request, patched, folder / SOURCE, cache, teller, tuple(only))
            made = build.run(collection, asked)
        replace_text(known, f"{made.folder.name}\n")
        return made


def _check_name(collection: str) -> None:
    for name in collection.split("|"):
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is no collection of selftests",
                hint=f"name a folder below the kernel's {SELFTESTS}: mm, vm, timers",
            )


def _libraries() -> list[str]:
    return [name for name in _LIBRARIES if Path("/usr/include", name).is_file()]


def _read_index(cache: Cache, known: Path) -> Selftests | None:
    try:
        name = known.read_text(encoding="utf-8").strip()
        found = load_selftests(cache.root / "selftests" / name)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found.folder.touch()
    return found


class _Build:
    """The build of one collection, in the scratch tree `source`."""

    def __init__(
        self,
        request: Request,
        patched: Patched,
        source: Path,
        cache: Cache,
        teller: Teller,
        only: tuple[str, ...],
    ) -> None:
        self._request = request
        self._patched = patched
        self._source = source
        self._cache = cache
        self._teller = teller
        self._only = only
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self._log = cache.logs / f"{now}-{request.variant.slug}-selftests.log"

    def run(self, wanted: str, asked: object) -> Selftests:
        """Build the collection `wanted`; `asked` is what its key holds beside the sources."""
        collection = self._collection(wanted)
        sources = {path: found for path in _SOURCES if (found := self._find(path))}
        key = digest_json([sources, collection, asked])[:32]
        entry = self._cache.root / "selftests" / key
        purpose = f"{command_name()}: selftests of {self._request.variant}"
        with self._cache.hold(f"selftests-{key}", purpose, self._teller.waiting):
            if not (entry / MANIFEST).is_file():
                self._teller.phase(f"selftests {collection}")
                self._cache.logs.mkdir(parents=True, exist_ok=True)
                with kept_on_failure(self._log):
                    publish(self._build(collection, tuple(sources)), entry)
        return load_selftests(entry)

    def _find(self, path: str) -> str:
        return self._patched.git.find(f"{self._patched.commit}:{path}")

    def _collection(self, wanted: str) -> str:
        for name in wanted.split("|"):
            if self._find(f"{SELFTESTS}/{name}/Makefile"):
                return name
        listed = self._patched.git.run(
            "ls-tree", "-d", "--name-only", f"{self._patched.commit}:{SELFTESTS}"
        )
        raise UserError(
            f"{self._request.variant} has no collection of selftests called {wanted}",
            hint=f"choose from: {', '.join(listed.split())}",
        )

    def _build(self, collection: str, sources: Sequence[str]) -> Path:
        self._patched.git.run("checkout", "--force", self._patched.commit, "--", *sources)
        self._make("headers", folder=self._source)
        place = self._source / SELFTESTS / collection
        made = self._source.parent / "selftests"
        made.mkdir()
        listed = self._make("--eval", _LIST, "patchbed-list", f"OUTPUT={made}", folder=place)
        kinds = parse_list(listed)
        static = ("USERCFLAGS=-static", f"USERLDFLAGS=-static {self._line_buffered()}")
        targets = [str(made / name) for name in self._only] or ["all"]
        output = self._make(
            "-k", "-Otarget", f"OUTPUT={made}", *static, *targets, folder=place, may_fail=True
        )
        script = place / SCRIPT
        calls = invocations(script.read_text(encoding="utf-8")) if script.is_file() else None
        reasons = compile_reasons(output, self._source)
        programs = tuple(
            self._program(program, made, reasons)
            for program in plan_programs(collection, kinds, calls)
        )
        if self._only:
            programs = tuple(program for program in programs if program.name in self._only)
        return _publishable(made, collection, programs, place)

    def _line_buffered(self) -> Path:
        """Return an object that has the program it is linked with write line by line.

        Into a pipe, programs before 6.4 write late; those that fork then say all of it twice.
        """
        file = self._source.parent / "line-buffered.o"
        argv = [self._request.compiler.command, "-x", "c", "-c", "-O2", "-o", str(file), "-"]
        done = subprocess.run(
            argv, input=_LINE_BUFFERED, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BuildError(
                Outcome.BUILD_COMPILE,
                "no program for user space compiles here",
                lines=tuple(done.stderr.splitlines()[:5]),
                hint="install libc6-dev",
            )
        return file

    def _program(self, program: Selftest, made: Path, reasons: Mapping[str, str]) -> Selftest:
        if program.reason or (made / program.name).is_file():
            return program
        reason = reasons.get(program.name, "it did not come out of its build")
        return replace(program, reason=f"does not compile here: {reason}")

    def _make(self, *words: str, folder: Path, may_fail: bool = False) -> list[str]:
        argv = ["make", "-C", str(folder), "ARCH=x86_64", f"-j{recipe.usable_cpus()}"]
        argv += [f"CC={self._request.compiler.command}", *words]
        environment = recipe.build_environment(None, self._source)
        before = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("a", encoding="utf-8") as log:
            make = Make(self._source, environment, log, self._log)
            try:
                make.run(
                    argv,
                    outcome=Outcome.BUILD_COMPILE,
                    what=f"the selftests of {self._request.variant} can't be built",
                )
            except BuildError:
                if not may_fail:
                    raise
        return self._log.read_bytes()[before:].decode(errors="replace").splitlines()


def _publishable(made: Path, collection: str, programs: Sequence[Selftest], place: Path) -> Path:
    """Leave in `made` the programs that can be run, and what is known of the collection."""
    keep = {program.name for program in programs if not program.reason}
    for path in list(made.rglob("*")):
        if path.is_file() and path.name not in keep:
            path.unlink()
    for program in programs:
        script = place / program.name
        if not program.reason and script.is_file() and not (made / program.name).exists():
            (made / program.name).write_bytes(script.read_bytes())
    settings = place / "settings"
    limit = parse_limit(settings.read_text(encoding="utf-8")) if settings.is_file() else None
    facts = {
        "collection": collection,
        "limit": _USUAL_LIMIT if limit is None else limit,
        "programs": [asdict(program) for program in programs],
    }
    (made / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return made
