"""Does pre-training learn? Its loss on validation images against that of each image's mean visible colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simmim.report.measurements import Measurement, measurement, number, signed
from simmim.report.scale_facts import AREA_WORDS, ResultFile, ScaleFacts
from simmim.report.status import NOT_RUN, NOTHING
from simmim.report.table import Body, Headline, Line

if TYPE_CHECKING:
    import pandas as pd

    from simmim.report.results import Results

title = "Does pre-training learn?"
section = "What pre-training learns"


class _Losses(NamedTuple):
    """Validation loss of one seed and that of the mean colour; either may be missing."""

    model: Measurement | None
    baseline: Measurement | None

    @property
    def are_complete(self) -> bool:
        return bool(self.model and self.baseline)

    @property
    def share(self) -> float:
        """Loss in per cent of the baseline's."""
        return 100 * self.model.mean / self.baseline.mean


def needs(facts: ScaleFacts) -> list[ResultFile]:
    """The logs of every run with a reconstruction loss."""
    return [ResultFile("pretrain", run) for run in facts.loss_areas]


def make(results: Results, facts: ScaleFacts) -> Body:
    """One line per run and seed."""
    frame = results.records
    lines = [_line(frame, run, seed, facts) for run in facts.loss_areas for seed in _seeds(frame, run) or [None]]
    caption = (
        "L1 on the hidden pixels of validation images under fixed masks, in units of the channels' standard deviation, "
        "whatever area the run was trained on. The baseline predicts the mean colour of each image's visible pixels. "
        "Masks differ between runs with different masking: compare a run with its own baseline."
    )
    return Body(caption, lines, tuple(_headlines(frame, facts)))


def _seeds(frame: pd.DataFrame, run: str) -> list[int]:
    return sorted(set(frame.loc[(frame["run"] == run) & (frame["evaluation"] == "pretrain"), "seed"]))


def _losses(frame: pd.DataFrame, run: str, seed: int | None) -> _Losses:
    mine = frame[frame["seed"] == seed]
    return _Losses(*(measurement(mine, run, "pretrain", f"validation_loss{of}") for of in ("", "_mean_colour")))


def _line(frame: pd.DataFrame, run: str, seed: int | None, facts: ScaleFacts) -> Line:
    losses = _losses(frame, run, seed)
    loss, base = losses
    misfit = facts.misfits.get(run, NOT_RUN)
    cells = {
        "run": run,
        "seed": NOTHING if seed is None else str(seed),
        "trained on": AREA_WORDS[facts.loss_areas[run]],
        "validation loss": loss.text if loss else str(misfit),
        "mean colour": base.text if base else NOTHING if loss else str(misfit),
        "difference": signed(loss.mean - base.mean, 4) if losses.are_complete else NOTHING,
        "share of baseline": f"{number(losses.share, 1)} %" if losses.are_complete else NOTHING,
        "scale": facts.scale,
        "status": f"measured at {facts.scale} scale" if loss else str(misfit),
    }
    return Line(cells, run, "pretrain", "validation_loss", None, {"validation loss": loss, "mean colour": base})


def _headlines(frame: pd.DataFrame, facts: ScaleFacts) -> list[Headline]:
    """The share of the baseline's loss that the one run has which is shown large."""
    found = {run: [_losses(frame, run, seed) for seed in _seeds(frame, run)] for run in facts.loss_areas}
    found = {
        run: complete for run, seeds in found.items() if (complete := [each for each in seeds if each.are_complete])
    }
    run = facts.shown_run(found)
    return [_headline(found[run])] if run else []


def _headline(seeds: list[_Losses]) -> Headline:
    share, loss = _range([each.share for each in seeds], 1), _range([each.model.mean for each in seeds], 4)
    learns = all(each.model.mean < each.baseline.mean for each in seeds)
    tone, word = ("good", "better") if learns else ("bad", "not better")
    baseline = f"mean colour of each image {seeds[0].baseline.text}"
    return Headline(tone, "loss on hidden pixels, validation images", loss, baseline, f"{word}: {share} % of it")


def _range(values: list[float], decimals: int) -> str:
    """'50.0' or '50.0–52.0'."""
    low, high = number(min(values), decimals), number(max(values), decimals)
    return low if low == high else f"{low}–{high}"
