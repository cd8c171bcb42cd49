"""config/paper.tsv holds every printed cell, and the runs and evaluations beside them are in the sheets."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from simmim.config.sheets import Sheets

CONFIG = Path(__file__).parents[2] / "config"
SHEETS = Sheets(CONFIG)
CELLS = SHEETS.paper

# Cells of each table, counted on its printed page; Table 1 prints three of its cells twice.
COUNTS = {
    "table1": 29,
    "table2": 4 * 3 + 2,  # and two losses in the text
    "table3": 6,
    "table4": 2,
    "table5": 12,
    "table6": 6 * 4,
    "table7": 8 * 4 + 5,  # and five records in the text
    "table8": 9 * 3,
    "table9": 4,
    "table10": 4 * 4,
    "table11": 5 * 4,
    "table12": 3 * 4,
    "table13": 3 * 6,
    "appendix_c": 2,
    "appendix_e": 2,
    "figure3a": 29,
    "figure7": 6 * 4,
    "released": 6,
}


def value(table, row, column="top-1 (%)"):
    return CELLS[table, row, column].value


def test_every_table_has_all_its_cells():
    assert Counter(table for table, _, _ in CELLS) == COUNTS


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (
            "table1",
            "82.6 82.5 82.5 82.7 82.6 82.4 82.7 82.6 82.5 81.9 82.0 82.1 82.0 82.1 82.4 82.4 82.7 82.8 "
            "82.7 82.8 82.8 82.9 83.0 82.8 82.7 82.4 82.4 82.6 82.6",
        ),
        ("table2", "89.9M 1x 82.8 0.3743 90.9M 1.2x 82.8 115.2M 1.7x 82.4 174.8M 2.3x 82.5 0.3722"),
        ("table3", "82.3 82.7 82.8 82.7 82.8 82.8"),
        ("table4", "82.8 81.7"),
        ("table5", "82.7 82.7 N/A 82.3 N/A 82.4 82.7 82.7 82.7 82.8 82.7 82.3"),
        (
            "table6",
            "224 81.8 - - 224 82.8 78.2 2.0x 224 83.2 76.7 1.8x 384 79.9 - ~4.0x 224 83.2 56.7 1.5x 224 83.8 56.7 1.0x",
        ),
        (
            "table7",
            "192 224 83.3 88M 192 224 83.5 197M 192 224 83.3 658M 192 224 84.0 88M 192 224 85.4 197M "
            "192 224 85.7 658M 192 512 87.1 658M 192 640 90.2 3.0B 84.0 63.1 54.4 59.9 86.8",
        ),
        (
            "table8",
            "128 2,2,18,2 88M 192 6 11.3G 224 7 15.4G 192 2,2,18,2 197M 192 12 26.0G 224 14 35.8G "
            "352 2,2,18,2 658M 192 12 86.2G 224 14 118.1G",
        ),
        ("table9", "82.8 83.0 82.9 83.3"),
        ("table10", "82.8 75.2 49.9 50.0 82.8 75.0 50.1 49.9 82.4 74.9 49.8 49.4 82.5 75.0 49.8 49.0"),
        (
            "table11",
            "82.7 75.3 50.0 49.7 82.3 74.6 49.7 49.3 82.4 75.0 49.6 49.1 82.7 75.2 50.1 48.8 82.8 75.2 49.9 50.0",
        ),
        ("table12", "50.2 50.4 52.3 52.8 50.9 50.0 53.8 53.5 50.2 49.8 54.4 54.2"),
        ("table13", "82.5 82.7 82.8 82.9 82.8 82.4 82.5 82.8 82.7 82.6 82.5 82.3 82.7 82.9 82.7 82.7 N/A N/A"),
        ("appendix_c", "50.0 not printed"),
        ("appendix_e", "81.6 80.7"),
        (
            "figure3a",
            "4.1 4.5 5.6 4.7 5.7 8.1 7.0 9.1 14.4 9.3 10.2 11.2 12.7 14.7 17.4 21.6 30.0 47.2 19.6 21.7 "
            "15.5 24.0 34.8 18.6 25.0 35.9 22.3 31.7 45.2",
        ),
        (
            "figure7",
            "82.0 69.19 48.9 48.31 82.4 71.23 49.8 48.70 83.0 75.08 50.3 49.68 82.6 74.78 49.8 48.65 "
            "82.5 74.80 49.7 48.90 82.5 74.74 49.5 49.00",
        ),
        ("released", "82.8 83.5 84.0 85.4 83.8 85.04"),
    ],
)
def test_every_value_is_as_printed(table, values):
    assert " ".join(cell.value for (name, _, _), cell in CELLS.items() if name == table) == values


def test_values_stand_in_their_rows():
    assert value("table1", "random, 32 px, ratio 0.5") == "83.0"
    assert value("table1", "block-wise, 16 px, ratio 0.8") == "82.4"
    assert value("table2", "inverse Swin-B", "training cost") == "2.3x"
    assert value("table6", "MoCo v3", "linear top-1 (%)") == "76.7"
    assert value("table7", "Ours, SwinV2-H, 512 px") == "87.1"
    assert value("table8", "fine-tune FLOPs", "SwinV2-H") == "118.1G"
    assert value("table9", "step", "300 epochs") == "83.3"
    assert value("table11", "BEiT tokens", "ADE20K mIoU") == "48.8"
    assert value("table12", "Ours, Swin-L", "COCO box AP") == "53.8"
    assert value("table13", "6 px", "16-bin top-1 (%)") == "82.9"
    assert value("figure3a", "square, 32 px", "ratio 0.25") == "24.0"
    assert value("figure7", "AvgDist 14.6 (random, 32 px, 0.5)", "iNat-2018 top-1 (%)") == "75.08"


def test_a_run_that_several_tables_share_is_one_run_with_one_published_value():
    published = {}
    for (table, _, _), cell in CELLS.items():
        if cell.metric == "top1" and not table.startswith(("figure", "released")):
            published.setdefault((cell.run, cell.evaluation), set()).add(cell.value)
    assert len(published) > 80
    assert {key: values for key, values in published.items() if len(values) > 1} == {}
    tables = {table for (table, _, _), cell in CELLS.items() if cell.run == "default"}
    assert tables > {"table1", "table2", "table3", "table4", "table5", "table9", "table10", "table11"}


def test_only_what_is_not_there_stands_without_a_run():
    """What the paper has no run of, the pre-training that it prints for supervised rows, and SwinV2-G's records."""
    without = {key: cell for key, cell in CELLS.items() if not cell.run}
    supervised = {key for key in without if key[1].startswith("Sup., ")}
    assert {CELLS[key].value for key in supervised} == {"192"} and {column for *_, column in supervised} == {
        "pre-train (px)"
    }
    records = {key for key in without if key[1] == "Ours, SwinV2-G"}
    assert {CELLS[key].value for key in records} == {"84.0", "63.1", "54.4", "59.9", "86.8"}
    assert {without[key].value for key in without.keys() - supervised - records} == {"N/A", "-"}
    assert all(cell.note for cell in without.values())
    assert Counter(table for table, _, _ in without) == {"table5": 2, "table6": 3, "table7": 3 + 5, "table13": 2}
    assert {cell.value for cell in CELLS.values() if cell.run}.isdisjoint({"N/A", "-"})


