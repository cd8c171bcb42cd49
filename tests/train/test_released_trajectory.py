"""Twenty micro-steps of pre-training follow the released loop: model, groups, schedule and AdamW together."""

import pytest
from official_runs import TRAJECTORIES, check_trajectory, check_trajectory_in_float32


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_float64_repeats_the_released_run(name):
    check_trajectory(name)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_float32_stays_close_to_it(name):
    check_trajectory_in_float32(name)
