"""The batch sampler: equal shares, no sample lost, and the same samples for any number of processes."""

import itertools

import pytest

from simmim.config.training import TrainSettings
from simmim.rng import epoch_order
from simmim.train.batch_sampler import BatchSampler

SAMPLER = {"samples": 50, "batch": 12, "micro_batch": 12, "steps": 25, "seed": 3}


def step_keys(step, **changes):
    """All keys of a step over all ranks, in order."""
    world = changes.pop("world", 1)
    keys = []
    for rank in range(world):
        sampler = BatchSampler(**(SAMPLER | changes), world=world, rank=rank, start_step=step)
        keys += itertools.chain(*itertools.islice(sampler, sampler.accumulation))
    return keys


def test_every_sample_comes_once_per_epoch_even_over_the_end_of_an_epoch():
    keys = [key for step in range(25) for key in step_keys(step)]
    assert len(keys) == 300
    assert sorted(keys) == [(epoch, sample) for epoch in range(6) for sample in range(50)]


@pytest.mark.parametrize("step", [0, 4, 24])
@pytest.mark.parametrize(("world", "micro_batch"), [(1, 3), (2, 6), (3, 1), (4, 12)])
def test_ranks_and_micro_batches_only_share_out_the_same_keys(step, world, micro_batch):
    assert step_keys(step, world=world, micro_batch=micro_batch) == step_keys(step)


def test_accumulation_is_the_fewest_even_micro_batches_that_fit():
    assert BatchSampler(**(SAMPLER | {"micro_batch": 5})).accumulation == 3
    assert BatchSampler(**(SAMPLER | {"micro_batch": 100})).accumulation == 1


def test_settings_and_sampler_agree_on_the_size_of_a_micro_batch():
    for batch, micro_batch, world in itertools.product((1, 6, 7, 12), (1, 4, 5, 100), (1, 2, 3)):
        at_once = TrainSettings(epochs=1, batch=batch, micro_batch=micro_batch, base_lr=1.0).images_at_once(world)
        if batch % world == 0:
            sampler = BatchSampler(**(SAMPLER | {"batch": batch, "micro_batch": micro_batch}), world=world)
            assert {len(keys) for keys in sampler} == {at_once}
    assert TrainSettings(epochs=1, batch=1, base_lr=1.0).images_at_once(2) == 0


def _remark(batch, micro_batch, world=1):
    return BatchSampler(**(SAMPLER | {"batch": batch, "micro_batch": micro_batch}), world=world).remark


def test_micro_batches_far_below_what_is_allowed_are_remarked_with_the_nearest_batch_that_has_none():
    assert _remark(262, 128) == (
        "131 micro-batches of 2 make an update: no larger number up to train.micro_batch=128 divides the 262 "
        "images of a process; faster: train.batch=261, micro-batches of 87"
    )
    assert _remark(2 * 262, 128, world=2).endswith("faster: train.batch=522, micro-batches of 87")
    assert _remark(7, 4).endswith("faster: train.batch=6, micro-batches of 3")
    for fitting in ((256, 128), (130, 128), (5, 128), (1, 128), (6, 1), (12, 5)):
        assert not _remark(*fitting), "half of what is allowed, or more"


def test_a_batch_larger_than_the_data_set_takes_several_epochs():
    sampler = BatchSampler(samples=5, batch=12, micro_batch=12, steps=1, seed=0)
    assert [epoch for epoch, _ in sampler.keys(0)] == [0] * 5 + [1] * 5 + [2] * 2


def test_repeated_augmentation_shows_a_third_of_the_images_three_times_with_other_draws():
    keys = [key for step in range(25) for key in step_keys(step, repeats=3)]
    for epoch in range(6):
        mine = keys[50 * epoch : 50 * (epoch + 1)]
        images = [image for _, image in mine]
        assert images[0:48:3] == images[1:48:3] == images[2:48:3]
        assert len(set(images)) == 17  # 16 three times, one twice
        assert [draw for draw, _ in mine[:6]] == [3 * epoch, 3 * epoch + 1, 3 * epoch + 2] * 2
    assert len(set(keys)) == 300
    assert len({image for _, image in keys}) > 40
    assert step_keys(4, repeats=3, world=4, micro_batch=1) == step_keys(4, repeats=3)


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(("samples", "batch"), [(50, 12), (5, 12), (12, 12), (7, 1)])
def test_a_process_computes_its_own_part_of_the_batch(monkeypatch, samples, batch, repeats):
    settings = {"samples": samples, "batch": batch, "micro_batch": 4, "steps": 9, "seed": 3, "repeats": repeats}
    whole, orders = BatchSampler(**settings), [epoch_order(3, epoch, samples).tolist() for epoch in range(120)]
    places = [divmod(position, samples) for position in range(9 * batch)]
    keys = [(epoch * repeats + at % repeats, orders[epoch][at // repeats]) for epoch, at in places]
    assert [key for step in range(9) for key in whole.keys(step)] == keys
    assert {type(number) for key in whole.keys(0) for number in key} == {int}
    world, asked = min(batch, 3), []
    monkeypatch.setattr(
        BatchSampler, "keys", lambda *asks, plain=BatchSampler.keys: asked.append(plain(*asks)) or asked[-1]
    )
    for rank in range(world):
        list(BatchSampler(**settings, world=world, rank=rank))
    assert {len(part) for part in asked} == {batch // world}


def test_impossible_shares_are_refused():
    with pytest.raises(ValueError, match="batch 12 cannot be shared by 5 processes"):
        BatchSampler(**SAMPLER, world=5)
    with pytest.raises(ValueError, match="no samples"):
        BatchSampler(**(SAMPLER | {"samples": 0}))


def test_another_seed_is_another_order_of_the_same_samples():
    (first,), (second,) = ([step_keys(0, batch=50, micro_batch=50, seed=seed)] for seed in (3, 4))
    assert first != second and sorted(first) == sorted(second)


def test_sampling_begins_at_the_step_where_a_run_goes_on():
    whole, rest = ([*BatchSampler(**SAMPLER, start_step=start)] for start in (0, 20))
    assert rest == whole[20:] and len(whole) == 25


def test_passes_over_the_data():
    assert BatchSampler(**SAMPLER).epoch(25) == 6
