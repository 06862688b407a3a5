# SPDX-License-Identifier: GPL-2.0-or-later
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.kernel.cache import Cache
from harness.kernel.listing import KERNEL, TREE, Item, choose_victims, list_items, remove_items
from harness.kernel.quantity import format_age, format_size, parse_age, parse_size
from tests.unit.kernel.project import Project


def item(key: str, size: int, used: float, kind: str = KERNEL) -> Item:
    return Item(kind, key, "v", "p", "6.1", size, used, used, Path(key))


ITEMS = st.lists(
    st.builds(
        item,
        st.text(min_size=1, max_size=3),
        st.integers(0, 100),
        st.floats(0, 1000),
        st.sampled_from([KERNEL, TREE]),
    ),
    max_size=8,
)


@given(ITEMS, st.integers(0, 400))
def test_what_is_kept_fits_and_no_more_goes_than_must(items: list[Item], keep: int) -> None:
    victims = choose_victims(items, now=1000, keep_bytes=keep, older_seconds=None)
    left = sum(one.size for one in items) - sum(one.size for one in victims)
    assert left <= keep
    assert not victims or left + victims[-1].size > keep


@given(ITEMS, st.floats(0, 1000))
def test_what_was_used_lately_stays(items: list[Item], older: float) -> None:
    victims = choose_victims(items, now=1000, keep_bytes=None, older_seconds=older)
    assert sorted(v.used for v in victims) == sorted(i.used for i in items if 1000 - i.used > older)


def test_trees_go_first_then_the_longest_unused() -> None:
    items = [item("new", 10, 9), item("old", 10, 1), item("tree", 10, 8, TREE)]
    victims = choose_victims(items, now=10, keep_bytes=10, older_seconds=None)
    assert [victim.key for victim in victims] == ["tree", "old"]


def test_the_cache_is_listed_and_pruned(project: Project) -> None:
    kernel = project.obtain()
    items = {one.kind: one for one in list_items(project.cache)}
    assert items[KERNEL].variant == "mini" and items[KERNEL].release == "6.1.7"
    assert items[TREE].key == kernel.key
    assert all(one.size > 0 for one in items.values())

    os.utime(kernel.folder / "last-used", (1000, 1000))
    victims = choose_victims(
        list_items(project.cache), now=5000, keep_bytes=None, older_seconds=3000
    )
    assert [victim.kind for victim in victims] == [KERNEL]
    remove_items(project.cache, victims)
    assert not kernel.folder.exists()
    assert not list(project.cache.index.iterdir())
    assert not project.obtain().cached


def test_what_goes_while_it_is_listed_is_left_out(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "snapshots" / name).mkdir(parents=True)

    def watch(done: int, _total: int) -> None:
        if done == 0:
            (tmp_path / "snapshots" / "two").rmdir()

    assert [one.key for one in list_items(cache, watch)] == ["one"]


def test_only_the_last_trees_are_kept(project: Project) -> None:
    keys = []
    for number in range(5):
        project.edit({"mm/pages.c": ("return 1;", f"return 1{number};")}, version=f"v{number}")
        keys.append(project.obtain(f"mini+fix@v{number}").key)
    trees = [one.key for one in list_items(project.cache) if one.kind == TREE]
    assert sorted(trees) == sorted(keys[2:])


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 << 30), ("512M", 512 << 20), ("1.5k", 1536), ("7", 7), ("2 TiB", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "age"), [("30d", 2592000), ("12h", 43200), ("90s", 90)])
def test_ages(text: str, age: float) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "x", "GB", "-1G", "1 day"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(UserError, match="is no size"):
        parse_size(text)
    with pytest.raises(UserError, match="is no age"):
        parse_age(text)


def test_quantities_for_people() -> None:
    assert [format_size(size) for size in (0, 1536, 5 << 30, 3 << 40)] == [
        "0 B",
        "1.5 KiB",
        "5.0 GiB",
        "3.0 TiB",
    ]
    assert [format_age(age) for age in (5, 120, 7200, 200000)] == ["5 s", "2 min", "2 h", "2 d"]
