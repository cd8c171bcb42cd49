"""Keyed random numbers: the published generator, and independence of everything but the key."""

import numpy as np
import pytest

from simmim.rng import KeyedGenerator, epoch_order, philox, seed_for


def words(*values):
    return tuple(np.array([value], dtype=np.uint64) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    assert tuple(int(word[0]) for word in philox(words(*counter), words(*key))) == expected


def test_a_sample_s_numbers_do_not_depend_on_its_batch():
    batch = KeyedGenerator(3, 5, np.arange(100), "mask").uniform(9)
    alone = KeyedGenerator(3, 5, np.array([42]), "mask").uniform(9)
    np.testing.assert_array_equal(batch[42], alone[0])


def test_epochs_may_differ_inside_a_batch():
    mixed = KeyedGenerator(0, np.array([7, 8]), np.array([1, 1]), "crop").uniform(4)
    np.testing.assert_array_equal(mixed[1], KeyedGenerator(0, 8, np.array([1]), "crop").uniform(4)[0])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"samples": np.array([1])}, {"purpose": "crop"}])
def test_every_part_of_the_key_changes_the_stream(change):
    key = {"seed": 0, "epoch": 0, "samples": np.array([0]), "purpose": "mask"}
    assert (KeyedGenerator(**key).uniform(8) != KeyedGenerator(**(key | change)).uniform(8)).any()


def test_draws_are_uniform_and_never_repeat_within_a_stream():
    draws = KeyedGenerator(0, 0, np.arange(2000), "mask").uniform(50)
    assert abs(draws.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.08
    generator = KeyedGenerator(0, 0, np.array([0]), "mask")
    first, second = generator.uniform(6), generator.uniform(6)
    assert (first != second).all()


def test_an_epoch_visits_every_sample_once_in_an_order_of_its_own():
    orders = [epoch_order(0, epoch, 1000) for epoch in (0, 1)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (orders[0] != orders[1]).mean() > 0.9


def test_a_seed_outside_32_bits_is_refused():
    with pytest.raises(ValueError, match="seed -1"):
        seed_for(-1, 0, 0, "mask")
