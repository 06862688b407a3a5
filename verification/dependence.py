# SPDX-License-Identifier: GPL-2.0-or-later
"""What each testcase depends on: which of what was found still stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harness import paths
from harness.kernel.cache import digest_json
from harness.kernel.series import KnownIssue
from harness.testing.testcase import written_ids
from verification.digest import list_files

_MODULES = "*/test_*.py"
_LENGTH = 16


def digest_testcases(testcases: Path, rest: str = "") -> dict[str, str]:
    """Return a digest of what each testcase in the folder `testcases` depends on, by its id.

    Ids are like `gfp_unmapped/U1-absence`. A testcase depends on the file that it is in, on the C
    sources that this file names, and on all that is not one testcase file's alone. `rest` stands
    for what all depend on besides.
    """
    files = list_files(testcases)
    modules = sorted(path for path in files if path.match(_MODULES))
    owners = _owners(testcases, files, modules)
    digests = {path: hashlib.sha256((testcases / path).read_bytes()).hexdigest() for path in files}

    def digest_of(of: Sequence[Path]) -> dict[str, str]:
        return {str(path): digests[path] for path in of}

    shared = [path for path in files if path not in owners and path not in modules]
    common = digest_json([digest_of(shared), rest])
    found: dict[str, str] = {}
    for module in modules:
        own = [path for path, users in owners.items() if module in users]
        digest = digest_json([common, digest_of([module, *own])])[:_LENGTH]
        ids = written_ids(testcases / module)
        found |= {f"{module.parent.name}/{id}": digest for id in ids}
    return found


def with_issues(tests: Mapping[str, str], issues: Sequence[KnownIssue]) -> dict[str, str]:
    """Return the digests `tests` with those of the known issues that each testcase has."""
    found = dict(tests)
    for test, digest in tests.items():
        known = [issue.model_dump(mode="json") for issue in issues if _is_about(issue, test)]
        if known:
            found[test] = digest_json([digest, known])[:_LENGTH]
    return found


def _is_about(issue: KnownIssue, test: str) -> bool:
    # What is in brackets may be a parameter of the testcase, which its id here has not.
    patterns = (issue.testcase, issue.testcase.partition("[")[0])
    return any(fnmatchcase(test, pattern) for pattern in patterns)


def stale(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the testcases that are there now and depend on something else than they did."""
    return [test for test, digest in now.items() if then.get(test) != digest]


def _owners(
    testcases: Path, files: Sequence[Path], modules: Sequence[Path]
) -> dict[Path, list[Path]]:
    """Return the testcase files that name a C source, for each that nothing else names.

    What no file names may be used by any.
    """
    sources = [path for path in files if path.suffix == ".c"]
    code = [path for path in files if path.suffix in (".c", ".h", ".py") and path not in modules]
    words = {path: _text(testcases / path) for path in [*modules, *code]}
    harness = [_text(path) for path in sorted((paths.PROJECT / "harness").rglob("*.py"))]
    found = {}
    for source in sources:
        others = [words[path] for path in code if path != source] + harness
        users = [module for module in modules if source.stem in words[module]]
        if users and not any(source.stem in text for text in others):
            found[source] = users
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
