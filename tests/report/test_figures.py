"""Figures: real PNGs with their captions inside, and the right pixels where they can be told."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import FACTS, SCALE, png, write_evaluation
from PIL import Image

from simmim.report.figures import write_figure
from simmim.report.names import FIGURES, RECOVERIES
from simmim.report.reconstructions import panels
from simmim.report.style import caption_of, colours, spread_labels


def inputs_of(name, results):
    kinds = {figure: ["reconstruction"] for figure in ("reconstructions", *RECOVERIES)}
    kinds |= {"losses": ["pretrain"], "probe_blocks": ["probe"]}
    return [path for kind in kinds.get(name, ["finetune", "probe", "detect"]) for path in results[kind]]


def drawn(name, results, folder):
    write_figure(name, inputs_of(name, results), folder / name, SCALE, FACTS)
    return folder / f"{name}.png"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_that_carries_its_caption(name, results, tmp_path):
    path = drawn(name, results, tmp_path)
    title, caption = caption_of(path)
    assert "made-up scale: not the paper's setting" in title
    assert len(caption) > 100
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 600
    assert 0.02 < (pixels < 250).any(axis=2).mean() < 0.95, "empty, or covered all over"


def test_captions_tell_n_and_spread(results, tmp_path):
    caption = caption_of(drawn("scratch", results, tmp_path))[1]
    assert "mean ± standard deviation over seeds, only where there are at least 3" in caption
    assert "fine-tuning 3" in caption
    assert "detection 1" in caption
    assert "do not begin at zero" in caption


def test_a_run_keeps_its_colour_and_only_trained_runs_have_one(results, tmp_path):
    palette = colours(list(FACTS.loss_areas))
    assert len(set(palette.values())) == len(palette)
    wanted = tuple(int(palette["default"][i : i + 2], 16) for i in (1, 3, 5))
    for name in ("scratch", "losses", "probe_blocks"):
        with Image.open(drawn(name, results, tmp_path)) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert (pixels == wanted).all(axis=1).sum() > 50, name


def test_panels_hide_and_paste_the_right_half():
    red, blue, mask = np.zeros((8, 8, 3)), np.zeros((8, 8, 3)), np.zeros((8, 8))
    red[..., 0], blue[..., 2], mask[:, :4] = 200, 200, 255
    image, masked, prediction, pasted = panels(png(red), png(mask), png(blue))
    assert (image == red).all()
    assert (prediction == blue).all()
    assert (masked[:, 4:] == red[:, 4:]).all()
    assert len(np.unique(masked[:, :4])) == 1
    assert (pasted[:, :4] == blue[:, :4]).all()
    assert (pasted[:, 4:] == red[:, 4:]).all()


def test_a_reconstruction_of_another_scale_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="not 'other'"):
        write_figure("reconstructions", results["reconstruction"], tmp_path / "x", "other", FACTS)


def test_an_unknown_figure_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'scratch'"):
        write_figure("scrach", results["finetune"], tmp_path / "x", SCALE, FACTS)


def test_one_seed_and_one_run_are_enough_to_draw(tmp_path):
    paths = [write_evaluation(tmp_path, "default", "finetune", {("top1", ""): [50.0]})]
    write_figure("scratch", paths, tmp_path / "scratch", SCALE, FACTS)
    assert (tmp_path / "scratch.png").stat().st_size > 5000


def test_labels_move_apart_and_keep_their_order():
    placed = spread_labels([1.0, 1.05, 3.0], 0.5)
    assert placed == sorted(placed)
    assert placed[1] - placed[0] == pytest.approx(0.5)
    assert spread_labels([], 1.0) == []
