"""Rows, recipes and scales become completed configs, and what is wrong in them is named before any job starts."""

import re

import pytest
from helpers.sheets import CONFIG, append, replace

from simmim.config.differences import differing_fields
from simmim.config.errors import DoesNotFit, Unavailable
from simmim.config.reading import read_sheet, read_yaml
from simmim.config.rows import PretrainRow
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs


def every_row(sheets):
    return [*sheets.pretrain, *sheets.evaluate]


def resolved(sheets, scale, key):
    """The config of a row, or why the scale cannot have it."""
    try:
        return sheets.pretraining(scale, *key) if len(key) == 1 else sheets.evaluation(scale, *key)
    except DoesNotFit as misfit:
        assert misfit.reason and "row '" in str(misfit)
        return misfit


def rows_of_some_scales(sheets):
    """Rows of pretrain.tsv and evaluate.tsv that only some scales have, those of such runs among them."""
    limited = {key for rows in (sheets.pretrain, sheets.evaluate) for key, row in rows.items() if row.scales}
    return limited | {key for key in sheets.evaluate if key[:1] in limited}


@pytest.mark.parametrize("scale", Sheets(CONFIG).scales())
def test_every_row_resolves_at_every_scale_or_says_why_not(scale):
    sheets = Sheets(CONFIG)
    rows = {key: resolved(sheets, scale, key) for key in every_row(sheets)}
    hashes = [config.hash for config in rows.values() if not isinstance(config, DoesNotFit)]
    assert len(set(hashes)) == len(hashes) > 100
    run = [(run,) for run in sheets.runs(scale)] + sheets.evaluations(scale)
    assert len(run) > 10
    assert rows.keys() >= set(run)


def test_at_smoke_scale_nine_rows_in_ten_run_and_at_paper_scale_all_whose_data_are_public():
    sheets = Sheets(CONFIG)
    rows = [key for key in every_row(sheets) if key not in rows_of_some_scales(sheets)]
    misfits = {key: row for key in rows if isinstance(row := resolved(sheets, "smoke", key), DoesNotFit)}
    assert len(misfits) < 0.1 * len(rows), misfits
    unavailable = {key: row for key in rows if isinstance(row := resolved(sheets, "paper", key), DoesNotFit)}
    assert all(isinstance(row, Unavailable) for row in unavailable.values())
    assert {*unavailable} == {("swin_v2_g_22k_ext",), ("swin_v2_g_22k_ext", "finetune_640")}
    assert "never released" in str(unavailable["swin_v2_g_22k_ext",])


def test_a_row_of_one_scale_is_no_other_scale_s_whether_that_runs_all_rows_or_is_asked_for_it(folder):
    append(folder / "pretrain.tsv", "long", "swin_b_100ep", "train.epochs=1000", "", "", "", "smoke")
    append(folder / "evaluate.tsv", "long", "finetune", "finetune_swin_b")
    append(folder / "evaluate.tsv", "default", "mine", "probe", "", "", "", "smoke")
    sheets = Sheets(folder)
    for scale, has in (("smoke", True), ("paper", False)):
        assert ("long" in sheets.runs(scale)) == has
        assert ({("long", "finetune"), ("default", "mine")} <= {*sheets.evaluations(scale)}) == has
    assert sheets.pretraining("smoke", "long").train.epochs == 20
    for refused in (("long",), ("long", "finetune"), ("default", "mine")):
        assert str(resolved(sheets, "paper", refused)).endswith("a row of scale smoke only (column 'scales')")


def test_an_unknown_scale_of_a_row_is_refused(folder):
    append(folder / "pretrain.tsv", "long", "swin_b_100ep", "", "", "", "", "smok")
    with pytest.raises(ValueError, match=r"row 'long': .*scale in column 'scales'.*'smok'.*did you mean 'smoke'"):
        Sheets(folder)


