"""The discrete VAE: the published architecture, training through the one loop, resume."""

import re

import numpy as np
import pytest
import torch
from helpers.pretraining import ALONE, tokenizer_config
from safetensors.torch import save_file

from simmim.data.pretraining import whole_images
from simmim.tokenizers import _dvae_training
from simmim.tokenizers._usage import usage
from simmim.tokenizers.dvae import Dvae
from simmim.train.processes import Processes, seed_libraries

SMALL = {"vocabulary": 16, "width": 8, "blocks": 1, "image_px": 32}


def _config(**train):
    loop = {
        "epochs": 2,
        "batch": 4,
        "base_lr": 2e-3,
        "base_lr_batch": 4,
        "weight_decay": 0,
        "precision": "fp32",
        "log_every_steps": 1,
        "save_every_steps": 2,
    }
    return tokenizer_config({"name": "dvae"} | SMALL, train=loop | train)


def _trained(shards, state, config):
    seed_libraries(0, 0, 0)
    model = Dvae(**SMALL)
    model.fit(shards, config, state, ALONE)
    return model


def _released_names(vocabulary, width, blocks):
    """Names and shapes of the published encoder's state, written out from its description."""
    names = {"blocks.input": (width, 3, 7)}
    before = width
    for group in range(1, 5):
        for block in range(1, blocks + 1):
            outputs = width * 2 ** (group - 1)
            place = f"blocks.group_{group}.block_{block}"
            if before != outputs:
                names[f"{place}.id_path"] = (outputs, before, 1)
            inner = outputs // 4
            sizes = [(inner, before, 3), (inner, inner, 3), (inner, inner, 3), (outputs, inner, 1)]
            names |= {f"{place}.res_path.conv_{i}": size for i, size in enumerate(sizes, 1)}
            before = outputs
    names["blocks.output.conv"] = (vocabulary, before, 1)
    shapes = {}
    for name, (outputs, inputs, kernel) in names.items():
        shapes |= {f"{name}.w": (outputs, inputs, kernel, kernel), f"{name}.b": (outputs,)}
    return shapes


def test_the_published_size_has_the_published_names_and_shapes():
    with torch.device("meta"):
        state = Dvae(file="encoder.safetensors").state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == _released_names(8192, 256, 2)
    assert sum(value.numel() for value in state.values()) == 53_786_240


def test_published_weights_are_taken_strictly(tmp_path):
    shapes = _released_names(16, 8, 1)
    state = {name: torch.randn(*shape) for name, shape in shapes.items()}
    save_file(state, tmp_path / "encoder.safetensors")
    model = Dvae(**SMALL, file="encoder.safetensors")
    model.load_published(tmp_path / "encoder.safetensors")
    assert torch.equal(model.blocks.group_2.block_1.id_path.w, state["blocks.group_2.block_1.id_path.w"])
    assert model.decode(model.encode(torch.rand(1, 3, 16, 16))) is None
    save_file(state | {"extra": torch.zeros(1)}, tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match=r"does not hold the weights of this encoder(.|\n)*extra"):
        model.load_published(tmp_path / "encoder.safetensors")


def test_the_encoder_is_the_published_package_s():
    dall_e = pytest.importorskip("dall_e", reason="the published package is an oracle, not a dependency")
    torch.manual_seed(0)
    theirs = dall_e.encoder.Encoder(n_hid=16, n_blk_per_group=2, vocab_size=32, use_mixed_precision=False)
    ours = Dvae(vocabulary=32, width=16, blocks=2, file="encoder.safetensors")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(images), theirs(dall_e.map_pixels(images)), rtol=1e-5, atol=1e-6)


def test_training_reconstructs_the_images_from_more_than_a_third_of_the_codes(shards, tmp_path):
    images = whole_images(shards, np.arange(len(shards)), (32, 32), 3).float() / 255
    errors, codes = [], []
    loop = {"batch": 12, "base_lr": 5e-3, "base_lr_batch": 12, "clip_norm": 1.0, "save_every_steps": 1000}
    for epochs in (0, 80):
        config = _config(epochs=epochs, warmup_epochs=epochs / 10, **loop)
        model = _trained(shards, tmp_path / str(epochs), config)
        with torch.no_grad():
            codes.append(model.encode(images))
            errors.append((model.decode(codes[-1]) - images).abs().mean().item())
    assert errors[1] < 0.5 * errors[0]
    assert usage(codes[1].flatten().bincount())["perplexity"] > SMALL["vocabulary"] / 3  # its crops have mixed blocks


