"""ADE20K's layout: label maps, class lists, and what a mistake in them is called."""

import io

import numpy as np
import pytest
from PIL import Image
from source_files import (
    REAL,
    damaged,
    encoded,
    grey_of_two_bits,
    label_map,
    needs_real_data,
    packed,
    png,
    samples,
    source,
    write,
)

from simmim.data.segmentation import SegmentationSet


def write_ade20k(folder):
    for number in range(3):
        values = np.full((8, 6), max(1, number))
        values[number:4] = 0
        write(folder / f"images/training/{number}.jpg", png(number))
        write(folder / f"annotations/training/{number}.png", label_map(values))
    write(folder / "classes.txt", b"sea\nlake\n")
    return {"root": str(folder), "split": "training"}


class TestAde20k:
    def test_images_and_label_maps(self, tmp_path):
        settings = write_ade20k(tmp_path)
        found = samples("ade20k", **settings)
        assert source("ade20k", **settings).classes() == ["sea", "lake"]
        assert [sample.id for sample in found] == ["0.jpg", "1.jpg", "2.jpg"]
        assert all(sample.image_px == (8, 6) and not sample.fault for sample in found)
        assert np.asarray(Image.open(io.BytesIO(found[2].annotation)))[:, 0].tolist() == [2, 2, 0, 0, 2, 2, 2, 2]

    def test_the_official_class_list(self, tmp_path):
        settings = write_ade20k(tmp_path)
        (tmp_path / "classes.txt").unlink()
        with pytest.raises(ValueError, match=r"neither classes.txt nor objectInfo150.txt; give classes_file"):
            source("ade20k", **settings).classes()
        rows = b"Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n2\t0.10\t6046\t612\t1\tbuilding\n"
        write(tmp_path / "objectInfo150.txt", rows)
        assert source("ade20k", **settings).classes() == ["wall", "building"]
        write(tmp_path / "objects.csv", rows.replace(b"\t", b","))
        assert source("ade20k", **settings, classes_file=str(tmp_path / "objects.csv")).classes() == [
            "wall",
            "building",
        ]
        write(tmp_path / "objectInfo150.txt", rows.replace(b"1\tbuilding", b"1 building"))
        with pytest.raises(ValueError, match=r"objectInfo150.txt: '2.*1 building' has not the 6 cells of its header"):
            source("ade20k", **settings).classes()

    def test_what_does_not_fit_is_quarantined(self, tmp_path):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/0.png", label_map(np.full((8, 6), 3)))
        write(tmp_path / "annotations/training/1.png", label_map(np.full((8, 7), 1)))
        (tmp_path / "annotations/training/2.png").unlink()
        for name, content in (("3", png(3)), ("4", b"broken"), ("5", png(5))):
            write(tmp_path / f"images/training/{name}.png", png())
            write(tmp_path / f"annotations/training/{name}.png", content)
        write(tmp_path / "annotations/training/lonely.png", label_map(np.ones((8, 6))))
        write(tmp_path / "images/training/good.png", png())
        write(tmp_path / "annotations/training/good.png", label_map(np.ones((8, 6))))
        shards, quarantine = packed(tmp_path, "ade20k", **settings)
        reasons = {row["sample_id"]: row["reason"] for row in quarantine}
        assert shards.ids == ["good.png"]
        assert "values up to 3" in reasons["0.jpg"] and "made for (8, 7)" in reasons["1.jpg"]
        assert reasons["2.jpg"] == "label map file is missing" and "mode RGB" in reasons["3.png"]
        assert "not a PNG" in reasons["4.png"] and reasons["lonely.png"] == "label map without an image"
        assert set(reasons) == {"0.jpg", "1.jpg", "2.jpg", "3.png", "4.png", "5.png", "lonely.png"}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (encoded(np.full((8, 6), 300, np.uint16)), "16-bit PNG of mode I;16; 8-bit grey or a palette is allowed"),
            (encoded(np.ones((8, 6, 3), np.uint8)), "8-bit PNG of mode RGB"),
            (grey_of_two_bits(np.ones((8, 6))), "2-bit PNG of mode L"),  # Pillow would read 85 for 1
            (label_map(np.full((8, 6), 3)), "values up to 3; 0 (ignored) to 2 are allowed"),
            (label_map(np.zeros((8, 6))), "no labelled pixel"),
            (encoded(np.ones((8, 6), np.uint8), "JPEG"), "not a PNG; other formats may change class numbers"),
            (label_map(np.ones((8, 6)))[:-20], "broken PNG"),
            (damaged(label_map(np.arange(48).reshape(8, 6) % 3)), "broken PNG"),
            (b"", "not a PNG"),
        ],
        ids=["16-bit", "RGB", "2-bit", "beyond", "ignored", "JPEG", "truncated", "damaged", "empty"],
    )
    def test_label_maps_of_another_kind_are_quarantined(self, tmp_path, content, reason):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/1.png", content)
        shards, quarantine = packed(tmp_path, "ade20k", **settings)
        assert shards.ids == ["0.jpg", "2.jpg"]
        assert [row["sample_id"] for row in quarantine if row["action"] == "quarantined"] == ["1.jpg"]
        assert reason in next(row["reason"] for row in quarantine if row["sample_id"] == "1.jpg")
        assert "0x" not in str(quarantine)  # an address would make two packings differ

    def test_a_palette_is_read_by_its_indices(self, tmp_path):
        settings = write_ade20k(tmp_path)
        image = Image.fromarray(np.full((8, 6), 2, np.uint8)).convert("P")
        image.putpalette([9] * 768)
        content = io.BytesIO()
        image.save(content, "PNG", bits=4)
        write(tmp_path / "annotations/training/1.png", content.getvalue())
        assert not samples("ade20k", **settings)[1].fault

    def test_two_label_maps_of_one_image_are_not_chosen_from(self, tmp_path):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "annotations/training/1.jpg", png())
        assert samples("ade20k", **settings)[1].fault == "image with several label maps: 1.jpg, 1.png"

    def test_grey_and_cmyk_images_become_rgb(self, tmp_path):
        settings = write_ade20k(tmp_path)
        grey, cmyk = np.full((8, 6), 90, np.uint8), np.full((8, 6, 4), 60, np.uint8)
        write(tmp_path / "images/training/0.jpg", encoded(grey, "JPEG"))
        write(tmp_path / "images/training/1.jpg", encoded(cmyk, "JPEG", "CMYK"))
        shards, incidents = packed(tmp_path, "ade20k", **settings)
        reasons = {row["sample_id"]: (row["action"], row["reason"]) for row in incidents}
        assert reasons["1.jpg"] == ("converted", "mode CMYK converted to RGB") and "0.jpg" not in reasons
        images = SegmentationSet(
            shards,
            image_px=6,
            scale_range=(1, 1),
            long_side_limit=4,
            flip=0,
            max_class_share=1,
            distort_colours=False,
            padding=(0, 0, 0),
            seed=0,
            training=False,
        )
        assert images.__getitems__([(0, 0), (0, 1)])["images"].shape == (2, 3, 8, 6)

    def test_no_images_at_all(self, tmp_path):
        settings = write_ade20k(tmp_path)
        for path in (tmp_path / "images/training").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match=r"images/training holds no images; check root and split"):
            packed(tmp_path, "ade20k", **settings)

    def test_too_many_that_do_not_fit_are_refused(self, tmp_path):
        settings = write_ade20k(tmp_path)
        for number in range(3):
            write(tmp_path / f"annotations/training/{number}.png", label_map(np.zeros((8, 6))))
        with pytest.raises(ValueError, match=r"3 of 3 samples are unusable.* '0.jpg': label map has no labelled pixel"):
            packed(tmp_path, "ade20k", **settings)

    @pytest.mark.parametrize("names", [b"", b" \n\n", b"sea\nlake\nsea\n"])
    def test_a_class_list_without_use(self, tmp_path, names):
        settings = write_ade20k(tmp_path)
        write(tmp_path / "classes.txt", names)
        with pytest.raises(ValueError, match=r"class list .*classes.txt must name at least one class and none twice"):
            samples("ade20k", **settings)

    def test_an_absent_class_list(self, tmp_path):
        settings = write_ade20k(tmp_path) | {"classes_file": str(tmp_path / "names.txt")}
        with pytest.raises(ValueError, match=r"class list .*names.txt does not exist"):
            samples("ade20k", **settings)

    @needs_real_data
    @pytest.mark.parametrize(("split", "count"), [("training", 367), ("validation", 334)])
    def test_real_camvid(self, split, count):
        made = source("ade20k", root=str(REAL / "camvid"), split=split)
        found = list(made.samples())
        assert (len(made.classes()), len(found)) == (11, count)
        assert all(sample.image_px == (360, 480) and not sample.fault for sample in found)

    def test_an_absent_split_is_named(self, tmp_path):
        settings = write_ade20k(tmp_path) | {"split": "test"}
        with pytest.raises(ValueError, match="images/test does not exist"):
            samples("ade20k", **settings)
