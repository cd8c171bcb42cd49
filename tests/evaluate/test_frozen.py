"""Frozen features on disk, what reads them, and the attentive probe: alone and on several processes."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from drawn_sets import CLASSES, HEADER, draw, packed, png

from simmim.config.sheets import Sheets
from simmim.data.classification import scoring_images
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.encoders.swin import Swin
from simmim.evaluate import feature_rows
from simmim.evaluate.attentive import task as attentive
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.feature_sets import feature_config, name_of, names_by_split
from simmim.evaluate.features import open_features, write_features
from simmim.evaluate.frozen_settings import FrozenSettings
from simmim.evaluate.knn import task as knn
from simmim.evaluate.linear_probe import task as probe
from simmim.layers.normaliser import ImageNormaliser
from simmim.storage.encoder_file import load_encoder, save_encoder
from simmim.train.processes import Processes

CPU = torch.device("cpu")
SECTION = {"name": "swin", "patch_px": 4, "embed_dim": 24, "depths": [1, 1, 2], "num_heads": [2, 2, 2], "window": 4}
SETTINGS = {"image_px": 64, "score_crop": 0.9, "score_batch": 3, "held_out": 0.2, "neighbours": 3}
POOLING = AttentiveSettings(image_px=64, score_batch=2)
SHEETS = Sheets(Path(__file__).parents[2] / "config")
SIZES = {"train": 11, "val": 2}  # neither is divided by three processes, and one has fewer images than they are


def config_of(task="probe", precision="fp32", **settings):
    data = {split: {"dataset": "drawn", "split": split} for split in SIZES}
    evaluation = {
        "evaluation": task,
        "task": task,
        "pretraining": "0",
        "encoder": {},
        "settings": SETTINGS | settings,
        "data": data,
    }
    return evaluation | {"train": {"precision": precision}, "numerics": {"data": 1, "evaluate": 1}}


def save_micro_swin(path, seed=0):
    torch.manual_seed(seed)
    encoder = Swin(image_px=(64, 64), **{key: value for key, value in SECTION.items() if key != "name"})
    save_encoder(path, encoder, HEADER | {"encoder": SECTION, "image_px": [64, 64], "in_channels": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two packed sets, an encoder, and its features of both."""
    folder = tmp_path_factory.mktemp("frozen")
    save_micro_swin(folder / "encoder.safetensors")
    for split, size in SIZES.items():
        first = 100 * len(split)
        packed(folder / split, [RawSample(f"{n}.png", png(draw(first + n)[0]), label=n % 2) for n in range(size)])
    extract(folder, folder / "features", Processes(0, 1, CPU))
    return folder


def extract(folder, out, processes):
    for split in SIZES:
        config = feature_config(config_of(), split)
        write_features(config, folder / "encoder.safetensors", folder / split, out / split, processes)


def read(folder, features, split):
    config = feature_config(config_of(), split)
    return open_features(features / split, config, folder / "encoder.safetensors", Shards(folder / split))


def scores(folder, features):
    """What every evaluation of frozen features says."""
    train, val = (read(folder, features, split) for split in SIZES)
    torch.manual_seed(0)
    linear = probe.Probe(train.widths, len(CLASSES))
    for head in linear.heads:
        torch.nn.init.normal_(head.weight)
    encoder, header = load_encoder(folder / "encoder.safetensors")
    pooling = attentive.build_task(encoder, header, POOLING, CLASSES)
    pooling.classifier.head.weight.data.mul_(1e6)
    return {
        "probe": [linear.accuracies(each.standardised_by(train)) for each in (train, val)],
        "knn": knn.rows(train, val, FrozenSettings(**SETTINGS), 0, len(CLASSES), CPU),
        "attentive": [attentive.score(pooling, Shards(folder / split), POOLING, CPU) for split in SIZES],
    }


def together(rank, world, folder, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}.meet", rank=rank, world_size=world)
    extract(folder, out, Processes(rank, world, CPU))
    dist.barrier()  # the manifest is the leading process's last word
    found = scores(folder, out)
    dist.destroy_process_group()
    (out / f"scores{rank}").write_bytes(pickle.dumps(found))


def test_three_processes_extract_every_image_once_and_score_as_one(folder, tmp_path):
    alone = scores(folder, folder / "features")
    assert len({value for split in alone["probe"] for value in split}) > 2
    mp.start_processes(together, (3, folder, tmp_path / "three"), nprocs=3, start_method="spawn")
    for split in SIZES:
        one, three = (read(folder, where, split) for where in (folder / "features", tmp_path / "three"))
        for block in range(4):
            torch.testing.assert_close(three.read(block), one.read(block), rtol=0, atol=1e-5)
    assert all(pickle.loads((tmp_path / "three" / f"scores{rank}").read_bytes()) == alone for rank in range(3))


def test_features_are_what_the_encoder_gives(folder):
    encoder, header = load_encoder(folder / "encoder.safetensors")
    shards, found = Shards(folder / "train"), read(folder, folder / "features", "train")
    images = feature_images(shards, header)
    with torch.inference_mode():
        for block, expected in enumerate(encoder.eval().block_features(images)):
            torch.testing.assert_close(found.read(block), expected, rtol=0, atol=1e-5)
    assert found.labels.tolist() == shards.labels.tolist()


