"""Which results each table and figure needs, asked of the sheets of the project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from made_up import CLAIMS, PAPER, PAPER_OF_MASKS, cell

from simmim.config.errors import DoesNotFit
from simmim.config.evaluate_models import EvaluateConfig
from simmim.config.models import PretrainConfig
from simmim.config.rows import DatasetRow, EvaluateRow, PaperRow, PretrainRow, TableRow
from simmim.config.scale import ScaleConfig
from simmim.config.sheets import Sheets
from simmim.report import catalogue
from simmim.report.facts import differing_in_mask, written_once
from simmim.report.scale_facts import MaskName, Misfit, ResultFile, is_setting

CONFIG = Path(__file__).parents[2] / "config"
KINDS = "pretrain", "reconstruct", "evaluate", "size", "demo_data", "avg_dist", "mask_samples"


def printed_rows(cells):
    """Made-up cells as rows of paper.tsv."""
    return {key: PaperRow(**dict(zip(("table", "row", "column"), key)) | text) for key, text in cells.items()}


def row(run, **cells):
    return PretrainRow(run=run, recipe="any", **cells)


class FewSheets:
    """Six runs of two encoders; 'mask_r4' fits no scale, 'loss_full' is not fine-tuned at scale 'less'."""

    paper = printed_rows(PAPER)
    datasets: ClassVar = {
        (name, "train"): DatasetRow(dataset=name, split="train", source="image_folder", made_by=maker)
        for name, maker in (("tiles", "demo"), ("photos", ""))
    }
    claims: ClassVar = {(each.claim,): each for each in CLAIMS}
    _tasks: ClassVar = {"finetune": "finetune", "probe": "linear_probe", "detect": "detect"}
    _runs = ("default", "mask_r4", "loss_full", "random_swin", "vit", "random_vit")
    tables: ClassVar = {
        ("table4",): TableRow(table="table4", title="Table 4: scope of the loss", section="Beside the paper")
    }

    @property
    def without_data(self):
        return self

    @property
    def pretrain(self):
        rows = {(run,): row(run) for run in self._runs}
        rows[("default",)] = row("default", label="the default", figures="figure1 figure5", reference="yes")
        rows[("loss_full",)] = row("loss_full", figures="figure5")
        return rows

    @property
    def evaluate(self):
        keys = [(run, name) for run in self._runs for name in self._tasks]
        rows = {key: EvaluateRow(run=key[0], evaluation=key[1], recipe="any") for key in keys}
        rows["vit", "finetune"] = EvaluateRow(
            run="vit", evaluation="finetune", recipe="any", label="fine-tuning", metrics="top1"
        )
        return rows

    def runs(self, scale):
        return list(self._runs)

    def evaluations(self, scale):
        both = [(run, task) for run in self.runs(scale) for task in self._tasks]
        return [key for key in both if scale != "less" or key != ("loss_full", "finetune")]

    def pretraining(self, scale, run):
        if run == "mask_r4":
            raise DoesNotFit("no 4 px here")
        return PretrainConfig(
            scale=scale,
            run=run,
            numerics={},
            data={},
            encoder={"name": "vit" if "vit" in run else "swin"},
            geometry={"image_px": 64, "masked_patch_px": 16},
            mask={"name": "random", "ratio": 0.6},
            head={"name": "linear"},
            target={"name": "pixels"},
            loss={"name": "l1", "area": "full" if run == "loss_full" else "masked"},
            train={"epochs": 0 if "random" in run else 10, "batch": 1, "base_lr": 1.0},
            seeds=3 if run in ("default", "random_swin") else 1,
        )

    def evaluation(self, scale, run, evaluation):
        if run == "mask_r4":
            raise DoesNotFit("no 4 px here")
        role = "detect" if evaluation == "detect" else "classify"
        where = {"scale": scale, "run": run, "evaluation": evaluation, "pretraining": "", "numerics": {}, "data": {}}
        train = {"epochs": 1, "batch": 2, "base_lr": 1.0}
        return EvaluateConfig(**where, task=self._tasks[evaluation], role=role, settings={}, train=train, init=None)

    def scales(self):
        return ["demo", "less", "paper"]

    def scale(self, name):
        return ScaleConfig(datasets={"pretrain": "tiles" if name == "demo" else "photos"})


@pytest.fixture(scope="module")
def sheets():
    return FewSheets()


def test_every_table_and_figure_of_the_project_needs_only_what_its_scale_runs():
    sheets = Sheets(CONFIG)
    for scale in sheets.scales():
        evaluations, runs = set(sheets.evaluations(scale)), sheets.runs(scale)
        for needs in (
            *(catalogue.table_needs(table, sheets, scale) for table in catalogue.tables(sheets, scale)),
            *(catalogue.figure_needs(figure, sheets, scale) for figure in catalogue.figures(sheets, scale)),
        ):
            assert len(needs) == len(set(needs))
            for need in needs:
                assert need.kind in KINDS
                assert need.kind != "evaluate" or (need.run, need.evaluation) in evaluations
                assert need.kind not in ("pretrain", "reconstruct", "size") or need.run in runs


def test_a_table_of_the_paper_needs_its_cells_and_no_more(sheets):
    assert catalogue.table_needs("table4", sheets, "demo") == [
        ResultFile("evaluate", "default", "finetune"),
        ResultFile("evaluate", "loss_full", "finetune"),
    ]


def test_what_is_not_run_or_does_not_fit_is_not_needed(sheets):
    assert catalogue.table_needs("table4", sheets, "less") == [ResultFile("evaluate", "default", "finetune")]
    assert catalogue.table_needs("table1", sheets, "demo") == [ResultFile("evaluate", "default", "finetune")]
    misfits = catalogue.facts(sheets, "demo").misfits
    assert misfits["mask_r4"] == misfits["mask_r4/probe"] == Misfit("does not fit this scale", "no 4 px here")
    everything = catalogue.table_needs("scratch", sheets, "demo")
    assert len(everything) == 15
    assert not [need for need in everything if need.run == "mask_r4"]


def test_trained_runs_are_told_from_random_ones(sheets):
    facts = catalogue.facts(sheets, "demo")
    assert facts.baselines == {"default": "random_swin", "loss_full": "random_swin", "vit": "random_vit"}
    assert facts.trained == ("default", "loss_full", "vit")
    assert facts.loss_areas == {"default": "masked", "loss_full": "full", "vit": "masked"}
    assert [need.run for need in catalogue.figure_needs("losses", sheets, "demo")] == list(facts.trained)


def test_the_number_of_pretrainings_is_known_of_fresh_encoders_too():
    known = catalogue.facts(FewSheets(), "demo").pretrainings
    assert known == {"default": 3, "loss_full": 1, "random_swin": 3, "vit": 1, "random_vit": 1}


def test_only_made_data_have_a_card(sheets):
    assert "data" in catalogue.tables(sheets, "demo")
    assert "data" not in catalogue.tables(sheets, "less")
    needs = catalogue.table_needs("data", sheets, "demo")
    assert needs[0] == ResultFile("demo_data")
    assert {need.run for need in needs[1:]} == {"default", "random_swin"}
    assert {need.evaluation for need in needs[1:]} == {"finetune", "probe"}


def test_extra_validation_sets_have_a_table_where_there_are_any():
    sheets = Sheets(CONFIG)
    assert "extra_validation" in catalogue.tables(sheets, "paper") and "extra_validation" not in catalogue.tables(
        sheets, "small"
    )
    needs = catalogue.table_needs("extra_validation", sheets, "paper")
    assert (
        ResultFile("evaluate", "default", "finetune") in needs
        and ResultFile("evaluate", "random_vit", "supervised") in needs
    )
    assert {need.evaluation for need in needs}.isdisjoint({"inat", "probe", "detect"})


def test_a_probe_is_known_by_its_task(sheets):
    needs = catalogue.figure_needs("probe_blocks", sheets, "demo")
    assert needs == catalogue.table_needs("probe", sheets, "demo")
    assert {need.evaluation for need in needs} == {"probe"}


def test_runs_that_differ_from_the_reference_in_their_mask_alone_are_told_apart(sheets):
    default = sheets.pretraining("demo", "default")
    without = {"mask": None, "head": None, "target": None, "geometry": {"image_px": 64}}

    def changed(**values):
        return PretrainConfig(**dict(default) | values)

    block = {"name": "block", "ratio": 0.4, "min_cells": 3}
    configs = {
        "default": changed(seeds=3),
        "block": changed(seeds=1, mask=block, geometry={"image_px": 64, "masked_patch_px": 8}),
        "longer": changed(train={"epochs": 20, "batch": 1, "base_lr": 1.0}),
        "larger": changed(geometry={"image_px": 32, "masked_patch_px": 16}),
        "other": changed(method={"name": "dino"}, **without),
    }
    assert differing_in_mask(configs, "default") == ["default", "block"]
    del configs["default"]
    assert differing_in_mask(configs, "default") == []


def test_what_is_measured_is_named_by_the_data_of_the_scale():
    sheets = Sheets(CONFIG)
    demo, paper = catalogue.facts(sheets, "demo"), catalogue.facts(sheets, "paper")
    assert demo.evaluation_label("inat") == "fine-tuning on climate, 18 classes, long tail"
    assert demo.evaluation_label("detect") == "detection on islands and lakes"
    assert paper.evaluation_label("inat") == "fine-tuning on iNaturalist 2018"
    assert catalogue.facts(sheets, "small").setting_words() == "Small scale: CIFAR-10. "
    benchmarks = ("ImageNet", "iNaturalist", "COCO", "ADE20K")
    own = [*demo.evaluation_labels.values(), demo.data_words, *demo.table_titles.values()]
    assert not [words for words in own for name in benchmarks if name in words]


def test_masks_are_named_in_the_paper_s_pixels():
    masks = catalogue.facts(Sheets(CONFIG), "smoke").masks
    assert masks["mask_r64_r60"] == MaskName("random", 64, "random, 64 px")
    assert masks["mask_block16_r40"].label == "block-wise, 16 px"
    assert "loss_full" not in masks


def test_figures_of_masks_need_avg_dist_and_the_evaluations_they_show(sheets):
    class Masks(FewSheets):
        paper = printed_rows(
            PAPER | PAPER_OF_MASKS | {("figure7", "dots", "mIoU"): cell("default", "49.0", "segment", "miou")}
        )

    assert catalogue.figure_needs("figure2", sheets, "demo") == [ResultFile("mask_samples")]
    assert catalogue.figure_needs("figure3", sheets, "demo") == [
        ResultFile("avg_dist"),
        ResultFile("evaluate", "default", "finetune"),
    ]
    assert catalogue.figure_needs("figure7", sheets, "demo") == []  # nothing published to set ours beside
    assert catalogue.figure_needs("figure7", Masks(), "demo") == [
        ResultFile("avg_dist"),
        ResultFile("evaluate", "default", "finetune"),
        ResultFile("evaluate", "default", "detect"),
    ]
    assert catalogue.table_needs("figure3a", Masks(), "demo") == [ResultFile("avg_dist")]


def test_an_unknown_name_is_refused_with_the_nearest(sheets):
    with pytest.raises(ValueError, match="did you mean 'scratch'"):
        catalogue.table_needs("scrach", sheets, "demo")
    with pytest.raises(ValueError, match="did you mean 'losses'"):
        catalogue.figure_needs("loses", sheets, "demo")


ASKING = """
import sys
{}
from simmim.report import catalogue
from simmim.plugin import names
for name in names("report.tables"):
    catalogue.table(name, {facts})
