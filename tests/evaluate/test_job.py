"""One evaluation from packed sets to records: seeds and their encoders, splits, refusals before any training."""

import pandas as pd
import pytest
from drawn_sets import draw, packed, png
from evaluations import ALONE, SWIN, evaluated, extracted, made_encoder, made_sets, small

from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.evaluate.job import evaluate
from simmim.evaluate.sets import check_sets
from simmim.storage import model_file, records
from simmim.train.loop import Trained
from simmim.train.processes import Processes

SPLITS = "train", "val", "extra"
SHORT = {"epochs": 0.5, "batch": 4, "base_lr": 1e-3, "precision": "fp32", "log_every_steps": 1, "save_every_steps": 9}
PLAIN = {"image_px": 64, "score_batch": 4, "mixup": 0, "cutmix": 0, "auto_augment": ""}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return [made_encoder(folder / f"encoder{seed}.safetensors", seed) for seed in range(2)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_sets(tmp_path_factory.mktemp("sets"), sizes=(("train", 8, 0), ("val", 3, 50), ("extra", 2, 80)))


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory, encoders, data):
    """Records and metadata of a fine-tuning that is scored on an extra set."""
    config = small("finetune", splits=SPLITS, seeds=3, settings=PLAIN, train=SHORT)
    return config, *evaluated(config, encoders, data, tmp_path_factory.mktemp("finetune") / "a.parquet")


def without_extra(data):
    return {split: data[split] for split in ("train", "val")}


def test_seed_s_starts_from_encoder_s_modulo_their_count(fine_tuned, encoders):
    _, rows, _ = fine_tuned
    digests = rows.groupby("seed")["encoder_digest"].unique()
    expected = [model_file.digest(encoders[seed % 2]) for seed in range(3)]
    assert [digests[seed].tolist() for seed in range(3)] == [[digest] for digest in expected]
    losses = rows[(rows["metric"] == "train_loss") & (rows["step"] == 1)]["value"]
    assert len(losses) == losses.nunique() == 3, "each seed has its own head and order"


def test_every_seed_draws_its_own_head_and_samples(encoders, data, tmp_path, monkeypatch):
    """Of three seeds that start from one encoder: fresh layers, subset of labels, crops."""
    made = []

    def watched(module, dataset, groups, settings, run, processes):
        images = dataset.__getitems__([(0, 0)])["images"]
        made.append((run.identity.seed, module.classifier.head.weight[0, 0].item(), float(images.float().mean())))
        return Trained()

    monkeypatch.setattr("simmim.evaluate.job.fit", watched)
    for name in ("a", "b"):
        evaluated(small("finetune", seeds=3), encoders[:1], without_extra(data), tmp_path / f"{name}.parquet")
    assert made[:3] == made[3:] and [seed for seed, *_ in made[:3]] == [0, 1, 2]
    assert len({head for _, head, _ in made}) == len({crop for *_, crop in made}) == 3


def test_mixup_and_erasing_draw_the_same_with_workers_and_without(encoders, data, tmp_path):
    """RandAugment is seeded by the image, in a worker or in the training's own process; the step's draws stay."""
    losses = []
    for workers in (0, 1):
        train = SHORT | {"epochs": 1, "micro_batch": 2, "workers": workers}
        config = small("finetune", settings={"image_px": 64, "score_batch": 4, "erase": 1.0}, train=train)
        rows, _ = evaluated(config, encoders[:1], without_extra(data), tmp_path / f"{workers}.parquet")
        losses.append(rows[rows["metric"] == "train_loss"]["value"].tolist())
    assert losses[0] == losses[1] and len(losses[0]) == 2


def test_seeds_read_the_features_of_their_encoder(encoders, data, tmp_path):
    config = small("knn", seeds=3)
    rows, _ = evaluated(config, encoders, without_extra(data), tmp_path / "knn.parquet")
    assert rows["seed"].unique().tolist() == [0, 1, 2] and len(rows[rows["part"] == "chosen"]) == 3
    assert rows["encoder_digest"].nunique() == 2
    features = extracted(config, encoders, data, tmp_path / "more")
    with pytest.raises(ValueError, match=r"made_from\.encoder"):
        evaluate(config, encoders, without_extra(data), tmp_path / "swapped.parquet", ALONE, features[::-1])


