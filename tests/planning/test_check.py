"""What only a component knows is refused before any job starts, with file, row, value and the nearest valid choice."""

import numpy as np
import pytest
from helpers.sheets import append

from simmim.config.reading import read_yaml
from simmim.config.sheets import Sheets
from simmim.masks.random import Random
from simmim.planning.check import check_scale


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mask=randm", r"pretrain.tsv, row 'odd': unknown masks name 'randm'; did you mean 'random'"),
        ("head=liner", r"row 'odd': unknown heads name 'liner'; did you mean 'linear'"),
        ("mask.ratoi=0.5", r"row 'odd': unknown setting of masks=random 'ratoi'; did you mean 'ratio'"),
        ("mask.ratio=1.2", r"row 'odd': mask.ratio 1.2 must lie inside \(0, 1\)"),
        ("mask.ratio=0", r"row 'odd': mask.ratio 0.0 must lie inside \(0, 1\)"),
        ("mask=square mask.ratio=0.95", r"row 'odd': mask.ratio 0.95 is a square of 6 x 6 .* nearest: 0.69 \(5 x 5\)"),
        ("mask=drawn mask.outline='bxo 0 0 1 1'", r"row 'odd': unknown form of mask.outline 'bxo'; did you mean 'box'"),
        ("geometry.masked_patch_px=14", r"row 'odd': masked patch of 14 px does not divide the image of 192 x 192 px"),
        ("geometry.masked_patch_px=2", r"row 'odd': token of 4 px does not divide the masked patch of 2 px"),
        ("target.resolution_px=50", r"row 'odd': target resolution of 50 px .* nearest that fit: 24 and 48"),
        ("target.resolution_px=3", r"row 'odd': target resolution of 3 px .* nearest that fit: 6 and 12"),
        ("target=bins target.bins=1 loss.name=cross_entropy", r"row 'odd': .*bins 1 "),
        ("target=bins", r"row 'odd': unknown loss of target=bins 'l1' \(allowed: cross_entropy\)"),
        ("target=normalised_pixels target.window_px=4", r"row 'odd': .*window_px 4 "),
        ("encoder.embed_dim=90", r"row 'odd': encoder.num_heads, stage 1: 4 heads do not divide .* do: 3 and 5"),
        ("encoder=vit encoder.num_heads=0", r"encoder.num_heads: 0 heads do not .* 768 channels; .* do: 1 and 2"),
        ("head=inverse_swin_t head.embed_dim=100", r"head.num_heads, stage 1: 3 heads do not divide the 100 channels"),
    ],
)
def test_what_only_a_component_knows_is_refused_before_any_job_starts(folder, settings, message):
    append(folder / "pretrain.tsv", "odd", "swin_b_100ep", settings)
    append(folder / "scales" / "paper.yaml", "runs: [odd]")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=message) as refused:
        check_scale(Sheets(folder), "paper")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("run", "settings", "message"),
    [
        ("default", "encoder.windw=7", r"'windw'; did you mean 'window'"),
        (
            "default",
            "settings.mask_ratio=0.6 settings.masked_patch_px=2",
            "masked_patch_px=2: token of 4 px does not divide",
        ),
        (
            "default",
            "settings.mask_ratio=0.99 settings.masked_patch_px=32",
            "mask_ratio=0.99 .* hides all 36 cells of an",
        ),
        ("vit_b_800ep", "settings.image_px=100", r"image_px \(100, 100\) must be a multiple of patch_px 16"),
    ],
)
def test_an_encoder_that_an_evaluation_cannot_have_is_refused_before_any_job_starts(folder, run, settings, message):
    append(folder / "evaluate.tsv", run, "odd", "probe", settings)
    append(folder / "scales" / "paper.yaml", f"runs: [{run}]")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=rf"evaluate.tsv, row '{run} odd': .*{message}"):
        check_scale(Sheets(folder), "paper")


@pytest.mark.parametrize(
    ("run", "settings", "message"),
    [
        ("vit_b_800ep", "", "segmentation is scored on whole images of any size, this ViT takes 224 x 224 px only"),
        (
            "default",
            "encoder.window=7",
            "this Swin takes 224 x 224 px only; use a Swin with encoder.clamp_window=false",
        ),
    ],
)
def test_an_encoder_that_cannot_be_segmented_with_is_refused_before_any_job_starts(folder, run, settings, message):
    settings = f"settings.image_px=224 init=pretrain {settings}".strip()
    append(folder / "evaluate.tsv", run, "odd", "segment_any", settings)
    recipe = (folder / "recipes" / "segment_swin_b.yaml").read_text()
    assert "encoder: {window: 20, drop_path: 0.1, clamp_window: false}" in recipe
    without = recipe.replace("encoder: {window: 20, drop_path: 0.1, clamp_window: false}\n", "")
    (folder / "recipes" / "segment_any.yaml").write_text(without)
    append(folder / "scales" / "paper.yaml", f"runs: [{run}]")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=rf"evaluate.tsv, row '{run} odd': .*{message}"):
        check_scale(Sheets(folder), "paper")


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("finetune_swin_b", "train.micro_batch=1", "train.micro_batch"),
        ("segment_swin_b", "settings.flip=2", "settings.flip = 2"),
        ("attentive", "settings.block=25", "settings.block 25 is not among the encoder's blocks, 1 to 24"),
        ("detect_swin_b", "settings.fpn_channels=0", "settings.fpn_channels = 0"),
    ],
)
def test_what_only_a_task_knows_is_refused_before_any_job_starts(folder, recipe, settings, message):
    append(folder / "evaluate.tsv", "default", "odd", recipe, f"{settings} init=pretrain")
    append(folder / "scales" / "paper.yaml", "runs: [default]")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=rf"evaluate.tsv, row 'default odd': .*{message}"):
        check_scale(Sheets(folder), "paper")


