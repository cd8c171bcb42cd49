"""The language of claims.tsv: a relation, and what stands on either side of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from simmim.plugin import check_choice

if TYPE_CHECKING:
    from simmim.config.rows import ClaimRow

RISING = "rising"
WITH_TOLERANCE = ("not worse than", "close to")
ANY_SCALE = ""
_NUMBER = r"[0-9]+(?:[.][0-9]+)?"


class Score(NamedTuple):
    """A run and the evaluation it is measured by; of several evaluations, with spaces between, the best counts."""

    run: str
    evaluation: str


class Operand(NamedTuple):
    """A score, or a gain: how far it is above another."""

    score: Score
    less: Score | None = None

    @property
    def scores(self) -> list[Score]:
        """What has to be measured."""
        return [self.score, self.less] if self.less else [self.score]


class Side(NamedTuple):
    """What stands on one side: `each` or the `best` of several operands, one operand ('') or a series ('')."""

    which: str
    operands: tuple[Operand, ...]


class Claim(NamedTuple):
    """A row of claims.tsv at one scale.

    Args:
        second: None for a series, which stands alone.
        tolerance: 0 where the row has none.
    """

    claim: str
    section: str
    first: Side
    relation: str
    second: Side | None
    metric: str
    evaluation: str
    tolerance: float
    paper: str

    @property
    def family(self) -> str:
        """The table or figure of the paper that it is about, 'Table 1'; of a claim about none where it stands."""
        return self.section.rpartition(", ")[2]

    @property
    def printed_difference(self) -> float | None:
        """The number at the beginning of `paper`, None where that is no number ('not printed', 'within 0.3')."""
        return _printed(self.paper)

    def scores(self) -> Iterator[Score]:
        """Everything that has to be measured, in order, some of it more than once."""
        sides = [self.first, self.second] if self.second else [self.first]
        return (score for side in sides for operand in side.operands for score in operand.scores)


def claim_of(row: ClaimRow, scale: str) -> Claim:
    """What a row says, with the tolerance that it has at a scale.

    Raises:
        ValueError: for a side or a tolerance that says nothing.
    """
    is_series, known = row.relation == RISING, tolerances(row.tolerance)
    if is_series == bool(row.second):
        needs = "stands alone: leave `second` empty" if is_series else "needs something in `second`"
        raise ValueError(f"relation '{row.relation}' {needs}")
    _check_tolerance(row)
    return Claim(
        claim=row.claim,
        section=row.section,
        first=_side("first", row.first, row.evaluation, is_series),
        relation=row.relation,
        second=_side("second", row.second, row.evaluation) if row.second else None,
        metric=row.metric,
        evaluation=row.evaluation,
        tolerance=known.get(scale, known.get(ANY_SCALE, 0.0)),
        paper=row.paper,
    )


def tolerances(text: str) -> dict[str, float]:
    """`0.3 small=1` -> {"": 0.3, "small": 1.0}: a number for all scales, then those of single ones; '' -> {}.

    Raises:
        ValueError: for anything else.
    """
    scales = re.findall(r"(\w+)=", text)
    if not text:
        return {}
    if not re.fullmatch(rf"{_NUMBER}( +\w+={_NUMBER})*", text) or len({*scales}) < len(scales):
        raise ValueError(f"tolerance = '{text}': write a number, and behind it SCALE=NUMBER where a scale has another")
    everywhere, *others = text.split()
    pairs = [word.split("=") for word in others]
    return {ANY_SCALE: float(everywhere)} | {scale: float(number) for scale, number in pairs}


def _check_tolerance(row: ClaimRow) -> None:
    """A tolerance stands where a verdict or its power needs one, and nowhere else."""
    has_number = _printed(row.paper) is not None
    if bool(row.tolerance) == (row.relation in WITH_TOLERANCE or not has_number):
        return
    if row.tolerance:
        raise ValueError(
            f"tolerance = '{row.tolerance}': leave it empty, relation '{row.relation}' has none and `paper` is a number"
        )
    raise ValueError(
        "tolerance is empty: write how far apart is 'close to' or 'not worse than', or what is a difference"
    )


def _printed(paper: str) -> float | None:
    found = re.match(rf"[+−-]?{_NUMBER}", paper)
    return float(found[0].replace("−", "-")) if found else None


def _side(column: str, text: str, evaluation: str, is_series: bool = False) -> Side:
    words, which = text.split(), ""
    if words[1:2] == ["of"]:
        which, words = words[0], words[2:]
        check_choice(f"word before 'of' in column '{column}'", which, ("each", "best"))
    if not words:
        raise ValueError(f"{column} = '{text}': name the runs behind it")
    if is_series and (which or len(words) < 2):
        raise ValueError(f"{column} = '{text}': a rising series is several runs with spaces between, nothing else")
    if len(words) > 1 and not which and not is_series:
        raise ValueError(f"{column} = '{text}' names several runs: begin with 'each of' or 'best of'")
    return Side(which, tuple(_operand(word, evaluation) for word in words))


def _operand(text: str, evaluation: str) -> Operand:
    score, minus, less = text.partition("-")
    return Operand(_score(score, evaluation), _score(less, evaluation) if minus else None)


def _score(text: str, evaluation: str) -> Score:
    run, own, named = text.partition("/")
    return Score(run, named.replace(",", " ") if own else evaluation)
