"""The command line: what it says, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heimdall_edge.cli import main

CONFIG = Path(__file__).parent.parent / "config"


def test_help_names_every_command_and_every_exit_code(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in (
        "run",
        "demo",
        "replay",
        "check-config",
        "config-schema",
        "show-model",
        "survey",
        "bench",
    ):
        assert f"\n    {word}" in text, word
    for code in ("0 ", "1 ", "64", "65", "78"):
        assert f"\n  {code} " in text


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--fast"], ["demo", "--seconds", "x"]])
def test_a_wrong_command_line_is_ex_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 64
    assert "usage: heimdall-edge" in capsys.readouterr().err


def test_a_good_configuration_is_said_to_be_good(capsys):
    assert main(["check-config", str(CONFIG / "examples" / "kiwi-dcf77.toml")]) == 0
    assert "good: station 'kiwi-dcf77', 3 receivers, 1 channels" in capsys.readouterr().out


def test_a_bad_configuration_is_ex_config_with_all_faults(tmp_path, capsys):
    path = tmp_path / "bad.toml"
    path.write_text("[mqtt]\nport = 0\nhots = 'x'\n")
    assert main(["check-config", str(path)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"heimdall-edge: {path}: mqtt.") for line in lines)


def test_running_a_bad_configuration_is_ex_config(tmp_path, capsys):
    assert main(["run", "--config", str(tmp_path / "absent.toml")]) == 78
    assert "No such file" in capsys.readouterr().err


def test_the_schema_is_json(capsys):
    assert main(["config-schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Config"


def test_the_built_in_model_shows_its_manifest(capsys):
    assert main(["show-model"]) == 0
    text = capsys.readouterr().out
    assert "reference" in text
    assert "locator/1" in text


def test_a_file_that_is_no_model_is_ex_dataerr(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing")
    assert main(["show-model", str(path)]) == 65
    assert str(path) in capsys.readouterr().err


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("heimdall-edge 0.")


def test_checking_a_configuration_loads_no_model_and_no_numerics():
    code = (
        "import sys; from heimdall_edge.cli import main; main(['config-schema']); "
        "sys.exit([m for m in ('onnxruntime', 'scipy', 'paho') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() in {"", "[]"}


def test_a_reader_that_has_seen_enough_is_no_crash():
    command = f"{sys.executable} -m heimdall_edge.cli config-schema | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
