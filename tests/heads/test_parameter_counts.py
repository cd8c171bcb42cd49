"""Table 2: parameters of SimMIM with Swin-B at 192 px and each head."""

import pytest
import torch
from helpers.pretraining import built_simmim

PUBLISHED = {"linear": 89.9e6, "mlp": 90.9e6, "inverse_swin_t": 115.2e6, "inverse_swin_b": 174.8e6}


@pytest.mark.parametrize("head", PUBLISHED)
def test_published_to_the_printed_digit(head):
    geometry = {"image_px": 192, "masked_patch_px": 32}
    with torch.device("meta"):
        method = built_simmim(encoder={"name": "swin"}, head={"name": head}, geometry=geometry)
    count = sum(parameter.numel() for parameter in method.parameters())
    assert round(count / 1e6, 1) == PUBLISHED[head] / 1e6
