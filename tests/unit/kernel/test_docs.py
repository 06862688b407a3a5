# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/cache.md, docs/kernels.md and docs/series-format.md against the code."""

import re
import tomllib

from harness.kernel import image_folder
from harness.kernel.artifact import META, checksums
from harness.kernel.series import KnownIssue, SeriesFile
from harness.kernel.variant import SCHEMES
from harness.kernel.verify import PROOF
from harness.paths import PROJECT
from tests.unit.kernel.project import Project

BASES = (PROJECT / "docs" / "bases.md").read_text(encoding="utf-8")
CACHE = (PROJECT / "docs" / "cache.md").read_text(encoding="utf-8")
KERNELS = (PROJECT / "docs" / "kernels.md").read_text(encoding="utf-8")
SERIES = (PROJECT / "docs" / "series-format.md").read_text(encoding="utf-8")


def rows(text: str) -> list[str]:
    return re.findall(r"^\| `([\w/<>.]+)`", text, re.MULTILINE)


def test_every_key_of_a_series_is_documented_and_no_other() -> None:
    assert sorted(rows(SERIES)) == sorted([*SeriesFile.model_fields, *KnownIssue.model_fields])


def test_the_example_of_a_series_is_one() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", SERIES, re.DOTALL)
    SeriesFile.model_validate(tomllib.loads(example))


def test_every_folder_of_the_cache_is_documented(project: Project) -> None:
    kernel = project.obtain()
    for folder in project.cache.root.iterdir():
        assert f"`{folder.name}/" in CACHE, f"{folder.name} is not in docs/cache.md"
    for name in (META, PROOF, *checksums(kernel.folder)):
        assert f"`{name}`" in CACHE


def test_every_option_of_a_build_is_documented() -> None:
    for name in ("compiler", "jobs", "niceness", "clean", "explain", "verify", "again"):
        assert f"--{name}" in CACHE


def test_every_kind_of_base_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+):", BASES, re.MULTILINE))
    assert documented == set(SCHEMES)
    for kind in documented:
        assert f"`{kind}:" in KERNELS


def test_where_an_image_has_its_parts_is_documented() -> None:
    patterns = (*image_folder.KERNELS, *image_folder.VMLINUX, *image_folder.CONFIGS)
    for pattern in (*patterns, *image_folder.MODULES, *image_folder.HEADERS):
        assert f"`{pattern.format(release='RELEASE')}`" in BASES
