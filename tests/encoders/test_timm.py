"""encoder=timm in every family it takes: models of timm's own tests each day, twelve that people use when slow."""

import pytest
import timm
import torch
from encoders.timm_names import TWELVE
from helpers.pretraining import built_simmim
from safetensors.torch import save_file
from timm.models._manipulate import group_with_matcher

from simmim import plugin
from simmim.encoders._position_bias import CLASS_ROWS, TABLE
from simmim.encoders._timm_families import supported_models
from simmim.encoders.timm import Timm
from simmim.planning.network import SizedEncoder, encoder_part
from simmim.plugin import Component
from simmim.storage.encoder_file import load_encoder, save_encoder, start_from

# Of every kind of stem, position embedding and norm, at most a million parameters each where timm has such.
EVERYDAY = ["test_vit", "test_vit4", "test_convnext2", "test_resnet", "regnetx_002"]
MODELS = [*EVERYDAY, *(pytest.param(name, marks=pytest.mark.slow) for name in TWELVE)]
SIDES = {"eva02_tiny_patch14_224": (56, 84)}


def _encoder(model, image_px=None, in_channels=3, **settings):
    torch.manual_seed(0)
    encoder = Timm(
        image_px=image_px or SIDES.get(model, (64, 96)), in_channels=in_channels, model=model, **settings
    ).eval()
    for parameter in encoder.parameters():  # some start at zero, and silence a branch
        parameter.data += 0.05 * torch.randn_like(parameter)
    return encoder


