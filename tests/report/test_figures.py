"""Figures: real PNGs with their captions inside, and the right pixels where they can be told."""

from __future__ import annotations

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import FACTS, RANDOM, SCALE, origin, png, write_evaluation, write_reconstruction
from PIL import Image

from simmim.migration import migrate
from simmim.plugin import names
from simmim.report import catalogue
from simmim.report.drawing import read_drawing, save
from simmim.report.figures import (
    figure1,
    figure2,
    figure3,
    figure4,
    figure6,
    figure7,
    losses,
    mechanism,
    mechanism_cka,
    probe_blocks,
    reconstructions,
    scratch,
)
from simmim.report.figures._mechanism import lines_of
from simmim.report.figures._pictures import panels
from simmim.report.results import Results
from simmim.report.style import INK, OTHERS, REFERENCE, SCRATCH, colours, look, spread_labels
from simmim.report.write import write_figure
from simmim.storage.parquet import write_sealed
from simmim.storage.records import record, write

FIGURES = names("report.figures")
PICTURED = ("figure1", "figure4", "figure5", "figure6", "reconstructions")


def inputs_of(name, results):
    kinds = {figure: ["reconstruction"] for figure in PICTURED}
    kinds |= {"losses": ["pretrain"], "probe_blocks": ["probe"], "image_passes": ["pretrain", "finetune"]}
    kinds |= {"mechanism": ["mechanism"], "mechanism_cka": ["mechanism"]}
    kinds |= {"figure2": ["mask_samples"], "figure3": ["avg_dist", "finetune"]}
    kinds |= {"figure7": ["avg_dist", "finetune", "detect"]}
    return [path for kind in kinds.get(name, ["finetune", "probe", "detect"]) for path in results[kind]]


def drawn(name, results, folder):
    write_figure(name, inputs_of(name, results), folder / name, FACTS)
    return folder / f"{name}.png"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_that_carries_its_caption(name, results, tmp_path):
    path = drawn(name, results, tmp_path)
    shown = read_drawing(path)
    assert shown.title.endswith(" · made-up scale")
    assert shown.caption.startswith("Made-up scale: made-up tiles. ") and len(shown.caption) > 100
    assert shown.description == catalogue.figure_description(name)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 600
    assert 0.02 < (pixels < 250).any(axis=2).mean() < 0.95, "empty, or covered all over"


def test_captions_tell_n_and_spread(results, tmp_path):
    caption = read_drawing(drawn("scratch", results, tmp_path)).caption
    assert "mean ± standard deviation over pre-trainings, only where there are at least 3" in caption
    assert "fine-tuning 3" in caption
    assert "detection 1" in caption
    assert "do not begin at zero" in caption


def test_a_run_keeps_its_colour_and_only_trained_runs_have_one(results, tmp_path):
    palette = colours(FACTS.trained, "default")
    assert len(set(palette.values())) == len(palette)
    wanted = tuple(int(palette["default"][i : i + 2], 16) for i in (1, 3, 5))
    for name in ("scratch", "losses", "probe_blocks", "mechanism"):
        with Image.open(drawn(name, results, tmp_path)) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert (pixels == wanted).all(axis=1).sum() > 50, name


def lines_of_panel(axis):
    """Heights of the lines of a panel by their colour, without those of single seeds."""
    return {line.get_color(): line.get_ydata().tolist() for line in axis.lines if line.get_linewidth() > 1}


def test_the_mechanism_has_a_line_of_panels_for_each_encoder_and_means_over_heads(results):
    with look():
        figure, caption = mechanism.make(Results(results["mechanism"], FACTS), FACTS)
        swin, vit = figure.axes[:3], figure.axes[3:]
        blue = colours(FACTS.trained, "default")["default"]
        assert lines_of_panel(swin[0])[blue] == pytest.approx([11, 21, 31, 41])
        assert lines_of_panel(swin[1])[blue] == pytest.approx([0.1, 0.2, 0.3, 0.4])
        assert lines_of_panel(swin[2])[blue] == pytest.approx([-1, -2, -3, -4]), "at the highest frequency"
        assert [len(lines_of_panel(axis)) for axis in (*swin, *vit)] == [3, 3, 3, 0, 0, 1]
        assert [axis.get_ylim()[0] for axis in swin[:2]] == [0, 0]
        assert swin[0].get_ylabel() == vit[0].get_ylabel() == "distance (px)"
        for axis in vit[:2]:
            assert [text.get_text() for text in axis.texts] == ["no attention map in every block"]
        names = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in (swin[-1], vit[-1])]
        assert names == [["the default", "loss_full", "from scratch, Swin"], ["vit"]]
    assert "vit 1" in caption and "default 3" in caption


