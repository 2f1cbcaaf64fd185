from __future__ import annotations

import math

import pytest

from heimdall_edge.signal.level_floor import LevelFloor


def test_there_is_no_floor_before_two_seconds():
    floor = LevelFloor()
    for _ in range(7):
        floor.add(1e-9, duration_s=0.25)
        assert floor.power is None
    floor.add(1e-9, duration_s=0.25)
    assert 10 * math.log10(floor.power) == pytest.approx(-90, abs=0.1)


def test_it_is_the_level_of_the_quiet_tenth():
    floor = LevelFloor()
    for i in range(200):
        floor.add(1e-6 if i % 5 else 1e-9, duration_s=0.1)
    assert 10 * math.log10(floor.power) == pytest.approx(-90, abs=0.2)


def test_a_value_that_lasted_longer_weighs_more():
    floor = LevelFloor()
    for _ in range(50):
        floor.add(1e-9, duration_s=0.01)
        floor.add(1e-6, duration_s=0.5)
    assert 10 * math.log10(floor.power) == pytest.approx(-60, abs=0.2)


@pytest.mark.parametrize("power", [1e-40, 1e40])
def test_absurd_powers_stay_on_the_scale(power):
    floor = LevelFloor()
    floor.add(power, duration_s=3.0)
    assert -300 <= 10 * math.log10(floor.power) <= 300.1
