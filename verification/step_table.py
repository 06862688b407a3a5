# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a verification: on a terminal, and in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.outcomes import Outcome
from harness.report.words import duration
from verification.step_result import Inputs, StepResult, VariantResult, changed
from verification.steps import Step

_MOST_SHOWN = 12
_HEAD = """\
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# The long rest

CI builds few kernels. `scripts/verify` runs the whole catalogue with every profile on every version
of gfp-unmapped and on the bases alone, one run of `patchbed run` a step:

```
scripts/verify                     # the steps that are not done yet
scripts/verify --only debug        # those of a base, of a profile, or debian-6.1/debug
scripts/verify --only patches      # each version built and booted after every single patch
scripts/verify --list              # what there is to do, and what is done
scripts/verify --stress 4          # storms with four times their work
scripts/verify --write             # ... and this page
```

A step is done if its run came to an end and nothing that it was done with has changed since: the
kernels' sources, patches and configurations, the testcases, the harness. Where some testcases have,
those alone run again, and count in the place of what they were (`--again` does all). A testcase is
what its own file says, the C sources that no other file names, its known issues, and all that is
not one testcase file's alone: `Kbuild` files, headers, the harness.

After Ctrl-C, a kill or a reboot the next call goes on with the step that was cut short; its kernels
are in the cache. Two calls at a time share the machine and the work: a step that one is at, the
other waits for, and takes over what it found. A run's folder is beside those of `patchbed run`, for
`patchbed report`. The exit code is 1 if a step has an outcome that is not expected, 3 if the host
was in the way.

`--write` keeps the results in `verification/found.json` too. A step that was not done on this
machine has its row from there. The last column says what is no longer as it was then: the *kernels*
(sources, patches, configurations) or the *tests* (testcases, their known issues, harness; with
their number where it is not all of them); *not known* is what this machine has not the sources for.

"""

_PATCHES = """
Built and booted after every single patch, up to one that breaks:

| variant | configuration | patches good | broken | took | on | changed since |
| --- | --- | ---: | ---: | ---: | --- | --- |
"""


def document(
    steps: Sequence[Step], results: Mapping[str, StepResult], inputs: Mapping[str, Inputs]
) -> str:
    """Return docs/verification.md; a step that was not done has a row that says so.

    `inputs` are what each step would be done with now; without it, that is not known.
    """
    runs: list[str] = []
    walks: list[str] = []
    for step in steps:
        rows = _rows(step, results.get(step.name), inputs.get(step.name))
        (walks if step.patches else runs).extend(rows)
    table = [
        "| variant | profile | pass | skip | xfail | other | took | on | changed since |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
        *runs,
    ]
    text = f"{_HEAD}## The last results\n\n" + "\n".join(table) + "\n"
    if walks:
        text += _PATCHES + "\n".join(walks) + "\n"
    wrong = [
        f"- `{one.variant}`, {step.profiles[0]}: {words}"
        for step in steps
        if step.name in results
        for one in results[step.name].variants
        for words in one.unexpected
    ]
    return text + ("\nNot as expected:\n\n" + "\n".join(wrong) + "\n" if wrong else "")


def _rows(step: Step, result: StepResult | None, inputs: Inputs | None) -> list[str]:
    """Return a step's rows; those of a walk along patches have two columns less."""
    profiles = ", ".join([*step.profiles, *(f"`{line}`" for line in step.config)])
    if result is None:
        empty = " |" * (4 if step.patches else 6)
        return [f"| `{variant}` | {profiles} | not run |{empty}" for variant in step.variants]
    since = ", ".join(changed(result, inputs)) if inputs else "not known"
    rows = []
    for number, one in enumerate(result.variants):
        passed, skipped, known, other = counts(one)
        found = (passed, other) if step.patches else (passed, skipped, known, other)
        told = " | ".join(str(count) for count in found)
        took = duration(result.seconds) if number == 0 else ""
        rows.append(f"| `{one.variant}` | {profiles} | {told} | {took} | {result.day} | {since} |")
    return rows


def counts(result: VariantResult) -> tuple[int, int, int, int]:
    """Return the numbers of passes, skips, known failures, and of all that is not expected."""
    outcomes = result.outcomes
    known = [outcomes.get(kind, 0) for kind in (Outcome.PASS, Outcome.SKIP, Outcome.XFAIL)]
    return known[0], known[1], known[2], len(result.unexpected)


def lines(steps: Sequence[Step], results: Mapping[str, StepResult]) -> list[str]:
    """Return the table as lines of text, with what was not as expected."""
    width = max((len(variant) for step in steps for variant in step.variants), default=0)
    shown = [f"{'':{width}}  profile   pass  skip xfail other"]
    for step in steps:
        result = results.get(step.name)
        if result is None:
            shown.append(f"{step.name}: not done")
            continue
        for one in result.variants:
            told = " ".join(f"{count:5}" for count in counts(one))
            shown.append(f"{one.variant:{width}}  {step.patches or step.profiles[0]:8} {told}")
            shown += [f"  {words}" for words in one.unexpected[:_MOST_SHOWN]]
    return shown