def test_runs_that_share_a_colour_everywhere_do_not_when_they_stand_together():
    many = dataclasses.replace(FACTS, trained=("default", *(f"run{i}" for i in range(9))))
    shown = ["default", "run0", "run7", "random_swin"]
    everywhere = colours(many.trained, "default")
    assert everywhere["run0"] == everywhere["run7"]
    found = lines_of(shown, many)
    assert len({line["color"] for line in found.values()}) == 4
    assert found["default"]["color"] == everywhere["default"] and found["random_swin"]["ls"] != "-"
    assert lines_of(["default", "run1"], many)["run1"]["color"] == everywhere["run1"]


def test_maps_of_cka_are_symmetric(results):
    with look():
        figure, _ = mechanism_cka.make(Results(results["mechanism"], FACTS), FACTS)
        maps = [np.asarray(axis.collections[0].get_array()) for axis in figure.axes if axis.get_title("left")]
    assert [len(each) for each in maps] == [4, 4, 4, 3]
    for each in maps:
        places = np.arange(len(each))
        assert each == pytest.approx(1 - 0.2 * abs(places[:, None] - places))
        assert not np.ma.is_masked(each)


def test_blocks_whose_cka_is_not_a_number_are_left_white(tmp_path):
    path = write_evaluation(tmp_path, "default", "mechanism", {("cka", "block 1 block 2"): [math.nan]})
    write_figure("mechanism_cka", [path], tmp_path / "x", FACTS)
    assert "White: not a number" in read_drawing(tmp_path / "x.png").caption


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
    other = dataclasses.replace(FACTS, scale="other")
    with pytest.raises(ValueError, match="in a report of scale 'other'"):
        write_figure("reconstructions", results["reconstruction"], tmp_path / "x", other)


def test_an_unknown_figure_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'scratch'"):
        write_figure("scrach", results["finetune"], tmp_path / "x", FACTS)


def test_a_figure_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no results that figure 'figure7'"):
        write_figure("figure7", [], tmp_path / "x", FACTS)


def test_one_seed_and_one_run_are_enough_to_draw(tmp_path):
    paths = [write_evaluation(tmp_path, "default", "finetune", {("top1", ""): [50.0]})]
    write_figure("scratch", paths, tmp_path / "scratch", FACTS)
    assert (tmp_path / "scratch.png").stat().st_size > 5000


def test_labels_move_apart_and_keep_their_order():
    placed = spread_labels([1.0, 1.05, 3.0], 0.5)
    assert placed == sorted(placed)
    assert placed[1] - placed[0] == pytest.approx(0.5)
    assert placed == pytest.approx([0.775, 1.275, 3.0]), "what is far from others stays where it is"
    assert spread_labels([5.0, 5.0, 0.0, 4.9], 1.0) == pytest.approx([4.967, 5.967, 0.0, 3.967], abs=1e-3)
    assert spread_labels([], 1.0) == []


def test_published_and_own_points_share_axes_at_the_paper_s_scale_only(results):
    inputs = Results([*results["avg_dist"], *results["finetune"]], FACTS)
    with look():
        for scale, panels in (("paper", 2), (SCALE, 4)):
            figure, caption = figure3.make(inputs, dataclasses.replace(FACTS, scale=scale))
            assert len(figure.axes) == panels
            titles = [axis.get_title(loc="left") for axis in figure.axes]
            assert sum(title.endswith("the paper and ours") for title in titles) == (2 if scale == "paper" else 0)
            assert "Hollow: the paper's, read off its figure. Filled: measured here." in caption


def test_hollow_marks_are_the_paper_s_and_filled_ones_ours(results):
    with look():
        figure, _ = figure3.make(Results([*results["avg_dist"], *results["finetune"]], FACTS), FACTS)
        marks = [[line for line in axis.lines if line.get_marker() != "None"] for axis in figure.axes]
        faces = [{line.get_markerfacecolor() for line in lines} for lines in marks]
    assert faces[0] == faces[1] == {"white"}
    assert "white" not in faces[2] | faces[3] and faces[3]


