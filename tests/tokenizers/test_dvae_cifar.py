"""The discrete VAE of the scale small on CIFAR-10, a quarter of its length: its codes come into use."""

import itertools
import os
from pathlib import Path

import pytest
from helpers.pretraining import ALONE

from simmim.config.sheets import Sheets
from simmim.data.packing import pack
from simmim.data.shards import Shards
from simmim.data.sources.hf_parquet import HfParquet
from simmim.pretraining.tokenizer import load_tokenizer, make_tokenizer, measured

ROOT = Path(__file__).parents[2]
CIFAR = Path(os.environ.get("SIMMIM_DEV_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CIFAR.is_dir(), reason=f"LOUD SKIP: {CIFAR} is absent; SIMMIM_DEV_DATA names its parent"),
]


class Some:
    """The first images of a split."""

    def __init__(self, split: str, count: int) -> None:
        self._source, self._count = HfParquet(str(CIFAR / f"{split}.parquet")), count

    def classes(self):
        return self._source.classes()

    def fingerprint(self):
        return ""

    def samples(self):
        return itertools.islice(self._source.samples(), self._count)


def test_more_than_a_third_of_the_codes_are_in_use_and_images_come_back(tmp_path):
    for split, count in (("train", 12_500), ("test", 512)):
        pack(Some(split, count), tmp_path / split, codec="original", shard_samples=5000, short_side_px=None)
    config = Sheets(ROOT / "config").tokenizer("small", "dvae_8192")
    make_tokenizer(config, tmp_path / "train", tmp_path / "dvae.safetensors", ALONE)
    tokenizer = load_tokenizer(tmp_path / "dvae.safetensors", config)
    found = measured(tokenizer.eval(), Shards(tmp_path / "test"), 32)
    assert found["perplexity"] > tokenizer.codes / 3
    assert found["l1"] < 0.13  # each image's own mean colour: 0.167
