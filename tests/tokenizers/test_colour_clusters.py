"""k-means of colours and published centres."""

import numpy as np
import pytest
import torch
from coloured_blocks import COLOURS
from helpers.pretraining import ALONE, tokenizer_config

from simmim.tokenizers.colour_clusters import ColourClusters


def _fitted(shards, seed=0, **settings):
    tokenizer = ColourClusters(**{"clusters": 4, "image_px": 32} | settings)
    config = tokenizer_config({"name": "colour_clusters"}, seed=seed)
    tokenizer.fit(shards, config, None, ALONE)
    return tokenizer


def test_the_colours_of_the_data_are_found(shards):
    centres = (255 * _fitted(shards).centres).round().byte().numpy()
    assert sorted(map(tuple, centres.tolist())) == sorted(map(tuple, COLOURS.tolist()))


def test_equal_seeds_give_equal_centres_and_another_seed_draws_other_colours(shards):
    tokenizer = ColourClusters(clusters=16, image_px=12, colours_per_image=20)
    first, again, other = (tokenizer._sampled(shards, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    few = ColourClusters(clusters=2, images=5, image_px=1, colours_per_image=1)  # one colour an image
    assert not np.array_equal(few._sampled(shards, 0), few._sampled(shards, 1))
    fitted = [_fitted(shards, 0, clusters=16, image_px=12, colours_per_image=20).centres for _ in range(2)]
    assert torch.equal(*fitted)


def test_a_code_is_the_nearest_centre():
    tokenizer = ColourClusters(clusters=7)
    tokenizer.centres.copy_(torch.rand(7, 3, generator=torch.Generator().manual_seed(0)))
    images = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    codes = tokenizer.encode(images)
    for b, row, column in ((0, 0, 0), (1, 3, 5), (1, 2, 1)):
        distances = (tokenizer.centres - images[b, :, row, column]).square().sum(1)
        assert codes[b, row, column] == distances.argmin()
    assert torch.equal(tokenizer.encode(tokenizer.decode(codes)), codes)


def test_more_clusters_than_colours_are_refused(shards):
    with pytest.raises(ValueError, match="5 clusters need as many different colours; 4 were drawn"):
        _fitted(shards, clusters=5)


def test_published_centres_are_brought_to_0_to_1(tmp_path):
    centres = np.array([[-1, 0, 1], [0.5, -0.5, 0]])
    np.save(tmp_path / "centres.npy", centres)
    tokenizer = ColourClusters(clusters=2, file="centres.npy")
    tokenizer.load_published(tmp_path / "centres.npy")
    torch.testing.assert_close(tokenizer.centres, torch.tensor([[0, 0.5, 1], [0.75, 0.25, 0.5]]))


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        (np.zeros((3, 3)), r"shape \(2, 3\) in \[-1, 1\], it holds \(3, 3\)"),
        (np.array([[0, 128, 255], [0, 0, 0]]), r"in \[-1, 1\]"),
        (np.array([[0, np.nan, 0], [0, 0, 0]]), r"in \[-1, 1\]"),
        (np.array([[object()] * 3] * 2), "allow_pickle=False"),
    ],
)
def test_other_files_are_refused(tmp_path, centres, message):
    np.save(tmp_path / "centres.npy", centres)
    with pytest.raises(ValueError, match=message):
        ColourClusters(clusters=2).load_published(tmp_path / "centres.npy")