# What a scale may change: its data, widths and sizes, lengths and batches; and, for few labels, how they are augmented.
SCALE_CHANGES = (
    r"scale|pretraining|init\..*|seeds|data\..*|made_from\..*|encoder\..*|.*_px",
    r"head\.(embed_dim|depths|num_heads|window)",
    r"train\.(epochs|warmup_epochs|batch|micro_batch|base_lr|base_lr_batch|clip_norm)",
    r"train\.(workers|log_every_steps|save_every_steps)|tokenizer\..*|method\..*",
    r"settings\.(labels_per_class|auto_augment|erase|mixup|cutmix|crop_scale|score_crop|score_batch|neighbours)",
    r"settings\.(scale_jitter|scale_range|.*_channels|.*_width|mask_layers|anchor_scale|anchors_per_image|proposals)",
    r"settings\.(rois_per_image|distort_colours|score_scales|score_flip)",
)


@pytest.mark.parametrize("scale", sorted({*Sheets(CONFIG).scales()} - {"paper"}))
def test_scales_differ_only_in_what_a_scale_is(scale):
    sheets = Sheets(CONFIG)
    for key in every_row(sheets):
        pair = [resolved(sheets, name, key) for name in ("paper", scale)]
        if not any(isinstance(row, DoesNotFit) for row in pair):
            for line in differing_fields(*(each.as_json() for each in pair)):
                name = line.partition(": ")[0]
                assert any(re.fullmatch(pattern, name) for pattern in SCALE_CHANGES), f"{' '.join(key)}: {line}"


def test_a_scale_has_the_last_word_on_windows_also_where_a_row_sets_them():
    sheets = Sheets(CONFIG)
    windows = {scale: sheets.evaluation(scale, "swin_l_800ep", "finetune").encoder for scale in ("paper", "smoke")}
    assert windows == {"paper": {"window": 14, "drop_path": 0.1}, "smoke": {"window": 4, "drop_path": 0.1}}


def test_an_encoder_that_a_scale_has_no_widths_for_does_not_fit_it():
    with pytest.raises(DoesNotFit, match="encoder resnet has no counterpart at this scale"):
        Sheets(CONFIG).pretraining("demo", "resnet50x4_300ep")


def test_the_paper_s_default_run_has_the_paper_s_settings():
    config = Sheets(CONFIG).pretraining("paper", "default")
    assert (config.geometry.image_px, config.geometry.masked_patch_px) == ((192, 192), 32)
    assert (config.mask.ratio, config.loss.name, config.loss.area) == (0.6, "l1", "masked")
    train = config.train
    assert train.base_lr * train.batch / train.base_lr_batch == pytest.approx(8e-4)
    assert (train.epochs, train.warmup_epochs, train.weight_decay) == (100, 10, 0.05)


def test_a_scale_converts_the_paper_s_pixels_and_brings_its_own_widths():
    sheets = Sheets(CONFIG)
    smoke, paper = (sheets.pretraining(scale, "mask_r16_r60") for scale in ("smoke", "paper"))
    assert (paper.geometry.masked_patch_px, smoke.geometry.masked_patch_px) == (16, 8)
    assert smoke.encoder.embed_dim < paper.encoder.embed_dim
    assert smoke.mask == paper.mask


def test_a_row_that_a_scale_cannot_have_does_not_fit(folder):
    replace(folder / "pretrain.tsv", "geometry.masked_patch_px=16", "geometry.masked_patch_px=5")
    with pytest.raises(DoesNotFit, match=r"row 'mask_r16_r60'.*masked_patch_px of 5 px"):
        Sheets(folder).pretraining("smoke", "mask_r16_r60")


