# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes of page attributes met, by size of the mapping: debugfs `x86/cpa_stats`."""

from __future__ import annotations

import re

from harness.errors import ParseError

_ROW = re.compile(r"([0-9]+[KMGT]) pages ([a-z]+(?:[ -][a-z]+)*):[ \t]*([0-9]{1,20})", re.ASCII)


def parse_cpa_stats(text: str) -> dict[str, int]:
    """Return the counts by name: "2M pages preserved" is 2M_preserved.

    A large mapping is `checked` when attributes of a part of it are to change: `sameprot` where
    it has them already, `preserved` where it changes as a whole, else it is split. `4K_set_checked`
    are the 4K entries met. Kernels with CONFIG_X86_CPA_STATISTICS have them (cpastats_show() in
    arch/x86/mm/pat/set_memory.c).

    Raises:
        ParseError: a line is no such count, or comes twice.
    """
    counts: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        match = _ROW.fullmatch(line)
        name = re.sub("[ -]", "_", f"{match[1]}_{match[2]}") if match else ""
        if match is None or name in counts:
            raise ParseError("debugfs cpa_stats", number, f"not a new count: {line[:80]!r}")
        counts[name] = int(match[3])
    return counts
