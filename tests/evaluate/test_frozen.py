"""Frozen features on disk, what reads them, and the attentive probe."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_tasks import task_of
from evaluations import evaluation, extracted, made_encoder, made_sets

from simmim.config.evaluation import features_config
from simmim.config.sheets import Sheets
from simmim.data.classification import scoring_images
from simmim.data.shards import Shards
from simmim.evaluate import feature_rows
from simmim.evaluate.attentive.classifier import AttentiveClassifier, tokens_of
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.features import _halved
from simmim.evaluate.knn import vote
from simmim.evaluate.linear_probe.probe import FeatureSet
from simmim.evaluate.stored_features import identity_of, is_complete, open_features
from simmim.layers.normaliser import ImageNormaliser
from simmim.masks.random import Random
from simmim.rng import KeyedGenerator
from simmim.storage.encoder_file import load_encoder

SETTINGS = {"image_px": 64, "score_crop": 0.9, "score_batch": 3, "held_out": 0.2}
POOLING = AttentiveSettings(image_px=64, score_batch=2)
SHEETS = Sheets(Path(__file__).parents[2] / "config")
SIZES = {"train": 11, "val": 2}


def config_of(precision="fp32", **settings):
    train = {"epochs": 1, "batch": 4, "base_lr": 1.0, "precision": precision}
    return evaluation("linear_probe", SETTINGS | settings, train)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two packed sets, an encoder, and its features of both."""
    folder = tmp_path_factory.mktemp("frozen")
    made_encoder(folder / "encoder.safetensors")
    made_sets(folder, sizes=[(split, size, 100 * len(split)) for split, size in SIZES.items()])
    extract(folder, folder / "features")
    return folder


def extract(folder, out, **settings):
    data = {split: folder / split for split in SIZES}
    return extracted(config_of(**settings), [folder / "encoder.safetensors"], data, out)


def read(folder, features, split, **changes):
    sets = {each: Shards(folder / each) for each in SIZES}
    config, encoder = features_config(config_of(**changes)), folder / "encoder.safetensors"
    return open_features(features / "encoder", config, encoder, sets)[split]


def test_features_are_what_the_encoder_gives(folder):
    encoder, header = load_encoder(folder / "encoder.safetensors")
    shards, found = Shards(folder / "train"), read(folder, folder / "features", "train")
    images = feature_images(shards, header)
    with torch.inference_mode():
        for block, expected in enumerate(encoder.eval().block_features(images)):
            assert found.maps[block].dtype == np.float16 and found.read(block).dtype == torch.float32
            torch.testing.assert_close(found.read(block), expected, rtol=2**-11, atol=1e-5)  # rounded to 11 bits
    assert found.labels.tolist() == shards.labels.tolist()


MASKED = {"mask_ratio": 0.5, "masked_patch_px": 16}


def test_masked_features_hide_training_images_only_and_always_the_same(folder, tmp_path):
    extract(folder, tmp_path, **MASKED)
    encoder, header = load_encoder(folder / "encoder.safetensors")
    shards, found = Shards(folder / "train"), read(folder, tmp_path, "train", **MASKED)
    cells = Random(ratio=0.5).sample(SIZES["train"], (4, 4), KeyedGenerator(0, 0, np.arange(SIZES["train"]), "mask"))
    hidden = torch.from_numpy(cells).repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = feature_images(shards, header)
    with torch.inference_mode():
        for block, expected in enumerate(encoder.eval().block_features(images, hidden)):
            torch.testing.assert_close(found.read(block), expected, rtol=2**-11, atol=1e-5)
        assert not torch.allclose(found.read(3), encoder.block_features(images)[3], atol=1e-2)
    scored = read(folder, tmp_path, "val", **MASKED), read(folder, folder / "features", "val")
    assert torch.equal(*(each.read(3) for each in scored)), "what is scored is whole"


