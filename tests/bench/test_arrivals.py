"""The made-up arrivals: delays only add, nothing overtakes, and the truth is what was asked for."""

import numpy as np
import pytest

from heimdall_edge.bench.arrivals import BEGAN_S, MODELS, ScriptedHost, chunks

CHUNK_S, N_CHUNKS = 0.02, 20_000


def made(name, **settings):
    rng = np.random.default_rng(3)
    return chunks(MODELS[name], rng=rng, n_chunks=N_CHUNKS, chunk_s=CHUNK_S, **settings)


@pytest.mark.parametrize("name", MODELS)
def test_no_chunk_is_at_hand_before_it_is_complete_or_before_the_one_ahead_of_it(name):
    stream = made(name)
    arrival_s = np.array(stream.arrival_ns) / 1e9
    assert np.all(arrival_s - (stream.begin_s + CHUNK_S) > 0)
    assert np.all(np.diff(arrival_s) >= 0)
    assert np.max(arrival_s - stream.begin_s) < 2.5


def test_on_wifi_some_chunks_are_late_by_most_of_a_second_and_then_they_are_on_time_again():
    stream = made("wifi")
    late_s = np.array(stream.arrival_ns) / 1e9 - stream.begin_s - CHUNK_S
    assert late_s.max() > 0.5
    assert np.mean(late_s < 0.05) > 0.8


def test_a_loss_and_a_fast_crystal_move_the_truth():
    stream = made("usb", lost_s={100: 0.3})
    assert stream.begin_s[0] == pytest.approx(BEGAN_S)
    assert np.diff(stream.begin_s)[98:101] == pytest.approx([CHUNK_S, CHUNK_S + 0.3, CHUNK_S])
    fast = made("usb", ppm=100.0)
    assert fast.begin_s[-1] - BEGAN_S == pytest.approx((N_CHUNKS - 1) * CHUNK_S / 1.0001)


def test_a_scripted_host_says_what_it_is_told():
    host = ScriptedHost(now_ns=7, utc_offset_ns=100)
    assert (host.monotonic_ns(), host.utc_ns(), host.clock.locked) == (7, 107, True)
