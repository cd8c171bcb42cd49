"""A fine-tuning leaves the encoder of every seed, and what starts from it begins with those."""

import shutil

import numpy as np
import pytest
import torch
from drawn_sets import HEADER
from evaluations import ALONE, evaluated, evaluation, made_encoder, made_sets
from safetensors.torch import load_file

from simmim.config.evaluate_models import FineTunedInit
from simmim.data.shards import Shards
from simmim.encoders._position_bias import resize_table
from simmim.evaluate.job import Job, evaluate
from simmim.storage import model_file, records
from simmim.storage.encoder_file import load_encoder

TABLE = "layers.0.blocks.0.attn.relative_position_bias_table"
SECTION = {"name": "swin", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window": 4, "clamp_window": False}
TRAIN = {"epochs": 1, "batch": 4, "base_lr": 1e-3, "base_lr_batch": 4, "precision": "fp32", "log_every_steps": 1}
TRAIN |= {"save_every_steps": 100}
FINETUNE = evaluation(
    "finetune", {"image_px": 64, "auto_augment": ""}, TRAIN, seeds=2, encoder={"window": 8, "drop_path": 0.1}
)
SEGMENT = evaluation(
    "segment", {"image_px": 64, "decoder_channels": 8, "auxiliary_channels": 8}, TRAIN, seeds=3, encoder={"window": 16}
)
INIT = FineTunedInit(evaluation="finetune", config_hash=FINETUNE.hash, seeds=2, encoder={"window": 8, "drop_path": 0.1})
SEGMENT = SEGMENT.model_copy(update={"init": INIT})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return made_sets(tmp_path_factory.mktemp("labelled"), sizes=(("train", 4, 0), ("val", 4, 0)))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return made_encoder(tmp_path_factory.mktemp("pretrained") / "encoder.safetensors", section=SECTION)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, labelled, pretrained):
    """Records and encoders of a fine-tuning with two seeds."""
    out = tmp_path_factory.mktemp("evaluate") / "finetune.parquet"
    evaluate(FINETUNE, [pretrained], labelled, out, ALONE)
    return out


def test_every_seed_leaves_the_encoder_it_has_trained(finished, pretrained):
    folder = finished.with_suffix(".encoders")
    assert sorted(file.name for file in folder.iterdir()) == ["seed0.safetensors", "seed1.safetensors"]
    state = finished.with_suffix(".state")
    assert sorted(finished.parent.iterdir()) == [folder, finished, state], "nothing else stays"
    assert (state / "seed0.safetensors").samefile(folder / "seed0.safetensors")
    assert (state / "finished.json").is_file() and not [*state.rglob("step-*")]
    first, second, before = (
        load_encoder(path)[0].state_dict()
        for path in (folder / "seed0.safetensors", folder / "seed1.safetensors", pretrained)
    )
    name = "layers.1.blocks.0.mlp.fc1.weight"
    assert not torch.equal(first[name], before[name]) and not torch.equal(first[name], second[name])


def test_the_header_says_what_the_encoder_is_and_where_it_comes_from(finished, labelled, pretrained):
    _, header = load_encoder(finished.with_suffix(".encoders") / "seed1.safetensors")
    assert header["encoder"] == SECTION | FINETUNE.encoder
    assert (header["image_px"], header["mean"], header["std"]) == ([64, 64], *map(list, HEADER.values()))
    made_by = {key: header[key] for key in ("run", "evaluation", "seed", "config_hash", "step")}
    assert made_by == {"run": "drawn", "evaluation": "finetune", "seed": 1, "config_hash": FINETUNE.hash, "step": 1}
    train = Shards(labelled["train"])
    assert (header["dataset"], header["data_digest"]) == ("train_set", train.digest)
    assert header["encoder_digest"] == model_file.digest(pretrained)


def test_windows_are_interpolated_from_those_of_the_fine_tuning(finished):
    path = finished.with_suffix(".encoders") / "seed0.safetensors"
    fine_tuned = load_file(path)[TABLE]
    assert len(fine_tuned) == 15**2
    encoder, _ = load_encoder(path, (64, 64), window=16)
    assert torch.equal(encoder.state_dict()[TABLE], resize_table(fine_tuned, (8, 8), (16, 16)))