def test_a_mask_of_features_is_whole_and_fits_the_image():
    with pytest.raises(ValueError, match="set both, or none"):
        config_of(mask_ratio=0.5)
    with pytest.raises(ValueError, match="masked_patch_px 24 must divide image_px 64"):
        config_of(mask_ratio=0.5, masked_patch_px=24)


def test_settings_that_hide_nothing_leave_hashes_as_they_were():
    config = config_of()
    assert not {"mask_ratio", "masked_patch_px"} & {*config.as_json()["settings"]}
    assert not {"mask_ratio", "masked_patch_px"} & {*features_config(config).as_json()}


@pytest.mark.parametrize("value", [65_600.0, float("nan"), float("inf")])
def test_a_feature_that_float16_cannot_hold_is_refused(value):
    assert _halved(torch.tensor([65_504.0, -3.0])).tolist() == [65_504.0, -3.0]
    with pytest.raises(ValueError, match=r"is not a finite number below 65,504"):
        _halved(torch.tensor([1.0, value]))


def feature_images(shards, header):
    images = scoring_images(shards, range(len(shards)), SETTINGS["image_px"], SETTINGS["score_crop"], 3)
    return ImageNormaliser(header["mean"], header["std"])(images)


def test_parts_and_batches_read_their_rows(folder):
    train = read(folder, folder / "features", "train")
    whole = train.read(3)
    part = train.part(torch.tensor([9, 2, 4]))
    assert torch.equal(part.read(3), whole[[9, 2, 4]]) and part.labels.tolist() == [1, 0, 0]
    batch = FeatureSet(part.standardised_by(train)).__getitems__([(0, 2), (5, 0)])
    expected = (whole - whole.mean(0)) / whole.std(0)
    torch.testing.assert_close(batch["features"][3], expected[[4, 9]], rtol=1e-5, atol=1e-5)
    assert batch["labels"].tolist() == [0, 1]


def test_moments_are_summed_part_by_part(monkeypatch):
    """Around a large mean, where sums of float32 would keep no digit of the deviation."""
    array = (1e4 + np.random.default_rng(0).standard_normal((50, 7))).astype(np.float32)
    array[:, 0] = 3
    features = feature_rows.Features([array], torch.zeros(50, dtype=torch.int64), torch.arange(50))
    monkeypatch.setattr(feature_rows, "CHUNK", 8)
    ((mean, deviation),) = features.standardised_by(features).moments
    wanted = torch.from_numpy(array.astype(np.float64))
    torch.testing.assert_close(mean, wanted.mean(0).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(deviation[1:], wanted.std(0)[1:].float(), rtol=1e-5, atol=0)
    assert deviation[0] == torch.tensor(1e-6)  # of a channel that says nothing


def test_neighbours_found_chunk_by_chunk_are_those_of_the_whole_bank(folder, monkeypatch):
    train, val = (read(folder, folder / "features", split) for split in SIZES)
    queries = (torch.nn.functional.normalize(val.read(2), dim=1),)
    (whole,) = vote._nearest(train, 2, queries, 5)
    monkeypatch.setattr(feature_rows, "CHUNK", 3)
    (chunked,) = vote._nearest(train, 2, queries, 5)
    assert torch.equal(whole[1], chunked[1])
    torch.testing.assert_close(whole[0], chunked[0])


class TestRefusals:
    def test_unfinished(self, folder, tmp_path):
        with pytest.raises(ValueError, match=r"holds no complete features: it has no manifest.json"):
            read(folder, tmp_path, "train")

    @pytest.mark.parametrize("split", SIZES)
    def test_damaged(self, folder, tmp_path, split):
        extract(folder, tmp_path)
        file = tmp_path / "encoder" / split / "block_02.npy"
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"block_02.npy is damaged"):
            read(folder, tmp_path, "train")

    def test_another_encoder_set_or_config(self, folder, tmp_path):
        made_encoder(tmp_path / "other.safetensors", seed=1)
        config, where = features_config(config_of()), folder / "features" / "encoder"
        sets = {split: Shards(folder / split) for split in SIZES}
        with pytest.raises(ValueError, match=r"made_from\.encoder"):
            open_features(where, config, tmp_path / "other.safetensors", sets)
        with pytest.raises(ValueError, match=r"data_digests\.train"):
            open_features(where, config, folder / "encoder.safetensors", sets | {"train": sets["val"]})
        with pytest.raises(ValueError, match=r"image_px: 64 before, 32 now"):
            read(folder, folder / "features", "train", image_px=32)

    def test_what_an_interruption_left_is_replaced(self, folder, tmp_path):
        where = tmp_path / "encoder"
        (where / "train").mkdir(parents=True)
        (where / "train" / "block_09.npy").write_bytes(b"of an interrupted extraction")
        extract(folder, tmp_path)
        blocks = json.loads((where / "manifest.json").read_text())["blocks"]
        assert {path.name for path in where.iterdir()} == {"manifest.json", *SIZES}
        for split, size in SIZES.items():
            assert {path.name for path in (where / split).iterdir()} == {block["file"] for block in blocks[split]}
            assert blocks[split][3]["shape"] == [size, 32]
        config, encoder = features_config(config_of()), folder / "encoder.safetensors"
        digests = {split: Shards(folder / split).digest for split in SIZES}
        found, other = (identity_of(config, each, encoder) for each in (digests, digests | {"val": "another"}))
        assert is_complete(where, found) and not is_complete(where, other) and not is_complete(tmp_path, found)


