"""The command: what it prints, what it draws, how it ends."""

from __future__ import annotations

import builtins
import io
import json
import sys

import pytest

from heimdall_edge.cli import main
from heimdall_edge.errors import ConfigError
from heimdall_edge.survey.command import run_survey

from .test_run import ABSENT, NETWORK, STAYS, config_of


def test_it_prints_a_table_and_draws_a_picture(tmp_path):
    out = io.StringIO()
    code = run_survey(config_of(STAYS), seconds=1.0, png=tmp_path / "x.png", out=out)
    assert code == 0
    assert "stays" in out.getvalue()
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_line_takes_it(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text(NETWORK + STAYS)
    arguments = ["survey", "--config", str(path), "--seconds", "0.5", "--receiver", "stays"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["receivers"][0]["receiver"] == "stays"


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "4000", "nan"])
def test_a_time_that_makes_no_sense_is_ex_usage(seconds, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["survey", "--seconds", seconds])
    assert ended.value.code == 64


def test_nothing_received_is_a_failure():
    out = io.StringIO()
    assert run_survey(config_of(ABSENT), seconds=0.5, out=out) == 1
    assert "/absent/file.cu8" in out.getvalue()


def test_a_missing_pillow_is_said_before_the_listening_begins(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_pillow(name, *arguments, **options):
        if name.startswith("PIL"):
            raise ImportError("No module named 'PIL'")
        return real(name, *arguments, **options)

    for module in [m for m in sys.modules if m.startswith(("PIL", "heimdall_edge.survey.pi"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "heimdall_edge.survey.plot", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_pillow)
    out = io.StringIO()
    with pytest.raises(ConfigError, match=r"pip install 'heimdall-edge\[survey\]'"):
        run_survey(config_of(STAYS), seconds=600.0, png=tmp_path / "x.png", out=out)
    assert out.getvalue() == ""
    assert run_survey(config_of(STAYS), seconds=0.2, out=out) == 0, "the table needs no Pillow"


def test_a_folder_that_is_not_there_is_said_before_the_listening_begins(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        run_survey(config_of(STAYS), seconds=600.0, png=tmp_path / "absent" / "x.png")


def test_a_picture_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "x.png").mkdir()
    out = io.StringIO()
    with pytest.raises(ConfigError, match=r"x\.png: Is a directory"):
        run_survey(config_of(STAYS), seconds=0.2, png=tmp_path / "x.png", out=out)
    assert "stays" in out.getvalue(), "the table was printed"


def test_the_real_recording_can_be_surveyed(data_dir, tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text(
        f"""
[[channels]]
name = "low"
frequency_hz = 1_089_600_000.0
bandwidth_hz = 400_000.0
min_duration_s = 0.0
[[receivers]]
id = "dongle"
kind = "recording"
center_freq_hz = 1090e6
sample_rate_hz = 2e6
recording = {{ path = "{data_dir}/iq/modes1_1090M_2000k.cu8" }}
"""
    )
    png = tmp_path / "x.png"
    assert main(["survey", "--config", str(path), "--png", str(png)]) == 0
    text = capsys.readouterr().out
    assert "0.157%" in text, "561 of 356,868 samples are at the converter's limit"
    assert "dongle: -6 dB would be better: 0.16% clipped; expected under 0.01%" in text
    assert png.stat().st_size > 50_000