@pytest.mark.parametrize(("recipe", "task"), [("detect_swin_b", "detection"), ("segment_swin_b", "segmentation")])
def test_grey_images_are_refused_by_dense_tasks_and_taken_by_others(folder, recipe, task):
    colour = (folder / "recipes" / "swin_b_100ep.yaml").read_text()
    assert "images: {crop_scale: [0.67, 1.0]}" in colour
    grey = colour.replace("images: {", "images: {mean: [0.5], std: [0.5], ")
    (folder / "recipes" / "grey.yaml").write_text(grey)
    append(folder / "pretrain.tsv", "grey", "grey", "")
    for name in ("finetune_swin_b", "attentive", "probe", "knn"):
        append(folder / "evaluate.tsv", "grey", name, name, "")
    append(folder / "scales" / "paper.yaml", "runs: [grey]")
    read_yaml.cache_clear()
    check_scale(Sheets(folder), "paper")
    append(folder / "evaluate.tsv", "grey", "odd", recipe, "init=pretrain")
    read_yaml.cache_clear()
    with pytest.raises(ValueError, match=rf"evaluate.tsv, row 'grey odd': {task} reads RGB images"):
        check_scale(Sheets(folder), "paper")


def test_a_check_of_one_run_looks_at_no_other(folder, capsys):
    append(folder / "pretrain.tsv", "odd", "swin_b_100ep", "mask.ratio=1.2")
    read_yaml.cache_clear()
    check_scale(Sheets(folder), "smoke", ["default"])
    assert "1 runs" in capsys.readouterr().out
    with pytest.raises(ValueError, match="row 'odd'"):
        check_scale(Sheets(folder), "smoke", ["default", "odd"])


def test_a_ratio_that_hides_every_cell_is_named_with_the_largest_that_does_not(folder):
    append(folder / "pretrain.tsv", "odd", "swin_b_100ep", "mask.ratio=0.98")
    append(folder / "pretrain.tsv", "blocks", "swin_b_100ep", "mask=block mask.ratio=0.98")
    append(folder / "pretrain.tsv", "fits", "swin_b_100ep", "mask.ratio=0.972")
    read_yaml.cache_clear()
    for row in ("odd", "blocks"):
        message = f"row '{row}': mask.ratio 0.98 hides all 36 cells of an image, and one must be visible: at most 0.972"
        with pytest.raises(ValueError, match=message):
            check_scale(Sheets(folder), "paper", [row])
    check_scale(Sheets(folder), "paper", ["fits"])


def _some(n, grid, hidden):
    return np.arange(n * grid[0] * grid[1]).reshape(n, *grid) % (grid[0] * grid[1]) < hidden


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda n, grid: 1.0 * _some(n, grid, 3), r"a NumPy array of bool, of shape \(16, 32, 32\), .* float64"),
        (lambda n, grid: _some(n, grid, 3)[0], r"and gives bool of shape \(32, 32\)"),
        (lambda n, grid: None, r"and gives NoneType of shape \(\)"),
        (lambda n, grid: _some(n, grid, 0), "at least one hidden and one visible cell in every image, and hides 0"),
        (lambda n, grid: _some(n, grid, grid[0] * grid[1]), "hides 0 or all 1024 of one"),
        (lambda n, grid: _some(n, grid, 3 + np.arange(n)[:, None, None]), "equally many .* hides 3 of one, 18 of"),
        (lambda n: None, r"check.py|pretraining.py, line \d+: TypeError: .*positional argument"),
    ],
)
def test_a_mask_that_is_none_is_refused_before_any_job_starts(folder, monkeypatch, sample, message):
    append(folder / "pretrain.tsv", "odd", "swin_b_100ep", "geometry.masked_patch_px=4")
    read_yaml.cache_clear()
    monkeypatch.setattr(Random, "sample", lambda self, n, grid, generator: sample(n, grid))
    if message.startswith("check"):
        monkeypatch.setattr(Random, "sample", sample)
    with pytest.raises(ValueError, match=f"pretrain.tsv, row 'odd': .*({message})"):
        check_scale(Sheets(folder), "smoke", ["odd"])