def test_what_was_read_off_a_figure_says_so():
    assert all("digitised" in cell.note for (table, _, _), cell in CELLS.items() if table.startswith("figure"))


def test_every_run_and_evaluation_beside_a_cell_exists():
    cells = [cell for cell in CELLS.values() if cell.run]
    named = {(cell.run, evaluation) for cell in cells for evaluation in cell.evaluation.split()}
    assert {run for run, _ in named} <= {*SHEETS.all_runs}
    assert {key for key in named if key[1] not in ("pretrain", "size")} <= SHEETS.evaluate.keys()
    against = {cell.against for cell in CELLS.values() if cell.against}
    assert against == {"default", "vit_b_800ep"}


def test_a_user_s_own_row_needs_no_published_cell(tmp_path):
    folder = shutil.copytree(CONFIG, tmp_path / "config")
    with open(folder / "pretrain.tsv", "a") as sheet:
        sheet.write("row_of_a_user\tswin_b_100ep\tmask.ratio=0.4\n")
    with open(folder / "evaluate.tsv", "a") as sheet:
        sheet.write("row_of_a_user\tfinetune\tfinetune_swin_b\n")
    sheets = Sheets(folder)
    assert sheets.pretraining("paper", "row_of_a_user").mask.settings["ratio"] == 0.4
    assert sheets.evaluation("paper", "row_of_a_user", "finetune").run == "row_of_a_user"
    assert sheets.paper == CELLS


