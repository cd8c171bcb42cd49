"""The detector learns, keeps its boxes in float32, trains the whole encoder and takes awkward images."""

import numpy as np
import pytest
import torch
from evaluation_tasks import task_of
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

from simmim.evaluate.detect.settings import DetectSettings

MICRO = DetectSettings(
    image_px=64,
    scale_jitter=(1, 1),
    flip=0,
    fpn_channels=24,
    anchor_scale=4,
    anchors_per_image=64,
    proposals=50,
    rois_per_image=32,
    box_width=64,
    mask_width=24,
    mask_layers=2,
    score_batch=3,
)
CPU = torch.device("cpu")


@pytest.fixture
def batch(detection_shards):
    return task_of("detect", MICRO, shards=detection_shards).dataset().__getitems__([(0, 0), (0, 1)])


def test_overfits_four_images(detection_shards, micro_swin):
    task = task_of("detect", MICRO, micro_swin()).module()
    images = task_of("detect", MICRO, shards=detection_shards).dataset()
    optimizer = torch.optim.AdamW(task.parameters(), lr=2e-3, fused=True)
    torch.manual_seed(0)
    for step in range(100):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 10) * (1 - step / 100)
        loss = task(images.__getitems__([(step, index) for index in range(4)]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
    rows = {
        (metric, detail): value
        for metric, detail, value in task_of("detect", MICRO, shards=detection_shards).score(task, "val")
    }
    assert rows["box_ap", ""] > 80
    assert rows["mask_ap", ""] > 80


@pytest.mark.parametrize("stages", [3, 4])
def test_every_encoder_parameter_gets_a_gradient(stages, batch, micro_swin):
    task = task_of("detect", MICRO, micro_swin(stages)).module()
    task(batch).backward()
    for name, value in task.named_parameters():
        reached = value.grad is not None and bool(value.grad.isfinite().all() and value.grad.any())
        assert reached == value.requires_grad, name
        assert reached or name.startswith(("encoder.mask_token", "encoder.norm.")), name


def test_boxes_stay_float32_under_bf16(batch, micro_swin, monkeypatch):
    seen = []

    def spy(owner, name):
        original = getattr(owner, name)

        def watched(self, *args, **kwargs):
            seen.append((name, args))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    spy(RegionProposalNetwork, "assign_targets_to_anchors")
    spy(RoIHeads, "select_training_samples")
    task = task_of("detect", MICRO, micro_swin()).module()
    inside = []
    task.pyramid.fpn.register_forward_hook(lambda _, __, output: inside.append(output["0"].dtype))
    task.roi_heads.box_head.part.register_forward_hook(lambda _, __, output: inside.append(output.dtype))
    task.autocast_dtype = torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):  # even inside a careless caller's autocast
        loss = task(batch)
    assert inside == [torch.bfloat16, torch.bfloat16]
    assert loss.dtype == torch.float32
    boxes = [box for _, args in seen for box in args[0]]
    assert len(boxes) == 4 and {box.dtype for box in boxes} == {torch.float32}
    proposals = torch.cat(seen[1][1][0])
    assert (proposals != proposals.bfloat16()).float().mean() > 0.3  # not rounded on the way either


def test_an_image_without_objects_trains(batch, micro_swin):
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, 64, 64).byte()}
    loss = task_of("detect", MICRO, micro_swin()).module()(batch | {"targets": [empty, empty]})
    loss.backward()
    assert loss.isfinite()


def test_predictions_of_a_padded_image_are_those_of_the_picture(micro_swin):
    """A wide picture first: torchvision left to itself would then read every level at twice its scale."""
    task = task_of("detect", MICRO.model_copy(update={"score_threshold": 0.0}), micro_swin()).module().eval()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    batch = {"images": image, "shown_sizes": [(24, 64)], "stored_sizes": [(48, 128)]}
    found = task.predict(batch)[0]
    assert task.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16]
    assert found["masks"].shape[1:] == (48, 128) and found["masks"].dtype == torch.bool
    assert found["boxes"][:, 3].max() <= 48 and found["boxes"][:, 3].max() > 30
    assert set(found["labels"].tolist()) <= {1, 2}


def test_anchors_follow_the_strides(micro_swin):
    task = task_of("detect", DetectSettings(), micro_swin(4)).module()
    sides = [
        np.sqrt(cell[1, 2:] - cell[1, :2]).prod() for cell in map(np.array, task.rpn.anchor_generator.cell_anchors)
    ]
    assert sides == pytest.approx([32, 64, 128, 256, 512])


def test_settings_reach_torchvision(micro_swin):
    settings = MICRO.model_copy(update={"detections_per_image": 7, "score_threshold": 0.3})
    task = task_of("detect", settings, micro_swin()).module()
    heads, proposals = task.roi_heads, task.rpn
    assert (heads.detections_per_img, heads.score_thresh) == (7, 0.3)
    assert heads.fg_bg_sampler.batch_size_per_image == settings.rois_per_image
    assert proposals.fg_bg_sampler.batch_size_per_image == settings.anchors_per_image
    for training in (True, False):
        proposals.train(training)
        assert proposals.post_nms_top_n() == settings.proposals and proposals.pre_nms_top_n() == 100


def test_whole_images_are_scored(detection_shards):
    """Neither jittered nor mirrored: the objects themselves, found in the stored image, score 100."""

    class Oracle(torch.nn.Module):
        def predict(self, batch):
            scores = torch.tensor([0.9, 0.8])
            return [each | {"scores": scores, "masks": each["masks"].bool()} for each in batch["targets"]]

    settings = MICRO.model_copy(update={"scale_jitter": (0.5, 1.5), "flip": 0.5})
    rows = {row[:2]: row[2] for row in task_of("detect", settings, shards=detection_shards).score(Oracle(), "val")}
    assert rows["box_ap", ""] == rows["mask_ap", ""] == pytest.approx(100)
