"""Several processes score and train exactly as one. They are started once for all cases: starting takes longest."""

import pickle
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from drawn_sets import draw, packed, png
from evaluation_tasks import task_of
from evaluations import evaluation, extracted, made_encoder, made_sets, small

from simmim.config.evaluation import FEATURE_SPLITS, features_config
from simmim.config.training import TrainSettings
from simmim.data.samples import RawSample
from simmim.data.shards import Shards
from simmim.encoders.resnet import ResNet
from simmim.encoders.swin import Swin
from simmim.evaluate import job
from simmim.evaluate.attentive.settings import AttentiveSettings
from simmim.evaluate.detect.settings import DetectSettings
from simmim.evaluate.finetune.settings import FinetuneSettings
from simmim.evaluate.mechanism.settings import MechanismSettings
from simmim.evaluate.segment.settings import SegmentSettings
from simmim.evaluate.stored_features import open_features
from simmim.storage import records
from simmim.storage.encoder_file import load_encoder
from simmim.storage.identity import Identity
from simmim.train.loop import Run, fit
from simmim.train.processes import Processes

CPU = torch.device("cpu")
WORLD = 2
SMALL = {
    "detect": DetectSettings(image_px=64, fpn_channels=16, box_width=16, mask_width=8, mask_layers=1),
    "segment": SegmentSettings(
        image_px=64, decoder_channels=16, auxiliary_channels=8, score_scales=(1.0, 1.25), score_flip=True, score_batch=1
    ),
}
CLASSIFIER = FinetuneSettings(image_px=64, score_batch=3)
POOLING = AttentiveSettings(image_px=64, score_batch=2)
MECHANISM = MechanismSettings(image_px=64, score_batch=2, images=7)
KNN = evaluation("knn", {"image_px": 64, "score_crop": 0.9, "score_batch": 3, "held_out": 0.2, "neighbours": 3}, None)
PROBE = evaluation(
    "linear_probe",
    KNN.settings.model_dump(exclude={"neighbours", "temperature"}),
    {
        "epochs": 1,
        "batch": 4,
        "base_lr": 1.0,
        "precision": "fp32",
    },
)


def micro_swin(**settings):
    return Swin(
        image_px=(64, 64), embed_dim=12, depths=(1, 1, 1), num_heads=(1, 1, 1), window=4, clamp_window=False, **settings
    )


def shifted_truth(batch):
    """The objects themselves, more or less out of place: an untrained detector finds none."""
    found = []
    for sample, target in zip(batch["samples"], batch["targets"]):
        masks = target["masks"].roll(sample, dims=2).bool()
        scores = torch.tensor([0.9, 0.6]) - 0.1 * sample
        found.append(target | {"boxes": target["boxes"] + sample, "scores": scores, "masks": masks})
    return found


def train_a_little(module, images):
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for step in range(20):
        module(images.__getitems__([(step, 0), (step, 1)])).backward()
        optimizer.step()
        optimizer.zero_grad()


def dense_scores(rank, folder):
    """Rows of a detector and a segmenter whose batch statistics have drifted apart."""
    rows = {}
    for name in ("detect", "detect 3", "detect 1", "segment"):
        torch.manual_seed(0)
        kind, shards = name.split()[0], Shards(folder / name / "val")
        task = task_of(kind, SMALL[kind], micro_swin(), shards)
        module = task.module()
        if kind == "detect":
            module.predict = shifted_truth
        else:
            train_a_little(module, task.dataset())
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer += rank
        rows[name] = str(task.score(module, "val"))  # as text: NaN is not equal to itself
    return rows


def classifier_scores(drift, folder):
    """Of a classifier that says the first class while its features are above 0, which a large drift ends."""
    torch.manual_seed(0)
    encoder = ResNet(image_px=(64, 64), stem_width=4, depths=(1, 1), width_factor=1)
    task = task_of("finetune", CLASSIFIER, encoder, Shards(folder / "labels" / "first"))
    module = task.module()
    module.classifier.head.weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    module.classifier.head.bias.data.copy_(torch.tensor([-0.01, 0.01]))
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer += drift
    return task.score(module, "val")


