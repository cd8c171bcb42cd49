"""SimMIM: where its loss is taken, what it learns, what it refuses; encoder files."""

import pytest
import torch
from helpers.pretraining import built_simmim
from safetensors.torch import load_file, save_file

from simmim.storage.encoder_file import load_encoder, save_encoder

SWIN = {"name": "swin", "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window": 4}
VIT = {"name": "vit", "patch_px": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
HEADER = {"image_px": [32, 32], "in_channels": 3, "mean": [0.5] * 3, "std": [0.2] * 3}


def _build(encoder=SWIN, masked_patch_px=16, **changes):
    geometry = {"image_px": 32, "masked_patch_px": masked_patch_px}
    return built_simmim(encoder=encoder, geometry=geometry, **changes)


def _batch(method):
    generator = torch.Generator().manual_seed(1)
    shape = 2, method.normalise.channels, *method.geometry.image
    hidden = torch.tensor([[[True, False], [True, True]], [[False, True], [False, True]]])
    images = torch.randint(256, shape, generator=generator).byte()
    return {"images": images, "hidden": method.geometry.cells_to_tokens(hidden)}


@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
def test_masked_and_full_loss(encoder):
    losses = {}
    for area in ("masked", "full"):
        method = _build(encoder, loss={"name": "l1", "area": area})
        batch = _batch(method)
        losses[area] = method(batch)
    images = method.normalise(batch["images"])
    error = (method.predict(images, batch["hidden"]) - images).abs()
    pixels = method.geometry.tokens_to_pixels(batch["hidden"])[:, None].expand_as(error)
    torch.testing.assert_close(losses["masked"], error[pixels].mean())
    torch.testing.assert_close(losses["full"], error.mean())


def test_grey_images():
    method = _build(images={"mean": [0.5], "std": [0.25]})
    batch = _batch(method)
    assert method.predict(method.normalise(batch["images"]), batch["hidden"]).shape == (2, 1, 32, 32)
    method(batch).backward()


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
def test_every_loss_is_taken_on_hidden_cells_only(encoder, resolution):
    """No gradient reaches the prediction of a cell whose pixels were seen, and one reaches every hidden cell."""
    pixels = {"name": "pixels", "resolution_px": resolution}
    bins = {"name": "bins", "bins": 4, "resolution_px": resolution}
    for target, losses in ((pixels, ("l1", "l2", "smooth_l1")), (bins, ("cross_entropy",))):
        for loss in losses:
            method = _build(encoder, target=target, loss={"name": loss})
            batch = _batch(method)
            normalised = method.normalise(batch["images"])
            prediction = method.predict(normalised, batch["hidden"]).detach().requires_grad_()
            method.predict = lambda *_, prediction=prediction: prediction
            method(batch).backward()
            expected = method.geometry.tokens_to_pixels(batch["hidden"])[:, :: 32 // resolution, :: 32 // resolution]
            assert prediction.shape[2:] == (resolution, resolution)
            assert torch.equal(prediction.grad.abs().sum(1) > 0, expected), loss


def test_the_target_is_made_of_the_pixels_and_of_the_normalised_images():
    """Statistics far from the images': 8-bit values do not come out of the normalised ones."""
    images = {"mean": [0.4, 0.5, 0.6], "std": [0.001, 0.2, 1.0]}
    batch = _batch(_build(images=images))
    bins = _build(images=images, target={"name": "bins", "bins": 256}, loss={"name": "cross_entropy"})
    seen = []
    bins.compare = lambda prediction, wanted, *_, **__: seen.append(wanted)
    bins(batch)
    assert torch.equal(seen[0], batch["images"].long())
    pixels = _build(images=images)
    pixels.compare = bins.compare
    pixels(batch)
    assert torch.equal(seen[1], pixels.normalise(batch["images"]))


@pytest.mark.parametrize("encoder", [SWIN, VIT], ids=["swin", "vit"])
@pytest.mark.parametrize(
    "target, loss",
    [
        ({"name": "pixels"}, "l1"),
        ({"name": "bins", "bins": 8, "resolution_px": 8}, "cross_entropy"),
        ({"name": "normalised_pixels", "window_px": 5}, "smooth_l1"),
    ],
    ids=["pixels", "bins", "normalised"],
)
def test_a_few_steps_reduce_the_loss(encoder, target, loss):
    method = _build(encoder, target=target, loss={"name": loss})
    batch = _batch(method)
    batch["images"] //= 4  # one colour is likelier than others, which even a few steps learn
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        losses.append(method(batch))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.9 * losses[0]


def test_a_reconstruction_is_the_prediction_in_8_bit():
    method = _build()
    batch = _batch(method)
    normalised = method.normalise(batch["images"])
    picture = method.reconstruct(batch["images"], batch["hidden"])
    assert picture.dtype == torch.uint8 and picture.shape == batch["images"].shape
    assert torch.equal(picture, method.normalise.undo(method.predict(normalised, batch["hidden"])))
    assert picture.float().std() > 1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"encoder": {"name": "swim"}}, "did you mean 'swin'"),
        ({"encoder": SWIN | {"windw": 3}}, "did you mean 'window'"),
        ({"loss": {"name": "l1l"}}, "'l1', 'l2', 'smooth_l1' or 'cross_entropy'"),
        ({"loss": {"name": "cross_entropy"}}, "loss of target=pixels 'cross_entropy'"),
        ({"target": {"name": "bins"}}, "loss of target=bins 'l1'.*allowed: cross_entropy"),
        ({"target": {"name": "pixels", "resolution_px": 7}}, "target resolution of 7 px .*nearest that fit: 4 and 8"),
        ({"loss": {"name": "l1", "area": "mask"}}, "'masked' or 'full'"),
        ({"masked_patch_px": 12}, "masked patch of 12 px does not divide the image of 32 x 32 px"),
        ({"head": {"name": "linear", "depth": 2}}, "setting of heads=linear 'depth'"),
    ],
)
def test_mistakes_in_a_config_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        _build(**changes)


@pytest.mark.parametrize(
    ("part", "narrowed"),
    [
        ("head", lambda made: made[:, :1]),
        ("head", lambda made: made.mean((2, 3), keepdim=True)),
        ("target", lambda made: made[:, :1]),
        ("target", lambda made: made.mean((2, 3), keepdim=True)),
    ],
)
def test_what_would_be_repeated_over_channels_or_cells_is_refused(monkeypatch, part, narrowed):
    method = _build()
    kind = type(getattr(method, part))
    call = "forward" if part == "head" else "__call__"
    given = getattr(kind, call)
    monkeypatch.setattr(kind, call, lambda self, *values: narrowed(given(self, *values)))
    with pytest.raises(ValueError, match=rf"simmim.{part}s.\w+ gives \[2, \d, .*, not \[images, 3, 32, 32\]"):
        method(_batch(method))


@pytest.mark.parametrize("section", [SWIN, VIT], ids=["swin", "vit"])
def test_saved_encoder_comes_back(tmp_path, section):
    method = _build(section)
    batch = _batch(method)
    images = method.normalise(batch["images"])
    save_encoder(tmp_path / "encoder.safetensors", method.encoder, HEADER | {"encoder": section})
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert header == HEADER | {"encoder": section}
    assert torch.equal(encoder(images, batch["hidden"]), method.encoder(images, batch["hidden"]))


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
    with pytest.raises(ValueError, match=r"encoder.safetensors is not a safetensors file, or is damaged"):
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
