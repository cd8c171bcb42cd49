"""Probe and neighbours: which images choose the block, which are scored, and how neighbours are weighed."""

import numpy as np
import pytest
import torch
from evaluation_tasks import task_of

from simmim.evaluate.feature_rows import Features, rows_of_blocks, split_held_out
from simmim.evaluate.knn.settings import KnnSettings
from simmim.evaluate.knn.vote import accuracy
from simmim.evaluate.linear_probe.settings import LinearProbeSettings

CPU = torch.device("cpu")
KNN = KnnSettings(neighbours=3, held_out=0.5)


def features(blocks, labels):
    return Features(
        [np.asarray(block, dtype=np.float32) for block in blocks], torch.tensor(labels), torch.arange(len(labels))
    )


def clusters(labels, sharp, seed):
    """Points [n, 2] of two directions that tell the classes, or with `sharp` False tell the opposite."""
    angles = np.where(np.asarray(labels) == (1 if sharp else 0), 0.0, np.pi / 2)
    angles = angles + 0.05 * np.random.default_rng(seed).standard_normal(len(labels))
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


LABELS = [0, 1] * 10
# In the training set block 1 tells the classes and block 2 is noise; in the evaluation set block 1 misleads.
TRAIN = features([clusters(LABELS, True, 0), np.random.default_rng(1).standard_normal((20, 2))], LABELS)
VAL = features([clusters(LABELS[:6], False, 2), clusters(LABELS[:6], True, 3)], LABELS[:6])


def values(rows, metric, part):
    (value,) = [value for name, where, value in rows if (name, where) == (metric, part)]
    return value


def test_rows_of_blocks():
    assert rows_of_blocks([10.0, 30.0, 20.0], [1.0, 2.0, 3.0]) == [
        ("selection_top1", "block 1", 10.0),
        ("selection_top1", "block 2", 30.0),
        ("selection_top1", "block 3", 20.0),
        ("top1", "block 1", 1.0),
        ("top1", "block 2", 2.0),
        ("top1", "block 3", 3.0),
        ("top1", "chosen", 2.0),
        ("chosen_block", "", 2),
    ]
    assert rows_of_blocks([5.0, 5.0], [1.0, 2.0])[-1] == ("chosen_block", "", 1), "the first of equals"


def test_the_block_is_chosen_on_training_images_though_another_is_best_on_the_evaluation_set():
    task = task_of("knn", KNN, features={"train": TRAIN, "val": VAL})
    rows = task.score(None, "val")
    assert values(rows, "selection_top1", "block 1") == 100 > values(rows, "selection_top1", "block 2")
    assert values(rows, "chosen_block", "") == 1
    assert values(rows, "top1", "chosen") == values(rows, "top1", "block 1") == 0


def test_the_probe_is_trained_on_what_is_kept_and_chosen_on_what_is_held_out():
    settings = LinearProbeSettings(held_out=0.25)
    task = task_of("linear_probe", settings, seed=3, features={"train": TRAIN, "val": VAL})
    kept, held_out = split_held_out(TRAIN, 0.25, 3)
    assert len(task.dataset()) == len(kept) == 15 and len(held_out) == 5
    batch = task.dataset().__getitems__([(0, place) for place in range(15)])
    for block in range(2):
        raw = kept.read(block)
        torch.testing.assert_close(batch["features"][block], (raw - raw.mean(0)) / raw.std(0))
    assert torch.equal(batch["labels"], kept.labels)
    module = task.module()
    assert [tuple(head.weight.shape) for head in module.heads] == [(2, 2), (2, 2)]
    scored = []
    module.accuracies = lambda part: scored.append(part) or [float(len(part)), 50.0]
    rows = task.score(module, "val")
    for part, raw in zip(scored, (held_out, VAL)):
        expected = (raw.read(1) - kept.read(1).mean(0)) / kept.read(1).std(0)
        torch.testing.assert_close(part.read(1), expected)
    assert [len(part) for part in scored] == [5, 6]
    assert values(rows, "selection_top1", "block 1") == 5 and values(rows, "top1", "block 1") == 6


