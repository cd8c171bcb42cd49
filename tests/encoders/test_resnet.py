import math

import pytest
import torch
import torchvision
from timm.models.resnet import Bottleneck
from torch import nn

from simmim.encoders.resnet import ResNet

SETTINGS = {"stem_width": 4, "depths": [1, 2, 2], "width_factor": 2}


def _randomised(**settings):
    torch.manual_seed(0)
    encoder = ResNet(image_px=(64, 64), **SETTINGS | settings)
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.1 * torch.rand_like(tensor)
    return encoder


def _inputs():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, 64, 64, generator=generator)
    return images, torch.rand(3, 16, 16, generator=generator) < 0.6


@pytest.mark.parametrize(
    "settings, millions",
    [
        ({}, 375.35),  # SimCLR's ResNet-50 (4x), 375 M
        ({"width_factor": 1, "inner_width_factor": 4}, 221.38),
        ({"width_factor": 1}, 23.50),  # ResNet-50 without its classifier
    ],
)
def test_parameter_counts_of_the_readings_of_50x4(settings, millions):
    with torch.device("meta"):
        encoder = ResNet(image_px=(192, 192), **settings)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)
    assert (encoder.token, encoder.stride, encoder.depth) == (4, 32, 16)


@pytest.mark.parametrize("training", [False, True])
def test_stages_equal_an_independent_resnet(training):
    """torchvision's ResNet-50 with the same weights, behind the stem written out."""
    torch.manual_seed(0)
    encoder, other = ResNet(image_px=(64, 64), width_factor=1), torchvision.models.resnet50(weights=None)
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if tensor.ndim == 1:  # of norms, whose last in each block would hide the branch
            tensor.data += 0.1 * torch.rand_like(tensor)
    for index, stage in enumerate(encoder.stages, start=1):
        other.get_submodule(f"layer{index}").load_state_dict(stage.state_dict(), strict=True)
    encoder.train(training), other.train(training)
    images, _ = _inputs()
    conv, norm = encoder.stem[0], encoder.stem[1]
    x = nn.functional.conv2d(images, conv.weight, stride=2, padding=1)
    x = nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, momentum=0)
    x = nn.functional.max_pool2d(x.relu(), 2)
    with torch.no_grad():
        for ours, layer in zip(encoder.feature_maps(images), (other.layer1, other.layer2, other.layer3, other.layer4)):
            x = layer(x)
            torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)
            assert 1e-2 < x.std() < 1e3


def test_mask_tokens_enter_the_first_block_where_the_mask_says():
    encoder, (images, hidden) = _randomised().eval(), _inputs()
    entered = []
    encoder.stages[0][0].register_forward_pre_hook(lambda block, inputs: entered.append(inputs[0]))
    encoder(images, hidden)
    places = entered[0].permute(0, 2, 3, 1)  # [b, h, w, d]
    assert (places[hidden] == encoder.mask_token.flatten()).all()
    pixels = hidden.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]
    blackened = encoder.stem(images.masked_fill(pixels, 0.0)).permute(0, 2, 3, 1)
    assert torch.equal(places[~hidden], blackened[~hidden])


def test_nothing_hidden_reaches_batch_statistics():
    images, hidden = _inputs()
    pixels = hidden.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]
    noisy = torch.where(pixels, 1e6 * torch.randn_like(images), images)
    one, other = _randomised().train(), _randomised().train()
    assert torch.equal(one(images, hidden), other(noisy, hidden))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.stem[1].running_mean, _randomised().stem[1].running_mean)


def test_any_size_is_accepted_and_rounded_up():
    maps = _randomised().feature_maps(torch.randn(2, 3, 101, 67))
    assert [tuple(x.shape[2:]) for x in maps] == [(math.ceil(101 / s), math.ceil(67 / s)) for s in (4, 8, 16)]


def test_checkpointing_computes_every_block_again_and_changes_no_number():
    images, hidden = _inputs()
    results = []
    for checkpoint_activations in (False, True):
        encoder, runs = _randomised(drop_path=0.4, checkpoint_activations=checkpoint_activations).train(), []
        for block in encoder.modules():
            if isinstance(block, Bottleneck):
                block.conv1.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        for _ in range(2):
            output = encoder(images, hidden)
            output.square().sum().backward()
        results.append((output, encoder, len(runs)))
    (output, plain, once), (same, checkpointed, twice) = results
    assert (once, twice) == (2 * 5, 2 * 2 * 5)
    assert torch.equal(output, same)
    assert all(torch.equal(value, checkpointed.state_dict()[name]) for name, value in plain.state_dict().items())
    assert plain.stem[1].num_batches_tracked == 2
    for (name, one), other in zip(plain.named_parameters(), checkpointed.parameters()):
        assert torch.equal(one.grad, other.grad), name


def test_start_values():
    torch.manual_seed(0)
    encoder = ResNet(image_px=(64, 64), width_factor=1)
    for conv, fan_out in ((encoder.stem[0], 64 * 9), (encoder.stages[2][1].conv2, 256 * 9)):
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert all(block.bn3.weight.eq(0).all() for stage in encoder.stages for block in stage)
    assert encoder.mask_token.std().item() == pytest.approx(0.02, rel=0.5)


def test_drop_path_grows_linearly_over_all_blocks():
    encoder = ResNet(image_px=(64, 64), drop_path=0.4, **SETTINGS)
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in encoder.stages for block in stage]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("depths", [[], [1, 1, 1, 1, 1]])
def test_too_few_or_many_stages_are_refused(depths):
    with pytest.raises(ValueError, match="must name one to four stages"):
        ResNet(image_px=(64, 64), depths=depths)