def test_a_figure_without_a_run_of_ours_says_so(results):
    with look():
        figure, caption = figure3.make(Results([], FACTS), FACTS)
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert words == [[], [], ["not run"], ["not run"]]
    assert "No run of ours is drawn" in caption


def test_masks_hide_in_grey_and_misfits_say_so(results):
    with look():
        figure, caption = figure2.make(Results(results["mask_samples"], FACTS), FACTS)
    pixels = figure.axes[0].images[0].get_array()
    assert len(np.unique(pixels[:, :16])) == 1 and (pixels[:, 16:, 0] == 200).all()
    assert figure.axes[0].get_title(loc="center") == "square\nhere 8 px, 50 %"
    assert [axis.texts[0].get_text() for axis in figure.axes[1::4]] == ["does not fit\nthis scale"] * 2
    assert "at a ratio of 0.6" in caption


def marks(axis, style):
    """(x, y) of the drawn marks of a style."""
    return [tuple(zip(*line.get_data())) for line in axis.lines if line.get_marker() == style]


def test_bars_are_one_standard_deviation_long(results):
    with look():
        figure, _ = scratch.make(Results(results["finetune"], FACTS), FACTS)
        segments = figure.axes[0].containers[0].lines[2][0].get_segments()
    assert [(left[0], right[0]) for left, right in segments] == [(59.0, 61.0)]  # 59, 60 and 61
    assert figure.axes[0].get_yticklabels()[0].get_text() == "the default"


def test_a_mean_is_drawn_from_three_seeds_on(results):
    with look():
        figure, _ = losses.make(Results(results["pretrain"], FACTS), FACTS)
        thin = {line.get_linewidth() for axis in figure.axes for line in axis.lines}
        figure, _ = probe_blocks.make(Results(results["probe"], FACTS), FACTS)
        thick = [line for line in figure.axes[0].lines if line.get_linewidth() == 2.0]
    assert thin == {1.5}, "two seeds"
    assert [list(line.get_ydata())[:2] for line in thick] == [[23.0, 25.0]] * 2, "the mean of three seeds, two runs"


def test_evaluations_of_one_pretraining_are_one_line_and_one_dot(results):
    """Its seeds chose blocks 8, 8 and 10; the line is their mean."""
    facts = dataclasses.replace(FACTS, pretrainings=dict.fromkeys(FACTS.pretrainings, 1))
    with look():
        figure, _ = probe_blocks.make(Results(results["probe"], facts), facts)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 11]
    assert [list(line.get_ydata())[:2] for line in lines] == [[23.0, 25.0]] * 2, "one line for each of two runs"
    assert marks(figure.axes[0], "o") == [((8, 37.0),)] * 2


def test_a_run_whose_loss_spiked_is_named_under_the_losses(results, tmp_path):
    rows = [record(origin("default", "pretrain", seed), 490, "loss_spikes", seed) for seed in (0, 2)]
    write(tmp_path / "spikes.parquet", rows)
    with look():
        _, caption = losses.make(Results([*results["pretrain"], tmp_path / "spikes.parquet"], FACTS), FACTS)
        _, quiet = losses.make(Results(results["pretrain"], FACTS), FACTS)
    assert "by rows of the log: the default seed 2 (2)." in caption and "Spikes" not in quiet


def test_the_dot_is_on_the_block_chosen_most_often(results):
    with look():
        figure, _ = probe_blocks.make(Results(results["probe"], FACTS), FACTS)
    assert marks(figure.axes[0], "o") == [((8, 37.0),)] * 2  # seeds chose 8, 8 and 10


def test_a_run_with_two_probes_is_drawn_by_the_first_of_the_sheet(results, tmp_path):
    blocks = {("top1", f"block {b}"): [1.0, 2.0, 3.0] for b in range(1, 12)} | {("chosen_block", ""): [2, 2, 2]}
    masked = write_evaluation(tmp_path, "default", "another_probe", blocks)
    with look():
        figure, caption = probe_blocks.make(Results([masked, *results["probe"]], FACTS), FACTS)
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() == 2.0]
    assert [list(line.get_ydata())[:2] for line in thick] == [[23.0, 25.0]] * 2, "of the first probe alone"
    assert marks(figure.axes[0], "o") == [((8, 37.0),)] * 2
    assert "validation images (linear probe)." in caption


