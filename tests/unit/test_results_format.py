# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/results-format.md says what the models are, field by field."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from pydantic import BaseModel

from harness import events
from harness.outcomes import Outcome
from harness.paths import PROJECT
from harness.results import schema

TEXT = (PROJECT / "docs" / "results-format.md").read_text(encoding="utf-8")
EVENT_TYPES: tuple[type[BaseModel], ...] = get_args(get_args(events.Event)[0])
EVENTS = {model.model_fields["type"].default: model for model in EVENT_TYPES}
RESULTS = {
    name: model
    for name, model in vars(schema).items()
    if isinstance(model, type)
    and issubclass(model, BaseModel)
    and model.__module__ == schema.__name__
    and not name.startswith("_")
}


def documented() -> dict[str, list[str]]:
    """Return the first column of each section's table, by the section's name."""
    sections = re.split(r"^### (.+)$", TEXT, flags=re.MULTILINE)[1:]
    return {
        name: re.findall(r"^\| `(\w+)` \| \S.* \|$", body, flags=re.MULTILINE)
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }


def test_every_model_has_its_section_and_nothing_else_has() -> None:
    assert set(documented()) == {*EVENTS, *RESULTS}
    assert len(EVENTS) == len(EVENT_TYPES)


@pytest.mark.parametrize("name", [*EVENTS, *RESULTS])
def test_a_section_names_the_fields_of_its_model(name: str) -> None:
    model = {**EVENTS, **RESULTS}[name]
    fields = [
        field for field in model.model_fields if (name in RESULTS) or field not in ("time", "type")
    ]
    assert documented()[name] == fields


def test_every_outcome_is_named() -> None:
    assert [outcome for outcome in Outcome if f"`{outcome.value}`" not in TEXT] == []


def test_links_lead_somewhere() -> None:
    anchors = {heading.lower().replace(" ", "-") for heading in documented()}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors


def test_schema_version_is_the_documented_one() -> None:
    assert f"`schema_version` is {schema.SCHEMA_VERSION}" in TEXT
