from __future__ import annotations

import json
import math
import struct
from itertools import pairwise

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.channel_levels import Moment
from heimdall_edge.sources.openwebrx_feed import MAX_MALFORMED, OpenWebRxFeed
from heimdall_edge.types import ClockSource, ClockState, Listening, Observation, Place, ReceiverInfo
from tests.emulators.adpcm_encoder import encode

START = 1_790_000_000 * 10**9
PERIOD_S = 0.1
RECEIVER = ReceiverInfo("s", "r", Place(50.0, 9.0, 100.0, antenna_height_m=12.0))
A = Channel(name="a", frequency_hz=145.0125e6)
B = Channel(name="b", frequency_hz=145.05e6)
SIZE = 512
BAND = {"center_freq": 145.0e6, "samp_rate": 250e3, "sdr_id": "rtl", "profile_id": "2m"}
ELSEWHERE = {"center_freq": 438.0e6, "samp_rate": 250e3, "sdr_id": "rtl", "profile_id": "70cm"}


class Connection:
    """A feed, and the server's side of it in scripted time; noise at -90 dB in each channel."""

    def __init__(self, *, channels=(A, B), compression="none", **settings) -> None:
        self.feed = OpenWebRxFeed(receiver=RECEIVER, channels=channels, **settings)
        self.compression, self.size = compression, SIZE
        self.now_s, self.said = 0.0, []
        self.rng = np.random.default_rng(1)
        self.config({"fft_size": SIZE, "fft_compression": compression})

    def take(self, message: str | bytes) -> None:
        clock = ClockState(ClockSource.NTP, sigma_s=0.01, locked=True)
        moment = Moment(START + round(self.now_s * 1e9), self.now_s, clock)
        self.said += self.feed.take(message, moment)

    def tell(self, kind: str, value: object = None, **more: object) -> None:
        self.take(json.dumps({"type": kind, "value": value, **more}))

    def config(self, value: dict) -> Connection:
        self.tell("config", value)
        return self

    def rows(self, seconds: float, *, meter_db: float | None = None, **levels_db: float):
        """Rows (and S-meter readings) in which channels have levels, spread over 8 kHz."""
        for n in range(round(seconds / PERIOD_S)):
            self.now_s += PERIOD_S
            self.take(b"\x01" + self.row(**levels_db))
            if meter_db is not None and n % 3 == 2:
                self.tell("smeter", 10 ** (meter_db / 10))
        return self

    def row(self, **levels_db: float) -> bytes:
        bin_hz = 250e3 / self.size
        power = np.full(self.size, 1e-9 * bin_hz / 12.5e3)
        for channel in (A, B):
            if channel.name in levels_db:
                middle = (channel.frequency_hz - 145e6) / bin_hz + self.size / 2
                bins = slice(round(middle - 8), round(middle + 8))
                power[bins] += 10 ** (levels_db[channel.name] / 10) / 16
        power *= self.rng.gamma(50, 1 / 50, self.size)
        level_db = 10 * np.log10(power * self.size**2 * 0.3974e-7)
        if self.compression == "none":
            return struct.pack(f"<{self.size}f", *level_db)
        hundredths = (level_db * 100).astype(int).tolist()
        return encode([hundredths[0]] * 10 + hundredths)

    def heard(self, channel: str) -> list[Observation]:
        return [s for s in self.said if isinstance(s, Observation) and s.channel == channel]

    def listened(self, channel: str) -> list[Listening]:
        return [s for s in self.said if isinstance(s, Listening) and channel in s.limit_dbfs]

    def noted(self, event: str) -> list:
        return [note for note in self.feed.notes if note.event == event]


def at(seconds: float) -> int:
    return START + round(seconds * 1e9)


def test_nothing_is_said_before_the_band_is_whole():
    connection = Connection().rows(3)
    assert connection.said == []
    assert connection.feed.listens_to == ()
    assert connection.config(BAND).feed.listens_to == ("a", "b")


def test_rows_give_each_channel_its_transmissions():
    connection = Connection().config(BAND).rows(10).rows(1, a=-60).rows(2, b=-70).rows(2)
    (a,), (b,) = connection.heard("a"), connection.heard("b")
    assert (a.start_utc_ns, a.end_utc_ns) == (at(10), at(11))
    assert (b.start_utc_ns, b.end_utc_ns) == (at(11), at(13))
    assert a.level_dbfs == pytest.approx(-60, abs=0.3)
    assert b.level_dbfs == pytest.approx(-70, abs=0.3)
    assert a.noise_floor_dbfs == pytest.approx(-90, abs=0.3)
    assert a.mel is not None
    assert connection.listened("a")[-1].limit_dbfs["a"] == pytest.approx(-82, abs=0.3)
    assert connection.feed.outgoing == []


