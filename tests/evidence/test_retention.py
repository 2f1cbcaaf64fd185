"""Which recordings stay."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.evidence.retention import Retention, clip_name
from heimdall_edge.evidence.sigmf_writer import write_clip

from .radio import blocks, clip, observation, rule

DAY_S = 86_400
NOW_NS = 1_800_000_000 * 10**9
MIB = 2**20


def name(number: int) -> str:
    return f"20260131T1234{number:02}.789012Z_rx_1_pmr1_0a1b2c{number:02x}"


def record(folder: Path, number: int, *, age_s: float = 0.0, n_bytes: int = MIB) -> None:
    for ending, size in ((".sigmf-data", n_bytes - 100), (".sigmf-meta", 100)):
        path = folder / f"{name(number)}{ending}"
        path.write_bytes(bytes(size))
        written_ns = NOW_NS - round(age_s * 1e9)
        os.utime(path, ns=(written_ns, written_ns))


def retention(folder: Path, *, free=10**12, **fields) -> Retention:
    keeps = {"max_age_s": 10.0 * DAY_S, "max_bytes": 100 * MIB, "min_free_bytes": 0, **fields}
    frees = (lambda _: free) if isinstance(free, int) else free
    return Retention(folder, rule(**keeps), utc_ns=lambda: NOW_NS, free_bytes=frees)


def kept(folder: Path) -> list[int]:
    return sorted(n for n in range(20) if (folder / f"{name(n)}.sigmf-meta").exists())


def test_the_name_says_when_who_and_where():
    heard = clip(blocks(0.1), observation(0.25), whole_band=False)
    assert clip_name(heard) == "20260921T141320.250000Z_rx1_pmr1_000000fa"
    assert "_band_" in clip_name(clip(blocks(0.1), observation()))


def test_a_recording_that_was_written_counts_as_one_of_ours(tmp_path):
    heard = clip(blocks(0.1), observation(0.05))
    written = write_clip(heard, tmp_path, clip_name(heard))
    assert retention(tmp_path).used_bytes() == written


def test_what_is_too_old_goes(tmp_path):
    for number, age_s in enumerate((12 * DAY_S, 9 * DAY_S, 0)):
        record(tmp_path, number, age_s=age_s)
    keeper = retention(tmp_path)
    assert keeper.make_room()
    assert kept(tmp_path) == [1, 2]
    assert keeper.deleted == {"age": 1}


def test_the_oldest_go_to_make_room(tmp_path):
    for number, age_s in enumerate((1, 5, 3)):
        record(tmp_path, number, age_s=age_s)
    keeper = retention(tmp_path, max_bytes=3 * MIB)
    assert keeper.make_room()
    assert kept(tmp_path) == [0, 1, 2]
    assert keeper.make_room(MIB)
    assert kept(tmp_path) == [0, 2]
    assert keeper.deleted == {"bytes": 1}
    assert keeper.used_bytes() == 2 * MIB


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1_000, 200_000), st.integers(0, 12)), max_size=12),
    st.integers(0, 400_000),
    st.integers(0, 800_000),
)
def test_whatever_is_there_the_bounds_hold_and_the_newest_stay(made, wanted, min_free):
    with TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        for number, (n_bytes, age_days) in enumerate(made):
            record(folder, number, age_s=age_days * DAY_S + number, n_bytes=n_bytes)

        def free(where):
            return 10**6 - sum(p.stat().st_size for p in where.iterdir())

        keeper = retention(folder, free=free, max_bytes=2**20, min_free_bytes=min_free)
        has_room = keeper.make_room(wanted)
        left = kept(folder)
        assert keeper.used_bytes() + wanted <= 2**20
        assert has_room == (free(folder) - wanted >= min_free)
        ages = [made[n][1] * DAY_S + n for n in range(len(made))]
        assert all(ages[n] <= 10 * DAY_S for n in left)
        gone = set(range(len(made))) - set(left)
        assert all(ages[n] > ages[m] for n in gone for m in left), "the oldest went"
        assert sum(keeper.deleted.values()) == len(gone)


def test_what_can_never_fit_deletes_nothing(tmp_path):
    record(tmp_path, 1)
    assert not retention(tmp_path, max_bytes=3 * MIB).make_room(4 * MIB)
    assert kept(tmp_path) == [1]


def test_free_disk_is_left_for_others(tmp_path):
    for number in range(4):
        record(tmp_path, number, age_s=10 - number)

    def free(folder):
        return 10 * MIB - sum(p.stat().st_size for p in folder.iterdir())

    keeper = retention(tmp_path, free=free, min_free_bytes=7 * MIB)
    assert keeper.make_room(MIB)
    assert kept(tmp_path) == [2, 3]
    assert keeper.deleted == {"free": 2}


def test_a_disk_that_others_filled_is_said_to_have_no_room(tmp_path):
    record(tmp_path, 1)
    keeper = retention(tmp_path, free=5, min_free_bytes=MIB)
    assert not keeper.make_room(100)
    assert kept(tmp_path) == []


def test_files_of_other_names_are_left_alone(tmp_path):
    others = ["notes.txt", "mine.sigmf-data", "mine.sigmf-meta", f"{name(1)}.sigmf-data.bak"]
    for other in others:
        (tmp_path / other).write_bytes(bytes(MIB))
    record(tmp_path, 1, age_s=99 * DAY_S)
    keeper = retention(tmp_path, free=0, min_free_bytes=1)
    keeper.clean()
    assert not keeper.make_room(1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)
    assert keeper.used_bytes() == 0


def test_what_is_being_written_is_not_deleted_for_room(tmp_path):
    unfinished = tmp_path / f"{name(3)}.sigmf-data.tmp"
    unfinished.write_bytes(bytes(MIB))
    os.utime(unfinished, ns=(0, 0))
    assert retention(tmp_path).make_room()
    assert unfinished.exists()


def test_what_an_earlier_process_left_half_written_is_cleaned_away(tmp_path):
    record(tmp_path, 1)
    (tmp_path / f"{name(2)}.sigmf-data").write_bytes(b"data without metadata")
    (tmp_path / f"{name(3)}.sigmf-data.tmp").write_bytes(b"half")
    (tmp_path / f"{name(4)}.sigmf-meta.tmp").write_bytes(b"half")
    retention(tmp_path).clean()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{name(1)}.sigmf-data",
        f"{name(1)}.sigmf-meta",
    ]


def test_a_restart_forgets_nothing(tmp_path):
    for number in range(4):
        record(tmp_path, number, age_s=10 - number)
    retention(tmp_path, max_bytes=3 * MIB).make_room()
    assert retention(tmp_path, max_bytes=2 * MIB).make_room()
    assert kept(tmp_path) == [2, 3]


def test_whoever_deletes_by_hand_meanwhile_does_no_harm(tmp_path, monkeypatch):
    for number in range(3):
        record(tmp_path, number, age_s=10 - number)
    stat = Path.stat

    def vanishing(self, **options):
        if self.name.startswith(name(1)):
            self.unlink(missing_ok=True)
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", vanishing)
    assert retention(tmp_path, max_bytes=2 * MIB).make_room()
    assert kept(tmp_path) == [0, 2]
    (tmp_path / f"{name(0)}.sigmf-data").unlink()
    assert retention(tmp_path, max_bytes=MIB).make_room()
    assert kept(tmp_path) == [2]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    keeper = retention(tmp_path / "absent")
    keeper.clean()
    assert keeper.make_room()
    assert keeper.used_bytes() == 0