def test_of_many_runs_a_dot_has_the_colour_of_its_line(results, tmp_path):
    many = tuple(f"run{i}" for i in range(12))
    facts = dataclasses.replace(FACTS, trained=("default", *many))
    blocks = {("top1", f"block {b}"): [10.0 + b] * 3 for b in (1, 2)} | {("chosen_block", ""): [2] * 3}
    files = [write_evaluation(tmp_path, run, "probe", blocks) for run in ("default", "random_swin", *many)]
    with look():
        figure, caption = probe_blocks.make(Results(files, facts), facts)
        axis = figure.axes[0]
        dots = [line.get_color() for line in axis.lines if line.get_marker() == "o"]
        words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert sorted(dots) == sorted([REFERENCE, SCRATCH, *[OTHERS] * 12])
    assert words == ["12 other runs"] and {text.get_text() for text in axis.texts} == {
        "the default",
        "from scratch, Swin",
    }
    assert "Dashed: encoders without pre-training" in caption and "Grey" not in caption


@pytest.mark.parametrize("outlined, region, images", [(2, "object", 2), (0, "central box", 4)])
def test_predictions_are_whole_and_headings_tell_what_is_hidden(tmp_path, outlined, region, images):
    """15 of 16 columns are 94 %; where objects are outlined, only images with one are shown."""
    with look():
        stored = write_reconstruction(tmp_path, "default", outlined=outlined)
        figure, caption = figure4.make(Results([stored], FACTS), FACTS)
    assert len(figure.axes) == 7 * images
    headings = [axis.get_title(loc="center") for axis in figure.axes[:7]]
    words = ["random", f"94 % of {region}", f"all of {region}"]
    assert headings == ["image", *(f"{each}\n{state}" for each in words for state in ("masked", "prediction"))]
    shown = [axis.images[0].get_array() for axis in figure.axes[:7]]
    assert all((each[..., 2] == 200).all() for each in shown[2::2]), "visible pixels too"
    assert (shown[3][:, 15] == shown[0][:, 15]).all() and (shown[5][:, 15] != shown[0][:, 15]).any()
    assert f"94 % of {'an' if outlined else 'a'} {region} hidden" in caption and "checkerboard" in caption
    assert ("outlined by hand" in caption) == bool(outlined)
    full = dataclasses.replace(FACTS, loss_areas={"default": "full"})
    assert "checkerboard" not in figure4.make(Results([stored], FACTS), full)[1]


def test_pictures_of_an_earlier_version_are_refused_until_they_are_migrated(tmp_path):
    """They hid 75 % of a box as most of the object."""
    path = write_reconstruction(tmp_path, "default", images=2, outlined=1)
    rows = pq.read_table(path).drop_columns("region").to_pylist()
    box = np.zeros((32, 32))
    box[8:24, 8:24] = 255
    for row in rows:
        row["hidden"] = png(box) if (row["mask"], row["sample_id"]) == ("all", "image 1") else row["hidden"]
        row["mask"] += "" if row["mask"] == "own" else " of the object"
    write_sealed(path, pa.Table.from_pylist(rows))
    with pytest.raises(ValueError, match=r"reconstruction.parquet was written by an earlier .* `simmim migrate`"):
        write_figure("figure4", [path], tmp_path / "x", FACTS)
    assert migrate(tmp_path) == [f"{path}: says what its masks hide"] and migrate(tmp_path) == []
    after = pq.read_table(path).to_pylist()
    assert [(row["mask"], row["region"]) for row in after[::2]] == [(mask, "object") for mask in ("own", "most", "all")]
    assert {row["region"] for row in after[1::2]} == {"central box"}
    assert [row["hidden"] for row in after] == [row["hidden"] for row in rows]


def test_pictures_are_those_of_the_first_seed(results, tmp_path):
    second = write_reconstruction(tmp_path, "default", seed=1)
    with look():
        for module in (figure1, figure4, reconstructions):
            _, caption = module.make(Results([second, *results["reconstruction"]], FACTS), FACTS)
            assert "run default, seed 0, 490 steps" in caption and "seed 1" not in caption


