import pytest
import torch
from safetensors.torch import load_file, save_file

from simmim.layers.normaliser import ImageNormaliser
from simmim.methods.simmim import build_simmim
from simmim.storage.encoder_file import load_encoder, save_encoder

SWIN = {"name": "swin", "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window": 4}
VIT = {"name": "vit", "patch_px": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
HEADER = {"image_px": [32, 32], "in_channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}


def _build(encoder=SWIN, **changes):
    torch.manual_seed(0)
    sections = {
        "encoder": encoder,
        "head": {"name": "linear"},
        "target": {"name": "pixels"},
        "loss": {"name": "l1", "area": "masked"},
        "image_px": (32, 32),
        "masked_patch_px": 16,
    }
    return build_simmim(**sections | changes)


def _batch(model, channels=3):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, channels, *model.geometry.image, generator=generator)
    hidden = torch.tensor([[[True, False], [True, True]], [[False, True], [False, True]]])
    return images, model.geometry.cells_to_tokens(hidden)


@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
def test_masked_and_full_loss(encoder):
    model = _build(encoder)
    images, hidden = _batch(model)
    error = (model.reconstruct(images, hidden) - images).abs()
    pixels = model.geometry.tokens_to_pixels(hidden)[:, None].expand_as(error)
    torch.testing.assert_close(model(images, hidden), error[pixels].mean())
    model.loss_area = "full"
    torch.testing.assert_close(model(images, hidden), error.mean())


def test_other_channels():
    model = _build(normaliser=ImageNormaliser([0.5] * 5, [0.25] * 5))
    images, hidden = _batch(model, channels=5)
    assert model.reconstruct(images, hidden).shape == (2, 5, 32, 32)
    model(images, hidden).backward()


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
def test_every_loss_is_taken_on_hidden_cells_only(encoder, resolution):
    """No gradient reaches the prediction of a cell whose pixels were seen, and one reaches every hidden cell."""
    pixels = {"name": "pixels", "resolution_px": resolution}
    bins = {"name": "bins", "bins": 4, "resolution_px": resolution}
    for target, losses in ((pixels, ("l1", "l2", "smooth_l1")), (bins, ("cross_entropy",))):
        for loss in losses:
            model = _build(encoder, target=target, loss={"name": loss})
            images, hidden = _batch(model)
            prediction = model.reconstruct(images, hidden).detach().requires_grad_()
            model.reconstruct = lambda *_, prediction=prediction: prediction
            model(images, hidden).backward()
            expected = model.geometry.tokens_to_pixels(hidden)[:, :: 32 // resolution, :: 32 // resolution]
            assert prediction.shape[2:] == (resolution, resolution)
            assert torch.equal(prediction.grad.abs().sum(1) > 0, expected), loss


@pytest.mark.parametrize(
    "target", [{"name": "bins", "bins": 8, "resolution_px": 8}, {"name": "normalised_pixels", "window_px": 5}]
)
def test_other_targets_are_learnt(target):
    model = _build(target=target, loss={"name": "cross_entropy" if target["name"] == "bins" else "smooth_l1"})
    images, hidden = _batch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        losses.append(model(images, hidden))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
def test_a_few_steps_reduce_the_loss(encoder):
    model = _build(encoder)
    images, hidden = _batch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        losses.append(model(images, hidden))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"encoder": {"name": "swim"}}, "did you mean 'swin'"),
        ({"encoder": SWIN | {"windw": 3}}, "did you mean 'window'"),
        ({"loss": {"name": "l1l"}}, "loss of target=pixels 'l1l'; did you mean 'l1'"),
        ({"loss": {"name": "cross_entropy"}}, "loss of target=pixels 'cross_entropy'"),
        ({"target": {"name": "bins"}}, "loss of target=bins 'l1'.*allowed: cross_entropy"),
        ({"target": {"name": "pixels", "resolution_px": 7}}, "target resolution of 7 px .*nearest that fit: 4 and 8"),
        ({"loss": {"name": "l1", "area": "mask"}}, "did you mean 'masked'"),
        ({"masked_patch_px": 12}, "masked patch of 12 px does not divide the image of 32 x 32 px"),
        ({"head": {"name": "linear", "depth": 2}}, "setting of heads=linear 'depth'"),
    ],
)
def test_mistakes_in_a_config_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        _build(**changes)


@pytest.mark.parametrize("section", [SWIN, VIT], ids=["swin", "vit"])
def test_saved_encoder_comes_back(tmp_path, section):
    model = _build(section)
    images, hidden = _batch(model)
    save_encoder(tmp_path / "encoder.safetensors", model.encoder, HEADER | {"encoder": section})
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert header == HEADER | {"encoder": section}
    assert torch.equal(encoder(images, hidden), model.encoder(images, hidden))


def test_transfer_to_another_size_window_and_drop_path(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, _build().encoder, HEADER | {"encoder": SWIN})
    encoder, _ = load_encoder(path, image_px=(48, 64), window=6, drop_path=0.2, clamp_window=False)
    assert [x.shape[-2:] for x in encoder.feature_maps(torch.zeros(1, 3, 50, 70))] == [(13, 18), (7, 9)]
    with pytest.raises(ValueError, match="transfer setting of encoder=swin 'embed_dim'"):
        load_encoder(path, embed_dim=24)
    save_encoder(path, _build(VIT).encoder, HEADER | {"encoder": VIT})
    encoder, _ = load_encoder(path, image_px=(64, 48), shared_bias=False, final_norm=False)
    assert encoder(torch.zeros(1, 3, 64, 48)).shape == (1, 24, 8, 6)


def _rewrite(path, change):
    """Write the file again with its header's digest untouched."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    change(state, metadata)
    save_file(state, path, metadata)


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    header = HEADER | {"encoder": SWIN}
    encoder = _build().encoder

    def nudge(state, metadata):
        state["norm.weight"][3] += 1e-6

    def other_mean(state, metadata):
        metadata["simmim"] = metadata["simmim"].replace('"mean": [0.5', '"mean": [0.4')

    def renamed(state, metadata):
        state["norm.gamma"] = state.pop("norm.weight")

    for change in (nudge, other_mean, renamed):
        save_encoder(path, encoder, header)
        _rewrite(path, change)
        with pytest.raises(ValueError, match="damaged"):
            load_encoder(path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, _build().encoder, HEADER | {"encoder": SWIN})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"encoder.safetensors is damaged, or no safetensors file"):
        load_encoder(path)


def test_files_that_are_not_ours_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is no encoder written by simmim"):
        load_encoder(path)


def test_loading_is_strict(tmp_path):
    path = tmp_path / "encoder.safetensors"
    encoder = _build().encoder
    del encoder.norm
    save_encoder(path, encoder, HEADER | {"encoder": SWIN})
    with pytest.raises(ValueError, match=r"does not fit the encoder(.|\n)*norm\.weight"):
        load_encoder(path)
