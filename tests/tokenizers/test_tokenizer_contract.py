"""What every tokenizer must do, found by its file: codes of the right shape and range, and pictures of them."""

import pytest
import torch
from helpers.contracts import missing, small

from simmim import plugin

TOKENIZERS = plugin.names("tokenizers")
SMALL = {"colour_clusters": {"clusters": 5}, "dvae": {"vocabulary": 6, "width": 4, "blocks": 1, "image_px": 16}}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_it_has_the_members_of_the_contract(name):
    assert not missing("tokenizers", small("tokenizers", name, SMALL))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_codes_and_pictures(name):
    torch.manual_seed(0)
    tokenizer = small("tokenizers", name, SMALL)
    images = torch.rand(2, 3, 16, 32)
    codes = tokenizer.encode(images)
    assert codes.dtype == torch.int64
    assert codes.shape == (2, 16 // tokenizer.factor, 32 // tokenizer.factor)
    assert codes.min() >= 0 and codes.max() < tokenizer.codes
    assert torch.equal(tokenizer.encode(images[1:]), codes[1:])
    pictures = tokenizer.decode(codes)
    if pictures is None:
        return
    assert pictures.shape == images.shape and pictures.min() >= 0 and pictures.max() <= 1


@pytest.mark.parametrize("name", TOKENIZERS)
def test_it_can_be_built_without_memory(name):
    with torch.device("meta"):
        tokenizer = small("tokenizers", name, SMALL)
    assert all(tensor.is_meta for tensor in tokenizer.state_dict().values())
