"""What every encoder must do, whatever it is."""

import pytest
import torch
from encoders.small import SMALL

from simmim import plugin

ENCODERS = plugin.names("encoders")


def _encoder(name, image_px=(64, 64), in_channels=3, **settings):
    assert name in SMALL, f"give the new encoder '{name}' small settings in tests/encoders/small.py"
    torch.manual_seed(0)
    section = {"name": name} | SMALL[name] | settings
    encoder = plugin.build("encoders", section, image_px=image_px, in_channels=in_channels).eval()
    for parameter in encoder.parameters():  # far from the start values, where tables are zero or tiny
        parameter.data += 0.3 * torch.randn_like(parameter)
    return encoder


def _inputs(encoder, in_channels=3):
    generator = torch.Generator().manual_seed(1)
    height, width = encoder.image_px
    images = torch.randn(3, in_channels, height, width, generator=generator)
    hidden = torch.rand(3, height // encoder.token, width // encoder.token, generator=generator) < 0.6
    return images, hidden


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("image_px, in_channels", [((64, 64), 3), ((64, 128), 3), ((64, 64), 5), ((96, 64), 1)])
def test_output_shape(name, image_px, in_channels):
    encoder = _encoder(name, image_px, in_channels)
    images, hidden = _inputs(encoder, in_channels)
    grid = tuple(side // encoder.stride for side in image_px)
    assert encoder(images, hidden).shape == (3, encoder.width, *grid)
    assert encoder(images).shape == (3, encoder.width, *grid)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("noise", [1e6, float("nan")])
def test_hidden_pixels_do_not_leak(name, noise):
    encoder = _encoder(name, (64, 96))
    images, hidden = _inputs(encoder)
    pixels = hidden.repeat_interleave(encoder.token, 1).repeat_interleave(encoder.token, 2)[:, None]
    changed = torch.where(pixels, noise * torch.randn_like(images), images)
    expected = encoder(images, hidden)
    assert torch.equal(encoder(changed, hidden), expected)
    assert not torch.equal(encoder(changed, torch.zeros_like(hidden)), encoder(images, torch.zeros_like(hidden)))
    visible = torch.where(pixels, images, images + 1)
    assert not torch.equal(encoder(visible, hidden), expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_hidden_pixels_get_no_gradient_and_the_mask_token_does(name):
    encoder = _encoder(name)
    images, hidden = _inputs(encoder)
    encoder(images.requires_grad_(), hidden).square().sum().backward()
    pixels = hidden.repeat_interleave(encoder.token, 1).repeat_interleave(encoder.token, 2)[:, None].expand_as(images)
    assert (images.grad[pixels] == 0).all() and (images.grad[~pixels] != 0).any()
    assert encoder.mask_token.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("name", ENCODERS)
def test_block_features(name):
    encoder = _encoder(name)
    images, _ = _inputs(encoder)
    features = encoder.block_features(images)
    assert len(features) == encoder.depth
    assert all(block.shape[0] == 3 and block.ndim == 2 for block in features)
    changed = images + 0.1 * torch.randn_like(images)
    assert all(not torch.equal(*pair) for pair in zip(features, encoder.block_features(changed)))
    assert features[-1].shape == (3, encoder.width)


@pytest.mark.parametrize("name", ENCODERS)
def test_feature_maps_match_their_description(name):
    encoder = _encoder(name)
    images, _ = _inputs(encoder)
    maps = encoder.feature_maps(images)
    assert [tuple(x.shape) for x in maps] == [(3, c, 64 // stride, 64 // stride) for c, stride in encoder.levels]
    assert [stride for _, stride in encoder.levels] == sorted(stride for _, stride in encoder.levels)


@pytest.mark.parametrize("name", ENCODERS)
def test_layers_cover_every_parameter(name):
    encoder = _encoder(name)
    names = [name for name, _ in encoder.named_parameters()]
    layers = {encoder.layer_of(name) for name in names}
    above = {encoder.depth + 1}  # the final norm's layer and the task's; a ResNet has nothing of its own there
    assert layers | above == set(range(encoder.depth + 2))
    assert encoder.layer_of("mask_token") == 0
    for pretraining in (True, False):
        assert encoder.no_weight_decay(pretraining=pretraining) <= set(names)


@pytest.mark.parametrize("name", ENCODERS)
def test_adapting_to_the_same_size_changes_nothing(name):
    encoder = _encoder(name, (64, 96))
    adapted = encoder.adapt(encoder.state_dict(), (64, 96))
    assert adapted.keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, adapted[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ENCODERS)
def test_adapted_state_loads_strictly_at_another_size(name):
    encoder = _encoder(name, (64, 96))
    larger = _encoder(name, (128, 64))
    larger.load_state_dict(larger.adapt(encoder.state_dict(), (64, 96)), strict=True)
    assert larger(torch.randn(1, 3, 128, 64)).isfinite().all()


@pytest.mark.parametrize("name", ENCODERS)
def test_drop_path_acts_in_training_only(name):
    encoder = _encoder(name, drop_path=0.5)
    images, _ = _inputs(encoder)
    assert torch.equal(encoder(images), encoder(images))
    encoder.train()
    assert not torch.equal(encoder(images), encoder(images))


def _gradients_and_stored_bytes(name, checkpointed):
    """Parameter gradients in training mode, and what the forward pass kept for them beside the parameters."""
    encoder = _encoder(name, drop_path=0.3, checkpoint_activations=checkpointed).train()
    images, hidden = _inputs(encoder)
    known = {parameter.untyped_storage().data_ptr() for parameter in encoder.parameters()}
    stored = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in known:
            stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = encoder(images, hidden).square().sum()
    loss.backward()
    return {key: parameter.grad for key, parameter in encoder.named_parameters()}, sum(stored.values())


@pytest.mark.parametrize("name", ENCODERS)
def test_checkpointed_activations_give_the_same_gradients_from_less_memory(name):
    expected, plain = _gradients_and_stored_bytes(name, False)
    gradients, checkpointed = _gradients_and_stored_bytes(name, True)
    for key, gradient in expected.items():
        torch.testing.assert_close(gradients[key], gradient, rtol=1e-6, atol=1e-7, msg=key)
    assert checkpointed < 0.5 * plain


@pytest.mark.parametrize("name", ENCODERS)
def test_checkpointing_of_activations_may_change_in_a_transfer(name):
    assert "checkpoint_activations" in plugin.component("encoders", name).transfer_settings