def _hidden(encoder, images):
    rows, columns = (side // encoder.token for side in encoder.image_px)
    return torch.rand(images, rows, columns, generator=torch.Generator().manual_seed(1)) < 0.6


@pytest.mark.parametrize("model", MODELS)
def test_nothing_hidden_leaks_and_all_that_is_trained_gets_a_gradient(model):
    encoder = _encoder(model, in_channels=4)
    images, hidden = torch.randn(2, 4, *encoder.image_px), _hidden(encoder, 2)
    pixels = hidden.repeat_interleave(encoder.token, 1).repeat_interleave(encoder.token, 2)[:, None]
    expected = encoder(images, hidden)
    assert torch.equal(encoder(torch.where(pixels, torch.nan * images, images), hidden), expected)
    assert not torch.equal(encoder(torch.where(pixels, images, images + 1), hidden), expected)
    expected.square().sum().backward()
    assert [name for name, each in encoder.named_parameters() if each.grad is None] == []


@pytest.mark.parametrize("model", MODELS)
def test_five_steps_of_pre_training_lower_a_finite_loss(model):
    image_px = SIDES.get(model, (64, 64))
    torch.manual_seed(0)
    patch_px = 28 if model in SIDES else 32
    method = built_simmim(
        encoder={"name": "timm", "model": model}, geometry={"image_px": image_px, "masked_patch_px": patch_px}
    )
    rows, columns = (side // method.encoder.token for side in image_px)
    ramp = torch.linspace(0, 255, image_px[1]).expand(4, 3, *image_px).byte()
    cells = torch.rand(4, *(side // patch_px for side in image_px)) < 0.5
    cells[:, 0, 0] = True
    batch = {"images": ramp, "hidden": method.geometry.cells_to_tokens(cells)}
    assert batch["hidden"].shape == (4, rows, columns)
    optimiser, losses = torch.optim.AdamW(method.parameters(), 1e-4), []
    for _ in range(5):
        optimiser.zero_grad()
        loss = method(batch)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(0 < each < 1e3 for each in losses)
    assert losses[-1] < losses[0], losses


@pytest.mark.parametrize("model", MODELS)
def test_features_are_timms_own(model):
    encoder = _encoder(model)
    images = torch.randn(1, 3, *encoder.image_px)
    if model.startswith("eva02"):  # tokens of 14 px
        with pytest.raises(ValueError, match="divides the token by 4, 14 px cannot be divided"):
            _ = encoder.levels
        return
    with torch.no_grad():
        theirs = encoder.body.forward_intermediates(images, intermediates_only=True)
        maps = encoder.feature_maps(images)
    if len(encoder.levels) == 4 and encoder.levels[0][0] != encoder.levels[-1][0]:
        for ours, other in zip(maps, theirs[-len(maps) :], strict=True):
            torch.testing.assert_close(ours, other, rtol=0, atol=1e-5)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (channels, *(side // stride for side in encoder.image_px)) for channels, stride in encoder.levels
    ]


@pytest.mark.parametrize("model", MODELS)
def test_it_says_what_an_image_meets_before_the_mask_tokens(model):
    """Where all is hidden, nothing but that gets no gradient; blocks do not count, whose tokens are all alike."""
    encoder = _encoder(model)
    hidden = torch.ones_like(_hidden(encoder, 2))
    (encoder(torch.randn(2, 3, *encoder.image_px), hidden) * torch.randn(encoder.width, 1, 1)).sum().backward()
    embedding = {name: each.grad.any() for name, each in encoder.named_parameters() if encoder.layer_of(name) == 0}
    assert encoder.stem_parameters() == {name for name, reached in embedding.items() if not reached}


@pytest.mark.parametrize("model", MODELS)
def test_it_says_what_no_feature_map_depends_on(model):
    if model.startswith("eva02"):
        pytest.skip("has no feature maps: its tokens of 14 px have no quarter")
    encoder = _encoder(model)
    sum(x.square().sum() for x in encoder.feature_maps(torch.randn(2, 3, *encoder.image_px))).backward()
    untouched = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert encoder.unmapped_parameters() == untouched


@pytest.mark.parametrize("model", MODELS)
def test_layers_are_those_that_timm_groups_but_for_what_stands_between_stages(model):
    encoder = _encoder(model)
    theirs = group_with_matcher(encoder.body.named_parameters(), encoder.body.group_matcher(), reverse=True)
    ours = {name: encoder.layer_of(f"body.{name}") for name, _ in encoder.body.named_parameters()}
    apart = {name for name in ours if ours[name] != theirs[name]}
    assert all("downsample" in name or "norm" in name for name in apart), apart
    assert set(ours.values()) | {encoder.depth + 1} == set(range(encoder.depth + 2))
    last = max(place for place, layer in enumerate(ours.values()) if layer == encoder.depth)
    behind = list(ours)[last + 1 :]  # a norm of the output
    assert not any(name.startswith(encoder._blocks[-1]) for name in behind)
    assert {ours[name] for name in behind} <= {encoder.depth + 1}
    assert list(ours)[last].startswith(encoder._blocks[-1]), "the last layer is the last block"


@pytest.mark.parametrize("model", MODELS)
def test_a_file_rebuilds_it_and_another_size_takes_its_weights(model, tmp_path):
    encoder = _encoder(model)
    header = {"encoder": {"name": "timm", "model": model}, "image_px": encoder.image_px, "in_channels": 3}
    save_encoder(tmp_path / "encoder.safetensors", encoder, header)
    images = torch.randn(1, 3, *encoder.image_px)
    assert torch.equal(load_encoder(tmp_path / "encoder.safetensors")[0].eval()(images), encoder(images))
    larger = tuple(2 * side for side in encoder.image_px)
    other, _ = load_encoder(tmp_path / "encoder.safetensors", larger)
    assert other(torch.randn(1, 3, *larger)).isfinite().all()


def test_positions_are_resized_for_another_grid_of_as_many_tokens():
    with torch.device("meta"):
        vit, beit = (Timm(image_px=(96, 64), model=model) for model in ("test_vit", "beit_base_patch16_224"))
    by_row, prefix = torch.arange(4.0)[:, None].expand(4, 6), vit.body.num_prefix_tokens
    embedding = torch.cat([torch.zeros(prefix), by_row.flatten()])[None, :, None].expand(-1, -1, 64)
    fitted = vit.adapt({"body.pos_embed": embedding}, (64, 96))["body.pos_embed"][0, prefix:, 0].view(6, 4)
    table, offsets = f"body.blocks.0.attn.{TABLE}", torch.arange(7.0)[:, None].expand(7, 11)
    rows = torch.cat([offsets.flatten(), torch.zeros(CLASS_ROWS)])[:, None].expand(-1, 12)
    biases = beit.adapt({table: rows}, (64, 96))[table][:-CLASS_ROWS, 0].view(11, 7)
    for each in (fitted, biases):  # what was the same in all columns still is
        assert torch.allclose(each, each[:, :1].expand(each.shape), atol=1e-4)
        assert (each[1:, 0] - each[:-1, 0]).min() > -1e-4 and each[-1, 0] > each[0, 0] + 2


def test_a_clamped_window_is_that_of_the_tokens_that_fit_whole():
    with torch.device("meta"):
        encoder = Timm(image_px=(66, 224), model="swin_tiny_patch4_window7_224")
    table = f"body.layers.3.blocks.0.attn.{TABLE}"
    own = encoder.state_dict()[table]  # of a window of 2 x 7
    assert encoder.adapt({table: torch.zeros(169, 24)}, (224, 224))[table].shape == own.shape == (39, 24)


@pytest.mark.parametrize("model", ["test_vit", "test_convnext2", "test_resnet"])
def test_weights_of_timm_are_taken_over_strictly(model, tmp_path):
    torch.manual_seed(1)
    source = timm.create_model(model, img_size=64) if "vit" in model else timm.create_model(model)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    encoder = _encoder(model, (64, 64))
    token = encoder.mask_token.clone()
    left = start_from(encoder, tmp_path / "model.safetensors")["left_aside"]
    assert left and all(name.startswith(("head.", "fc.")) and "norm" not in name for name in left)
    assert torch.equal(encoder.mask_token, token)
    images = torch.randn(1, 3, 64, 64)
    theirs = source.eval().forward_features(images)
    ours = encoder.eval().before_pooling(images)
    theirs = theirs[:, source.num_prefix_tokens :].transpose(1, 2).unflatten(2, (4, 4)) if theirs.ndim == 3 else theirs
    assert torch.equal(ours, theirs)


def test_weights_for_another_grid_are_resized_and_others_refused(tmp_path):
    source = timm.create_model("test_vit", img_size=96, num_classes=0).state_dict()
    save_file(source, tmp_path / "model.safetensors")
    start_from(_encoder("test_vit", (64, 32)), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"of another architecture, lacks stem.0.weight, .*has blocks.0"):
        start_from(_encoder("test_convnext"), tmp_path / "model.safetensors")
    save_file(source | {"decoder.weight": torch.zeros(2)}, tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match=r"more.safetensors does not .*of another architecture, has decoder.weight"):
        start_from(_encoder("test_vit"), tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match=r"patch_embed.proj.weight is \[64, 3, 16, 16\], .* \[64, 13, 16, 16\]"):
        start_from(_encoder("test_vit", in_channels=13), tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"model": "swin_tinny_patch4_window7_224"}, "timm has no model 'swin_tinny.* mean swin_tiny_patch4_window7"),
        ({"model": "swin_tiny_patch4_window7_224.ms_in1k"}, "timm has no model .* mean swin_tiny_patch4_window7"),
        ({"model": "levit_128"}, "timm's levit_128 takes no mask tokens; .* swin_.*, resnet.* and regnet"),
        ({"model": "test_vit3"}, "test_vit3 pools by attention"),
        ({"model": "test_vit", "image_px": (64, 70)}, r"image_px \(64, 70\) must be a multiple of 16 for test_vit"),
        ({"model": "test_vit", "pretrained_windows": [7]}, "pretrained_windows is of swinv2 models, test_vit has none"),
        ({"model": "test_vit", "window": 7}, "unknown setting of encoders=timm 'window'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings, message):
    context = {"image_px": settings.pop("image_px", (64, 64)), "in_channels": 3}
    with pytest.raises(ValueError, match=message):
        plugin.build("encoders", Component(name="timm", **settings), **context)


def test_the_supported_names_are_of_many_families():
    names = supported_models()
    assert len(names) > 400 and set(EVERYDAY) | set(TWELVE) <= set(names)


@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_a_plan_counts_it_without_weights(model):
    section = Component(name="timm", model=model)
    part = encoder_part(SizedEncoder(section, (64, 96), 4))
    encoder = _encoder(model, (64, 96), 4)
    assert part.parameters == sum(parameter.numel() for parameter in encoder.parameters())
    assert part.forward_flops > 0 and part.kept_bytes > 0


@pytest.mark.slow
def test_a_swin_v2_keeps_the_windows_that_its_distances_were_measured_by(tmp_path):
    encoder = _encoder("swinv2_tiny_window8_256", (256, 256))
    header = {"encoder": {"name": "timm", "model": "swinv2_tiny_window8_256"}, "image_px": (256, 256), "in_channels": 3}
    save_encoder(tmp_path / "encoder.safetensors", encoder, header)
    other, _ = load_encoder(tmp_path / "encoder.safetensors", (128, 128))
    assert other.kept_settings == encoder.kept_settings == {"pretrained_windows": [[8, 8]] * 4}
