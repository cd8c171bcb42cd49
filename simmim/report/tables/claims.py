"""What the paper's prose claims by comparing runs, against our runs: the rows of claims.tsv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simmim.config.claims import RISING, Operand
from simmim.report.judgement import Judgement, judge
from simmim.report.measurements import (
    SEEDS_FOR_A_MEAN,
    SEEDS_NOTE,
    UNITS,
    decimals_of,
    number,
    signed,
)
from simmim.report.operands import Lookup, Number, Operands
from simmim.report.status import NOT_RUN, NOTHING, measured_by, misfit_of, status, trouble
from simmim.report.table import Body, Line, records_of
from simmim.report.tables._paper import cells_need
from simmim.report.verdicts import CONTRADICTED, HOLDS, UNDECIDED, count_of_seeds

if TYPE_CHECKING:
    from simmim.config.claims import Claim, Side
    from simmim.report.results import Results
    from simmim.report.scale_facts import ResultFile, ScaleFacts

title = "The paper's claims against our runs"
section = "Do the paper's claims hold here?"

_LONGEST_LIST = 4

_CAPTION = (
    f"{SEEDS_NOTE} What a verdict rests on: from {SEEDS_FOR_A_MEAN} seeds on, the spread (root of the sum of both "
    "variances over seeds). 'Better' and 'rising' hold, or are contradicted, only beyond it; 'close' and 'not worse' "
    "hold within the claim's tolerance where the spread is at most twice as wide, and are contradicted beyond both. "
    "With fewer seeds nobody knows the spread: a run is taken to vary by the tolerance, or as much as the one that it "
    "is compared with if that is more; the verdict says on how many seeds it rests, and another seed may overturn it. "
    "'Each of' several runs is decided by the worst of them; the 'best of' several is chosen on these very numbers, "
    "which favours the longer list. A series is 'rising' if no step falls and the last value exceeds the first. "
    "Ahead: in how many seeds the first run is better."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """What claims.tsv compares, as far as the scale has it."""
    scores = [(score, claim.metric) for claim in facts.claims for score in claim.scores()]
    return cells_need(facts, [{**score._asdict(), "metric": metric} for score, metric in scores])


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per claim, those with a verdict first."""
    lines = lines_of(Lookup(results.records), facts)
    shown = sorted(lines, key=lambda line: line.cells["rests on"] == NOTHING)
    return Body(f"{_count(lines)} {_CAPTION}{_trained_once(lines, facts)}", shown)


def lines_of(lookup: Lookup, facts: ScaleFacts) -> list[Line]:
    """The lines in the order of the sheet."""
    return [_line(claim, Operands(lookup, claim), facts) for claim in facts.claims]


def _count(lines: Sequence[Line]) -> str:
    """How many claims hold, and on how many seeds that rests."""
    judged = [line.cells["verdict"] for line in lines if line.cells["rests on"] != NOTHING]
    counts = [f"{word} {sum(each.startswith(word) for each in judged)}" for word in (HOLDS, CONTRADICTED, UNDECIDED)]
    few = sum(line.cells["rests on"].endswith(("seed", "seeds")) for line in lines)
    return (
        f"Of {len(lines)} claims {len(judged)} have a verdict: {', '.join(counts)}; {few} of these rest on fewer than "
        f"{SEEDS_FOR_A_MEAN} seeds."
    )


def _trained_once(lines: Iterable[Line], facts: ScaleFacts) -> str:
    """Which of the runs with several seeds have but one pre-training."""
    repeated = {record["run"] for line in lines for record in line.records if record["seed"] > 0}
    once = [run for run in facts.trained_once if run in repeated]
    words = " These runs were pre-trained once, so their seeds vary labels, head and order of fine-tuning only: "
    return f"{words}{', '.join(once)}." if once else ""


def _line(claim: Claim, operands: Operands, facts: ScaleFacts) -> Line:
    spoilt = [reason for each in operands.found.values() if each and (reason := trouble(each))]
    cells, decided = _undecided(claim, operands, facts), None
    if all(operands.found.values()) and not spoilt:
        decided = judge(claim, operands)
        cells |= _decided(claim, decided)
    elif spoilt:
        cells["verdict"] = f"no verdict: {spoilt[0]}"
    run, evaluation = claim.first.operands[0].score
    return Line(cells, run, evaluation, claim.metric, records=tuple(_records(claim, operands, decided)))


