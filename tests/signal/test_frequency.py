from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.signal.frequency import frequency_offset, vertex
from tests.signal.emissions import noise_like, spectra

MAX_DELAY_S = 3e-4


@pytest.mark.parametrize("offset_hz", [-0.31, 0.0, 0.04, 7.77])
@pytest.mark.parametrize("delay_s", [None, 8e-5])
def test_the_frequency_offset_has_its_sign_and_is_sought_at_any_delay(offset_hz, delay_s):
    rng = np.random.default_rng(4)
    late, early = spectra(rng, noise_like(rng), 8e-5, offset_hz=offset_hz)
    found_hz = frequency_offset(late, early, 20.0, MAX_DELAY_S, delay_s=delay_s)
    assert found_hz == pytest.approx(offset_hz, abs=0.03)


def test_the_vertex_of_a_sampled_parabola_is_exact():
    at = np.arange(7)
    height = (10 - (at - 3.3) ** 2).astype(np.float32)
    assert vertex(height, int(np.argmax(height))) == pytest.approx(0.3, abs=1e-5)


def test_a_flat_top_has_its_vertex_where_it_is():
    assert vertex(np.ones(5, np.float32), 2) == 0.0
