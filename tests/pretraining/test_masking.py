"""What is measured of a scale's masks: AvgDist of every run, and images under masks."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.pretraining import pretrain_config
from PIL import Image

from simmim.pretraining.masking import (
    SHOWN_IMAGES,
    SHOWN_MASKS,
    avg_dist_of,
    geometry_of,
    write_avg_dist,
    write_mask_samples,
)
from simmim.storage import records


@pytest.fixture(scope="module")
def config():
    """The paper's default on images of 64 pixels: 4 x 4 cells of 4 x 4 tokens."""
    return pretrain_config(geometry={"image_px": 64, "masked_patch_px": 16}, run="default")


def test_the_geometry_is_that_of_the_encoder(config):
    geometry = geometry_of(config)
    assert (geometry.image, geometry.token, geometry.stride, geometry.masked_patch) == ((64, 64), 4, 8, 16)


def test_both_granularities_and_the_share_are_measured(config):
    values = avg_dist_of(config)
    assert values["share"] == 10 / 16
    assert 0 < values["tokens"] - values["pixels"] < 4
    coarser = avg_dist_of(pretrain_config(geometry={"image_px": 64, "masked_patch_px": 32}))
    assert coarser["tokens"] > 1.3 * values["tokens"]


def test_every_run_with_a_mask_has_records_and_the_others_are_named(config, tmp_path, capsys):
    geometry = {"geometry": {"image_px": 64, "masked_patch_px": 16}}
    twin = pretrain_config(run="twin", mask={"name": "random"}, **geometry)
    everything = pretrain_config(run="all", mask={"name": "random", "ratio": 0.99}, **geometry)
    configs = [config, twin, everything, pretrain_config("dino", run="no")]
    write_avg_dist(tmp_path / "a.parquet", configs)
    frame = records.read([tmp_path / "a.parquet"])
    assert list(dict.fromkeys(frame["run"])) == ["default", "twin"]
    assert frame[frame["run"] == "default"]["value"].tolist() == frame[frame["run"] == "twin"]["value"].tolist()
    tokens = frame[(frame["metric"] == "avg_dist") & (frame["part"] == "tokens")]
    assert tokens["value"].tolist() == [avg_dist_of(config)["tokens"]] * 2
    assert set(frame["evaluation"]) == {"pretrain"} and set(frame["config_hash"]) == {config.hash, twin.hash}
    assert "all: mask.ratio 0.99 hides all 16 cells of an image" in capsys.readouterr().out


class FewShards:
    """Five images of one colour each."""

    digest, ids, bands = "digest", [f"image {i}" for i in range(5)], None

    def __len__(self):
        return 5

    def image_bytes(self, sample):
        stream = io.BytesIO()
        Image.new("RGB", (80, 64), (50 * sample, 0, 0)).save(stream, "png")
        return stream.getvalue()


def test_samples_are_images_with_the_masks_that_fit(config, tmp_path):
    write_mask_samples(tmp_path / "s.parquet", config, {16: 8, 32: 16}, FewShards())
    rows = pq.read_table(tmp_path / "s.parquet").to_pandas()
    assert len(rows) == SHOWN_IMAGES * len(SHOWN_MASKS)
    assert set(rows["sample_id"]) == {"image 0", "image 2", "image 4"}
    fits = rows.groupby("kind")["hidden"].agg(lambda column: all(len(png) for png in column))
    assert {kind for kind in fits.index if not fits[kind]} == {"random, 4 px", "random, 8 px"}
    for row in rows[rows["kind"] == "random, 16 px"].to_dict("records"):
        hidden = np.asarray(Image.open(io.BytesIO(row["hidden"]))) > 127
        assert hidden.shape == (64, 64) and hidden.sum() == 39 * 64  # 8-px patches: 39 of 64
        assert (hidden.reshape(8, 8, 8, 8).all((1, 3)) == hidden.reshape(8, 8, 8, 8).any((1, 3))).all()
    square = rows[rows["kind"] == "square"].iloc[0]
    assert square["masked_patch_px"] == 4
    assert (np.asarray(Image.open(io.BytesIO(square["hidden"]))) > 127).sum() == (12 * 4) ** 2
