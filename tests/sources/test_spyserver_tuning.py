"""Which centre a SpyServer's samples have, while others may move its device."""

from dataclasses import replace

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import (
    ClientSync,
    DeviceInfo,
    Setting,
    ping,
    set_setting,
)
from heimdall_edge.sources.spyserver_tuning import MOST_QUESTIONS, SpyTuning

CENTER_HZ = 446_500_000
INFO = DeviceInfo(1, 7, 6_000_000, 4_800_000, 8, 0, 21, 24_000_000, 1_800_000_000, 12, 1, 0)
SYNC = ClientSync(
    can_control=False,
    gain_index=12,
    device_center_hz=446_000_000,
    iq_center_hz=446_000_000,
    fft_center_hz=446_000_000,
    min_iq_center_hz=444_000_000,
    max_iq_center_hz=448_000_000,
    min_fft_center_hz=446_000_000,
    max_fft_center_hz=446_000_000,
)
OURS = replace(SYNC, iq_center_hz=CENTER_HZ)
S = 1_000_000_000


def question(token, center_hz=CENTER_HZ):
    return set_setting(Setting.IQ_FREQUENCY, center_hz) + ping(token)


@pytest.fixture
def tuning():
    """Has asked for its centre at 0 s, by ping 1."""
    tuning = SpyTuning(info=INFO, sync=SYNC, center_freq_hz=CENTER_HZ)
    assert tuning.ask(CENTER_HZ, 0) == question(1)
    return tuning


@pytest.fixture
def tuned(tuning):
    tuning.heard_sync(OURS, 1)
    assert tuning.heard_pong(1, 2) == b""
    assert not tuning.is_asking
    return tuning


def test_a_centre_is_ours_once_the_server_has_answered(tuning):
    assert tuning.is_asking
    assert tuning.heard_sync(OURS, 1) == b""
    assert tuning.is_asking, "a CLIENT_SYNC may have been under way before we asked"
    assert tuning.heard_pong(1, 2) == b""
    assert not tuning.is_asking


def test_a_server_that_confirms_nothing_but_the_ping_is_believed(tuning):
    assert tuning.heard_pong(1, 2) == b""
    assert not tuning.is_asking


def test_a_server_that_answers_no_ping_is_believed_after_a_while(tuning):
    assert tuning.heard_nothing(S) == b""
    assert tuning.is_asking
    assert tuning.heard_nothing(2 * S) == b""
    assert not tuning.is_asking


@pytest.mark.parametrize("token", [0, 2, None])
def test_the_pong_of_another_ping_says_nothing(tuning, token):
    tuning.heard_pong(token, 1)
    assert tuning.is_asking


def test_a_server_that_says_another_centre_is_asked_again(tuning):
    tuning.heard_sync(SYNC, 1)
    assert tuning.heard_pong(1, 2) == question(2)
    assert tuning.is_asking


def test_a_centre_that_another_client_took_away_is_asked_for_again(tuned):
    moved = replace(SYNC, device_center_hz=447_000_000, iq_center_hz=447_000_000)
    assert tuned.heard_sync(moved, 5 * S) == question(2)
    assert tuned.is_asking
    tuned.heard_sync(OURS, 6 * S)
    assert tuned.heard_pong(2, 6 * S) == b""
    assert not tuned.is_asking


def test_a_device_that_moves_and_leaves_us_our_centre_changes_nothing(tuned):
    assert tuned.heard_sync(replace(OURS, device_center_hz=447_000_000), 5 * S) == b""
    assert not tuned.is_asking


def test_a_device_that_was_moved_away_is_an_error_that_says_where_to(tuned):
    away = replace(
        SYNC,
        device_center_hz=100_000_000,
        iq_center_hz=100_000_000,
        min_iq_center_hz=98_000_000,
        max_iq_center_hz=102_000_000,
    )
    with pytest.raises(SourceError) as caught:
        tuned.heard_sync(away, 5 * S)
    assert str(caught.value) == (
        "centre 446500000 Hz: its device stands at 100000000 Hz and is not ours to move; "
        "now 98000000…102000000 Hz"
    )
    assert caught.value.pause_s == 60


def test_a_quarrel_is_left(tuned):
    for number in range(MOST_QUESTIONS):
        assert tuned.heard_sync(SYNC, number * S)
        tuned.heard_sync(OURS, number * S)
        tuned.heard_pong(2 + number, number * S)
    with pytest.raises(SourceError, match="asked for it 6 times within 60 s") as caught:
        tuned.heard_sync(SYNC, MOST_QUESTIONS * S)
    assert caught.value.pause_s == 300


def test_questions_long_ago_are_no_quarrel(tuned):
    for number in range(3 * MOST_QUESTIONS):
        assert tuned.heard_sync(SYNC, 11 * number * S)
        tuned.heard_sync(OURS, 11 * number * S)
        tuned.heard_pong(2 + number, 11 * number * S)
        assert not tuned.is_asking


def test_where_we_control_the_device_its_own_range_counts():
    sync = replace(SYNC, can_control=True, min_iq_center_hz=0, max_iq_center_hz=0)
    tuning = SpyTuning(info=INFO, sync=sync, center_freq_hz=CENTER_HZ)
    assert tuning.ask(24_000_000, 0) == question(1, 24_000_000)
    assert tuning.center_freq_hz == 24_000_000
    with pytest.raises(SourceError, match="reaches 24000000…1800000000 Hz"):
        tuning.ask(23_999_999, 0)
    assert tuning.center_freq_hz == 24_000_000