def test_an_extra_set_is_scored_under_its_name(fine_tuned, data):
    config, rows, metadata = fine_tuned
    top1 = rows[rows["metric"] == "top1"]
    assert top1["dataset"].tolist() == ["val_set", "extra_set"] * 3 and set(top1["part"]) == {""}
    main, extra = (top1[top1["dataset"] == name]["value"] for name in ("val_set", "extra_set"))
    assert set((main * 3 / 100).round(4) % 1) == {0} and set(extra) <= {0.0, 50.0, 100.0}
    digests = {split: Shards(folder).digest for split, folder in data.items()}
    assert metadata["data_digests"] == digests and metadata["config"] == config.as_json()
    assert {(row.dataset, row.data_digest) for row in rows.itertuples()} == {
        (config.data[split].dataset, digest) for split, digest in digests.items()
    }
    losses = rows[rows["metric"] == "train_loss"]
    assert set(losses["dataset"]) == {"train_set"} and losses["step"].tolist() == [1] * 3


def test_records_say_where_they_come_from(fine_tuned):
    config, rows, _ = fine_tuned
    origin = rows[["scale", "run", "evaluation", "config_hash"]].drop_duplicates()
    assert origin.to_dict("records") == [
        {"scale": "test", "run": "drawn", "evaluation": "finetune", "config_hash": config.hash}
    ]


class TestRefusals:
    """Each before anything is trained."""

    @pytest.fixture(autouse=True)
    def training_is_a_fault(self, monkeypatch):
        monkeypatch.setattr("simmim.evaluate.job.fit", lambda *_, **__: pytest.fail("trained before the refusal"))

    @pytest.mark.parametrize("split", ["val", "extra"])
    def test_a_set_with_other_classes(self, split, encoders, data, tmp_path, monkeypatch):
        monkeypatch.setattr("drawn_sets.CLASSES", ["bar", "disc"])
        other = packed(tmp_path / "other", [RawSample("0.png", png(draw(0)[0]), label=0)]).folder
        with pytest.raises(ValueError, match="other have different classes: their order differs"):
            evaluated(small("finetune", splits=SPLITS), encoders, data | {split: other}, tmp_path / "a.parquet")

    @pytest.mark.parametrize("task", ["finetune", "attentive"])
    @pytest.mark.parametrize("split", SPLITS)
    def test_an_image_without_a_label(self, task, split, encoders, data, tmp_path):
        samples = [RawSample(f"{n}.png", png(draw(n)[0]), label=[0, 1, None][n]) for n in range(3)]
        other = packed(tmp_path / "other", samples).folder
        with pytest.raises(ValueError, match=r"1 of 3 images in .*other have no label"):
            evaluated(small(task, splits=SPLITS), encoders, data | {split: other}, tmp_path / "a.parquet")

    def test_no_update(self, encoders, data, tmp_path, monkeypatch):
        monkeypatch.undo()
        for task in ("finetune", "linear_probe"):
            config = small(task, train=SHORT | {"batch": 64, "epochs": 1})
            with pytest.raises(ValueError, match=r"updates: \d images x 1 epochs / batch 64 round to none"):
                evaluated(config, encoders, without_extra(data), tmp_path / f"{task}.parquet")
            assert not (tmp_path / f"{task}.parquet").exists()

    def test_a_process_with_one_image_to_mix(self, encoders, data, tmp_path):
        """Two images at once are enough for one process; four processes share a batch of 4."""
        with pytest.raises(ValueError, match="mixup and cutmix need two images at once in every process"):
            many = Processes(0, 4, ALONE.device)
            evaluate(small("finetune"), encoders, without_extra(data), tmp_path / "a.parquet", many)

    def test_unfinished_work_of_another_config(self, encoders, data, tmp_path, monkeypatch):
        monkeypatch.undo()
        out = tmp_path / "a.parquet"
        config = small("knn", seeds=2)
        monkeypatch.setattr("simmim.evaluate.job.records.write", _interrupted_at("a.parquet"))
        with pytest.raises(KeyboardInterrupt):
            evaluated(config, encoders, without_extra(data), out)
        monkeypatch.undo()
        other = small("knn", seeds=1)
        with pytest.raises(ValueError, match=r"seeds: 2 before, 1 now"):
            evaluated(other, encoders, without_extra(data), out)

    def test_a_dense_task_on_grey_images(self, tmp_path):
        grey = made_encoder(tmp_path / "grey.safetensors", channels=1)
        for task, name in (("detect", "detection"), ("segment", "segmentation")):
            data = made_sets(tmp_path / task, task, (("train", 2, 0), ("val", 1, 5)))
            with pytest.raises(ValueError, match=f"{name} reads RGB images, this encoder takes 1 channel"):
                evaluated(small(task), [grey], data, tmp_path / f"{task}.parquet")

    def test_a_block_that_the_encoder_does_not_have(self, encoders, data, tmp_path):
        config = small("attentive", settings={"image_px": 64, "block": 5})
        with pytest.raises(ValueError, match="block 5 is not among the encoder's blocks, 1 to 4"):
            evaluated(config, encoders, without_extra(data), tmp_path / "a.parquet")


