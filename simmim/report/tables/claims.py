"""What the paper's prose claims by comparing runs, against our runs: the rows of claims.tsv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simmim.config.claims import RISING, WITH_TOLERANCE, Operand
from simmim.report.judgement import Judgement, judge
from simmim.report.measurements import MEAN_NOTE, UNITS, decimals_of, interval_text, signed
from simmim.report.operands import Lookup, Number, Operands
from simmim.report.statistics import sizes
from simmim.report.status import NOT_RUN, NOTHING, measured_by, misfit_of, status, trouble
from simmim.report.table import Body, Line, records_of
from simmim.report.tables._paper import cells_need
from simmim.report.verdicts import CONTRADICTED, HOLDS, UNDECIDED, Decision, decide

if TYPE_CHECKING:
    from simmim.config.claims import Claim, Side
    from simmim.report.results import Results
    from simmim.report.scale_facts import ResultFile, ScaleFacts

title = "The paper's claims against our runs"
section = "Do the paper's claims hold here?"

_LONGEST_LIST = 4

_CAPTION = (
    "Ours: mean difference [95 % interval by Student's t] over pre-trainings, paired by the seeds that both sides "
    "have (n 'pairs'), else by Welch's test. A claim holds where the interval lies wholly where it says, and is "
    "contradicted where it lies wholly elsewhere; for that, p is corrected by Holm over the tested claims about the "
    "same table or figure of the paper. Power: chance that this n decides the claim, by the strictest of these "
    "corrections, if the true difference is the one named; 'would decide': the n with a power of 80 %. Of 'each of' "
    "several runs the one with the least for the claim decides; the 'best of' several is chosen on these very numbers, "
    "which is not corrected for. Costs are times of the fastest pre-trainings and have no test; AvgDist is known of "
    "masks without any training. More in docs/statistics.md."
)


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """What claims.tsv compares, as far as the scale has it."""
    scores = [(score, claim.metric) for claim in facts.claims for score in claim.scores()]
    return cells_need(facts, [{**score._asdict(), "metric": metric} for score, metric in scores])


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per claim, those that were tested first, those that were not measured last."""
    lines = lines_of(Lookup(results.records), facts)
    shown = sorted(lines, key=lambda line: (line.cells["ours"] == NOTHING, line.cells["p"] == NOTHING))
    return Body(f"{_count(lines)} {_CAPTION} {MEAN_NOTE}", shown)


def lines_of(lookup: Lookup, facts: ScaleFacts) -> list[Line]:
    """The lines in the order of the sheet."""
    every = [(claim, Operands(lookup, claim)) for claim in facts.claims]
    judged = {claim: judge(claim, operands) for claim, operands in every if not _lacks(operands)}
    decided = dict(zip(judged, decide([*judged.items()])))
    return [_line(claim, operands, judged.get(claim), decided.get(claim), facts) for claim, operands in every]


def _lacks(operands: Operands) -> str:
    """Why there can be no verdict, '' where there can."""
    lacking = [operands.why_not(score) for score, found in operands.found.items() if not found]
    if lacking:
        return NOT_RUN if NOT_RUN in lacking else f"no verdict: {lacking[0]}"
    return next((f"no verdict: {reason}" for each in operands.found.values() if (reason := trouble(each))), "")


def _count(lines: Sequence[Line]) -> str:
    """How many claims hold, and how many of them could be tested."""
    judged = [line.cells["verdict"] for line in lines if line.cells["ours"] != NOTHING]
    tested = sum(line.cells["p"] != NOTHING for line in lines)
    counts = [f"{word} {sum(each.startswith(word) for each in judged)}" for word in (HOLDS, CONTRADICTED, UNDECIDED)]
    return (
        f"Of {len(lines)} claims {len(judged)} were measured: {', '.join(counts)}; {tested} of these rest on a test "
        "over pre-trainings."
    )


def _line(
    claim: Claim, operands: Operands, judgement: Judgement | None, decision: Decision | None, facts: ScaleFacts
) -> Line:
    cells = _unmeasured(claim, operands, facts)
    if judgement and decision:
        cells |= _measured(claim, judgement, decision)
    run, evaluation = claim.first.operands[0].score
    return Line(cells, run, evaluation, claim.metric, records=tuple(_records(claim, operands, judgement)))