def test_an_interrupted_fine_tuning_keeps_the_encoders_of_its_finished_seeds(
    tmp_path, finished, labelled, pretrained, monkeypatch
):
    out = tmp_path / "finetune.parquet"
    fit, trained = Job.fit, []

    def first_seed_alone(job, *rest):
        if job.seed:
            raise KeyboardInterrupt
        return fit(job, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Job, "fit", first_seed_alone)
        evaluate(FINETUNE, [pretrained], labelled, out, ALONE)
    state = tmp_path / "finetune.state"
    assert {"seed0.parquet", "seed0.safetensors"} <= {file.name for file in state.iterdir()}
    assert not out.exists() and not out.with_suffix(".encoders").exists()
    kept = (state / "seed0.safetensors").read_bytes()
    monkeypatch.setattr(Job, "fit", lambda job, *rest: trained.append(job.seed) or fit(job, *rest))
    evaluate(FINETUNE, [pretrained], labelled, out, ALONE)
    assert trained == [1]
    assert (out.with_suffix(".encoders") / "seed0.safetensors").read_bytes() == kept
    for seed in range(2):
        files = [path.with_suffix(".encoders") / f"seed{seed}.safetensors" for path in (out, finished)]
        assert torch.equal(*(load_file(file)[TABLE] for file in files))


def test_a_finished_seed_without_its_encoder_is_trained_again(tmp_path, finished, labelled, pretrained):
    out = tmp_path / "finetune.parquet"
    state = shutil.copytree(finished.with_suffix(".state"), tmp_path / "finetune.state")
    (state / "seed0.safetensors").unlink()
    evaluate(FINETUNE, [pretrained], labelled, out, ALONE)
    assert len(list(out.with_suffix(".encoders").iterdir())) == 2


def test_an_encoder_that_is_not_the_one_whose_scores_were_kept_is_refused(tmp_path, finished, labelled, pretrained):
    state = shutil.copytree(finished.with_suffix(".state"), tmp_path / "finetune.state")
    shutil.copy(state / "seed1.safetensors", state / "seed0.safetensors")
    with pytest.raises(ValueError, match=r"seed0.safetensors does not belong to .*seed0.parquet"):
        evaluate(FINETUNE, [pretrained], labelled, tmp_path / "finetune.parquet", ALONE)


def test_the_encoder_of_another_run_seed_or_config_is_refused(tmp_path, finished, segmentation_shards):
    one, two = sorted(finished.with_suffix(".encoders").iterdir())
    data = dict.fromkeys(("train", "val"), segmentation_shards.folder)
    for config, encoders, message in (
        (SEGMENT, [two, one], "seed 1, not 0"),
        (SEGMENT.model_copy(update={"run": "other"}), [one, two], "run drawn, not other"),
        (SEGMENT.model_copy(update={"init": None}), [one, two], r"config_hash \w{12}, not "),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(config, encoders, data, tmp_path / "segment.parquet", ALONE)


def test_a_segmentation_starts_from_the_fine_tuned_encoders_in_turn(
    tmp_path, finished, labelled, segmentation_shards, monkeypatch
):
    started = []
    loaded = Job.inputs
    monkeypatch.setattr(Job, "inputs", lambda job: started.append((job.seed, job.encoder_file.name)) or loaded(job))
    encoders = sorted(finished.with_suffix(".encoders").iterdir())
    data = dict.fromkeys(("train", "val"), segmentation_shards.folder)
    out = tmp_path / "segment.parquet"
    evaluate(SEGMENT, encoders, data, out, ALONE)
    assert started == [(seed, f"seed{seed % 2}.safetensors") for seed in range(3)]
    found = records.read([out])
    assert np.isfinite(found[found["metric"] == "miou"]["value"]).all()
    assert not out.with_suffix(".encoders").exists()


def test_a_probe_reads_the_features_of_every_fine_tuned_encoder(tmp_path, finished, labelled):
    settings = {"image_px": 64, "score_crop": 1.0, "score_batch": 4, "held_out": 0.5}
    init = {"evaluation": "finetune", "config_hash": FINETUNE.hash, "seeds": 2, "encoder": FINETUNE.encoder}
    probe = evaluation("linear_probe", settings, TRAIN | {"epochs": 4}, seeds=2, encoder={"window": 8}, init=init)
    encoders = sorted(finished.with_suffix(".encoders").iterdir())
    rows, _ = evaluated(probe, encoders, labelled, tmp_path / "probe.parquet")
    first, second = (tmp_path / "probe.features" / f"seed{seed}" / "train" / "block_02.npy" for seed in range(2))
    assert not np.allclose(np.load(first), np.load(second))
    assert set(rows["seed"]) == {0, 1} and rows["encoder_digest"].nunique() == 2