def _interrupted_at(name):
    """`records.write` that is interrupted at one file."""
    write = records.write

    def watched(path, *arguments, **metadata):
        if path.name == name:
            raise KeyboardInterrupt
        write(path, *arguments, **metadata)

    return watched


@pytest.mark.parametrize("section", [SWIN, {"name": "vit", "patch_px": 8, "embed_dim": 8, "depth": 2, "num_heads": 2}])
@pytest.mark.parametrize("task", ["finetune", "attentive", "linear_probe", "knn"])
def test_grey_images(section, task, data, tmp_path):
    """One channel, with all of the paper's augmentation: RandAugment, random erasing, Mixup and CutMix."""
    grey = made_encoder(tmp_path / "grey.safetensors", section=section, channels=1)
    changes = {"settings": {"image_px": 64}} if task in ("finetune", "attentive") else {}
    config = small(task, **changes)
    rows, _ = evaluated(config, [grey], without_extra(data), tmp_path / "a.parquet")
    assert rows["value"].notna().all() and rows["metric"].eq("top1").any()


def test_records_are_the_same_whether_or_not_a_seed_was_kept(encoders, data, tmp_path, monkeypatch):
    config, sets = small("knn", seeds=2), without_extra(data)
    whole, _ = evaluated(config, encoders, sets, tmp_path / "whole.parquet")
    out = tmp_path / "resumed.parquet"
    monkeypatch.setattr("simmim.evaluate.job.records.write", _interrupted_at("seed1.parquet"))
    with pytest.raises(KeyboardInterrupt):
        evaluated(config, encoders, sets, out)
    monkeypatch.undo()
    assert (tmp_path / "resumed.state" / "seed0.parquet").is_file() and not out.exists()
    resumed, _ = evaluated(config, encoders, sets, out)
    pd.testing.assert_frame_equal(resumed.drop(columns="source"), whole.drop(columns="source"))
    left = sorted(path.name for path in (tmp_path / "resumed.state").iterdir())
    assert left == ["finished.json", "seed0.parquet", "seed1.parquet"]
    out.unlink()  # as Snakemake does with what was interrupted: it is made again of what the seeds have left
    monkeypatch.setattr("simmim.evaluate.job._run", None)
    again, _ = evaluated(config, encoders, sets, out)
    pd.testing.assert_frame_equal(again, resumed)


def test_what_a_seed_left_belongs_to_its_encoder_and_data(encoders, data, tmp_path, monkeypatch):
    config, sets, out = small("knn", seeds=2), without_extra(data), tmp_path / "knn.parquet"
    monkeypatch.setattr("simmim.evaluate.job.records.write", _interrupted_at("seed1.parquet"))
    with pytest.raises(KeyboardInterrupt):
        evaluated(config, encoders, sets, out)
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=r"seed0.parquet was made otherwise(.|\n)*made_from\.encoder: \w+ before, \w+ now"
    ):
        evaluated(config, encoders[::-1], sets, out)
    with pytest.raises(ValueError, match=r"data_digests\.val: \w+ before, \w+ now"):
        evaluated(config, encoders, sets | {"val": sets["train"]}, out)


@pytest.mark.parametrize(("first", "shared"), [(6, 2), (8, 0)])
def test_images_that_were_trained_on_are_told_before_they_are_scored(tmp_path, capsys, first, shared):
    folders = made_sets(tmp_path, sizes=(("train", 8, 0), ("val", 3, first)))
    sets = {split: Shards(folder) for split, folder in folders.items()}
    for rank in (0, 1):
        check_sets(small("knn"), sets, Processes(rank, 2, ALONE.device))
    said = capsys.readouterr().err
    assert said.count("warning") == bool(shared)
    assert not shared or said.startswith(f"warning: 2 of 3 images in {folders['val']} are in {folders['train']} too,")
