"""Table 8 from the code itself."""

import pytest
import torch

from simmim.evaluate.finetune.classifier import Classifier
from simmim.planning.counting import count, moved
from simmim.planning.network import SizedEncoder, build_encoder
from simmim.plugin import Component

SWIN_B = {"name": "swin"}
SWIN_L = {"name": "swin", "embed_dim": 192, "num_heads": [6, 12, 24, 48]}
HUGE = {"name": "swin_v2", "embed_dim": 352, "num_heads": [11, 22, 44, 88], "main_norm_every": 6}
GIANT = {"name": "swin_v2", "embed_dim": 512, "num_heads": [16, 32, 64, 128], "main_norm_every": 6}


def _sized(section, image_px):
    return SizedEncoder(Component.model_validate(section), (image_px, image_px), 3)


def _classifier(section, image_px):
    with torch.device("meta"):
        return Classifier(build_encoder(_sized(section, image_px)), 1000)


@pytest.mark.parametrize(
    "section, image_px, window, parameters, macs",
    [
        (SWIN_B, 192, 6, 88e6, 11.3e9),
        (SWIN_B, 224, 7, 88e6, 15.4e9),
        (SWIN_L, 192, 12, 197e6, 26.0e9),
        pytest.param(SWIN_L, 224, 14, 197e6, 35.8e9, marks=pytest.mark.slow),
        pytest.param(HUGE, 192, 12, 658e6, 86.2e9, marks=pytest.mark.slow),
        (HUGE, 224, 14, 658e6, 118.1e9),
    ],
)
def test_table_8(section, image_px, window, parameters, macs):
    """Printed with a classifier of 1000 classes, at the input of pre-training and of fine-tuning."""
    classifier = _classifier(section | {"window": window}, image_px)
    size = count(moved(classifier), lambda: classifier(_sized(section | {"window": window}, image_px).image))
    assert size.parameters == pytest.approx(parameters, rel=0.01)
    assert size.forward_flops / 2 == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize("last_stage, billions", [(2, 2.6), (4, 3.0)])
def test_the_giant_has_three_billion_parameters_with_four_blocks_at_the_end(last_stage, billions):
    model = _classifier(GIANT | {"depths": [2, 2, 42, last_stage]}, 192)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize("section, norms", [(HUGE, 3), (GIANT | {"depths": [2, 2, 42, 4]}, 7)])
def test_extra_norms_every_six_blocks(section, norms):
    names = [name for name, _ in _classifier(section, 192).named_parameters()]
    assert sum(name.endswith("norm3.weight") for name in names) == norms