def frozen_scores(folder, processes, out):
    """The features, and what every evaluation of a frozen encoder says."""
    data = {split: folder / "labels" / split for split in FEATURE_SPLITS}
    encoder_file, found = folder / "encoder.safetensors", {}
    sets = {split: Shards(path) for split, path in data.items()}
    for config in (KNN, PROBE):
        (features_folder,) = extracted(config, [encoder_file], data, out / config.task, processes)
        if processes.world > 1:
            dist.barrier()  # the manifest is the main process's last word
        features = open_features(features_folder, features_config(config), encoder_file, sets)
        task = task_of(config.task, config.settings, features=features, sets=sets)
        torch.manual_seed(0)
        if module := task.module():
            for head in module.heads:
                torch.nn.init.normal_(head.weight)
        found[config.task] = task.score(module, "val")
    encoder, header = load_encoder(encoder_file)
    pooling = task_of("attentive", POOLING, encoder, header=header, sets=sets)
    module = pooling.module()
    module.classifier.head.weight.data.mul_(1e6)
    found["attentive"] = [pooling.score(module, split) for split in FEATURE_SPLITS]
    blocks = {split: [features[split].read(block).numpy() for block in range(4)] for split in FEATURE_SPLITS}
    return found, blocks


def mechanism_rows(folder):
    """Of seven of eleven images, four of them on the first process, and of the only one there is."""
    encoder, header = load_encoder(folder / "encoder.safetensors")
    sets = {split: Shards(folder / "labels" / split) for split in FEATURE_SPLITS}
    task = task_of("mechanism", MECHANISM, encoder, header=header, sets=sets)
    return [task.score(None, split) for split in FEATURE_SPLITS]


def seeds_taken(processes, folder, out):
    """What each process takes for the records of a seed that is kept, where the second one's node does not list it."""
    config = small("knn")
    data = {split: folder / "labels" / split for split in FEATURE_SPLITS}
    sets = {split: Shards(path) for split, path in data.items()}
    one = job.Job(config, folder / "encoder.safetensors", sets, 0, out / "seed0", processes)

    def records_of(number):
        """As they are where none are kept."""
        with mock.patch.object(job, "_run", lambda _: ([records.record(one.origin("val"), 0, "top1", number)], [])):
            return job._records_of(one)[0][0]["value"]

    made = records_of(1.0)
    with mock.patch.object(Path, "is_file", (lambda _: False) if processes.rank else Path.is_file):
        return made, records_of(2.0)


def two_steps(processes, folder, out):
    """Losses, gradient norms, scores and probabilities of a segmenter after two updates by two processes: first with a
    copy of the weights on each, then with weights split over both and activations recomputed."""
    seen = []
    for sharded in (False, True):
        torch.manual_seed(0)
        task = task_of(
            "segment", SMALL["segment"], micro_swin(checkpoint_activations=sharded), Shards(folder / "segment" / "val")
        )
        module = task.module()
        training = TrainSettings(
            epochs=1.6, batch=4, base_lr=3e-3, base_lr_batch=4, log_every_steps=1, sharded=sharded, precision="fp32"
        )
        history = fit(
            module,
            task.dataset(),
            [{"params": list(module.parameters())}],
            training,
            Run(Identity({}, 0), out / str(sharded), "segment"),
            processes,
        ).history
        values = {name: [row[name] for row in history] for name in ("loss", "grad_norm")}
        values |= {row[:2]: row[2] for row in task.score(module, "val")}
        images = torch.from_numpy(np.stack([draw(seed)[0] for seed in range(5)])).permute(0, 3, 1, 2)
        seen.append(values | {"probabilities": module.probabilities(images, (64, 64)).numpy()})
    return seen


