"""Layer-wise learning-rate decay reaches every layer of every encoder, whatever is put on top of it."""

import pytest
import torch
from drawn_sets import HEADER
from encoders.small import SMALL

from simmim import plugin
from simmim.evaluate.detect.detector import Detector
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.finetune.classifier import Classifier
from simmim.evaluate.segment.segmenter import Segmenter
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.train.parameter_groups import parameter_groups

TASKS = {
    "finetune": lambda encoder: Classifier(encoder, 5),
    "detect": lambda encoder: Detector(encoder, **HEADER, classes=5, settings=DetectSettings()),
    "segment": lambda encoder: Segmenter(encoder, **HEADER, classes=5, settings=SegmentSettings()),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", plugin.names("encoders"))
def test_there_are_as_many_rates_as_layers_and_two_more(name, task):
    """One for the embedding, one for each block, one for what lies above them."""
    if (name, task) == ("vit", "segment"):
        pytest.skip("refused: a ViT takes images of one size")
    settings = SMALL[name] | ({"clamp_window": False} if name.startswith("swin") else {})
    with torch.device("meta"):
        encoder = plugin.build("encoders", plugin.Component(name=name, **settings), image_px=(64, 64))
        model = TASKS[task](encoder)
    groups = parameter_groups(model, "encoder.", 0.05, 0.9, encoder.no_weight_decay())
    expected = [0.9 ** (encoder.depth + 1 - layer) for layer in range(encoder.depth + 2)]
    assert sorted({group["lr_scale"] for group in groups}) == pytest.approx(expected)
    rates = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    trained = {key: each for key, each in model.named_parameters() if each.requires_grad}
    assert len(rates) == len(trained) == sum(len(group["params"]) for group in groups)
    for key, parameter in trained.items():
        layer = encoder.layer_of(key.removeprefix("encoder.")) if key.startswith("encoder.") else encoder.depth + 1
        assert rates[id(parameter)] == pytest.approx(expected[layer]), key
