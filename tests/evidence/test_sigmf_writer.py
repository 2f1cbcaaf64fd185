"""Recordings on disk: by the standard's own validator, and by our own reader."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sigmf

from heimdall_edge.evidence.clip import Clip
from heimdall_edge.evidence.sigmf_writer import EmptyClipError, write_clip
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.sources.recording import RecordingSource
from heimdall_edge.types import NS_PER_S, Place, ReceiverInfo

from .radio import (
    CENTER_HZ,
    CHANNELS,
    RATE_HZ,
    RECEIVER,
    START_UTC_NS,
    blocks,
    clip,
    observation,
    observed,
    with_gap,
)


def written(folder: Path, of: Clip) -> dict:
    write_clip(of, folder, "x.1_rx_c_0")
    return json.loads((folder / "x.1_rx_c_0.sigmf-meta").read_text())


def replayed(folder: Path):
    source = RecordingSource(path=folder / "x.1_rx_c_0.sigmf-meta")
    source.open()
    found = list(source.blocks())
    source.close()
    return found


def samples_of(found):
    return np.concatenate([b.samples for b in found])


@pytest.mark.parametrize("whole_band", [True, False])
def test_the_standards_own_validator_takes_it(tmp_path, whole_band):
    made = with_gap(blocks(2.0), at=30, lost=5_000)
    heard = [observation(0.5, 0.5), observation(1.0, 0.7, channel="pmr8", bandwidth_hz=9e3)]
    kept = heard if whole_band else heard[:1]
    document = written(tmp_path, clip(made, *kept, whole_band=whole_band))
    recording = sigmf.sigmffile.fromfile(str(tmp_path / "x.1_rx_c_0.sigmf-meta"))
    recording.validate()
    assert recording.calculate_hash() == document["global"]["core:sha512"]
    n_samples = recording.sample_count
    for entry in document["annotations"]:
        assert entry["core:sample_start"] >= 0
        assert 0 < entry["core:sample_count"] <= n_samples - entry["core:sample_start"]


def test_our_own_reader_gives_back_what_was_kept(tmp_path):
    made = with_gap(blocks(2.0, gain_db=28.0), at=30, lost=5_000)
    written(tmp_path, clip(made, observation()))
    found = replayed(tmp_path)
    assert np.array_equal(samples_of(found), samples_of(made))
    assert sum(b.lost_samples for b in found) == 5_000
    assert found[0].start_utc_ns == made[0].start_utc_ns
    assert found[-1].end_utc_ns == made[-1].end_utc_ns
    assert {b.gain_db for b in found} == {28.0}
    assert found[0].sample_rate_hz == RATE_HZ
    assert found[0].center_freq_hz == CENTER_HZ
    assert found[0].place.latitude_deg == 45.0
    assert found[0].place.longitude_deg == 7.0
    assert found[0].place.altitude_m == 1200.0


@pytest.mark.parametrize("whole_band", [True, False])
def test_a_replay_finds_the_burst_again(tmp_path, whole_band):
    made = blocks(3.0, (1.0, 2.0, -50e3))
    (heard,) = [o for o in observed(made) if o.channel == "pmr1"]
    written(tmp_path, clip(made, heard, whole_band=whole_band))
    found = (observed if whole_band else channel_observed)(replayed(tmp_path))
    (again,) = [o for o in found if o.channel == "pmr1"]
    assert again.start_utc_ns == pytest.approx(heard.start_utc_ns, abs=5e6)
    assert again.duration_s == pytest.approx(heard.duration_s, abs=0.01)
    assert again.level_dbfs == pytest.approx(heard.level_dbfs, abs=0.2)
    assert again.snr_db == pytest.approx(heard.snr_db, abs=1.5)


def channel_observed(found):
    """What is found in a channel's own IQ, which holds no other channel."""
    chain = SignalChain(receiver=RECEIVER, channels=CHANNELS[:1], gain_db=30.0)
    made = [o for block in found for o in chain.process(block).observations]
    return [*made, *chain.flush().observations]


def test_what_was_measured_stands_in_the_annotation(tmp_path):
    heard = observation(0.5, 0.5, bandwidth_hz=8_000.0, frequency_offset_hz=250.0, level_dbm=-95.0)
    (entry,) = written(tmp_path, clip(blocks(2.0), heard))["annotations"]
    assert entry["core:sample_start"] == round(0.5 * RATE_HZ)
    assert entry["core:sample_count"] == round(0.5 * RATE_HZ)
    assert entry["core:freq_lower_edge"] == 446.0e6 + 250 - 4_000
    assert entry["core:freq_upper_edge"] == 446.0e6 + 250 + 4_000
    assert entry["core:label"] == "pmr1"
    assert entry["core:generator"].startswith("heimdall-edge ")
    assert "SNR 20.0 dB" in entry["core:comment"]
    assert entry["heimdall:observation_id"] == heard.observation_id
    assert entry["heimdall:snr_db"] == 20.0
    assert entry["heimdall:level_dbfs"] == -50.0
    assert entry["heimdall:level_dbm"] == -95.0


def test_where_nothing_is_known_of_its_width_the_channel_is_marked(tmp_path):
    heard = observation(0.5, 0.5, level_dbfs=None, snr_db=None)
    (entry,) = written(tmp_path, clip(blocks(1.0), heard))["annotations"]
    assert entry["core:freq_upper_edge"] - entry["core:freq_lower_edge"] == 12_500.0
    assert entry["core:comment"] == f"observation {heard.observation_id}"


