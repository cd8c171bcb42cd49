"""What every method of pre-training must do, found by its file."""

import inspect

import pytest
import torch
from helpers.contracts import missing
from helpers.pretraining import ALONE, VIT, built, packed, pretrain_config
from safetensors.torch import load_file

from simmim import methods, plugin
from simmim.data.shards import Shards
from simmim.pretraining.run import pretrain
from simmim.storage.encoder_file import load_encoder

METHODS = plugin.names("methods")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(params=METHODS)
def method(request):
    return _built(request.param)


def _built(name, **sections):
    try:
        return built(pretrain_config(name, encoder=VIT, **sections))
    except plugin.NotInstalled as error:
        pytest.skip(str(error))


def _batch(method, data, seed=0):
    return method.dataset(Shards(data["train"]), seed).__getitems__([(0, sample) for sample in range(8)])


def test_the_contract_names_members():
    assert {"forward", "dataset", "validate", "kept_head", "after_update"} <= {*plugin.members("methods")}


def test_it_has_the_members_of_the_contract(method):
    assert not missing("methods", method)


@pytest.mark.parametrize("name", METHODS)
def test_its_constructor_takes_sections_and_settings_by_name(name):
    parameters = inspect.signature(plugin.component("methods", name)).parameters
    assert {"encoder", "geometry", "images"} <= parameters.keys()
    settings = parameters.keys() - set(methods.CONTEXT)
    assert all(parameters[each].default is not inspect.Parameter.empty for each in settings)


def test_named_parts_are_its_own(method):
    trained, kept = (method.get_submodule(place) for place in (method.trained_encoder, method.kept_encoder))
    assert trained.state_dict().keys() == kept.state_dict().keys()
    assert any(parameter.requires_grad for parameter in trained.parameters())
    assert next(method.get_submodule(method.kept_head).parameters(), None) is not None
    assert method.has_teacher or trained is kept


def test_the_loss_of_a_batch_is_a_scalar_with_gradients_in_the_trained_encoder(method, data):
    batch = _batch(method, data)
    assert all(value.dtype in (torch.uint8, torch.bool) for value in batch.values())
    loss = method.train()(batch)
    assert loss.ndim == 0 and loss.isfinite() and loss.dtype == torch.float32
    loss.backward()
    encoder = method.get_submodule(method.trained_encoder)
    assert all(each.grad is not None for each in encoder.parameters() if each.requires_grad)


def test_it_normalises_by_the_statistics_of_the_config(data, method):
    """Once: images that are scaled together with the statistics give the same loss."""
    name = next(name for name in METHODS if isinstance(method, plugin.component("methods", name)))
    halved = {"mean": [0.25] * 3, "std": [0.125] * 3}
    batch, other = _batch(method, data), _built(name, images=halved)
    scaled = {key: value.float() / 2 if value.dtype == torch.uint8 else value for key, value in batch.items()}
    torch.testing.assert_close(other.eval()(scaled), method.eval()(batch), rtol=1e-5, atol=1e-6)


def test_equal_seeds_give_equal_batches(method, data):
    first, again, other = (_batch(method, data, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert len(method.dataset(Shards(data["train"]), 0)) == 16


def test_validation_is_a_number_by_metric_and_changes_nothing(method, data):
    before = {key: value.clone() for key, value in method.state_dict().items()}
    first, second = (method.validate(Shards(data["val"]), None) for _ in range(2))
    assert first == second and all(isinstance(value, float) for value in first.values())
    assert all(torch.equal(value, method.state_dict()[key]) for key, value in before.items())


def test_pictures_are_images_or_none(method):
    images = torch.randint(256, (2, 3, 32, 48)).byte()
    hidden = torch.rand(2, *(side // method.get_submodule(method.trained_encoder).token for side in (32, 48))) < 0.5
    with torch.inference_mode():
        pictures = method.eval().reconstruct(images, hidden)
    assert pictures is None or (pictures.dtype == torch.uint8 and pictures.shape == images.shape)


@pytest.mark.parametrize("name", METHODS)
def test_a_run_leaves_its_kept_parts(name, data, tmp_path):
    _built(name)
    pretrain(pretrain_config(name, encoder=VIT, train={"epochs": 2}), 0, data, tmp_path, ALONE)
    encoder, header = load_encoder(tmp_path / "encoder.safetensors")
    assert header["run"] == header["method"] == name and encoder(torch.zeros(1, 3, 32, 48)).isfinite().all()
    assert load_file(tmp_path / "head.safetensors")
