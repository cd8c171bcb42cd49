"""What the differences of other implementations cost: each beside the reference run, on the same data and encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import MEAN_NOTE, measurement
from simmim.report.scale_facts import ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING, measured_by, misfit_of, status
from simmim.report.table import Body, Line
from simmim.report.tables._pairs import Pair, compared

if TYPE_CHECKING:
    from simmim.report.results import Results

title = "Done otherwise: what differences of other implementations cost"
section = "Do the paper's claims hold here?"

METRIC = "top1"
_FINETUNE, _PROBE = "finetune", "probe"
_LIGHTLY = "lightly (example)"
_STABLE = "stable-pretraining"


class Difference(NamedTuple):
    """What others do otherwise.

    Args:
        who: whose code, as read in 2026.
        run: ours that does the same, empty for the reference run.
        evaluation: of the reference run that does the same, where the difference lies there.
        cannot: why no row of ours does the same.
    """

    what: str
    who: str
    run: str = ""
    evaluation: str = ""
    cannot: str = ""


DIFFERENCES = (
    Difference("masks of one token, ratio 0.6", _STABLE, "mask_r8_r60"),
    Difference("masks of one token, ratio 0.75", _LIGHTLY, "mask_r8_r75"),
    Difference(
        "the paper's rate, scaled by its rule to this batch: a 20th of the default's",
        f"the paper (8e-4 at 2048); {_STABLE} (1e-3 at 128) takes the default's, {_LIGHTLY} (1.5e-4 at 8) 2.4 times it",
        "lr_paper_rule",
    ),
    Difference("20 times the default's rate, 400 times what the paper's rule gives", "nobody that was read", "lr_x20"),
    Difference("loss on all pixels", "the paper's Table 4", "loss_full"),
    Difference("probe trained on masked images", f"{_STABLE} (online probe)", "", "probe_masked"),
    Difference(
        "probe on the class token", f"{_STABLE} (when scored)", cannot="the reference encoder, Swin, has no class token"
    ),
)

_CAPTION = (
    f"{MEAN_NOTE} Each line changes one thing about the reference run, which this project does as the paper describes "
    "it. Difference: the mean [95 % interval by Student's t] over pre-trainings, done otherwise minus the reference "
    "run, paired by the seeds that both have; better or worse where the interval has no 0 in it after Holm's "
    "correction over the lines of this table. What others do was read in their public code; their own encoders, data "
    "and lengths are others, so a line tells what the difference costs here, not what their numbers would be. A scale "
    "may have a rate of its own that the paper's rule does not give: scale small does, hence both rates; rates are "
    "compared by the paper's rule, in proportion to the batch. A probe that is trained while pre-training goes on sees "
    "masked images in training and whole ones when it is scored, and so does ours."
)


class _Key(NamedTuple):
    """A line: its difference, the evaluation of its run, and that of the reference run."""

    difference: Difference
    run: str
    evaluation: str
    against: str


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """Both sides of every line that fits; none where the scale has no difference beyond the paper's own ablations."""
    keys = [key for key in _keys(facts) if (key.run, key.evaluation) in facts.evaluated]
    papers = {name for cell in facts.paper.values() for name in (cell["run"], *cell["evaluation"].split())}
    if all({key.run, key.evaluation} <= papers for key in keys):
        return []
    sides = [side for key in keys for side in ((key.run, key.evaluation), (facts.reference, key.against))]
    return [ResultFile("evaluate", *side) for side in sides if side in facts.evaluated]


def make(results: Results, facts: ScaleFacts) -> Body:
    """A line per difference and evaluation, measured or not; one for what no row of ours can do."""
    frame, keys = results.records, _keys(facts)
    pairs = [
        Pair(
            measurement(frame, key.run, key.evaluation, METRIC),
            measurement(frame, facts.reference, key.against, METRIC),
        )
        for key in keys
    ]
    lines = [_line(key, pair, facts) for key, pair in zip(keys, compared(pairs))]
    return Body(_CAPTION, lines + [_impossible(each, facts) for each in DIFFERENCES if each.cannot])


def _keys(facts: ScaleFacts) -> list[_Key]:
    found = []
    for each in DIFFERENCES:
        if each.evaluation:
            found.append(_Key(each, facts.reference, each.evaluation, _PROBE))
        elif each.run:
            found += [_Key(each, each.run, evaluation, evaluation) for evaluation in (_FINETUNE, _PROBE)]
    return found


def _line(key: _Key, pair: Pair, facts: ScaleFacts) -> Line:
    misfit = misfit_of(facts, key.run, key.evaluation)
    cells = {
        "done otherwise": key.difference.what,
        "by": key.difference.who,
        "measured here by": measured_by(facts, key.against, METRIC),
        "otherwise": pair.mine.text if pair.mine else misfit.what if misfit else NOT_RUN,
        "reference": pair.base.text if pair.base else NOT_RUN,
        "difference": pair.difference,
        "n": pair.n,
        "verdict": pair.verdict,
        "scale": facts.scale,
        "status": status(pair.mine, facts, key.run, key.evaluation),
    }
    behind = {"otherwise": pair.mine, "reference": pair.base}
    return Line(cells, key.run, key.evaluation, METRIC, None, behind, typed=pair.mine)


def _impossible(difference: Difference, facts: ScaleFacts) -> Line:
    """The line of what no row of ours does."""
    columns = ("measured here by", "otherwise", "reference", "difference", "n", "verdict")
    cells = {"done otherwise": difference.what, "by": difference.who, **dict.fromkeys(columns, NOTHING)}
    return Line(cells | {"scale": facts.scale, "status": f"not measured: {difference.cannot}"})
