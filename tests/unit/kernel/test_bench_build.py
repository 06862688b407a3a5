# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from benchmarks.build import CACHED, COLD, HEADER_AGAIN, SOURCE_CHANGED, Row, report
from benchmarks.edited import write_edited
from harness.kernel.builder import plan_build
from harness.kernel.reuse import FORKED, CompilerCache, Reuse, read_reuse
from harness.kernel.variant import parse
from tests.unit.kernel.project import Project


def test_a_series_with_one_change_more(project: Project) -> None:
    project.edit({"mm/pages.c": ("return 1;", "return 10;")})
    first = project.obtain("mini+fix@v1")
    request, _ = plan_build(
        parse("mini+fix@v1"),
        "fast",
        listen=project.events.append,
        where=project.where,
        cache=project.cache,
    )
    target = project.patches / "fix" / "more"
    write_edited(request, project.cache, target, "mm/pages.c", "return 10;", "return 11;")
    second = project.obtain("mini+fix@more")
    reuse = read_reuse(second.meta)
    assert reuse is not None and (reuse.parent, reuse.files) == (first.key, 1)
    with pytest.raises(ValueError, match="has no 'nosuch'"):
        write_edited(request, project.cache, target, "mm/pages.c", "nosuch", "")
    assert sorted(path.name for path in target.parent.iterdir()) == ["more", "v1"]


def test_the_report_has_ratios_and_says_whether_aims_are_met(tmp_path: Path) -> None:
    reuse = Reuse(FORKED, "near", steps=12, ccache=CompilerCache(used=True, hits=2, misses=1))
    rows = [
        Row(COLD, 200.0, reuse),
        Row(CACHED, 0.6),
        Row(SOURCE_CHANGED, 15.0, reuse),
        Row(HEADER_AGAIN, 50.0, reuse),
    ]
    cold, cached, source, header = report(rows).splitlines()[1:]
    assert "100.0%" in cold and not cold.endswith("met")
    assert cached.endswith("1 s: met")
    assert "7.5%" in source and "2+1" in source and source.endswith("10%: met")
    assert "25.0%" in header and header.endswith("20%: missed")
