"""An evaluation that starts from a fine-tuning: what its config keeps of it, and which starts are refused."""

import pytest
from helpers.sheets import CONFIG

from simmim.config.errors import DoesNotFit
from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs


def with_rows(folder, *rows):
    sheet = folder / "evaluate.tsv"
    sheet.write_text(sheet.read_text() + "".join("\t".join(row) + "\n" for row in rows))
    return Sheets(folder)


def test_segmentation_starts_from_the_fine_tuning_of_its_run_at_the_size_of_the_paper():
    sheets = Sheets(CONFIG)
    for run, image_px, window in (("swin_b_800ep", 224, 7), ("swin_l_800ep", 224, 14), ("swin_v2_h_800ep", 224, 14)):
        before = sheets.evaluation("paper", run, "finetune")
        assert (before.settings.image_px, before.encoder["window"]) == (image_px, window)
        for name, rate in (("segment", 1e-4), ("segment_lr3e4", 3e-4)):
            config = sheets.evaluation("paper", run, name)
            assert config.init.config_hash == before.hash
            assert config.init.encoder["window"] == window and config.encoder["window"] == 20
            assert config.train.base_lr * config.train.batch / config.train.base_lr_batch == rate


def test_table_12_s_supervised_columns_start_from_the_supervised_training():
    sheets = Sheets(CONFIG)
    cells = [cell for (table, row, _), cell in sheets.paper.items() if table == "table12" and row.startswith("Sup.")]
    rows = [(cell.run, name) for cell in cells for name in cell.evaluation.split()]
    assert len(rows) == 9
    for row in rows:
        assert sheets.evaluation("paper", *row).init.evaluation == "supervised", row


def test_a_start_is_part_of_the_config_of_what_starts_there_and_of_nothing_else(folder):
    def configs():
        read_yaml.cache_clear()
        sheets = Sheets(folder)
        return [sheets.evaluation("smoke", "default", name) for name in ("segment", "detect", "probe", "finetune")]

    before = configs()
    assert [config.init is not None for config in before] == [True, False, False, False]
    recipe = folder / "recipes" / "finetune_swin_b.yaml"
    recipe.write_text(recipe.read_text().replace("weight_decay: 0.05", "weight_decay: 0.06"))
    changed = [old.hash != new.hash for old, new in zip(before, configs())]
    assert changed == [True, False, False, True]


def test_a_row_may_start_from_the_pre_training_where_its_recipe_does_not(folder):
    sheets = with_rows(folder, ("default", "plain", "segment_swin_b", "init=pretrain"))
    assert sheets.evaluation("smoke", "default", "plain").init is None
    configs = [sheets.evaluation("smoke", "default", name) for name in ("plain", "segment")]
    files = [[str(file) for file in Jobs(sheets).encoders_of(config)] for config in configs]
    assert files[0] == ["results/smoke/pretrain/default/seed0/encoder.safetensors"]
    assert files[1] == [f"results/smoke/evaluate/default/finetune.encoders/seed{seed}.safetensors" for seed in range(3)]


def test_a_fine_tuning_may_start_from_another_and_hands_on_what_that_changed(folder):
    sheets = with_rows(
        folder,
        ("vit_b_800ep", "again", "finetune_vit_b", "init=finetune"),
        ("vit_b_800ep", "last", "knn", "init=again"),
    )
    start = sheets.evaluation("smoke", "vit_b_800ep", "last").init
    assert (start.evaluation, start.encoder["shared_bias"]) == ("again", False)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("odd", "finetun")], "unknown fine-tuning of run 'default' to start from 'finetun'; did you mean 'finetune'"),
        (
            [("odd", "knn")],
            r"unknown fine-tuning of run 'default' to start from 'knn' \(allowed: finetune, finetune_all, inat, odd\)",
        ),
        ([("odd", "supervised")], "unknown fine-tuning of run 'default' to start from 'supervised'"),
        ([("odd", "odd")], "init=odd: a circle, odd <- odd; start one of them from 'pretrain'"),
        ([("odd", "one"), ("one", "odd")], "init=odd: a circle, odd <- one <- odd;"),
    ],
)
def test_an_impossible_start_is_named(folder, rows, message):
    sheets = with_rows(folder, *[("default", name, "finetune_swin_b", f"init={start}") for name, start in rows])
    with pytest.raises(ValueError, match=rf"evaluate.tsv, row 'default {rows[-1][0]}': {message}") as refused:
        sheets.evaluation("smoke", "default", "odd")
    assert "\n" not in str(refused.value)


def test_a_name_that_is_a_fine_tuning_for_one_run_alone_is_refused(folder):
    sheets = with_rows(folder, ("default", "supervised", "knn", ""))
    with pytest.raises(ValueError, match=r"evaluation 'supervised' is finetune and knn in evaluate.tsv; use two names"):
        sheets.fine_tunings()


def test_what_starts_from_what_a_scale_is_without_does_not_fit_it(folder):
    scale = folder / "scales" / "smoke.yaml"
    scale.write_text(scale.read_text() + "without: [finetune]\n")
    with pytest.raises(DoesNotFit, match="it starts from 'finetune', which this scale is without"):
        Sheets(folder).evaluation("smoke", "default", "segment")


def test_the_features_of_a_fine_tuned_encoder_are_another_set(folder):
    sheets = with_rows(folder, ("default", "probe_after", "probe", "init=finetune"))
    names = [sheets.read_features("smoke", "default", each).name for each in ("probe", "probe_after", "knn")]
    assert len(set(names)) == 3  # where features are shared, a new row would repeat the evaluations that had read them
    assert sheets.features("smoke", "default", names[1]).init.evaluation == "finetune"
