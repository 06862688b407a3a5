# SPDX-License-Identifier: GPL-2.0-or-later
"""What a posted series says of the kernel that it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_COMMIT = re.compile(r"^base-commit:\s*([0-9a-f]{40})\s*$", re.MULTILINE)
_TAG = re.compile(r"^base-tag:\s*(v?(\d+\.\d+)\S*)", re.MULTILINE | re.IGNORECASE)
_WORDS = re.compile(
    r"\b(?:based|rebased|against|on top of|appl(?:y|ies)(?: cleanly)?)\b"
    r"(?:\s+(?:on|onto|to|of|top|the|kernel|linux|mainline|linus'?s?|tag|tree)\b)*"
    r"\s+(v(\d+\.\d+)(?:\.\d+)?(?:-rc\d+)?)(?![\w.]*\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BaseHint:
    """What the mails say: a commit's id, or the name of a kernel and its major.minor.

    Either is "" where they don't say, or say different things.
    """

    commit: str = ""
    tag: str = ""
    kernel: str = ""


def read_base(texts: Iterable[str], prefixes: Iterable[str]) -> BaseHint:
    """Return what the mails' `texts` and the kernels in their subjects' `prefixes` say."""
    texts = list(texts)
    commits = {found for text in texts for found in _COMMIT.findall(text)}
    tags = {found for text in texts for found in _TAG.findall(text)}
    if not tags:
        tags = {(kernel, kernel) for kernel in prefixes if kernel}
    if not tags:
        tags = {found for text in texts for found in _WORDS.findall(text)}
    commit = commits.pop() if len(commits) == 1 else ""
    tag, kernel = tags.pop() if len({kernel for _, kernel in tags}) == 1 else ("", "")
    return BaseHint(commit, tag, kernel)