def feature_images(shards, header):
    images = scoring_images(shards, range(len(shards)), SETTINGS["image_px"], SETTINGS["score_crop"], 3)
    return ImageNormaliser(header["mean"], header["std"])(images)


def test_parts_and_batches_read_their_rows(folder):
    train = read(folder, folder / "features", "train")
    whole = train.read(3)
    part = train.part(torch.tensor([9, 2, 4]))
    assert torch.equal(part.read(3), whole[[9, 2, 4]]) and part.labels.tolist() == [1, 0, 0]
    batch = probe.FeatureSet(part.standardised_by(train)).__getitems__([(0, 2), (5, 0)])
    expected = (whole - whole.mean(0)) / whole.std(0)
    assert torch.equal(batch["features"][3], expected[[4, 9]]) and batch["labels"].tolist() == [0, 1]


def test_neighbours_found_chunk_by_chunk_are_those_of_the_whole_bank(folder, monkeypatch):
    train, val = (read(folder, folder / "features", split) for split in SIZES)
    queries = (torch.nn.functional.normalize(val.read(2), dim=1),)
    (whole,) = knn._nearest(train, 2, queries, 5)
    monkeypatch.setattr(feature_rows, "CHUNK", 3)
    (chunked,) = knn._nearest(train, 2, queries, 5)
    assert torch.equal(whole[1], chunked[1])
    torch.testing.assert_close(whole[0], chunked[0])


class TestRefusals:
    def test_unfinished(self, folder, tmp_path):
        with pytest.raises(ValueError, match=r"holds no complete features: it has no manifest.json"):
            read(folder, tmp_path, "train")

    def test_damaged(self, folder, tmp_path):
        extract(folder, tmp_path, Processes(0, 1, CPU))
        file = tmp_path / "train" / "block_02.npy"
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"block_02.npy is damaged"):
            read(folder, tmp_path, "train")

    def test_another_encoder_set_or_config(self, folder, tmp_path):
        save_micro_swin(tmp_path / "other.safetensors", seed=1)
        config, where = feature_config(config_of(), "train"), folder / "features" / "train"
        with pytest.raises(ValueError, match="encoder_sha256"):
            open_features(where, config, tmp_path / "other.safetensors", Shards(folder / "train"))
        with pytest.raises(ValueError, match="data_digest"):
            open_features(where, config, folder / "encoder.safetensors", Shards(folder / "val"))
        other = feature_config(config_of(image_px=32), "train")
        with pytest.raises(ValueError, match=r"settings.image_px: 64 before, 32 now"):
            open_features(where, other, folder / "encoder.safetensors", Shards(folder / "train"))

    def test_what_an_interruption_left_is_replaced(self, folder, tmp_path):
        (tmp_path / "train").mkdir()
        (tmp_path / "train" / "block_09.npy").write_bytes(b"of an interrupted extraction")
        extract(folder, tmp_path, Processes(0, 1, CPU))
        manifest = json.loads((tmp_path / "train" / "manifest.json").read_text())
        names = {path.name for path in (tmp_path / "train").iterdir()}
        assert names == {"manifest.json", *(block["file"] for block in manifest["blocks"])}
        assert manifest["blocks"][3]["shape"] == [SIZES["train"], 96]


def test_a_set_is_named_by_what_determines_it():
    names = names_by_split(config_of())
    assert names == names_by_split(config_of(neighbours=7, held_out=0.5))
    assert set(names.values()).isdisjoint(names_by_split(config_of(task="knn")).values())
    changes = {"precision": "auto"}, {"image_px": 32}, {"score_crop": 1.0}, {"score_batch": 4}
    assert all(names_by_split(config_of(**change))["val"] != names["val"] for change in changes)
    assert names["train"].startswith("train_64px_") and names_by_split(config_of(task="finetune")) == {}


def test_features_of_a_row_are_found_by_their_name():
    evaluation = SHEETS.evaluation("smoke", "default", "knn")
    config = feature_config(evaluation, "val")
    assert SHEETS.features("smoke", "default", name_of(config)) == config
    with pytest.raises(ValueError, match="unknown features of run 'default' at scale 'smoke'"):
        SHEETS.features("smoke", "default", "val_64px_000000000000")


class TestAttentive:
    def test_it_learns_while_the_encoder_stays(self, folder):
        encoder, header = load_encoder(folder / "encoder.safetensors")
        task = attentive.build_task(encoder, header, POOLING, CLASSES).train()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        images = attentive.dataset(Shards(folder / "train"), POOLING, 0, header)
        batch = images.__getitems__([(0, n) for n in range(8)])
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
            tokens = attentive.tokens_of(encoder.eval(), images, 2)
            torch.testing.assert_close(tokens.mean(dim=(2, 3)), encoder.block_features(images)[1])
            assert torch.equal(attentive.tokens_of(encoder, images, None), encoder(images))
        with pytest.raises(ValueError, match="block 5 is not among the encoder's blocks, 1 to 4"):
            attentive.tokens_of(encoder, images, 5)

    @pytest.mark.parametrize(("width", "heads"), [(1024, 16), (768, 12), (192, 3), (96, 1), (16, 1)])
    def test_heads_have_64_channels_or_more(self, width, heads):
        classifier = attentive.AttentiveClassifier(torch.nn.Identity(), width, 2, None, 64)
        assert classifier.attention.num_heads == heads