def test_an_interrupted_training_ends_with_the_same_bits(shards, tmp_path, monkeypatch):
    whole = _trained(shards, tmp_path / "whole", _config(epochs=2))
    forward = _dvae_training._Reconstruction.forward

    def stops(self, batch):
        if self.seen == 4 * 4:
            raise KeyboardInterrupt
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(_dvae_training._Reconstruction, "forward", stops)
        with pytest.raises(KeyboardInterrupt):
            _trained(shards, tmp_path / "cut", _config(epochs=2))
    cut = _trained(shards, tmp_path / "cut", _config(epochs=2))
    assert all(torch.equal(value, cut.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_training_that_would_make_no_update_is_refused(shards, tmp_path):
    with pytest.raises(ValueError, match=r"updates: \d+ images x 2 epochs / batch 1000 round to none"):
        _trained(shards, tmp_path, _config(batch=1000))


def _task(model, images=64, world=1):
    return _dvae_training._Reconstruction(model, model._training, images, Processes(0, world, torch.device("cpu")), "")


def test_a_schedule_is_half_a_cosine_wave_over_its_share():
    shares = torch.tensor([0.0, 0.1, 0.2, 0.4, 1.0])
    values = _dvae_training.cosine(1.0, 0.0625, shares, 0.4)
    torch.testing.assert_close(values, torch.tensor([1.0, 0.86271, 0.53125, 0.0625, 0.0625]), atol=1e-5, rtol=0)
    assert _dvae_training.cosine(0.0, 6.6, shares, 0.0).tolist() == pytest.approx([6.6] * 5)


def test_the_progress_counts_images_whatever_the_micro_batch():
    task = _task(Dvae(**SMALL), world=2)
    for images in (16, 8, 8):
        task({"images": torch.zeros(images, 3, 32, 32, dtype=torch.uint8)})
    assert task.seen == 64


def test_the_likelihood_is_that_of_a_laplace_variable_behind_a_sigmoid():
    pixels, mean, log_scale = torch.rand(100) * 0.8 + 0.1, torch.randn(100), torch.randn(100)
    laplace = torch.distributions.Laplace(mean, log_scale.exp())
    wanted = torch.distributions.TransformedDistribution(laplace, torch.distributions.SigmoidTransform())
    torch.testing.assert_close(_dvae_training.logit_laplace(pixels, mean, log_scale), wanted.log_prob(pixels))


def test_the_divergence_is_zero_for_even_use_and_log_k_for_certainty():
    assert _dvae_training.divergence_from_uniform(torch.zeros(2, 8, 3, 3)).item() == pytest.approx(0, abs=1e-6)
    certain = torch.zeros(2, 8, 3, 3)
    certain[:, 5] = 1e4
    assert _dvae_training.divergence_from_uniform(certain).item() == pytest.approx(2.0794, abs=1e-3)


def test_the_use_of_codes_is_even_where_images_differ_in_theirs():
    """Certain codes, every one of them somewhere: no divergence of use, and the largest of each from uniform."""
    logits = 1e4 * torch.eye(8).reshape(8, 8, 1, 1)  # image i has code i
    assert _dvae_training.divergence_of_use(logits).item() == pytest.approx(0, abs=1e-5)
    assert _dvae_training.divergence_of_use(logits[:1]).item() == pytest.approx(2.0794, abs=1e-3)


@pytest.mark.parametrize(("seen", "weight"), [(0, 0.0), (16, 3.3), (32, 6.6), (60, 6.6)])
def test_the_loss_is_the_published_bound(seen, weight):
    """-log p(x | z) + weight KL + weight KL of the mean, of all 3 x 8 x 8 values a code, divided by their number."""
    torch.manual_seed(0)
    model = Dvae(**SMALL | {"kl_warmup": 0.5, "last_temperature": 1.0, "usage_weight": 20.0})
    task = _task(model)
    task.seen += seen
    images = torch.randint(256, (2, 3, 32, 32)).byte()
    torch.manual_seed(1)
    loss = task({"images": images})
    torch.manual_seed(1)
    logits = model.logits(images / 255)
    mean, log_scale = model.decoder(torch.nn.functional.gumbel_softmax(logits, dim=1)).chunk(2, dim=1)
    likelihood = _dvae_training.logit_laplace(0.8 * (images / 255) + 0.1, mean, log_scale).sum()
    divergence = 2 * 16 * _dvae_training.divergence_from_uniform(logits)  # two images of 16 codes
    use = 2 * 16 * _dvae_training.divergence_of_use(logits)
    assert divergence > use > 1e-2
    torch.testing.assert_close(loss, (weight * divergence + 20 * use - likelihood) / images.numel())


def test_training_begins_with_all_codes_in_use():
    torch.manual_seed(0)
    model, images = Dvae(**SMALL), torch.rand(16, 3, 1, 1) * torch.rand(16, 3, 32, 32)
    before = usage(model.encode(images).flatten().bincount(minlength=16))
    _dvae_training.centre_logits(model, images)
    logits = model.logits(images)
    torch.testing.assert_close(logits.mean((0, 2, 3)), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(logits.std((0, 2, 3)), torch.ones(16))
    assert usage(logits.argmax(1).flatten().bincount(minlength=16))["perplexity"] > 10 > 2 * before["perplexity"]


def test_a_log_tells_the_use_of_the_codes_ten_times(shards, tmp_path, capsys):
    _trained(shards, tmp_path, _config(epochs=8))
    lines = [line for line in capsys.readouterr().out.splitlines() if "perplexity" in line]
    assert len(lines) == 10
    assert re.fullmatch(r"test/dvae: step 24 of 24: \d+ of 16 codes in use, perplexity \d+\.\d, l1 0\.\d{4}", lines[-1])


def test_the_training_has_the_settings_of_the_constructor():
    settings = {"image_px": 16, "first_temperature": 0.9, "last_temperature": 0.1}
    settings |= {"temperature_share": 0.7, "kl_weight": 0.25, "kl_warmup": 0.3, "usage_weight": 0.5}
    assert Dvae(**SMALL | settings)._training._asdict() == settings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"image_px": 20}, "image_px=20 must be a multiple of 8"),
        ({"vocabulary": 1}, "vocabulary=1 must be at least 2"),
        ({"width": 6}, "width=6 must be a multiple of 4"),
        ({"first_temperature": -1}, "first_temperature -1 must be above 0; logits are divided by it"),
        ({"last_temperature": 0}, "last_temperature 0 must be above 0; logits are divided by it"),
        ({"temperature_share": 2}, "temperature_share 2 must lie in 0 to 1; it is a share of the training: 50 of 400"),
        ({"kl_warmup": 5000}, "kl_warmup 5000 must lie in 0 to 1; it is a share of the training"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Dvae(**SMALL | setting)