def _unmeasured(claim: Claim, operands: Operands, facts: ScaleFacts) -> dict[str, str]:
    """The cells of a claim that lacks a number."""
    cannot = any(misfit_of(facts, *score) for score in operands.found)
    lacks, unit = _lacks(operands), UNITS.get(claim.metric, "")
    within = f" (within {claim.tolerance:g}{unit})" if claim.relation in WITH_TOLERANCE else ""
    return {
        "claim": claim.claim,
        "measured by": measured_by(facts, claim.evaluation, claim.metric),
        "paper": f"{claim.paper} ({claim.section})",
        "ours": NOTHING,
        "n": NOTHING,
        "power": NOTHING,
        "p": NOTHING,
        "verdict": NOTHING if cannot and lacks == NOT_RUN else lacks or NOTHING,
        "first": _incomplete(claim.first, operands),
        "relation": f"{claim.relation}{within}",
        "second": _incomplete(claim.second, operands) if claim.second else NOTHING,
        "scale": facts.scale,
        "status": _status(operands, facts),
    }


def _incomplete(side: Side, operands: Operands) -> str:
    """A side that may lack numbers: the one that is there, or how many of several are."""
    measured = [each for each in side.operands if operands.is_measured(each)]
    if len(side.operands) > 1:
        return f"{side.which or 'series'} of {len(side.operands)}, {len(measured) or 'none'} measured"
    if measured:
        return operands.number(*measured).text
    (operand,) = side.operands
    lacking = next(score for score in operand.scores if not operands.found[score])
    return f"{operands.label(operand)}: {operands.why_not(lacking)}"


def _status(operands: Operands, facts: ScaleFacts) -> str:
    """Whether all was measured, else what was not and why."""
    lacking: dict[str, list[str]] = {}
    for score, found in operands.found.items():
        if not found:
            run = operands.label(Operand(score))
            lacking.setdefault(str(misfit_of(facts, *score) or operands.why_not(score)), []).append(run)
    if lacking:
        return "; ".join(f"{_few(runs)}: {reason}" for reason, runs in lacking.items())
    parts = [part for score, found in operands.found.items() for part in status(found, facts, *score).split("; ")]
    return "; ".join(part for part in dict.fromkeys(parts) if not any(each.startswith(f"{part}, ") for each in parts))


def _few(runs: list[str]) -> str:
    """All of a short list, the first ones of a long one."""
    if len(runs) <= _LONGEST_LIST:
        return ", ".join(runs)
    return f"{', '.join(runs[:_LONGEST_LIST])} and {len(runs) - _LONGEST_LIST} more"


def _measured(claim: Claim, judgement: Judgement, decision: Decision) -> dict[str, str]:
    """The cells that a verdict adds."""
    return {
        "ours": _difference(claim, judgement),
        "n": NOTHING
        if judgement.is_certain
        else sizes(judgement.first.by_pretraining, judgement.second.by_pretraining),
        "power": decision.power,
        "p": decision.p,
        "verdict": decision.verdict,
        "first": _shown(claim.first, judgement.first) if claim.second else judgement.series,
        "second": _shown(claim.second, judgement.second) if claim.second else NOTHING,
    }


def _difference(claim: Claim, judgement: Judgement) -> str:
    """`+0.7 [−0.2, +1.6]`; of a series with the two that it is between."""
    decimals, unit = decimals_of(claim.metric), UNITS.get(claim.metric, "")
    interval = f" {interval_text(judgement.interval, decimals)}" if judgement.interval else ""
    between = f", {judgement.second.label} to {judgement.first.label}" if claim.relation == RISING else ""
    return f"{signed(judgement.difference, decimals)}{unit}{interval}{between}"


def _shown(side: Side, chosen: Number) -> str:
    """The number of a side that decides."""
    of = {"each": "worst", "best": "best"}.get(side.which)
    return f"{chosen.text} ({of} of {len(side.operands)})" if of else chosen.text


def _records(claim: Claim, operands: Operands, judgement: Judgement | None) -> Iterator[dict[str, Any]]:
    """Every record behind a line; a cell leads to the first that stands under its column, which is what decides."""
    for column, side in (("first", claim.first), ("second", claim.second)):
        decisive = getattr(judgement, column).operand if judgement else None
        every = sorted(side.operands, key=lambda each: each != decisive) if side else ()
        measured = [operands.found[score] for operand in every for score in operand.scores]
        yield from (record for each in measured if each for record in records_of(each, column))