def test_a_comment_changes_nothing_and_a_value_changes_its_run_and_what_stands_on_it(folder):
    before = Sheets(folder)
    rows = [(before.pretraining("demo", "default"), before.evaluation("demo", "default", "knn"))]
    recipe = folder / "recipes" / "swin_b_100ep.yaml"
    recipe.write_text("# a remark\n" + recipe.read_text())
    read_yaml.cache_clear()
    rows.append((Sheets(folder).pretraining("demo", "default"), Sheets(folder).evaluation("demo", "default", "knn")))
    replace(recipe, "weight_decay: 0.05", "weight_decay: 0.06")
    read_yaml.cache_clear()
    rows.append((Sheets(folder).pretraining("demo", "default"), Sheets(folder).evaluation("demo", "default", "knn")))
    read_yaml.cache_clear()
    assert rows[0] == rows[1]
    assert all(old.hash != new.hash for old, new in zip(rows[1], rows[2]))


def test_rows_with_too_many_cells_are_refused_and_missing_ones_are_empty(tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("# a remark\nrun\trecipe\tset\none\tbase\ntwo\tbase\ta=1\n")
    assert read_sheet(sheet, ("run",), PretrainRow)[("one",)].set == ""
    sheet.write_text("run\trecipe\tset\none\tbase\ta=1\textra\n")
    with pytest.raises(ValueError, match="line 2: 4 cells under 3 columns"):
        read_sheet(sheet, ("run",), PretrainRow)


def test_published_values_are_out_of_reach_of_training_and_evaluation():
    package = CONFIG.parent / "simmim"
    words = ("simmim.config.sheets", "simmim.config.reading", "simmim.report", "paper.tsv", ".paper")
    for room in ("data", "encoders", "evaluate", "heads", "masks", "methods", "pretraining", "targets", "train"):
        files = [*(package / room).rglob("*.py")]
        assert files, room
        for path in files:
            text = path.read_text().replace("simmim.config.reading import parse_set", "")  # reads a cell, no sheet
            assert not [word for word in words if word in text], path


def with_rows(folder, *rows):
    sheet = folder / "pretrain.tsv"
    sheet.write_text(sheet.read_text() + "".join("\t".join(row) + "\n" for row in rows))
    recipe = (folder / "recipes" / "swin_b_100ep.yaml").read_text()
    steps = recipe.replace("schedule: cosine", "schedule: step\n  milestones: [0.9, 0.95]")
    (folder / "recipes" / "steps.yaml").write_text(steps)
    return Sheets(folder)


def test_a_longer_run_shares_the_first_stage_of_a_shorter_one(folder):
    rows = ("short", "steps", ""), ("long", "steps", "train.epochs=300 init.run=short")
    sheets = with_rows(folder, *rows)
    assert sheets.pretraining("paper", "long").init.run == "short"
    assert sheets.pretraining("paper", "short").has_first_stage
    assert not sheets.pretraining("paper", "default").has_first_stage


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("init.run=shrt", "unknown run 'shrt'; did you mean 'short'"),
        ("init.run=short mask.ratio=0.5", "only runs that differ in length share a first stage; mask.ratio: 0.6"),
        ("init.run=short train.epochs=50", "its first milestone, 90 epochs, comes after this run's, 45 epochs"),
        ("init.run=default train.schedule=cosine", "only runs with train.schedule=step have a first stage"),
        ("init.run=odd", "init.run=odd: a circle, odd <- odd; let one of them begin by itself"),
        (
            "init.run=short init.encoder=a.safetensors",
            "init.run=short begins with that run's weights, .*: leave it out",
        ),
        ("init.run=short seeds=2", "it has 1 seeds, this row 2"),
        ("method=dino", "method dino has no mask, head, target, geometry.masked_patch_px"),
        ("role=segmnt", "unknown data role 'segmnt'; did you mean 'segment'"),
    ],
)
def test_an_impossible_start_is_named(folder, settings, message):
    sheets = with_rows(folder, ("short", "steps", ""), ("odd", "steps", settings))
    with pytest.raises(ValueError, match=rf"pretrain.tsv, row 'odd': .*{message}"):
        sheets.pretraining("paper", "odd")


def test_runs_that_begin_with_each_other_s_first_stage_are_named(folder):
    sheets = with_rows(folder, ("one", "steps", "init.run=odd"), ("odd", "steps", "init.run=one"))
    with pytest.raises(ValueError, match=r"row 'one': init.run=odd: a circle, odd <- one <- odd;"):
        sheets.pretraining("paper", "odd")


