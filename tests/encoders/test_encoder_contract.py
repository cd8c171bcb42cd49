"""What every encoder must do, whatever it is."""

import math
import weakref

import pytest
import torch
from encoders.small import SMALL
from helpers.contracts import missing
from helpers.pretraining import built_simmim

from simmim import plugin
from simmim.config.component_settings import settings_of
from simmim.plugin import Component

ENCODERS = plugin.names("encoders")


def _encoder(name, image_px=(64, 64), in_channels=3, **settings):
    torch.manual_seed(0)
    section = Component(name=name, **SMALL.get(name, {}) | settings)
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
def test_it_has_the_members_of_the_contract(name):
    encoder = _encoder(name)
    assert not missing("encoders", encoder)
    assert isinstance(encoder.mask_token, torch.nn.Parameter)
    settings = {*plugin.component("encoders", name).transfer_settings, *encoder.kept_settings}
    assert settings <= settings_of("encoders", name).keys()


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
    for block, tokens in zip(features, encoder.block_maps(images), strict=True):
        torch.testing.assert_close(tokens.mean(dim=(2, 3)), block)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_block_features_do_not_depend_on_hidden_pixels(name):
    encoder = _encoder(name)
    images, hidden = _inputs(encoder)
    pixels = hidden.repeat_interleave(encoder.token, 1).repeat_interleave(encoder.token, 2)[:, None]
    features = encoder.block_features(images, hidden)
    others = encoder.block_features(torch.where(pixels, torch.randn_like(images), images), hidden)
    assert all(torch.equal(*pair) for pair in zip(features, others, strict=True))
    for block, tokens in zip(features, encoder.block_maps(images, hidden), strict=True):
        torch.testing.assert_close(tokens.mean(dim=(2, 3)), block)


@pytest.mark.parametrize("name", ENCODERS)
def test_feature_maps_match_their_description(name):
    encoder = _encoder(name)
    images, _ = _inputs(encoder)
    maps = encoder.feature_maps(images)
    assert [tuple(x.shape) for x in maps] == [(3, c, 64 // stride, 64 // stride) for c, stride in encoder.levels]
    assert [stride for _, stride in encoder.levels] == sorted(stride for _, stride in encoder.levels)


@pytest.mark.parametrize("name", ENCODERS)
def test_it_says_what_an_image_meets_before_the_mask_tokens(name):
    """Where all is hidden, nothing but that gets no gradient; blocks do not count, whose tokens are all alike."""
    encoder = _encoder(name)
    images, hidden = _inputs(encoder)
    (encoder(images, torch.ones_like(hidden)) * torch.randn(encoder.width, 1, 1)).sum().backward()
    embedding = {key: each.grad.any() for key, each in encoder.named_parameters() if encoder.layer_of(key) == 0}
    assert encoder.stem_parameters() == {key for key, reached in embedding.items() if not reached}


@pytest.mark.parametrize("name", ENCODERS)
def test_it_says_what_no_feature_map_depends_on(name):
    encoder = _encoder(name)
    sum(x.square().sum() for x in encoder.feature_maps(_inputs(encoder)[0])).backward()
    untouched = {key for key, parameter in encoder.named_parameters() if parameter.grad is None}
    assert encoder.unmapped_parameters() == untouched


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_pass_without_gradients_holds_the_output_of_one_block(name):
    encoder = _encoder(name)
    blocks = encoder.blocks if name == "vit" else [block for stage in encoder.stages for block in stage]
    outputs, held = [], []
    for block in blocks:
        block.register_forward_pre_hook(lambda *_: held.append(sum(each() is not None for each in outputs)))
        block.register_forward_hook(lambda block, inputs, output: outputs.append(weakref.ref(output)))
    encoder(*_inputs(encoder))
    assert len(held) == encoder.depth > 2 and max(held) == 1


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_any_size_of_input_works_or_is_refused(name):
    """Sizes that neither token, stride nor window divide, and some smaller than one window."""
    encoder = _encoder(name, clamp_window=False) if name.startswith("swin") else _encoder(name)
    for height, width in ((101, 67), (30, 129), (5, 9)):
        images = torch.randn(2, 3, height, width)
        assert encoder.takes((height, width)) == encoder.any_size and encoder.takes((64, 64))
        if not encoder.any_size:
            with pytest.raises(ValueError, match=rf"64 x 64 px, the input has {height} x {width} px"):
                encoder.feature_maps(images)
            continue
        for x, (channels, stride) in zip(encoder.feature_maps(images), encoder.levels, strict=True):
            assert x.shape == (2, channels, math.ceil(height / stride), math.ceil(width / stride))
            assert x.isfinite().all()
        assert encoder(images).shape[2:] == x.shape[2:]


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_built_for_an_odd_size_or_refused(name):
    if name == "vit":
        with pytest.raises(ValueError, match=r"image_px \(101, 67\) must be a multiple of patch_px 8"):
            _encoder(name, (101, 67))
        return
    maps = _encoder(name, (101, 67)).feature_maps(torch.randn(1, 3, 101, 67))
    assert all(x.isfinite().all() for x in maps)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_drop_path_that_is_no_share_is_refused(name):
    with pytest.raises(ValueError, match=r"encoder\.drop_path 1 must be at least 0 and below 1"):
        built_simmim(encoder={"name": name} | SMALL.get(name, {}) | {"drop_path": 1.0})


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "image_px, message",
    [
        ((64, 96), None),
        ((100, 64), "masked patch of 16 px does not divide the image of 100 x 64 px|multiple of patch_px 8"),
        ((64, 67), "masked patch of 16 px does not divide the image of 64 x 67 px|multiple of patch_px 8"),
    ],
)
def test_pretraining_takes_a_size_that_is_not_square_and_refuses_one_that_cannot_be_masked(name, image_px, message):
    parts = {"encoder": {"name": name} | SMALL.get(name, {})}
    parts["geometry"] = {"image_px": image_px, "masked_patch_px": 16}
    if message:
        with pytest.raises(ValueError, match=message):
            built_simmim(**parts)
        return
    model = built_simmim(**parts)
    hidden = model.geometry.cells_to_tokens(torch.rand(2, *model.geometry.cells) < 0.6)
    model({"images": torch.randint(256, (2, 3, *image_px)).byte(), "hidden": hidden}).backward()
    assert model.encoder.mask_token.grad.any()


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


def _gradients_and_stored_bytes(name, checkpointed, dense):
    """Parameter gradients in training mode, and what the forward pass kept for them beside the parameters.

    Args:
        dense: of all feature maps, instead of the output for masked images.
    """
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
        outputs = encoder.feature_maps(images) if dense else [encoder(images, hidden)]
        loss = sum(x.square().sum() for x in outputs)
    loss.backward()
    gradients = {key: each.grad for key, each in encoder.named_parameters() if each.grad is not None}
    return gradients, sum(stored.values())


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("dense", [False, True])
def test_checkpointed_activations_give_the_same_gradients_from_less_memory(name, dense):
    expected, plain = _gradients_and_stored_bytes(name, False, dense)
    gradients, checkpointed = _gradients_and_stored_bytes(name, True, dense)
    assert gradients.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(gradients[key], gradient, rtol=1e-6, atol=1e-7, msg=key)
    assert checkpointed < 0.5 * plain


@pytest.mark.parametrize("name", ENCODERS)
def test_checkpointing_of_activations_may_change_in_a_transfer(name):
    assert "checkpoint_activations" in plugin.component("encoders", name).transfer_settings
