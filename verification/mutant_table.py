# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of mutants and what killed them: on a terminal, and in the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from verification.mutant import Mutant
from verification.verdict import Fate, Verdict

_HEAD = """\
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# The tests are tested

Each mutant is gfp-unmapped v2 with one small defect, `tests/mutants/<name>.patch`.
`scripts/mutants` builds each as a fork of v2's work tree, runs the catalogue on it, and says which
testcase failed that passes on v2 itself. A mutant that survives shows what no testcase looks at.

```
scripts/mutants                  # all that are not known yet, each up to its first kill
scripts/mutants --only no-lock   # one; may be given again
scripts/mutants --all            # the whole catalogue, whatever was found
scripts/mutants --build-only     # the kernels, for a machine that has something better to do later
scripts/mutants --write          # ... and this page
```

A verdict stands as long as the patches, the kernel configuration and the testcases that killed the
mutant are the same (`--again` forgets those asked for), so that a call that was interrupted goes on
where it was. The testcases that a mutant's header names run first; the others only if none of them
kills it. The exit code is 1 if one survives or does not compile, 3 if the host was in the way.
Everything it keeps is in the cache's folder `mutants`, and `--clean` removes that.

A new mutant is a mail as of `git format-patch`, with two headers more:

| header | says |
| --- | --- |
| `Seen-By` | the catalogue's lines whose testcases should fail: `U1, S6` |
| `Profile` | the profiles to run them in, `fast` if left out: `fast, debug` |

`--write` keeps the verdicts in `verification/verdicts.json` too, and takes those from there that
were not found on this machine. One with a star was found before the patches, those testcases or the
kernel configuration became what they are now.

Seconds are those of the call that came to the verdict. A kernel that was there already took none,
one whose work tree had been given up for another's took a whole build, and the host may have done
more than this.

"""


def document(
    mutants: Sequence[Mutant],
    verdicts: Mapping[str, Verdict],
    inputs: Mapping[str, str],
    tests: Mapping[str, str],
) -> str:
    """Return docs/mutants.md; a mutant without a verdict has a row that says so.

    `inputs` are what each would be hunted with now, and `tests` the testcases; a verdict that rests
    on others gets a star.
    """
    fates = Counter(verdict.fate for verdict in verdicts.values())
    told = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
    rows = [
        _row(mutant, verdicts.get(mutant.name), inputs.get(mutant.name, ""), tests)
        for mutant in mutants
    ]
    table = [
        "| mutant | what is broken | seen by | seconds to build | to run |",
        "| --- | --- | --- | ---: | ---: |",
        *rows,
    ]
    return f"{_HEAD}## {len(mutants)} mutants: {told or 'none run'}\n\n" + "\n".join(table) + "\n"


def _row(mutant: Mutant, verdict: Verdict | None, inputs: str, tests: Mapping[str, str]) -> str:
    words = mutant.words.replace("|", "\\|")
    if verdict is None:
        return f"| `{mutant.name}` | {words} | not run | | |"
    seconds = f"{verdict.build_seconds:.0f} | {verdict.run_seconds:.0f}"
    star = "" if verdict.stands(inputs, tests) else " *"
    return f"| `{mutant.name}`{star} | {words} | {_killers(verdict, mark='`')} | {seconds} |"


def _killers(verdict: Verdict, *, mark: str = "") -> str:
    """Return who killed a mutant, or how else it ended."""
    if verdict.fate is not Fate.KILLED:
        why = f": {verdict.why}" if verdict.why else ""
        return f"{verdict.fate.upper()}{why}".replace("|", "\\|")
    return ", ".join(
        f"{mark}{kill.test}{mark} ({kill.profile}, {kill.outcome})" for kill in verdict.kills
    )


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the table as lines of text."""
    width = max((len(verdict.mutant) for verdict in verdicts), default=0)
    return [
        f"{verdict.mutant:{width}}  {verdict.build_seconds:5.0f} s"
        f" {verdict.run_seconds:5.0f} s  {_killers(verdict)}"
        for verdict in verdicts
    ]