for name in names("report.figures"):
    catalogue.figure(name).needs, catalogue.figure_description(name)
print(sorted({{*sys.modules}} & {{"pandas", "numpy", "matplotlib", "seaborn", "pyarrow", "torch", "jinja2", "PIL"}}))
"""


def test_asking_imports_no_library_but_those_of_the_config():
    """Snakemake parses the workflow in every job: what it asks must not import what only drawing needs."""
    facts = 'catalogue.ScaleFacts("smoke", "default")'
    done = subprocess.run(
        [sys.executable, "-c", ASKING.format("", facts=facts)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_report_needs_no_torch():
    command = "import sys; from simmim.report import catalogue, page, write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], timeout=120).returncode == 0


def test_a_scale_draws_only_what_it_has():
    class NoProbe(FewSheets):
        _tasks: ClassVar = {"finetune": "finetune"}

        def runs(self, scale):
            return ["loss_full", "random_swin"]

    # Nothing of the reference run or of probes; what masks are like is known without any training.
    without = ["figure2", "figure3", "figure5", "losses", "reconstructions", "scratch"]
    assert catalogue.figures(NoProbe(), "demo") == without
    assert catalogue.figure_needs("figure3", NoProbe(), "demo") == [ResultFile("avg_dist")]
    assert catalogue.figure_needs("reconstructions", NoProbe(), "demo") == [ResultFile("reconstruct", "loss_full")]


def test_reconstructions_are_those_of_the_run_that_the_sheet_names_where_the_scale_trains_it():
    class Longer(Sheets):
        def runs(self, scale):
            return ["default", "default_x10"]

    for sheets, run in (Longer(CONFIG), "default_x10"), (FewSheets(), "default"):
        assert catalogue.figure_needs("reconstructions", sheets, "small") == [ResultFile("reconstruct", run)]


@pytest.mark.parametrize("scale", ["smoke", "demo", "small"])
def test_avg_dist_of_every_row_of_table_1_that_fits_is_measured_and_drawn_on_the_page(scale):
    sheets = Sheets(CONFIG)
    facts = catalogue.facts(sheets, scale)
    rows = {cell["run"] for cell in facts.cells("table1").values()}
    assert rows <= {*facts.measured_masks(), *facts.misfits}, "a row is neither measured nor said not to fit"
    assert len(rows & {*facts.measured_masks()}) >= 20
    assert "figure3" in catalogue.figures(sheets, scale) and "figure3a" in catalogue.shown_tables(sheets, scale)


@pytest.mark.parametrize("scale", ["paper", "smoke"])
def test_every_published_cell_with_a_run_gets_its_result_unless_it_cannot_be(scale):
    sheets = Sheets(CONFIG)
    misfits, asked = catalogue.facts(sheets, scale).misfits, set()
    for (table, _, _), printed in sheets.paper.items():
        run, evaluation = printed.run, printed.evaluation
        if run and not is_setting(printed.metric) and not {run, f"{run}/{evaluation}"} & misfits.keys():
            kind = {"pretrain": "pretrain", "size": "size"}.get(evaluation, "evaluate")
            kind = "avg_dist" if printed.metric == "avg_dist" else kind
            needs = [need for need in catalogue.table_needs(table, sheets, scale) if need.kind == kind]
            assert kind == "avg_dist" or run in {need.run for need in needs}, (table, printed)
            assert not printed.against or printed.against in {need.run for need in needs}, (table, printed)
            asked.add(kind)
    assert asked == {"pretrain", "size", "evaluate", "avg_dist"}
    sizes = set(catalogue.table_needs("table8", sheets, scale))
    assert sizes == {ResultFile("size", run) for run in ("swin_b_800ep", "swin_l_800ep", "swin_v2_h_800ep")}


def test_what_is_no_score_is_asked_for_by_its_own_figures_only():
    sheets = Sheets(CONFIG)
    for scale in ("paper", "smoke", "small"):
        needs = {name: catalogue.table_needs(name, sheets, scale) for name in catalogue.tables(sheets, scale)}
        needs |= {name: catalogue.figure_needs(name, sheets, scale) for name in catalogue.figures(sheets, scale)}
        asking = {name for name, found in needs.items() if "mechanism" in {need.evaluation for need in found}}
        assert asking == {"mechanism", "mechanism_cka"}
    assert "mechanism" not in catalogue.figures(sheets, "demo")


def test_the_page_shows_only_tables_of_which_the_scale_runs_something():
    sheets = Sheets(CONFIG)
    assert catalogue.shown_tables(sheets, "paper") == catalogue.tables(sheets, "paper")
    shown = set(catalogue.shown_tables(sheets, "demo"))
    assert {"table1", "table4", "directions", "data"} <= shown
    assert not shown & {"table6", "table8", "appendix_e", "released"}


def with_rows(**sheets):
    """Few sheets with other rows."""
    return type("Changed", (FewSheets,), sheets)()


def rows(**cells):
    return {(run,): row(run, **cells) for run in ("default", "loss_full")}


def test_the_reference_run_is_marked_once():
    assert catalogue.reference_run(FewSheets()) == "default"
    with pytest.raises(ValueError, match="column 'reference': one run must say 'yes', 0 do"):
        catalogue.facts(with_rows(pretrain=rows()), "demo")
    with pytest.raises(ValueError, match=r"2 do: \['default', 'loss_full'\]"):
        catalogue.facts(with_rows(pretrain=rows(reference="yes")), "demo")


def test_a_figure_that_a_run_is_shown_in_must_exist():
    pretrain = rows(figures="figure55") | {("default",): row("default", figures="figure55", reference="yes")}
    with pytest.raises(ValueError, match="row 'default', column 'figures' 'figure55'; did you mean 'figure5'"):
        catalogue.facts(with_rows(pretrain=pretrain), "demo")


def test_a_label_is_written_once_for_all_rows_of_an_evaluation():
    def labelled(run, label):
        return {(run, "probe"): EvaluateRow(run=run, evaluation="probe", recipe="any", label=label)}

    same = labelled("a", "") | labelled("b", "linear") | labelled("c", "linear")
    assert written_once(same, "label") == {"probe": "linear"}
    with pytest.raises(ValueError, match="'probe', column 'label': 'linear' and, for run 'd', 'nonlinear'"):
        written_once(same | labelled("d", "nonlinear"), "label")


def test_labels_titles_and_figures_come_from_the_sheets(sheets):
    facts = catalogue.facts(sheets, "demo")
    assert (facts.reference, facts.run_label("default"), facts.run_label("vit")) == ("default", "the default", "vit")
    assert facts.evaluation_label("finetune") == "fine-tuning" and facts.headline_metrics == ("top1",)
    assert facts.figure_runs == {"figure1": ("default",), "figure5": ("default", "loss_full")}
    assert facts.in_order(["zeta", "probe", "finetune", "probe"]) == ["finetune", "probe", "zeta"]
    assert catalogue.table("table4", facts).title == "Table 4: scope of the loss"
    assert (catalogue.table("table1", facts).title, catalogue.table("table1", facts).section) == (
        "table1",
        "Beside the paper",
    )


def test_a_table_of_the_paper_and_one_of_our_own_need_two_names():
    paper = printed_rows({("scratch", "row", "column"): cell("default", "1.0")})
    with pytest.raises(ValueError, match=r"paper\.tsv has a table 'scratch'"):
        catalogue.tables(with_rows(paper=paper), "demo")


def test_only_runs_with_a_reconstruction_loss_are_held_against_the_mean_colour(sheets):
    class Methods(FewSheets):
        def pretraining(self, scale, run):
            config = super().pretraining(scale, run)
            parts = {"mask": None, "head": None, "target": None, "geometry": {"image_px": 64}}
            other = parts | {"method": {"name": "moco_v3"}}
            return PretrainConfig(**dict(config) | other) if run == "vit" else config

    facts = catalogue.facts(Methods(), "demo")
    assert "vit" in facts.trained and "vit" not in facts.loss_areas and facts.losses["vit"] == "moco v3"
    assert [need.run for need in catalogue.table_needs("pretraining", Methods(), "demo")] == ["default", "loss_full"]


def test_pictures_are_asked_of_the_runs_that_the_scale_trains(sheets):
    assert catalogue.figure_needs("figure5", sheets, "demo") == [
        ResultFile("reconstruct", "default"),
        ResultFile("reconstruct", "loss_full"),
    ]
    assert catalogue.figure_needs("figure6", sheets, "demo") == []


def test_labels_of_the_project_tell_its_runs_apart():
    sheets = Sheets(CONFIG)
    facts = catalogue.facts(sheets, "small")
    assert len(set(facts.run_labels.values())) == len(facts.run_labels) > 70
    assert set(facts.table_titles) <= {table for table, _, _ in sheets.paper}
    assert {"finetune", "probe", "detect", "segment"} <= set(facts.evaluation_labels)


def test_tables_of_the_paper_know_settings_without_data_and_whose_codes_are_predicted():
    known = catalogue.facts(Sheets(CONFIG), "paper")
    assert known.misfits["swin_v2_g_22k_ext"].what == "needs data that is not public"
    assert known.settings["swin_v2_g_22k_ext", "finetune_640", "settings.image_px"] == "640"
    assert known.codes["beit_vit_b"] == "codes of dvae_8192, made here"
    assert {run for run in known.codes if run.startswith("target")} == {"target_clusters_48", "target_tokens"}
