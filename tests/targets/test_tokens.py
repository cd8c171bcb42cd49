"""Codes of a frozen tokenizer as a target."""

import pytest
import torch

from simmim.layers.normaliser import ImageNormaliser
from simmim.targets.tokens import Tokens
from simmim.tokenizers.colour_clusters import ColourClusters
from simmim.tokenizers.dvae import Dvae

NORMALISER = ImageNormaliser([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])


def _clusters():
    tokenizer = ColourClusters(clusters=3)
    tokenizer.centres.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 1]]))
    return tokenizer


def test_the_image_is_averaged_then_encoded():
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    image[0, :, 2:, 2:] = 200  # nearest to white
    image[0, 0, :2, 2:] = torch.tensor([[255, 255], [255, 0]])  # on average nearest to red
    codes = Tokens(3, _clusters(), resolution_px=2)(image, NORMALISER(image))
    assert codes.tolist() == [[[[0, 1], [0, 2]]]]
    assert codes.dtype == torch.int64


def test_a_code_stands_for_as_many_pixels_as_the_tokenizer_says():
    tokenizer = Dvae(vocabulary=16, width=4, blocks=1)
    target = Tokens(3, tokenizer, resolution_px=2)
    images = torch.randint(256, (2, 3, 64, 96)).byte()
    reduced = torch.nn.functional.avg_pool2d(images / 255, 4)  # 16 x 24 pixels, 8 of them a code
    expected = tokenizer.encode(reduced)
    assert target.cell_multiple == 8 and target.channels == 16
    assert torch.equal(target(images, NORMALISER(images))[:, 0], expected)
    assert expected.shape == (2, 2, 3)


def test_a_picture_shows_the_likeliest_centre():
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, 0, 1] = logits[0, 2, 1, 1] = 1
    target = Tokens(3, _clusters(), resolution_px=2)
    picture = NORMALISER.undo(target.to_pixels(logits, torch.zeros(1, 3, 4, 4), NORMALISER))
    assert picture[0, :, 0, 3].tolist() == [255, 0, 0]
    assert picture[0, :, 3, 3].tolist() == [255, 255, 255]
    assert picture[0, :, 0, 0].tolist() == [0, 0, 0]


def test_there_is_no_picture_without_a_decoder():
    target = Tokens(3, Dvae(vocabulary=16, width=4, blocks=1, file="encoder.safetensors"), resolution_px=2)
    assert target.to_pixels(torch.zeros(1, 16, 2, 2), torch.zeros(1, 3, 16, 16), NORMALISER) is None


class Watched(ColourClusters):
    """Notes the number format that its products come out in."""

    def encode(self, images):
        self.format = (images[:, 0] @ images[:, 0].mT).dtype
        return super().encode(images)


def test_codes_do_not_depend_on_autocast():
    tokenizer = Watched(clusters=3)
    target = Tokens(3, tokenizer, resolution_px=4)
    with torch.autocast("cpu", torch.bfloat16):
        target(torch.rand(1, 3, 8, 8), None)
    assert tokenizer.format == torch.float32


def test_the_tokenizer_is_frozen():
    tokenizer = Dvae(vocabulary=16, width=4, blocks=1)
    Tokens(3, tokenizer, resolution_px=2)
    assert not any(parameter.requires_grad for parameter in tokenizer.parameters())
    assert not tokenizer.training


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match="reads RGB images, these have 1 channel"):
        Tokens(1, _clusters(), resolution_px=2)
