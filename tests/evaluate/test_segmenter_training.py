"""Training a segmenter: the same gradients however a step is computed, one rate per layer, no batch of one image."""

import pytest
import torch
from evaluation_tasks import task_of
from evaluations import TRAIN, small
from torch import nn

from simmim.encoders.swin import Swin
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.train.parameter_groups import parameter_groups

SMALL = SegmentSettings(
    image_px=72, scale_range=(0.6, 1.2), decoder_channels=16, auxiliary_channels=8, dropout=0, max_class_share=1
)


def segmenter(depths=(1, 1, 2), checkpoint_activations=False):
    """At 72 px, 18 x 18 tokens: neither a multiple of the window of 4 nor, with three stages, of the stride."""
    torch.manual_seed(0)
    encoder = Swin(
        image_px=(72, 72),
        embed_dim=12,
        depths=depths,
        num_heads=(2,) * len(depths),
        window=4,
        clamp_window=False,
        checkpoint_activations=checkpoint_activations,
    )
    return task_of("segment", SMALL, encoder).module()


@pytest.fixture
def batch(segmentation_shards):
    return (
        task_of("segment", SMALL, shards=segmentation_shards).dataset().__getitems__([(0, index) for index in range(4)])
    )


def gradients(task, batches):
    for each in batches:
        (task(each) / len(batches)).backward()
    return torch.cat([value.grad.flatten() for value in task.parameters() if value.grad is not None])


def test_checkpointed_activations_leave_the_gradients_alone(batch):
    plain, checkpointed = (gradients(segmenter(checkpoint_activations=choice), [batch]) for choice in (False, True))
    assert torch.equal(plain, checkpointed)


def test_bfloat16_stays_close(batch):
    exact, rounded = segmenter(), segmenter()
    rounded.autocast_dtype = torch.bfloat16
    one, other = gradients(exact, [batch]), gradients(rounded, [batch])
    assert not torch.equal(one, other)
    assert torch.cosine_similarity(one, other, dim=0) > 0.98
    assert other.dtype == torch.float32


def test_micro_batches_give_the_gradient_of_the_whole_batch(batch):
    """Batch norms apart, whose statistics are those of a micro-batch; labelled pixels are unevenly spread."""
    halves = [{key: value[part] for key, value in batch.items()} for part in (slice(0, 1), slice(1, 4))]
    quarter, rest = ((half["labels"] != 255).float().mean() for half in halves)
    assert abs(quarter - rest) > 0.02
    task, other = segmenter(), segmenter()
    for module in [*task.modules(), *other.modules()]:
        if isinstance(module, nn.BatchNorm2d):
            module.train(False)
    task._check_batch = other._check_batch = lambda images: None
    whole = gradients(task, [batch])
    weights = torch.tensor([0.25, 0.75])
    for half, weight in zip(halves, weights):
        (other(half) * weight).backward()
    parts = torch.cat([value.grad.flatten() for value in other.parameters() if value.grad is not None])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_a_single_image_per_process_is_refused_in_words(batch):
    alone = {key: value[:1] for key, value in batch.items()}
    with pytest.raises(ValueError, match=r"two images at once .* train.micro_batch at least 2"):
        segmenter()(alone)
    assert segmenter().eval()(alone).isfinite()
    with pytest.raises(ValueError, match=r"two images at once; train.batch=1 must be at least 2"):
        small("segment", train=TRAIN | {"batch": 1})


@pytest.mark.parametrize("depths", [(1, 1, 2), (2, 2, 6, 2)])
def test_layer_decay_reaches_every_layer(depths):
    task = segmenter(depths)
    groups = parameter_groups(task, "encoder.", 0.05, 0.9, task.encoder.no_weight_decay())
    scales = {round(group["lr_scale"], 12) for group in groups}
    layers = sum(depths) + 2  # the embedding, every block, and what stands above them
    assert scales == {round(0.9**power, 12) for power in range(layers)}
    grouped = [id(value) for group in groups for value in group["params"]]
    wanted = [id(value) for value in task.parameters() if value.requires_grad]
    assert len(grouped) == len(set(grouped)) and set(grouped) == set(wanted)
    top = next(value for name, value in task.named_parameters() if name.startswith("decoder."))
    assert all(group["lr_scale"] == 1 for group in groups if any(value is top for value in group["params"]))