def test_the_neighbours_of_held_out_images_are_kept_ones_and_of_evaluation_images_all(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "simmim.evaluate.knn.task.accuracy",
        lambda bank, queries, block, *_: asked.append((block, len(bank), len(queries))) or 0.0,
    )
    task_of("knn", KnnSettings(held_out=0.2), features={"train": TRAIN, "val": VAL}).score(None, "val")
    assert asked == [(0, 16, 4), (1, 16, 4), (0, 20, 6), (1, 20, 6)]


@pytest.mark.parametrize("share, count", [(0.25, 5), (0.01, 1), (0.5, 10)])
def test_parts_of_the_training_set_share_no_image(share, count):
    kept, held_out = split_held_out(TRAIN, share, 0)
    rows = kept.rows.tolist() + held_out.rows.tolist()
    assert len(held_out) == count and sorted(rows) == list(range(20))
    assert held_out.rows.tolist() != split_held_out(TRAIN, share, 1)[1].rows.tolist(), "another seed, other images"
    assert torch.equal(held_out.labels, TRAIN.labels[held_out.rows])


@pytest.mark.parametrize(
    ("images", "share", "message"),
    [
        (8, 0.95, "settings.held_out=0.95 of 8 training images leaves none to learn from; lower it"),
        (1, 0.1, "settings.held_out=0.1 of 1 training images leaves none to learn from; two are the fewest"),
    ],
)
def test_a_share_that_leaves_no_image_to_learn_from_is_refused(images, share, message):
    """Neighbours among none chose block 1 at 0.0 %."""
    few = TRAIN.part(torch.arange(images))
    with pytest.raises(ValueError, match=message):
        task_of("knn", KnnSettings(held_out=share), features={"train": few, "val": VAL}).score(None, "val")


def bank_of(cosines, labels):
    """A bank at these cosines to the query (1, 0)."""
    cosines = np.asarray(cosines)
    return features([np.stack((cosines, np.sqrt(1 - cosines**2)), axis=1)], labels)


def test_a_near_neighbour_outweighs_two_far_ones():
    query, bank = features([[[2.0, 0.0]]], [0]), bank_of([0.99, 0.6, 0.6, 0.0], [0, 1, 1, 1])
    assert accuracy(bank, query, 0, KnnSettings(neighbours=3), 2, CPU) == 100
    flat = KnnSettings(neighbours=3, temperature=100.0)
    assert accuracy(bank, query, 0, flat, 2, CPU) == 0, "equal weights: the majority"


def test_votes_are_exponentials_of_cosine_over_temperature():
    """exp(0.8 / T) against 2 exp(0.6 / T): they are equal at T = 0.2 / ln 2 = 0.289."""
    query, bank = features([[[1.0, 0.0]]], [0]), bank_of([0.8, 0.6, 0.6], [0, 1, 1])
    for temperature, right in ((0.28, 100), (0.30, 0)):
        settings = KnnSettings(neighbours=3, temperature=temperature)
        assert accuracy(bank, query, 0, settings, 2, CPU) == right


def test_weights_that_float32_cannot_hold_are_refused():
    query, bank = features([[[1.0, 0.0]]], [1]), bank_of([0.95, 1.0], [0, 1])
    assert accuracy(bank, query, 0, KnnSettings(neighbours=2, temperature=0.0125), 2, CPU) == 100
    endless = KnnSettings.model_construct(neighbours=2, temperature=0.01)
    assert accuracy(bank, query, 0, endless, 2, CPU) == 0, "both votes are infinite"
    with pytest.raises(ValueError, match=r"temperature\n.* greater than or equal to 0.0125"):
        KnnSettings(temperature=0.01)


def test_only_k_neighbours_vote():
    query, bank = features([[[1.0, 0.0]]], [1]), bank_of([0.9, 0.85, 0.84, 0.83, 0.82], [1, 0, 0, 0, 0])
    for neighbours, right in ((1, 100), (2, 100), (5, 0)):
        settings = KnnSettings(neighbours=neighbours, temperature=0.07)
        assert accuracy(bank, query, 0, settings, 2, CPU) == right


def test_length_of_a_feature_does_not_matter():
    bank = features([[[10.0, 10.0], [0.1, 0.0]]], [1, 0])
    assert accuracy(bank, features([[[1.0, 0.1]]], [0]), 0, KnnSettings(neighbours=1), 2, CPU) == 100
