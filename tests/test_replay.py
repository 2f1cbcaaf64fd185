"""Replay: files through the daemon's own path, to a file."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path

import pytest

from heimdall_edge.cli import main
from heimdall_edge.config import Config
from heimdall_edge.config_capture import Capture
from heimdall_edge.geodesy import distance_m
from heimdall_edge.replay import ProgressBar, offline

REPOSITORY = Path(__file__).parent.parent
LINE = {
    "schema": "heimdall.observation/1",
    "station": "net",
    "channel": "pmr1",
    "frequency_hz": 446.00625e6,
    "started_at": "2026-01-31T12:00:00.000000Z",
    "duration_s": 2.0,
    "gain_db": 30.0,
    "noise_floor_dbfs": -90.0,
    "bandwidth_hz": 8000.0,
}
SITES = {"n": (45.03, 7.01), "e": (45.01, 7.05), "s": (44.99, 7.0), "w": (45.01, 6.97)}


@pytest.fixture(autouse=True)
def signals_as_before():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def scene(number: int, levels: dict[str, float | None]) -> list[str]:
    """The lines of one transmission; None is a receiver that heard nothing."""
    lines = []
    for name, level_dbfs in levels.items():
        latitude, longitude = SITES[name]
        line = {
            **LINE,
            "observation_id": f"{name}{number}",
            "receiver": {"id": name, "latitude": latitude, "longitude": longitude},
            "scene_id": str(number),
            "started_at": f"2026-01-31T12:{number:02d}:00.000000Z",
        }
        if level_dbfs is None:
            line["heard"] = False
        else:
            line |= {"level_dbfs": level_dbfs, "snr_db": level_dbfs + 90}
        lines.append(json.dumps(line))
    return lines


SCENES = [
    *scene(1, {"n": -50.0, "e": -55.0, "s": -52.0, "w": -60.0}),
    *scene(2, {"n": -50.0, "e": -55.0, "s": None, "w": None}),
]


def replayed(tmp_path: Path, *arguments: str, lines: list[str] = SCENES) -> list[dict]:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines) + "\n")
    assert main(["replay", "--observations", str(source), "--out", str(out), *arguments]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_observations_need_no_configuration(tmp_path, capsys):
    fix, refusal = replayed(tmp_path)
    assert fix["scene_id"] == "1"
    assert fix["method"] == "rss"
    assert distance_m(fix["position"]["latitude"], fix["position"]["longitude"], 45.02, 7.01) < 3e3
    assert refusal["position"] is None
    assert refusal["reason"] == "too_few_receivers"
    assert [r["heard"] for r in refusal["receivers"]] == [True, True, False, False]
    assert capsys.readouterr().err.endswith("1 fixes, 1 refusals\n")


def test_levels_under_automatic_gain_are_in_no_fix_and_a_replay_of_that_says_the_same(tmp_path):
    automatic = [
        json.dumps({**json.loads(line), "levels_compare": False})
        for line in scene(1, {"n": -50.0, "e": -55.0, "s": -52.0, "w": -60.0})
    ]
    first = replayed(tmp_path, "--with-observations", lines=automatic)
    observations = [p for p in first if "observation" in p["schema"]]
    assert len(observations) == 4
    assert not any("level_dbfs" in p for p in observations)
    (refusal,) = [p for p in first if "fix" in p["schema"]]
    assert refusal["reason"] == "too_few_receivers"
    (again,) = replayed(tmp_path, lines=[json.dumps(p) for p in observations])
    assert (again["fix_id"], again["reason"]) == (refusal["fix_id"], refusal["reason"])


def test_whatever_level_an_automatic_receiver_says_the_fix_is_the_same(tmp_path):
    levels = {"n": -50.0, "e": -55.0, "s": -52.0}
    fixes = []
    for level_dbfs in (-5.0, -90.0):
        automatic = json.loads(scene(1, {"w": level_dbfs})[0]) | {"levels_compare": False}
        fixes += replayed(tmp_path, lines=[*scene(1, levels), json.dumps(automatic)])
    assert fixes[0]["position"] is not None
    assert fixes[0]["position"] == fixes[1]["position"]


def test_a_replay_of_a_replay_gives_the_same_fixes(tmp_path):
    first = replayed(tmp_path, "--with-observations")
    again = replayed(tmp_path, lines=[json.dumps(p) for p in first if "observation" in p["schema"]])
    fixes = [p for p in first if "fix" in p["schema"]]
    assert [f["fix_id"] for f in fixes] == [f["fix_id"] for f in again]
    assert [f["position"] for f in fixes] == [f["position"] for f in again]


def test_lines_that_are_not_of_the_format_are_counted_and_named_and_the_rest_goes_on(
    tmp_path, capsys
):
    lines = [SCENES[0], "{", '{"schema": "heimdall.fix/1"}', *SCENES[1:]]
    assert len(replayed(tmp_path, lines=lines)) == 2
    said = capsys.readouterr().err
    assert "line_refused" in said
    assert "line=2" in said
    assert said.endswith("1 fixes, 1 refusals, 2 lines were not usable\n")


def test_geojson_is_one_collection(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.geojson"
    source.write_text("\n".join(SCENES))
    assert main(["replay", "--observations", str(source), "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    (feature,) = document["features"]
    assert document["type"] == "FeatureCollection"
    kinds = [g["type"] for g in feature["geometry"]["geometries"]]
    assert kinds == ["Point", "Polygon"]
    assert feature["properties"]["schema"] == "heimdall.fix/1"


def test_standard_output_is_the_default(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(SCENES))
    assert main(["replay", "--observations", str(source)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["schema"] for line in lines] == ["heimdall.fix/1"] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 64, "expected --config or --observations"),
        (["--observations", "/nowhere.jsonl"], 65, "/nowhere.jsonl"),
        (["--config", "/nowhere.toml"], 78, "/nowhere.toml: No such file"),
    ],
)
def test_what_is_not_there_is_named(arguments, code, said, capsys, tmp_path):
    assert main(["replay", *arguments, "--out", str(tmp_path / "o")]) == code
    assert said in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(SCENES))
    out = tmp_path / "no" / "folder.jsonl"
    assert main(["replay", "--observations", str(source), "--out", str(out)]) == 78
    assert f"--out {out}: No such file or directory" in capsys.readouterr().err


def test_a_replay_keeps_no_evidence_and_so_deletes_none(tmp_path):
    config = Config(state_dir=tmp_path, capture=Capture(enabled=True))
    assert not offline(config, None).capture.enabled


def test_a_configuration_without_receivers_has_nothing_to_replay(tmp_path, capsys):
    config = tmp_path / "c.toml"
    config.write_text("")
    assert main(["replay", "--config", str(config)]) == 78
    assert "nothing to replay" in capsys.readouterr().err


def test_a_truncated_recording_fails_the_replay_with_its_name(tmp_path, capsys):
    config = tmp_path / "c.toml"
    (tmp_path / "x.sigmf-meta").write_text("{}")
    config.write_text(
        "[[channels]]\nname='a'\nfrequency_hz=1e6\n[[receivers]]\nid='r'\nkind='recording'\n"
        "recording.path='x.sigmf-meta'\n"
    )
    assert main(["replay", "--config", str(config), "--out", str(tmp_path / "o")]) == 65
    assert "r: " in capsys.readouterr().err


def test_the_bar_shows_the_slowest_receiver():
    class Receiver:
        def __init__(self, progress: float) -> None:
            self.progress = progress

    class FakePipeline:
        receivers = (Receiver(0.5), Receiver(1.0))
        has_ended = False

    stream = io.StringIO()
    bar = ProgressBar(stream)
    bar(FakePipeline())  # type: ignore[arg-type]
    assert stream.getvalue() == "\r" + "█" * 15 + "·" * 15 + "  50%"
    FakePipeline.has_ended = True
    bar(FakePipeline())  # type: ignore[arg-type]
    assert stream.getvalue().endswith("\n")


def test_observations_on_standard_input(tmp_path, monkeypatch, capsys):
    import os

    read, write = os.pipe()
    os.write(write, "\n".join(SCENES).encode())
    os.close(write)
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        assert main(["replay", "--observations", "-"]) == 0
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert sys.stdin is not None
