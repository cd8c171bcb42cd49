"""Every row reads data that are packed at least as large as its input, or is refused before any job."""

import pytest
from helpers.sheets import CONFIG, append, replace

from simmim.config.errors import DoesNotFit
from simmim.config.sheets import Sheets
from simmim.jobs import Jobs
from simmim.planning.packed import packed_sets

FULL, REDUCED = ("imagenet_full", "imagenet"), ("imagenet", "imagenet")  # training set, validation set
VAL = "imagenet\tval\timage_folder\t\troot=$data/imagenet/val class_folders=true"


def sets_of(config):
    return config.data["train"].dataset, config.data["val"].dataset


@pytest.mark.parametrize(
    ("row", "sets"),
    [
        (("default",), REDUCED),
        (("vit_b_800ep",), REDUCED),
        (("mpp_vit_b",), FULL),  # 384 px
        (("default", "finetune"), REDUCED),
        (("default", "probe"), REDUCED),
        (("swin_b_800ep", "finetune"), REDUCED),  # 224 px, scored at 256
        (("vit_b_800ep", "knn"), REDUCED),
        (("mpp_vit_b", "finetune"), FULL),
        (("swin_v2_h_800ep", "finetune"), REDUCED),
        (("swin_v2_h_800ep", "finetune_512"), FULL),
        (("default", "inat"), ("inaturalist", "inaturalist")),
        (("default", "detect"), ("coco", "coco")),
    ],
)
def test_rows_of_the_paper_read_the_first_set_that_is_large_enough(row, sets):
    sheets = Sheets(CONFIG)
    config = sheets.pretraining("paper", *row) if len(row) == 1 else sheets.evaluation("paper", *row)
    assert sets_of(config) == sets


def test_the_largest_input_of_the_paper_reads_unreduced_images_though_its_run_has_no_data():
    config = Sheets(CONFIG).without_data.evaluation("paper", "swin_v2_g_22k_ext", "finetune_640")
    assert sets_of(config) == FULL


@pytest.mark.parametrize("task", ["knn", "finetune_swin_b"])
def test_an_image_is_as_large_as_it_is_scored_at(folder, task):
    append(folder / "evaluate.tsv", "default", "odd", task, "settings.image_px=232 encoder.window=7")
    assert sets_of(Sheets(folder).evaluation("paper", "default", "odd")) == FULL  # scored at 265


def test_no_row_of_the_paper_enlarges_what_packing_has_reduced():
    sheets = Sheets(CONFIG)
    for key in [*sheets.pretrain, *sheets.evaluate]:
        try:
            config = sheets.pretraining("paper", *key) if len(key) == 1 else sheets.evaluation("paper", *key)
        except DoesNotFit:
            continue
        side = max(config.geometry.image_px) if len(key) == 1 else config.settings.image_px
        assert all((data.pack.short_side_px or 10_000) >= side for data in config.data.values()), key


@pytest.mark.parametrize(
    ("sheet", "cells", "message"),
    [
        ("pretrain", ("odd", "mpp_vit_b"), r"pretrain.tsv, row 'odd': its image_px asks for 384 px"),
        (
            "evaluate",
            ("default", "odd", "finetune_inat_swin_b", "settings.image_px=512 encoder.window=16"),
            r"evaluate.tsv, row 'default odd': its image_px asks for 585 px on the short side .*, but "
            r"'inaturalist' train is packed to pack.short_side_px=256: .*paper.yaml, "
            r"datasets: \{classify_inat: \[inaturalist, \.\.\.\]\}$",
        ),
        ("tokenizers", ("odd", "dvae", "image_px=264"), r"tokenizers.tsv, row 'odd': its image_px asks for 264 px"),
    ],
)
def test_a_row_whose_data_are_packed_smaller_is_refused(folder, sheet, cells, message):
    replace(folder / "scales" / "paper.yaml", "pretrain: [imagenet, imagenet_full]", "pretrain: imagenet")
    append(folder / f"{sheet}.tsv", *cells)
    sheets = Sheets(folder)
    resolve = {"pretrain": sheets.pretraining, "evaluate": sheets.evaluation, "tokenizers": sheets.tokenizer}[sheet]
    with pytest.raises(ValueError, match=message) as refused:
        resolve("paper", *cells[: 2 if sheet == "evaluate" else 1])
    assert not isinstance(refused.value, DoesNotFit) and "\n" not in str(refused.value)


def test_validation_is_held_to_the_same_size(folder):
    replace(folder / "datasets.tsv", VAL, f"{VAL} pack.codec=jpeg pack.short_side_px=256")
    sheets = Sheets(folder)
    assert sets_of(sheets.evaluation("paper", "swin_b_800ep", "finetune")) == REDUCED
    with pytest.raises(ValueError, match=r"row 'mpp_vit_b': its image_px asks .*'imagenet' val is packed"):
        sheets.pretraining("paper", "mpp_vit_b")
    larger = VAL.replace("imagenet", "imagenet_full", 1)
    append(folder / "datasets.tsv", *larger.split("\t"))
    assert sets_of(Sheets(folder).pretraining("paper", "mpp_vit_b")) == ("imagenet_full", "imagenet_full")


def test_the_extra_validation_set_is_held_to_it_too(folder):
    replace(folder / "datasets.tsv", "classes.txt\t10000", "classes.txt pack.codec=jpeg pack.short_side_px=256\t10000")
    with pytest.raises(ValueError, match=r"row 'swin_v2_h_800ep finetune_512': .*'imagenet_v2' val is packed"):
        Sheets(folder).evaluation("paper", "swin_v2_h_800ep", "finetune_512")


def test_a_scale_that_names_the_unreduced_set_first_trains_everything_from_it(folder):
    replace(
        folder / "scales" / "paper.yaml", "pretrain: [imagenet, imagenet_full]", "pretrain: [imagenet_full, imagenet]"
    )
    assert sets_of(Sheets(folder).pretraining("paper", "default")) == FULL


def test_every_set_of_a_role_is_looked_at_when_sources_are_compared(folder, tmp_path):
    jobs = Jobs(Sheets(folder), str(tmp_path))
    for dataset, split in (("imagenet", "val"), ("imagenet_full", "train"), ("imagenet_v2", "val")):
        index = jobs.job("pack", scale="paper", dataset=dataset, split=split).output("index")
        index.parent.mkdir(parents=True)
        index.touch()
    found = [(config.dataset, config.split) for config, _ in packed_sets(jobs, "paper")]
    assert found == [("imagenet", "val"), ("imagenet_full", "train"), ("imagenet_v2", "val")]