def test_a_set_is_named_by_what_determines_it():
    def name(**changes):
        return features_config(config_of(**changes)).name

    assert name() == name(held_out=0.5) == name(score_batch=4) and name().startswith("64px_")
    knn = evaluation("knn", SETTINGS | {"neighbours": 3}, None)
    assert features_config(knn).name != name()
    changes = {"precision": "auto"}, {"image_px": 32}, {"score_crop": 1.0}, MASKED
    assert all(name(**change) != name() for change in changes)


def test_features_of_a_row_are_found_by_their_name():
    config = features_config(SHEETS.evaluation("smoke", "default", "knn"))
    assert SHEETS.features("smoke", "default", config.name) == config
    with pytest.raises(ValueError, match="unknown features of run 'default' at scale 'smoke'"):
        SHEETS.features("smoke", "default", "64px_000000000000")


class TestAttentive:
    def test_it_learns_while_the_encoder_stays(self, folder):
        encoder, header = load_encoder(folder / "encoder.safetensors")
        attentive = task_of("attentive", POOLING, encoder, Shards(folder / "train"), header=header)
        task = attentive.module().train()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        batch = attentive.dataset().__getitems__([(0, n) for n in range(8)])
        optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=1e-2)
        losses = []
        for _ in range(15):
            losses.append(loss := task(batch))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert losses[-1] < 0.5 * losses[0] and not encoder.training
        assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
        assert task.classifier.query.ndim == 3 and not any(p.requires_grad for p in encoder.parameters())

    def test_the_tokens_of_a_block(self, folder):
        encoder, header = load_encoder(folder / "encoder.safetensors")
        images = feature_images(Shards(folder / "val"), header)
        with torch.inference_mode():
            tokens = tokens_of(encoder.eval(), images, 2)
            torch.testing.assert_close(tokens.mean(dim=(2, 3)), encoder.block_features(images)[1])
            assert torch.equal(tokens_of(encoder, images, None), encoder(images))

    @pytest.mark.parametrize(("width", "heads"), [(1024, 16), (768, 12), (192, 3), (96, 1), (16, 1)])
    def test_heads_have_64_channels_or_more(self, width, heads):
        classifier = AttentiveClassifier(torch.nn.Identity(), width, 2, None, 64)
        assert classifier.attention.num_heads == heads
