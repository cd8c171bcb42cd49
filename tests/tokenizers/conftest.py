"""A packed data set of images in few colours."""

import pytest
from coloured_blocks import Blocks

from simmim.data.packing import pack
from simmim.data.shards import Shards


@pytest.fixture(scope="session")
def blocks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    pack(Blocks(), folder, codec="png", shard_samples=100, short_side_px=None)
    return folder


@pytest.fixture
def shards(blocks):
    return Shards(blocks)