def test_settings_that_are_printed_are_those_of_the_configs():
    """Tables 6 to 8 print sizes, widths, depths and windows: at paper scale ours must be the same."""
    checked = 0
    for cell in CELLS.values():
        if cell.run and "." in cell.metric and cell.run != "swin_v2_g_22k_ext":
            key = cell.run, cell.evaluation
            config = SHEETS.pretraining("paper", key[0]) if key[1] == "pretrain" else SHEETS.evaluation("paper", *key)
            section, _, name = cell.metric.partition(".")
            found = config.as_json()[section][name]
            found = found[0] if name == "image_px" and isinstance(found, list) else found  # the paper prints the side
            shown = ",".join(map(str, found)) if isinstance(found, list) else str(found)
            assert shown == cell.value, (*key, cell.metric)
            checked += 1
    assert checked == 35


@pytest.mark.parametrize(
    ("run", "evaluation", "settings"),
    [
        ("swin_b_800ep", None, {"epochs": 800, "schedule": "step", "milestones": [0.875]}),
        ("step_300ep", None, {"epochs": 300, "schedule": "step", "milestones": [0.9, 0.95], "warmup_epochs": 10}),
        ("resnet50x4_300ep", None, {"epochs": 300}),
        ("vit_b_800ep", None, {"epochs": 800, "schedule": "cosine", "warmup_epochs": 20}),
        ("vit_b_800ep_released", None, {"epochs": 800, "schedule": "step", "warmup_epochs": 10}),
        ("default", "inat", {"epochs": 100, "layer_decay": 0.9, "weight_decay": 0.05}),
        ("swin_b_800ep", "finetune", {"epochs": 100, "layer_decay": 0.8, "warmup_epochs": 10}),
        ("swin_l_800ep", "finetune", {"epochs": 100, "layer_decay": 0.75}),
        ("swin_v2_h_800ep", "finetune_512", {"epochs": 50, "layer_decay": 0.7}),
        ("swin_l_800ep", "finetune_released", {"layer_decay": 0.7, "warmup_epochs": 20, "released_cosine": True}),
        ("vit_b_800ep", "finetune", {"layer_decay": 0.65, "warmup_epochs": 10}),
        ("vit_b_800ep_released", "finetune", {"layer_decay": 0.65, "warmup_epochs": 20}),
        ("default", "detect", {"epochs": 36, "batch": 32, "weight_decay": 0.05}),
        ("default", "segment", {"batch": 32, "layer_decay": 0.9, "weight_decay": 0.05}),
        ("vit_b_800ep", "probe", {"epochs": 100, "warmup_epochs": 5}),
    ],
)
def test_the_paper_s_hyper_parameters(run, evaluation, settings):
    config = SHEETS.evaluation("paper", run, evaluation) if evaluation else SHEETS.pretraining("paper", run)
    assert {key: config.as_json()["train"][key] for key in settings} == settings


@pytest.mark.parametrize(
    ("run", "evaluation", "rate"),
    [
        ("default", None, 8e-4),
        ("step_100ep", None, 8e-4),
        ("swin_l_800ep", None, 4e-4),
        ("swin_v2_h_800ep", None, 4e-4),
        ("vit_b_800ep", None, 8e-4),
        ("vit_b_800ep_released", None, 4e-4),
        ("default", "finetune", 5e-3),
        ("swin_v2_h_800ep", "finetune", 5e-3),
        ("default", "inat", 1.6e-2),
        ("default", "detect", 6e-5),
    ],
)
def test_learning_rates_as_they_are_used(run, evaluation, rate):
    config = SHEETS.evaluation("paper", run, evaluation) if evaluation else SHEETS.pretraining("paper", run)
    train = config.train
    assert train.base_lr * train.batch / train.base_lr_batch == pytest.approx(rate)


def test_table_1_s_masks_are_what_their_rows_say():
    for (table, row, _), cell in CELLS.items():
        if table == "table1":
            kind, size, ratio = row.split(", ")
            config = SHEETS.pretraining("paper", cell.run)
            name = {"random": "random", "square": "square", "block-wise": "block"}[kind]
            assert (config.mask.name, config.mask.ratio) == (name, float(ratio.removeprefix("ratio ")))
            assert config.geometry.masked_patch_px == int(size.removesuffix(" px"))


def test_table_13_s_targets_are_what_their_cells_say():
    for (table, row, column), cell in CELLS.items():
        if table == "table13" and cell.run:
            config = SHEETS.pretraining("paper", cell.run)
            target = {"name": "bins", "bins": int(column.partition("-")[0]), "resolution_px": int(row.split()[0])}
            assert (config.target.model_dump(), config.loss.name) == (target, "cross_entropy")
