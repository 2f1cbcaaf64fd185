"""The thread that writes, and disks that do not take it."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from heimdall_edge.evidence.recorder import LOOK_EVERY_S, SAY_EVERY_S, Recorder
from heimdall_edge.evidence.sigmf_writer import write_clip
from heimdall_edge.sources.recording import RecordingSource

from .radio import CHANNELS, RECEIVER, blocks, clip, observation, observed, rule


def roomy(**fields):
    return rule(**{"min_free_bytes": 0, **fields})


class Running:
    """A recorder that runs until the end of the test."""

    def __init__(self, folder, *, write=write_clip, **fields):
        self.now_s = 1000.0
        self.recorder = Recorder(
            roomy(**fields), folder, write=write, monotonic_s=lambda: self.now_s
        )

    def __enter__(self):
        self.recorder.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, *, within_s=20.0):
        self.recorder.close(self.now_s + within_s)
        self.recorder.thread.join(20)
        assert not self.recorder.thread.is_alive()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def small(start_s=0.1):
    return clip(blocks(0.5), observation(start_s, 0.2), whole_band=False)


def test_what_is_heard_becomes_a_recording_that_can_be_replayed(tmp_path):
    made = blocks(4.0, (1.0, 2.0, -50e3))
    heard = observed(made)
    with Running(tmp_path / "evidence", scope="band") as running:
        tape = running.recorder.tape(RECEIVER, CHANNELS)
        for block in made:
            tape.block(block)
            for o in [o for o in heard if o.end_utc_ns < block.start_utc_ns]:
                tape.burst(o)
                heard.remove(o)
        tape.end()
    assert running.recorder.counts == {"written": 1}
    data, meta = names(tmp_path / "evidence")
    assert (data[-5:], meta[-5:]) == ("-data", "-meta")
    source = RecordingSource(path=tmp_path / "evidence" / meta)
    source.open()
    (again,) = observed(list(source.blocks()))
    assert again.channel == "pmr1"
    assert running.recorder.used_bytes > 0
    assert running.recorder.queued_bytes == 0


def test_receivers_that_the_rule_leaves_out_have_no_tape(tmp_path):
    assert Recorder(roomy(receivers=("other",)), tmp_path).tape(RECEIVER, CHANNELS) is None
    assert Recorder(roomy(receivers=("rx1",)), tmp_path).tape(RECEIVER, CHANNELS) is not None


def test_a_slow_disk_stops_nobody_and_what_does_not_fit_is_counted(tmp_path, eventually):
    release, began = threading.Event(), threading.Event()

    def slowly(*arguments):
        began.set()
        release.wait(20)
        return write_clip(*arguments)

    each = clip(blocks(2.0), observation())  # 1 MB in memory
    with Running(tmp_path, write=slowly, queue_max_bytes=2 * 2**20) as running:
        running.recorder.offer(each)
        assert began.wait(20)
        asked_s = time.monotonic()
        taken = [running.recorder.offer(each) for _ in range(5)]
        assert time.monotonic() - asked_s < 0.5
        assert taken == [True, False, False, False, False]
        release.set()
    assert running.recorder.counts == {"written": 2, "queue_full": 4}


def test_a_full_disk_is_counted_said_and_recovered_from(small_disk, eventually, caplog):
    filler = small_disk.fill()
    caplog.set_level("INFO", logger="heimdall_edge.evidence")
    with Running(small_disk.folder) as running:
        recorder = running.recorder
        recorder.offer(small())
        eventually(lambda: {"disk_full", "no_room"} & set(recorder.counts), "it is counted")
        assert names(small_disk.folder) == ["filler"], "nothing half written is left"
        filler.unlink()
        recorder.offer(small())
        eventually(lambda: recorder.counts.get("written"), "it goes on")
    said = [record.message for record in caplog.records]
    assert said.count("evidence_not_kept") == 1
    assert said.count("evidence_goes_on") == 1


def test_a_disk_that_fills_up_half_way_through_a_recording_keeps_the_rest(small_disk):
    def too_much(of, folder, name):
        return write_clip(clip(blocks(12.0), observation()), folder, name)

    with Running(small_disk.folder, write=too_much) as running:
        running.recorder.offer(small())
    assert running.recorder.counts == {"disk_full": 1}
    assert names(small_disk.folder) == []


def test_a_disk_that_is_read_only_is_counted_and_recovered_from(small_disk, eventually):
    def remount(how):
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk.folder)], check=True)

    remount("ro")
    with Running(small_disk.folder) as running:
        running.recorder.offer(small())
        eventually(lambda: running.recorder.counts.get("not_writable"), "it is counted")
        remount("rw")
        running.recorder.offer(small())
    assert running.recorder.counts == {"not_writable": 1, "written": 1}


def test_a_folder_that_goes_missing_is_made_again(tmp_path, eventually):
    folder = tmp_path / "a" / "b"
    with Running(folder) as running:
        running.recorder.offer(small(0.1))
        eventually(lambda: running.recorder.counts.get("written") == 1, "one is written")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        running.recorder.offer(small(0.2))
    assert running.recorder.counts == {"written": 2}
    assert len(names(folder)) == 2


def test_a_file_where_the_folder_should_be_is_counted(tmp_path):
    (tmp_path / "evidence").write_text("in the way")
    with Running(tmp_path / "evidence") as running:
        running.recorder.offer(small())
    assert running.recorder.counts == {"no_folder": 1}


def test_what_has_no_samples_is_counted(tmp_path):
    with Running(tmp_path) as running:
        running.recorder.offer(clip(blocks(0.05)[:0], observation(), whole_band=True))
    assert running.recorder.counts == {"no_samples": 1}


def test_losses_are_told_by_reason_and_seldom(tmp_path, caplog):
    running = Running(tmp_path)
    recorder = running.recorder
    with caplog.at_level("WARNING", logger="heimdall_edge.evidence"):
        for now_s in (1000.0, 1001.0, 1000.0 + SAY_EVERY_S):
            running.now_s = now_s
            recorder.count("queue_full")
            recorder._say()
    first, second = [record.fields for record in caplog.records]
    assert first["queue_full"] == 1
    assert second["queue_full"] == 2
    assert recorder.counts == {"queue_full": 3}


def test_what_waits_when_the_time_is_over_is_counted(tmp_path):
    running = Running(tmp_path)
    recorder = running.recorder
    recorder.offer(small())
    recorder.close(running.now_s)
    recorder.close(running.now_s + 99.0)
    assert not recorder.offer(small()), "nothing more is taken"
    recorder.start()
    recorder.thread.join(20)
    assert recorder.counts == {"stopped": 2}
    assert names(tmp_path) == []


def test_what_waits_is_written_while_there_is_time(tmp_path):
    running = Running(tmp_path)
    for number in range(3):
        running.recorder.offer(small(0.1 + 0.01 * number))
    running.recorder.start()
    running.stop()
    assert running.recorder.counts == {"written": 3}


def test_old_recordings_are_looked_for_at_the_start(tmp_path, eventually):
    with Running(tmp_path) as running:
        running.recorder.offer(small())
    with Running(tmp_path, max_age_s=1e-6) as running:
        eventually(lambda: names(tmp_path) == [], "it has aged")
    assert running.recorder.deleted == {"age": 1}
    assert LOOK_EVERY_S <= 60


def test_a_folder_that_cannot_be_looked_at_ends_nothing(tmp_path):
    class Broken:
        def clean(self, *_):
            raise PermissionError(13, "no")

        make_room = used_bytes = clean

    recorder = Recorder(roomy(), tmp_path, retention=Broken())
    recorder.start()
    recorder.offer(small())
    recorder.close(time.monotonic() + 20)
    recorder.thread.join(20)
    assert recorder.counts["not_writable"] == 1
    assert recorder.counts["not_tended"] >= 1


@pytest.mark.parametrize("n_clips", [20])
def test_many_receivers_may_offer_at_once(tmp_path, n_clips):
    made = blocks(0.5)
    with Running(tmp_path) as running:
        threads = [
            threading.Thread(
                target=running.recorder.offer,
                args=(clip(made, observation(0.01 * number, 0.1), whole_band=False),),
            )
            for number in range(n_clips)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert running.recorder.counts == {"written": n_clips}
    assert len(names(tmp_path)) == 2 * n_clips
