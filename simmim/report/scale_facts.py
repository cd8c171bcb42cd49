"""What is known of a scale before any result is there: its runs, evaluations, labels and published cells.

Only the standard library is imported here: the Snakefile asks which files a table or a figure needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simmim.config.claims import Claim

Cell = Mapping[str, str]
AREA_WORDS = {"masked": "masked area", "full": "full image"}  # where a loss is taken

# What a reader calls an evaluation that has no row in evaluate.tsv (`simmim.config.references.WITHOUT_ROW`).
_WITHOUT_ROW_WORDS = {"pretrain": "pre-training", "size": "counted"}


class ResultFile(NamedTuple):
    """A kind of result file, of a run or of one of its evaluations.

    Args:
        kind: of a job: 'pretrain', the records of every seed of a run; 'reconstruct', the images of its first seed;
            'evaluate'; 'size'; 'demo_data' (the data card); 'avg_dist' or 'mask_samples', one for all runs.
    """

    kind: str
    run: str = ""
    evaluation: str = ""


class Misfit(NamedTuple):
    """Why a scale cannot have a run or an evaluation: `what` stands in a cell, `reason` beside it."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class MaskName(NamedTuple):
    """A mask in the paper's words and pixels: 'random', 32, 'random, 32 px'."""

    kind: str
    patch_px: int
    label: str


class Evaluated(NamedTuple):
    """An evaluation that fits the scale.

    Args:
        has_extra_set: whether it is scored on an extra validation set, too.
        is_score: whether its numbers say how good an encoder is.
    """

    task: str
    role: str
    has_extra_set: bool = False
    is_score: bool = True


