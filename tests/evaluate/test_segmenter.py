"""The segmenter learns, trains the whole encoder, and takes any image size."""

import pytest
import torch
import torch.nn.functional as F
from evaluation_tasks import task_of

from simmim import plugin
from simmim.evaluate.segment.segmenter import pixel_loss
from simmim.evaluate.segment.settings import SegmentSettings

MICRO = SegmentSettings(
    image_px=64,
    scale_range=(1, 1),
    flip=0,
    max_class_share=1,
    distort_colours=False,
    decoder_channels=24,
    auxiliary_channels=16,
    score_batch=3,
)
CPU = torch.device("cpu")


@pytest.fixture
def batch(segmentation_shards):
    return task_of("segment", MICRO, shards=segmentation_shards).dataset().__getitems__([(0, 0), (0, 1)])


def test_overfits_five_images(segmentation_shards, micro_swin):
    task = task_of("segment", MICRO, micro_swin()).module()
    images = task_of("segment", MICRO, shards=segmentation_shards).dataset()
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-3, fused=True)
    torch.manual_seed(0)
    for step in range(60):
        task(images.__getitems__([(step, index) for index in range(5)])).backward()
        optimizer.step()
        optimizer.zero_grad()
    rows = {
        (metric, detail): value
        for metric, detail, value in task_of("segment", MICRO, shards=segmentation_shards).score(task, "val")
    }
    assert rows["miou", ""] > 80
    assert rows["pixel_accuracy", ""] > 80
    assert rows["miou", ""] == pytest.approx((rows["iou", "disc"] + rows["iou", "bar"]) / 2)


@pytest.mark.parametrize("stages", [3, 4])
def test_every_encoder_parameter_gets_a_gradient(stages, batch, micro_swin):
    task = task_of("segment", MICRO, micro_swin(stages)).module()
    task(batch).backward()
    for name, value in task.named_parameters():
        reached = value.grad is not None and bool(value.grad.isfinite().all() and value.grad.any())
        assert reached == value.requires_grad, name
        assert reached or name.startswith(("encoder.mask_token", "encoder.norm.")), name


@pytest.mark.parametrize("stages", [3, 4])
def test_any_image_size_is_segmented_at_the_wanted_size(stages, micro_swin):
    task = task_of("segment", MICRO, micro_swin(stages)).module().eval()
    images = torch.randint(0, 256, (2, 3, 70, 101), dtype=torch.uint8)
    shares = task.probabilities(images, (140, 202))
    assert shares.shape == (2, 2, 140, 202) and shares.sum(1).allclose(torch.ones(2, 140, 202))


def test_ignored_pixels_do_not_count():
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 16, 16))
    labels[:, :5] = 255
    resized = F.interpolate(logits, (16, 16), mode="bilinear")
    labelled = float(F.cross_entropy(resized, labels, ignore_index=255))
    assert pixel_loss(logits, labels) == pytest.approx(labelled * 11 / 16, abs=1e-6)  # 11 of 16 rows
    assert pixel_loss(logits, torch.full_like(labels, 255)) == 0


def test_features_are_normalised_once(batch, micro_swin):
    """The decoder's own LayerNorms would come on top of those that the auxiliary head shares."""
    task = task_of("segment", MICRO, micro_swin()).module()
    seen = []
    task.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][2]))
    task(batch)
    assert seen[0].mean(1).abs().max() < 1e-4
    assert not [name for name, _ in task.decoder.named_parameters() if "feature_norms" in name]


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "vit", "patch_px": 8, "depth": 2, "embed_dim": 24, "num_heads": 2}, "this ViT takes 64 x 64 px only"),
        ({"name": "swin", "depths": [2, 2], "num_heads": [2, 4], "window": 8}, "this Swin takes 64 x 64 px only"),
        ({"name": "swin", "depths": [2], "num_heads": [4]}, "at least two feature maps, this one has 1"),
    ],
)
def test_an_encoder_that_could_not_be_scored_is_refused_before_training(section, message):
    with torch.device("meta"):
        encoder = plugin.build("encoders", plugin.Component.model_validate(section), image_px=(64, 64))
    with pytest.raises(ValueError, match=message):
        task_of("segment", MICRO, encoder).module()