def test_patch_sizes_go_from_small_to_large_and_missing_runs_say_so(results):
    masks = FACTS.masks | {"big": RANDOM._replace(patch_px=64), "mask_r4": RANDOM._replace(patch_px=4)}
    facts = dataclasses.replace(FACTS, masks=masks, figure_runs={"figure6": ("default", "big", "mask_r4")})
    with look():
        figure, _ = figure6.make(Results(results["reconstruction"], FACTS), facts)
        as_in_the_paper, _ = figure6.make(Results(results["reconstruction"], FACTS), in_the_paper(facts))
    headings = [axis.get_title(loc="center") for axis in figure.axes[:4]]
    assert headings == ["image", "4 px\n", "32 px\nhere 8 px", "64 px\n"]
    assert as_in_the_paper.axes[2].get_title(loc="center") == "32 px"
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes[:4]]
    assert words == [["masked"], ["does not fit\nthis scale"], [], ["not run"]]
    assert [text.get_text() for text in figure.axes[4].texts] == ["reconstructed"]


def in_the_paper(facts):
    """The same facts of a scale whose setting is the paper's."""
    return type("AsInThePaper", (type(facts),), {"is_paper": True})(**vars(facts))


def test_losses_are_drawn_over_the_logarithm_of_the_updates(results):
    """A training ten times as long would leave a tenth of the panel to the others."""
    with look():
        figure, caption = losses.make(Results(results["pretrain"], FACTS), FACTS)
    assert {axis.get_xscale() for axis in figure.axes} == {"log"} and "logarithmic" in caption


def test_a_panel_against_from_scratch_shows_what_was_run_alone(results):
    with look():
        figure, _ = scratch.make(Results(results["finetune"] + results["detect"], FACTS), FACTS)
        names = [[label.get_text() for label in axis.get_yticklabels()] for axis in figure.axes]
        texts = {text.get_text() for axis in figure.axes for text in axis.texts}
    swin = ["the default", "loss_full", "from scratch, Swin"]
    assert names == [[*swin, "vit", "random_vit"], ["the default", "from scratch, Swin"]]
    assert "not run" not in texts
    heights = [axis.get_position().height * figure.get_figheight() for axis in figure.axes]
    assert heights[0] > heights[1], "as high as its runs"


def test_among_many_runs_a_colour_that_repeats_is_none(tmp_path):
    many = tuple(f"run{i}" for i in range(12))
    baselines = dict.fromkeys(("default", *many), "random_swin")
    facts = dataclasses.replace(FACTS, trained=("default", *many), baselines=baselines)
    runs = ("random_swin", *baselines)
    files = [write_evaluation(tmp_path, run, "finetune", {("top1", ""): [10.0, 11.0, 12.0]}) for run in runs]
    with look():
        figure, _ = scratch.make(Results(files, facts), facts)
    colours_of_numbers = [text.get_color() for text in figure.axes[0].texts]
    assert colours_of_numbers == [REFERENCE, *[INK] * 12, SCRATCH]


def test_figure7_shows_the_transfers_that_were_run_and_names_the_others(results):
    found = Results([*results["avg_dist"], *results["finetune"]], FACTS)
    with look():
        figure, caption = figure7.make(found, FACTS)
        nothing, words = figure7.make(Results([], FACTS), FACTS)
    shown = [axis.get_title(loc="left") for axis in figure.axes if axis.axison]
    assert shown == ["ImageNet top-1 (%)", "COCO box AP", "fine-tuning, top-1 (%)"]
    assert "Not run here: COCO box AP." in caption
    assert len(nothing.axes) == 2 and "No run of ours is drawn" in words


def test_the_reference_run_is_blue_wherever_it_stands():
    assert colours(["a", "default"], "default")["default"] == colours(["default"], "default")["default"] == "#1f6fb2"


def test_a_picture_without_its_words_is_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(png(np.zeros((4, 4, 3))))
    with pytest.raises(ValueError, match="has no Comment and Description and Section and Title inside: draw it again"):
        read_drawing(tmp_path / "x.png")


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "empty"])
def test_a_damaged_picture_is_one_sentence(tmp_path, damage):
    figure = plt.figure(figsize=(1, 1))
    save(figure, tmp_path / "a.png", "Title", "Section", "Sentence", "Caption")
    plt.close(figure)
    whole = (tmp_path / "a.png").read_bytes()
    place = whole.index(b"Caption")
    flipped = whole[:place] + b"k" + whole[place + 1 :]
    changed = {"flipped": flipped, "cut": whole[:-20], "longer": whole + b"\0", "empty": b""}[damage]
    (tmp_path / "a.png").write_bytes(changed)
    with pytest.raises(ValueError, match=r"a.png is not a whole PNG, or is damaged \(.*; draw it again"):
        read_drawing(tmp_path / "a.png")