def test_stamps_admit_the_way_through_the_net_and_are_never_shared():
    (a,) = Connection().config(BAND).rows(10).rows(1, a=-60).rows(2).heard("a")
    assert a.clock.sigma_s == pytest.approx(math.hypot(0.01, 0.3, 0.1), rel=0.02)
    assert not a.clock.locked
    assert not a.clock.shares_time_base


def test_the_feed_s_least_duration_holds():
    connection = Connection(min_duration_s=0.3).config(BAND).rows(10).rows(0.2, a=-60).rows(2)
    assert connection.heard("a") == []


def test_while_the_band_is_elsewhere_nothing_is_claimed_and_it_is_noted_once():
    connection = Connection().config(BAND).rows(10)
    connection.config(ELSEWHERE)
    n_said = len(connection.said)
    connection.rows(10, a=-60)
    assert connection.feed.listens_to == ()
    assert connection.said[n_said:] == []
    assert [note.is_warning for note in connection.noted("band")] == [False, True]
    assert connection.noted("band")[-1].fields["outside"] == "a,b"


def test_when_the_band_returns_listening_begins_anew_and_the_gap_stays_a_gap():
    connection = Connection().config(BAND).rows(10).config(ELSEWHERE).rows(10)
    connection.config(BAND).rows(10).rows(1, a=-60).rows(1)
    told = connection.listened("a")
    gaps = [
        (before.end_utc_ns, after.start_utc_ns)
        for before, after in pairwise(told)
        if after.start_utc_ns != before.end_utc_ns
    ]
    assert gaps == [(at(10), pytest.approx(at(21), abs=2e8))]
    assert [o.start_utc_ns for o in connection.heard("a")] == [at(30)]


def test_a_change_ends_what_is_open():
    connection = Connection().config(BAND).rows(10).rows(1, a=-60).config(ELSEWHERE)
    (a,) = connection.heard("a")
    assert a.end_utc_ns == at(11)


def test_rows_still_on_their_way_after_a_change_are_passed_over():
    connection = Connection().config(ELSEWHERE).rows(5).config(BAND)
    connection.rows(0.8, a=-20).rows(10)
    assert connection.heard("a") == []
    assert connection.listened("a")[0].start_utc_ns >= at(6)


def test_a_repeated_configuration_changes_nothing():
    connection = Connection().config(BAND).rows(10).rows(0.5, a=-60).config(BAND)
    connection.config({"max_clients": 7}).rows(0.5, a=-60).rows(2)
    (a,) = connection.heard("a")
    assert a.duration_s == pytest.approx(1.0)


def test_a_configuration_that_is_taken_back_ends_listening():
    connection = Connection().config(BAND).rows(10).config({"center_freq": None}).rows(5)
    assert connection.feed.listens_to == ()
    assert not connection.feed.is_settled(connection.now_s)
    assert connection.listened("a")[-1].end_utc_ns <= at(10)


def test_a_larger_fft_keeps_the_levels():
    connection = Connection(channels=[A]).config(BAND).rows(10).rows(1, a=-60).rows(1)
    before = connection.heard("a")[0].level_dbfs
    connection.size = 2 * SIZE
    connection.config({"fft_size": 2 * SIZE}).rows(10).rows(1, a=-60).rows(1)
    assert connection.heard("a")[1].level_dbfs == pytest.approx(before, abs=0.3)


# ── compressed rows, and the S-meter ──────────────────────────────────────────────────────


def test_compressed_rows_put_the_meter_on_the_first_channel():
    connection = Connection(compression="adpcm").config(BAND)
    texts = [json.loads(text) for text in connection.feed.outgoing]
    assert texts[1]["params"]["offset_freq"] == 12_500
    assert texts[2]["action"] == "start"
    assert [n.fields["channels"] for n in connection.noted("levels_from_compressed_rows")] == ["b"]
    connection.rows(10, meter_db=-90).rows(3, a=-60, b=-60, meter_db=-60).rows(2, meter_db=-90)
    (a,), (b,) = connection.heard("a"), connection.heard("b")
    assert a.level_dbfs == pytest.approx(-60, abs=0.1)
    assert a.mel is None
    assert a.clock.sigma_s == pytest.approx(math.hypot(0.01, 0.3, 0.25), rel=0.01)
    assert b.level_dbfs == pytest.approx(-60, abs=2.0)
    assert connection.listened("a")[-1].limit_dbfs["a"] == pytest.approx(-82, abs=0.2)
    assert connection.listened("b")[-1].limit_dbfs["b"] == math.inf