def _undecided(claim: Claim, operands: Operands, facts: ScaleFacts) -> dict[str, str]:
    """The cells of a claim that lacks a number."""
    cannot = any(misfit_of(facts, *score) for score in operands.found)
    return {
        "claim": claim.claim,
        "verdict": NOTHING if cannot else NOT_RUN,
        "measured by": measured_by(facts, claim.evaluation, claim.metric),
        "first": _incomplete(claim.first, operands),
        "relation": claim.relation,
        "second": _incomplete(claim.second, operands) if claim.second else NOTHING,
        "difference": NOTHING,
        "rests on": NOTHING,
        "ahead": NOTHING,
        "the paper": f"{claim.paper} ({claim.section})",
        "scale": facts.scale,
        "status": _status(operands, facts),
    }


def _incomplete(side: Side, operands: Operands) -> str:
    """A side that may lack numbers: the one that is there, or how many of several are."""
    measured = [each for each in side.operands if operands.is_measured(each)]
    if len(side.operands) > 1:
        return f"{side.which or 'series'} of {len(side.operands)}, {len(measured) or 'none'} measured"
    return operands.number(*measured).text if measured else f"{operands.label(*side.operands)}: {NOT_RUN}"


def _status(operands: Operands, facts: ScaleFacts) -> str:
    """Whether all was measured, else what was not and why."""
    lacking: dict[str, list[str]] = {}
    for score, found in operands.found.items():
        if not found:
            run = operands.label(Operand(score))
            lacking.setdefault(str(misfit_of(facts, *score) or NOT_RUN), []).append(run)
    if lacking:
        return "; ".join(f"{_few(runs)}: {reason}" for reason, runs in lacking.items())
    parts = [part for score, found in operands.found.items() for part in status(found, facts, *score).split("; ")]
    return "; ".join(part for part in dict.fromkeys(parts) if not any(each.startswith(f"{part}, ") for each in parts))


def _few(runs: list[str]) -> str:
    """All of a short list, the first ones of a long one."""
    if len(runs) <= _LONGEST_LIST:
        return ", ".join(runs)
    return f"{', '.join(runs[:_LONGEST_LIST])} and {len(runs) - _LONGEST_LIST} more"


def _decided(claim: Claim, decided: Judgement) -> dict[str, str]:
    """The cells that a verdict adds."""
    decimals, unit = decimals_of(claim.metric), UNITS.get(claim.metric, "")
    return {
        "verdict": decided.in_words,
        "first": _shown(claim.first, decided.first) if claim.second else decided.series,
        "second": _shown(claim.second, decided.second) if claim.second else NOTHING,
        "difference": f"{signed(decided.difference, decimals)}{unit}",
        "rests on": _rests_on(claim, decided, unit),
        "ahead": decided.ahead or NOTHING,
    }


def _shown(side: Side, chosen: Number) -> str:
    """The number of a side that decides."""
    of = {"each": "worst", "best": "best"}.get(side.which)
    return f"{chosen.text} ({of} of {len(side.operands)})" if of else chosen.text


def _rests_on(claim: Claim, decided: Judgement, unit: str) -> str:
    """The spread, the tolerance, or both, and how many seeds, where they are few."""
    tolerance = f"tolerance {claim.tolerance:g}{unit}"
    few = decided.seeds < SEEDS_FOR_A_MEAN and count_of_seeds(decided.seeds)
    word = "assumed spread" if few else "spread"
    spread = decided.spread is not None and f"{word} {number(decided.spread, decimals_of(claim.metric))}{unit}"
    needs_tolerance = not spread or claim.relation not in ("better than", RISING)
    return ", ".join(filter(None, [needs_tolerance and tolerance, spread, few]))


def _records(claim: Claim, operands: Operands, decided: Judgement | None) -> Iterator[dict[str, Any]]:
    """Every record behind a line; a cell leads to the first that stands under its column, which is what decides."""
    for column, side in (("first", claim.first), ("second", claim.second)):
        decisive = getattr(decided, column).operand if decided else None
        every = sorted(side.operands, key=lambda each: each != decisive) if side else ()
        measured = [operands.found[score] for operand in every for score in operand.scores]
        yield from (record for each in measured if each for record in records_of(each, column))