def test_a_label_has_at_most_twenty_characters(tmp_path):
    long_name = CHANNELS[0].model_copy(update={"name": "a-channel-of-a-very-long-name"})
    heard = replace(observation(0.2, 0.2), channel=long_name.name)
    kept = replace(clip(blocks(0.5), observation()), channels=(long_name.spec,))
    document = written(tmp_path, replace(kept, observations=(heard,)))
    (entry,) = document["annotations"]
    assert entry["core:label"] == "a-channel-of-a-very-"
    assert entry["heimdall:channel"] == long_name.name


def test_a_new_capture_begins_at_a_gap_and_at_a_change_of_gain(tmp_path):
    made = with_gap(blocks(1.0), at=5, lost=700)
    made[12:] = [replace(b, gain_db=20.0) for b in made[12:]]
    captures = written(tmp_path, clip(made, observation(0.5)))["captures"]
    assert [c["core:sample_start"] for c in captures] == [0, 62_500, 150_000]
    assert [c["core:global_index"] for c in captures] == [0, 63_200, 150_700]
    assert [c["heimdall:gain_db"] for c in captures] == [30.0, 30.0, 20.0]
    assert captures[0]["core:geolocation"]["coordinates"] == [7.0, 45.0, 1200.0]
    assert captures[0]["core:datetime"].endswith("Z")


def test_annotations_after_a_gap_stand_at_their_own_samples(tmp_path):
    made = with_gap(blocks(2.0), at=10, lost=125_000)  # 0.5 s are missing after 0.5 s
    within, after = observation(0.6, 0.2), observation(1.5, 0.5)
    document = written(tmp_path, clip(made, within, after))
    assert [a["core:sample_start"] for a in document["annotations"]] == [125_000, 250_000]
    assert [a["core:sample_count"] for a in document["annotations"]] == [1, 125_000]


def test_a_clock_that_is_set_back_in_a_gap_leaves_a_recording_that_can_be_read(tmp_path):
    made = with_gap(blocks(1.0), at=10, lost=5_000)
    made[10:] = [replace(b, start_utc_ns=b.start_utc_ns - NS_PER_S) for b in made[10:]]
    written(tmp_path, clip(made, observation(0.2, 0.1)))
    found = replayed(tmp_path)
    assert sum(b.n_samples for b in found) == 250_000
    assert sum(b.lost_samples for b in found) == 5_000


def test_instants_keep_their_nanoseconds(tmp_path):
    made = [replace(b, start_utc_ns=b.start_utc_ns + 7) for b in blocks(0.5)]
    (capture,) = written(tmp_path, clip(made, observation(0.2)))["captures"]
    assert capture["core:datetime"] == "2026-09-21T14:13:20.000000007Z"
    sigmf.sigmffile.fromfile(str(tmp_path / "x.1_rx_c_0")).validate()
    assert replayed(tmp_path)[0].start_utc_ns == made[0].start_utc_ns


def test_who_wrote_it_and_by_which_clock(tmp_path):
    whole = written(tmp_path, clip(blocks(0.5), observation(0.2)))["global"]
    assert whole["heimdall:station"] == "alps"
    assert whole["heimdall:receiver"] == "rx1"
    assert whole["heimdall:clock"] == {"source": "gnss", "sigma_s": 1e-7, "locked": True}
    assert whole["core:extensions"] == [{"name": "heimdall", "version": "1.0.0", "optional": True}]


def test_a_place_that_nobody_knows_is_left_out(tmp_path):
    nowhere = ReceiverInfo("alps", "rx1", Place(float("nan"), float("nan")))
    kept = replace(clip(blocks(0.5), observation(0.2)), receiver=nowhere)
    assert "core:geolocation" not in written(tmp_path, kept)["captures"][0]


def test_a_clip_that_is_shorter_than_the_filter_is_not_written(tmp_path):
    made = blocks(0.05)
    tiny = replace(made[0], samples=made[0].samples[:64])
    with pytest.raises(EmptyClipError):
        write_clip(clip([tiny], observation(0.0), whole_band=False), tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_half_way_leaves_nothing_behind(small_disk):
    with pytest.raises(OSError, match="No space left"):
        write_clip(clip(blocks(12.0), observation()), small_disk.folder, "x")
    assert list(small_disk.folder.iterdir()) == []


def test_the_metadata_comes_last(tmp_path, monkeypatch):
    order = []
    replace_path = Path.replace

    def watched(self, target):
        order.append((target.name, sorted(p.name for p in tmp_path.iterdir())))
        return replace_path(self, target)

    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(fd) or fsync(fd))
    monkeypatch.setattr(Path, "replace", watched)
    write_clip(clip(blocks(0.5), observation(0.2)), tmp_path, "x")
    assert order == [
        ("x.sigmf-data", ["x.sigmf-data.tmp"]),
        ("x.sigmf-meta", ["x.sigmf-data", "x.sigmf-meta.tmp"]),
    ]
    assert len(synced) == 3, "both files, and their names"


def test_the_size_that_is_told_is_the_one_on_disk(tmp_path):
    told = write_clip(clip(blocks(0.5), observation(0.2)), tmp_path, "x")
    assert told == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert (tmp_path / "x.sigmf-data").stat().st_size == round(2 * 0.5 * RATE_HZ)
    assert START_UTC_NS % NS_PER_S == 0
