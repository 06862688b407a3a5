# SPDX-License-Identifier: GPL-2.0-or-later
"""What is to be built: everything that decides a build's bytes, known before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import paths
from harness.kernel import recipe
from harness.kernel.architecture import refuse_other_architecture
from harness.kernel.cache import Cache, digest_json
from harness.kernel.compiler import Compiler, find_compiler
from harness.kernel.fragment import Merged, merge, parse_fragment, select
from harness.kernel.fragment import Request as FragmentRequest
from harness.kernel.profile import Profile, load_profile
from harness.kernel.series import FILE_NAME, Series, load_series
from harness.kernel.source import Base, find_source, obtain_base
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant

# Where a configuration's line comes from that the command itself names.
_ASKED = "--config"


@dataclass(frozen=True)
class Where:
    """Where things are looked up; the defaults are the project's own folders.

    `bases` are the short names of bases in patchbed.toml.
    """

    series: Path = paths.KERNEL_PATCHES
    config: Path = paths.KERNEL_CONFIG
    bases: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Request:
    """A build: of which variant, on which base, with which patches, configuration and tools.

    `patchset` is the series' patchset_hash at the time when this was made: the files may change
    while a build runs, which is not that of the new ones then. `lenient` lets what the series
    itself asks for go unheeded: before its last patch the symbols may not exist. `left_out` is
    what only kernels of other versions are asked.
    """

    variant: Variant
    profile: Profile
    base: Base
    series: Series | None
    wanted: Merged
    compiler: Compiler
    patchset: str = ""
    lenient: bool = False
    left_out: tuple[FragmentRequest, ...] = ()

    def inputs(self) -> str:
        """Return the digest of all that the build depends on; a key of the cache's index."""
        return digest_json(
            {
                "base": self.base.identity,
                "tree": self.base.tree,
                "patches": self.patchset,
                "start": self.profile.start,
                "config": sorted(request.text() for request in self.wanted.requests),
                "compiler": self.compiler.identity,
                "recipe": recipe.VERSION,
                "lenient": self.lenient,
            }
        )

    def upto(self, patches: int) -> Request:
        """Return the same build with only the first `patches` of the series."""
        if self.series is None or patches >= len(self.series.patches):
            return self
        series = self.series.upto(patches)
        return replace(self, series=series, patchset=series.patchset_hash(), lenient=True)

    def required(self) -> Merged:
        """Return what must be found in the final configuration."""
        if not self.lenient:
            return self.wanted
        own = (str(self.series), _ASKED)
        kept = tuple(request for request in self.wanted.requests if request.origin not in own)
        return Merged(kept, ())


def resolve(
    variant: Variant,
    profile: str,
    teller: Teller,
    cache: Cache,
    *,
    where: Where,
    compiler: str,
    config: Sequence[str] = (),
) -> Request:
    """Return the request for a variant; its base is brought into the store if it is not there.

    `config` are lines of a configuration that win over the profile's and the series'.

    Raises:
        ConfigError: one of `config` is no such line.
        UserError: there is no such base, series, version, patch or profile.
        BuildError: build.config: a line asks for another architecture.
        InfrastructureError: the disk is full, or the compiler is missing.
    """
    loaded = load_profile(profile, where.config)
    refuse_other_architecture(loaded.requests, str(variant))
    source = find_source(variant.base, where.bases)
    base = obtain_base(source, cache, teller.phase, teller.waiting)
    series = None
    requests = list(loaded.requests)
    if variant.patched:
        series = load_series(variant.series, variant.version, base.series_version, where.series)
        if series.edited():
            words = f"the patches for {series.base} were edited since their import"
            teller.say("warning", f"{series}: {words}")
        text = "\n".join(series.config)
        own = parse_fragment(text, str(series), series.folder / FILE_NAME)
        refuse_other_architecture(own, str(variant))
        requests += own
    more = parse_fragment("\n".join(config), _ASKED, Path(_ASKED))
    refuse_other_architecture(more, str(variant))
    requests += [replace(request, overrides="asked for") for request in more]
    asked, left_out = select(requests, base.series_version)
    request = Request(
        variant,
        loaded,
        base,
        series,
        merge(asked),
        find_compiler(compiler),
        patchset=series.patchset_hash() if series else "",
        left_out=tuple(left_out),
    )
    return request.upto(len(series.upto(variant.upto).patches)) if series else request