def all_cases(rank, folder, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}.meet", rank=rank, world_size=WORLD)
    processes = Processes(rank, WORLD, CPU)
    found = {
        "dense": dense_scores(rank, folder),
        "classifier": classifier_scores(1000 * rank, folder),
        "frozen": frozen_scores(folder, processes, out / "frozen"),
        "mechanism": mechanism_rows(folder),
        "seeds": seeds_taken(processes, folder, out / "seeds"),
        "two steps": two_steps(processes, folder, out / "steps"),
    }
    dist.destroy_process_group()
    out.with_name(f"{out.name}{rank}").write_bytes(pickle.dumps(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Packed sets that the processes cannot share evenly, some with nothing left for one of them, and an encoder."""
    folder = tmp_path_factory.mktemp("shared")
    for name, count in {"detect": 4, "detect 3": 3, "detect 1": 1, "segment": 5}.items():
        made_sets(folder / name, name.split()[0], (("val", count, 0),))
    made_sets(folder / "labels", sizes=(("train", 11, 0), ("val", 1, 50)))
    packed(folder / "labels" / "first", [RawSample(f"{seed}.png", png(draw(seed)[0]), label=0) for seed in range(7)])
    made_encoder(folder / "encoder.safetensors")
    return folder


@pytest.fixture(scope="module")
def together(folder):
    """What each process finds."""
    out = folder / "together"
    mp.start_processes(all_cases, (folder, out), nprocs=WORLD, start_method="spawn")
    return [pickle.loads(out.with_name(f"together{rank}").read_bytes()) for rank in range(WORLD)]


def test_dense_scores(folder, together):
    alone = dense_scores(0, folder)
    assert all(each["dense"] == alone for each in together)
    for name, text in alone.items():
        values = eval(text, {"nan": float("nan")})
        assert name == "detect 1" or sum(0 < value < 100 for _, _, value in values) >= 3, name


def test_scores_of_a_classifier(folder, together):
    alone = classifier_scores(0, folder)
    assert classifier_scores(1000, folder) != alone
    assert all(each["classifier"] == alone for each in together)


def test_frozen_features_and_what_reads_them(folder, together, tmp_path):
    alone, blocks = frozen_scores(folder, Processes(0, 1, CPU), tmp_path)
    assert len({value for metric, _, value in alone["linear_probe"] if metric != "chosen_block"}) > 2
    for found, features in (each["frozen"] for each in together):
        assert found == alone
        for split, expected in blocks.items():
            for one, other in zip(expected, features[split]):
                np.testing.assert_allclose(other, one, rtol=0, atol=1e-5)


def test_the_mechanism(folder, together):
    alone = mechanism_rows(folder)
    for found in (each["mechanism"] for each in together):
        for one, other in zip(alone, found, strict=True):
            assert [row[:2] for row in one] == [row[:2] for row in other]
            np.testing.assert_allclose([row[2] for row in other], [row[2] for row in one], rtol=1e-4, atol=1e-5)
    assert together[0]["mechanism"][0] == together[1]["mechanism"][0]


def test_a_seed_is_kept_for_all_processes_or_for_none(together):
    assert [each["seeds"] for each in together] == [(1.0, 1.0)] * WORLD


def test_sharded_training_scores_as_replicated(together):
    """After two updates, where only float32's rounding (6e-8 of a value, over sums of some thousand terms) stands
    between the two; later the training amplifies it, differently on each CPU. A fault moves probabilities as much as
    the updates do, by 1e-2 and more. A score counts pixels, and only those with almost equal classes can change sides.
    """
    for each in together:
        replicated, sharded = each["two steps"]
        assert replicated["loss"][1] < replicated["loss"][0] - 0.05 and 0 < replicated["pixel_accuracy", ""] < 100
        for name, value in replicated.items():
            assert sharded[name] == pytest.approx(value, rel=1e-4, abs=1e-4, nan_ok=True), name
