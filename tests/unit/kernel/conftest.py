# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from tests.unit.kernel.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project in small, with a base `mini` and an empty cache."""
    return Project(tmp_path)