def test_the_meter_is_tuned_again_after_each_change():
    connection = Connection(compression="adpcm").config(BAND)
    connection.feed.outgoing.clear()
    connection.config(ELSEWHERE)
    assert connection.feed.outgoing == []
    connection.config(BAND)
    assert len(connection.feed.outgoing) == 3


def test_a_meter_that_says_nothing_is_given_up_for_the_rows():
    connection = Connection(compression="adpcm").config(BAND).rows(20).rows(2, a=-60).rows(2)
    assert [n.fields["channel"] for n in connection.noted("meter_is_silent")] == ["a"]
    (a,) = connection.heard("a")
    assert a.mel is not None
    assert connection.listened("a")[-1].limit_dbfs["a"] == math.inf


def test_a_meter_nobody_asked_for_is_passed_over():
    connection = Connection().config(BAND).rows(10, meter_db=-20)
    assert connection.heard("a") == []


def test_a_channel_too_narrow_for_anything_is_named():
    narrow = [Channel(name=n, frequency_hz=145e6, bandwidth_hz=500) for n in ("x", "y")]
    connection = Connection(channels=narrow).config(BAND)
    assert connection.feed.listens_to == ("x",)
    (note,) = connection.noted("channels_too_narrow")
    assert note.fields["channels"] == "y"


# ── where it is ───────────────────────────────────────────────────────────────────────────

DETAILS = {"receiver_gps": {"lat": 45.0, "lon": 7.0}, "receiver_asl": 300}


def test_the_owner_s_place_is_taken_where_the_configuration_has_none():
    connection = Connection(place_is_theirs=True)
    connection.tell("receiver_details", DETAILS)
    connection.config(BAND).rows(10).rows(1, a=-60).rows(2)
    assert connection.heard("a")[0].receiver.place == Place(45.0, 7.0, 300.0, antenna_height_m=12.0)
    assert connection.listened("a")[0].receiver.place.latitude_deg == 45.0


def test_the_configured_place_stands():
    connection = Connection()
    connection.tell("receiver_details", DETAILS)
    connection.config(BAND).rows(10).rows(1, a=-60).rows(2)
    assert connection.heard("a")[0].receiver == RECEIVER


def test_the_place_of_a_new_installation_is_no_place():
    connection = Connection(place_is_theirs=True)
    connection.tell("receiver_details", {"receiver_gps": {"lat": 47.0, "lon": 19.0}})
    assert connection.feed.place is None


# ── refusals and nonsense ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reason", "pause_s"),
    [("Too many clients", 600.0), ("Client address banned", 3600.0), (None, 600.0)],
)
def test_being_sent_away_asks_for_a_pause_of_minutes(reason, pause_s):
    with pytest.raises(SourceError, match=reason or "no reason") as refusal:
        Connection().tell("backoff", reason=reason)
    assert refusal.value.pause_s == pause_s


def test_a_server_without_a_device_is_left_alone_for_a_while():
    with pytest.raises(SourceError, match="No SDR Devices available") as refusal:
        Connection().tell("sdr_error", "No SDR Devices available")
    assert refusal.value.pause_s == 300.0


@pytest.mark.parametrize("kind", ["demodulator_error", "log_message"])
def test_other_faults_are_noted(kind):
    connection = Connection()
    connection.tell(kind, "something")
    assert connection.noted(kind)[0].fields == {"text": "something"}


def test_nonsense_is_noted_once_and_after_a_while_is_the_end():
    connection = Connection().config(BAND)
    for _ in range(MAX_MALFORMED - 1):
        connection.take(b"\x01short")
    assert len(connection.noted("message_refused")) == 1
    connection.rows(1)
    for _ in range(MAX_MALFORMED - 1):
        connection.take("{")
    with pytest.raises(SourceError, match=rf"{MAX_MALFORMED} malformed .*512 bins"):
        connection.take(b"\x01short")


def test_flush_gives_what_is_open():
    connection = Connection().config(BAND).rows(10).rows(1, a=-60)
    assert [o.channel for o in connection.feed.flush()] == ["a"]
    assert connection.feed.flush() == []
