"""What the detector is composed of fits together: precision, input sizes, checkpointing, accumulation, layer decay."""

import pytest
import torch
from evaluation_tasks import task_of
from test_detector import MICRO

from simmim.config.training import TrainSettings
from simmim.encoders.swin import Swin
from simmim.storage.identity import Identity
from simmim.train.loop import Run, fit
from simmim.train.parameter_groups import parameter_groups
from simmim.train.processes import Processes


def swin(**settings):
    torch.manual_seed(0)
    return Swin(
        image_px=(64, 64), embed_dim=24, depths=(1, 2, 2), num_heads=(2, 2, 2), window=7, clamp_window=False, **settings
    )


def detector(**settings):
    return task_of("detect", MICRO, swin(**settings)).module()


def made_up_batch(height, width):
    """Two noisy images with a box each, as far to the right and down as it goes."""
    torch.manual_seed(1)
    box = [width - 41.3, height - 30.6, width - 1.2, height - 1.7]
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    mask[:, height - 30 : height - 2, width - 41 : width - 2] = 1
    target = {"boxes": torch.tensor([box]), "labels": torch.tensor([1]), "masks": mask}
    return {"images": torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8), "targets": [target, target]}


def watched(task, batch, dtype):
    """Loss, anchors of the first image, and proposals of both, under autocast to `dtype`."""
    seen = {}
    hooks = [
        task.rpn.anchor_generator.register_forward_hook(lambda *call: seen.update(anchors=call[-1][0])),
        task.rpn.register_forward_hook(lambda *call: seen.update(proposals=torch.cat(call[-1][0]))),
    ]
    task.autocast_dtype = dtype
    torch.manual_seed(2)
    loss = task(batch)
    for hook in hooks:
        hook.remove()
    return loss, seen["anchors"], seen["proposals"]


def test_bf16_rounds_neither_anchors_nor_boxes_and_the_loss_is_float32s():
    """Near 1000, bfloat16 knows only every fourth whole number."""
    task, batch = detector(), made_up_batch(64, 1024)
    loss, anchors, proposals = watched(task, batch, None)
    rounded_loss, same_anchors, rounded_proposals = watched(task, batch, torch.bfloat16)
    assert torch.equal(anchors, same_anchors) and anchors.dtype == torch.float32
    assert not torch.equal(anchors, anchors.bfloat16().float())  # here it would show
    far = rounded_proposals[(rounded_proposals[:, 2] > 512) & (rounded_proposals[:, 2] < 1024)]
    assert len(far) > 10 and rounded_proposals.dtype == torch.float32
    assert ((far[:, 2] % 1 > 0.01) & (far[:, 2] % 1 < 0.99)).float().mean() > 0.8
    assert not torch.equal(proposals, rounded_proposals)  # bfloat16 was at work in the head
    assert rounded_loss.item() == pytest.approx(loss.item(), rel=0.03)


@pytest.mark.parametrize("height, width", [(70, 101), (96, 72)])
def test_any_size_of_image(height, width):
    task, batch = detector(), made_up_batch(height, width)
    loss, anchors, _ = watched(task, batch, None)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    expected = []
    for stride in (4, 8, 16, 32):
        rows, columns = -(-height // stride), -(-width // stride)
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(1) * stride
        expected.append(grid.repeat_interleave(3, 0).float())
    torch.testing.assert_close(centres, torch.cat(expected))
    shown = {"shown_sizes": [(height, width)] * 2, "stored_sizes": [(2 * height, 2 * width)] * 2}
    assert task.eval().predict(batch | shown)[0]["masks"].shape[1:] == (2 * height, 2 * width)


def test_checkpointed_activations_give_the_same_gradients():
    batch, gradients = made_up_batch(72, 64), []
    for checkpointed in (False, True):
        task = detector(checkpoint_activations=checkpointed)
        watched(task, batch, None)[0].backward()
        gradients.append({name: p.grad for name, p in task.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def test_layer_decay_reaches_every_layer_of_the_encoder():
    task = detector()
    groups = parameter_groups(task, "encoder.", 0.05, 0.8, task.encoder.no_weight_decay())
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    trained = {name: p for name, p in task.named_parameters() if p.requires_grad}
    assert len(scales) == sum(len(group["params"]) for group in groups) == len(trained)
    depth = task.encoder.depth
    assert sorted(set(scales.values())) == pytest.approx([0.8**power for power in range(depth + 1, -1, -1)])
    for name, parameter in trained.items():
        assert (scales[id(parameter)] == 1) == (not name.startswith("encoder.")), name


def test_micro_batches_add_up_to_the_batch(detection_shards, tmp_path):
    """Whole batches and micro-batches draw other regions for the loss, so only the course of the training agrees."""
    losses, images = [], task_of("detect", MICRO, shards=detection_shards).dataset()
    for micro_batch in (4, 1):
        task = detector()
        training = TrainSettings(
            epochs=16,
            batch=4,
            micro_batch=micro_batch,
            base_lr=1e-3,
            base_lr_batch=4,
            log_every_steps=8,
            save_every_steps=80,
            precision="fp32",
        )
        history = fit(
            task,
            images,
            [{"params": list(task.parameters())}],
            training,
            Run(Identity({}, 0), tmp_path / str(micro_batch), "detect"),
            Processes(0, 1, torch.device("cpu")),
        ).history
        losses.append([entry["loss"] for entry in history])
    assert losses[0][1] < 0.9 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