def test_a_named_component_gets_the_widths_of_the_scale_but_for_what_the_row_says(folder):
    sheets = with_rows(folder, ("head", "swin_b_100ep", "head=inverse_swin_t head.window=2"))
    widths = sheets.scale("smoke").heads["inverse_swin_t"]
    smoke, paper = (sheets.pretraining(scale, "head").head.settings for scale in ("smoke", "paper"))
    assert smoke["window"] == 2 != widths["window"] and smoke["embed_dim"] == widths["embed_dim"]
    assert paper == {"window": 2}


def test_what_a_scale_says_of_all_encoders_stays_beside_the_widths_of_one(folder):
    replace(folder / "scales" / "smoke.yaml", "pretrain:\n", "pretrain:\n  encoder: {drop_path: 0.25}\n")
    encoder = Sheets(folder).pretraining("smoke", "default").encoder
    assert encoder.settings["drop_path"] == 0.25
    assert encoder.settings["embed_dim"] == Sheets(CONFIG).pretraining("smoke", "default").encoder.settings["embed_dim"]


def test_a_role_that_a_scale_has_no_data_for_does_not_fit(folder):
    sheets = with_rows(folder, ("dense", "swin_b_100ep", "role=other"))
    scale = folder / "scales" / "paper.yaml"
    replace(scale, "\n  detect: coco\n", "\n  detect: coco\n  other: imagenet\n")
    assert sheets.pretraining("paper", "dense").data["train"].dataset == "imagenet"
    with pytest.raises(DoesNotFit, match="no data set has the role 'other' at this scale"):
        sheets.pretraining("smoke", "dense")


def test_a_scale_may_train_single_runs_more_often():
    sheets = Sheets(CONFIG)
    assert sheets.pretraining("small", "default").seeds == 10
    assert sheets.pretraining("small", "mask_r8_r75").seeds == 5
    assert sheets.pretraining("small", "loss_smooth_l1").seeds == 1


def test_every_pretraining_is_evaluated(folder):
    """Also from the encoders that its fine-tuning has left; rows with one keep the seeds of their recipe."""
    paper = folder / "scales" / "paper.yaml"
    paper.write_text(paper.read_text() + "seeds: {default: 10}\n")
    sheets = Sheets(folder)
    names = ("finetune", "probe", "segment")
    assert [sheets.evaluation("paper", "default", name).seeds for name in names] == [10, 10, 10]
    assert sheets.evaluation("paper", "default", "segment").init.seeds == 10
    assert sheets.evaluation("paper", "loss_full", "finetune").seeds == 1
    assert sheets.evaluation("demo", "head_mlp", "finetune").seeds == 3
    assert sheets.evaluation("small", "mask_r8_r60", "finetune").seeds == 10


def test_an_evaluation_can_take_the_first_of_the_pre_trainings_only(folder):
    paper = folder / "scales" / "paper.yaml"
    paper.write_text(paper.read_text() + "seeds: {default: 10, default/probe: 3}\n")
    jobs = Jobs(Sheets(folder))
    assert [jobs.sheets.evaluation("paper", "default", name).seeds for name in ("probe", "knn")] == [3, 10]
    probe = jobs.job("evaluate", scale="paper", run="default", evaluation="probe")
    assert len(probe.inputs["encoders"]) == len(jobs.encoders_of(probe.config)) == 3


def test_an_extra_validation_set_is_scored_by_fine_tunings_of_its_role_alone():
    def sets(evaluation, scale="paper"):
        data = Sheets(CONFIG).evaluation(scale, "default", evaluation).data
        return {split: each.dataset for split, each in data.items()}

    assert sets("finetune") == {"train": "imagenet", "val": "imagenet", "extra": "imagenet_v2"}
    assert "extra" not in sets("probe") | sets("inat") | sets("finetune", "small")
