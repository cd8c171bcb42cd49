"""The score of a segmenter: one confusion matrix over the set, several scales and mirror images, independent checks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_sets import HEADER, packed, png
from evaluation_tasks import task_of
from torch import nn
from torchmetrics.classification import MulticlassJaccardIndex

from simmim.data.samples import RawSample
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.layers.normaliser import ImageNormaliser

CPU = torch.device("cpu")
SIZES = [(48, 64), (48, 64), (64, 48), (48, 64), (48, 96)]
SEVERAL = {"score_scales": (0.75, 1.0, 1.25), "score_flip": True}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Five images of three sizes whose red channel is the label map: 0 ignored, 1 and 2 classes."""
    random, samples = np.random.default_rng(0), []
    for number, (height, width) in enumerate(SIZES):
        labels = random.integers(0, 3, (height // 8, width // 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        image = np.stack([100 * labels, *random.integers(0, 256, (2, height, width), dtype=np.uint8)], axis=2)
        samples.append(RawSample(f"{number}.png", png(image), annotation=png(labels)))
    return packed(tmp_path_factory.mktemp("labels"), samples)


class Reader(nn.Module):
    """Stands in for a segmenter: reads the class off the red channel; where `doubt` is 1 it tells nothing."""

    def __init__(self, doubt: float = 0.0) -> None:
        super().__init__()
        self.normalise, self._doubt, self.seen = ImageNormaliser(**HEADER), doubt, []

    def probabilities(self, images, output_size, mirrored=False):
        self.seen.append((*images.shape[-2:], mirrored))
        red, noise = F.interpolate(images.float(), tuple(output_size), mode="nearest")[:, :2].unbind(1)
        first = (1 - self._doubt) * (red < 150) + self._doubt * noise / 255
        return torch.stack([first, 1 - first], dim=1)


def scored(task, shards, **settings):
    rows = task_of("segment", SegmentSettings(image_px=48, **settings), shards=shards).score(task, "val")
    return {(metric, detail): value for metric, detail, value in rows}


def test_the_truth_scores_100(shards):
    values = scored(Reader(), shards)
    assert set(values) == {
        ("miou", ""),
        ("miou_single_scale", ""),
        ("pixel_accuracy", ""),
        ("mean_class_accuracy", ""),
        ("iou", "disc"),
        ("iou", "bar"),
    }
    assert set(values.values()) == {100.0}


def test_equals_torchmetrics_on_the_same_predictions(shards):
    oracle = MulticlassJaccardIndex(2, average="macro", ignore_index=255)
    task, settings = Reader(0.6), SegmentSettings(image_px=48)
    for index in range(len(SIZES)):
        images = task_of("segment", settings, shards=shards)._images("val", seed=0, training=False)
        batch = images.__getitems__([(0, index)])
        oracle.update(task.probabilities(batch["images"], batch["labels"].shape[-2:]).argmax(1), batch["labels"])
    values = scored(task, shards)
    assert 30 < values["miou", ""] < 95
    assert values["miou", ""] / 100 == pytest.approx(float(oracle.compute()), abs=1e-6)
    assert values["miou", ""] == values["miou_single_scale", ""]


def test_every_scale_is_seen_once_each_way(shards):
    task = Reader()
    scored(task, shards, score_batch=2, **SEVERAL)
    batches = [(48, 64), (48, 64), (64, 48), (48, 96)]  # three images of one size make two batches
    shown = [(side, mirrored) for side in ((36, 48), (48, 64), (60, 80)) for mirrored in (False, True)]
    assert len(task.seen) == 6 * len(batches)
    for (height, width), mirrored in shown:
        assert task.seen.count((height, width, mirrored)) == 2
        assert task.seen.count((width, height, mirrored)) == 1


def test_probabilities_of_all_views_are_averaged(shards, micro_swin):
    """By hand, one image at a time: every scale and its mirror image, in the size of the label map."""
    settings = SegmentSettings(image_px=48, decoder_channels=16, auxiliary_channels=8, **SEVERAL)
    torch.manual_seed(1)
    segment = task_of("segment", settings, micro_swin(), shards)
    task = segment.module().eval()
    index, total, views = 4, 0, 0
    for scale in settings.score_scales:
        images = segment._images("val", seed=0, training=False, scale=scale)
        batch = images.__getitems__([(0, index)])
        for turn in (lambda x: x, lambda x: x.flip(-1)):
            logits = task._logits(task._maps(turn(batch["images"])))
            total = total + turn(F.interpolate(logits, (48, 96), mode="bilinear").softmax(1))
            views += 1
    sets = {scale: segment._images("val", seed=0, training=False, scale=scale) for scale in settings.score_scales}
    labels, single, combined = segment._predicted(task, sets, [index])
    assert labels.shape == (1, 48, 96) and views == 6
    assert (combined == total.argmax(1).numpy()).mean() > 0.999
    assert (combined != single).any()  # the views disagree somewhere, so the average is seen


def test_several_views_are_told_from_the_plain_image(shards):
    values = scored(Reader(0.6), shards, **SEVERAL)
    plain = scored(Reader(0.6), shards)
    assert values["miou_single_scale", ""] == plain["miou", ""] != values["miou", ""]


@pytest.mark.parametrize("scales", [(0.75, 1.25), (1.0, 0.0), ()])
def test_scales_without_1_are_refused(scales):
    with pytest.raises(ValueError, match=r"score_scales .* 1 among them"):
        SegmentSettings(score_scales=scales)


class Contrary(Reader):
    """Says the opposite of what the mirror image shows, with less certainty."""

    def probabilities(self, images, output_size, mirrored=False):
        shares = super().probabilities(images, output_size)
        return 0.5 + 0.3 * (0.5 - shares) if mirrored else shares


def test_the_single_scale_score_is_of_the_plain_image(shards):
    values = scored(Contrary(), shards, score_flip=True)
    assert values["miou_single_scale", ""] == values["miou", ""] == 100