@dataclass(frozen=True)
class ScaleFacts:
    """What the sheets say about a scale.

    Args:
        reference: the run that the paper varies one thing of at a time.
        misfits: run, or 'run/evaluation', to why the scale cannot have it.
        trained: pre-trained runs, in the order of the sheet.
        countable: runs whose networks can be built, with or without their data.
        encoders: run to the name of its encoder ('swin').
        baselines: pre-trained run to the run with the same encoder and no pre-training.
        loss_areas: run with a reconstruction loss to the area it is taken on ('masked', 'full').
        losses: pre-trained run to what its loss is: 'l1 on pixels, masked area'. Only the same losses can be compared.
        pretrainings: run to its number of pre-trainings, or of fresh encoders: from them its evaluations start in turn.
        fitting_masks: of the runs in `masks`, those whose mask the scale can have, whether it trains them or not, to
            the side of their masked patch in its pixels.
        masks: run that differs from the reference run in its mask alone, or is it, to its mask at paper scale.
        lengths: pre-trained run that differs from the reference run in its length alone, or is it, to the images of one
            of its updates.
        evaluated: (run, evaluation) to what it is, of every evaluation that fits.
        settings: (run, evaluation, key) to the value of a setting that paper.tsv asks for.
        codes: run that predicts codes to whose they are: 'codes of colours_512, made here'.
        run_labels, evaluation_labels: what figures and tables call them; evaluations in the order they are shown.
        headline_metrics: the metrics that evaluations are compared by.
        figure_runs: figure to the runs whose stored images it shows, whether or not the scale has them.
        paper: rows of paper.tsv by (table, row, column).
        table_titles, table_sections: of the paper's tables.
        claims: rows of claims.tsv, with the tolerances of the scale.
        data_words: what the data of pre-training are called: 'Earth imagery'.
        dataset_labels: what tables and figures call data sets.
        has_data_card: whether the data are made by the package itself.
        extra_sets: data sets that fine-tunings are scored on beside their validation set.
    """

    scale: str
    reference: str
    misfits: dict[str, Misfit] = field(default_factory=dict)
    trained: tuple[str, ...] = ()
    countable: tuple[str, ...] = ()
    encoders: dict[str, str] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)
    loss_areas: dict[str, str] = field(default_factory=dict)
    losses: dict[str, str] = field(default_factory=dict)
    pretrainings: dict[str, int] = field(default_factory=dict)
    masks: dict[str, MaskName] = field(default_factory=dict)
    fitting_masks: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    evaluated: dict[tuple[str, str], Evaluated] = field(default_factory=dict)
    settings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    run_labels: dict[str, str] = field(default_factory=dict)
    evaluation_labels: dict[str, str] = field(default_factory=dict)
    headline_metrics: tuple[str, ...] = ()
    figure_runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    paper: dict[tuple[str, str, str], Cell] = field(default_factory=dict)
    table_titles: dict[str, str] = field(default_factory=dict)
    table_sections: dict[str, str] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    data_words: str = ""
    dataset_labels: dict[str, str] = field(default_factory=dict)
    has_data_card: bool = False
    extra_sets: tuple[str, ...] = ()

    def evaluations(self, task: str = "") -> list[ResultFile]:
        """Every evaluation that fits the scale and is a score, or those of one task."""
        fitting = [key for key, each in self.evaluated.items() if (each.task == task if task else each.is_score)]
        return [ResultFile("evaluate", run, evaluation) for run, evaluation in fitting]

    def has_from_scratch(self, run: str, evaluation: str) -> bool:
        """Whether the scale evaluates the same encoder without pre-training, too."""
        return (self.baselines.get(run), evaluation) in self.evaluated

    def shown_run(self, runs: Iterable[str]) -> str | None:
        """The one run to show of several: the reference run if it is among them, else the first."""
        runs = list(runs)
        return self.reference if self.reference in runs else next(iter(runs), None)

    def trained_first(self, runs: Iterable[str]) -> list[str]:
        """Each run once: those that are pre-trained in the order of the sheet, then the others as they come."""
        runs = list(dict.fromkeys(runs))
        return [run for run in self.trained if run in runs] + [run for run in runs if run not in self.trained]

    @property
    def is_paper(self) -> bool:
        """Whether data, encoders and lengths of training are the paper's."""
        return self.scale == "paper"

    def measured_masks(self) -> list[str]:
        """Runs whose AvgDist is measured: those of the masking ablation too that the scale does not train."""
        return list(dict.fromkeys([*self.trained, *self.fitting_masks]))

    def cells(self, table: str) -> dict[tuple[str, str], Cell]:
        """Published cells of a table by (row, column)."""
        return {(row, column): cell for (name, row, column), cell in self.paper.items() if name == table}

    def pictured(self, figure: str) -> list[ResultFile]:
        """Stored images of the runs that a figure shows and the scale trains."""
        return [ResultFile("reconstruct", run) for run in self.figure_runs.get(figure, ()) if run in self.trained]

    def run_label(self, run: str) -> str:
        """What figures call a run."""
        return self.run_labels.get(run, run)

    def naming_note(self) -> str:
        """What a caption says about the names of runs."""
        return "" if self.is_paper else " Runs are named by the paper's sizes, not by those of this scale."

    def setting_words(self) -> str:
        """What a caption begins with where the setting is not the paper's: 'Demo scale: Earth imagery. '."""
        return "" if self.is_paper else f"{self.scale.capitalize()} scale: {self.data_words}. "

    def evaluation_label(self, evaluations: str) -> str:
        """What a reader calls an evaluation and its data; of several with spaces between, the first."""
        first = evaluations.split()[0]
        return self.evaluation_labels.get(first) or _WITHOUT_ROW_WORDS.get(first, first.replace("_", " "))

    def in_order(self, evaluations: Iterable[str]) -> list[str]:
        """Each evaluation once: those with a label in its order, then the others by name."""
        known = list(self.evaluation_labels)
        return sorted(set(evaluations), key=lambda name: (known.index(name) if name in known else len(known), name))


def is_setting(metric: str) -> bool:
    """Whether a published cell of this metric is a setting of a config, not a measured number: it has a dot."""
    return "." in metric
