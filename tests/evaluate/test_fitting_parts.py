"""Scoring survives a device that has not enough memory for a batch, and gives the same numbers."""

import pytest
import torch
from evaluations import CLASSIFIER, TRAIN, evaluated, made_encoder, made_sets, small

from simmim.evaluate.fitting_parts import FittingParts
from simmim.layers.normaliser import ImageNormaliser
from simmim.train import speed

SHORT = TRAIN | {"epochs": 1, "warmup_epochs": 0}


def limited(most):
    """What makes of a part the list of its samples, on a device with room for so many."""

    def result_of(samples):
        if len(samples) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(samples)

    return result_of


@pytest.mark.parametrize(("at_once", "most", "sizes"), [(4, 9, [4, 4, 2]), (8, 3, [2] * 5), (5, 1, [1] * 10)])
def test_a_part_that_does_not_fit_is_halved_and_so_are_those_after_it(at_once, most, sizes):
    parts, samples = FittingParts(at_once), range(3, 33, 3)
    found = list(parts.results(samples, limited(most)))
    assert [len(part) for part, _ in found] == sizes
    assert [sample for _, result in found for sample in result] == list(samples)
    assert [list(part) for part, _ in found] == [result for _, result in found]
    assert next(iter(parts.results(samples, limited(most))))[0] == samples[: sizes[0]]  # remembered


def test_one_image_that_does_not_fit_is_said():
    with pytest.raises(ValueError, match="no memory for one image: CUDA out of memory; use a GPU with more"):
        list(FittingParts(8).results(range(8), limited(0)))


@pytest.mark.parametrize("task", ["finetune", "knn", "detect", "segment"])
def test_every_task_scores_the_same_in_the_parts_that_fit(task, tmp_path, monkeypatch, capsys):
    dense = task if task in ("detect", "segment") else ""
    settings, train = {"finetune": (CLASSIFIER, SHORT), "knn": (None, None)}.get(task, (None, SHORT))
    config = small(task, settings, train)
    encoder, data = made_encoder(tmp_path / "encoder.safetensors"), made_sets(tmp_path / "data", dense)
    before, _ = evaluated(config, [encoder], data, tmp_path / "free" / "rows.parquet")
    forward, refused = ImageNormaliser.forward, []

    def with_room_for_one(self, images):
        if len(images) > 1 and not torch.is_grad_enabled():
            refused.append(len(images))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(ImageNormaliser, "forward", with_room_for_one)
    after, _ = evaluated(config, [encoder], data, tmp_path / "tight" / "rows.parquet")
    assert refused and "do not fit the device's memory: going on with 1" in capsys.readouterr().out
    before, after = (each[~each["metric"].isin(speed.METRICS)] for each in (before, after))
    assert after["value"].tolist() == pytest.approx(before["value"].tolist(), abs=1e-3, nan_ok=True)
    assert after["metric"].tolist() == before["metric"].tolist()
