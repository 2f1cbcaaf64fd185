"""The configuration file: what is taken, and how every fault is worded."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.config import Config
from heimdall_edge.config_document import annotated_toml
from heimdall_edge.config_file import (
    config_digest,
    config_json_schema,
    load_config,
    parse_config,
    read_password,
)
from heimdall_edge.errors import ConfigError

TEN_LINES = """\
mqtt.host = "hub.example"
[[channels]]
name = "pmr1"
frequency_hz = 446.00625e6
[[receivers]]
id = "rtl"
kind = "recording"
center_freq_hz = 446e6
sample_rate_hz = 2.4e6
recording.path = "rtl_sdr.cu8"
"""
SIMULATED = """\
station = { name = "s", latitude_deg = 45.0, longitude_deg = 7.0 }
[[channels]]
name = "a"
frequency_hz = 446e6
[[receivers]]
id = "one"
kind = "simulated"
center_freq_hz = 446.05e6
sample_rate_hz = 250e3
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, name="f.toml")
    return refused.value.problems


def test_an_empty_file_gives_the_defaults():
    assert parse_config("") == Config()


def test_a_station_with_one_receiver_one_channel_and_a_broker_is_ten_lines():
    assert len(TEN_LINES.splitlines()) == 10
    config = parse_config(TEN_LINES)
    assert config.mqtt.host == "hub.example"
    assert config.channels_of(config.receivers[0]) == config.channels


def test_the_committed_file_is_what_the_models_say_and_equals_the_defaults():
    path = Path(__file__).parent.parent / "config" / "heimdall-edge.toml"
    assert path.read_text() == annotated_toml(), "run: make docs"
    assert load_config(path) == Config()


def test_the_annotated_file_with_every_key_uncommented_is_valid_toml_with_every_key():
    lines = [re.sub(r"^#(?=\S)", "", line) for line in annotated_toml().splitlines()]
    document = "\n".join(lines)
    for key in ("level_offset_sd_db", "shadowing_correlation_m", "password_file", "max_age_s"):
        assert re.search(rf"^{key} = ", document, re.MULTILINE)
    with pytest.raises(ConfigError) as refused:
        parse_config(document)
    # The example shows the tables of all kinds at once, and only that is refused.
    assert all("table" in p or "either" in p or "exclude" in p for p in refused.value.problems)


def test_all_faults_are_named_at_once_with_key_value_and_expectation():
    found = problems(
        """
        [station]
        name = "a b"
        latitude_deg = 95
        [[channels]]
        name = "x"
        frequency_hz = 446e6
        bandwith_hz = 3
        [mqtt]
        port = 99999
        colour = 1
        """
    )
    assert len(found) == 5
    assert found[0].startswith("f.toml: station.name = 'a b': ")
    assert found[1] == (
        "f.toml: station.latitude_deg = 95: Input should be less than or equal to 90"
    )
    assert "channels[0].bandwith_hz: unknown key; did you mean 'bandwidth_hz'?" in found[2]
    assert "mqtt.port = 99999" in found[3]
    assert "mqtt.colour: unknown key; expected one of enabled, host, port" in found[4]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("446e6", "447e6"), "lies outside its band; expected within 445927500…446172500 Hz"),
        ((", latitude_deg = 45.0, longitude_deg = 7.0", ""), "has no place"),
        (("446e6", "inf"), "finite number"),
        (("446e6", "'446e6'"), "valid number"),
        (("250e3", "250e3\nchannels = ['b']"), "no channel is named 'b'; expected a"),
        (('"simulated"', '"rtl"'), "receivers[0].kind = 'rtl'"),
        (("250e3", "250e3\nrecording.path = 'x'"), "does not go with kind 'simulated'"),
        (("sample_rate_hz = 250e3", ""), "needs sample_rate_hz"),
        (("250e3", "250e3\nclock.source = 'gnss'"), "needs sigma_s"),
        (("446e6", "446e6\nclose_db = 9.0"), "expected close_db <= open_db"),
        (("446e6", "446e6\nmin_duration_s = 9.0"), "expected under"),
        (("45.0, longitude_deg = 7.0", "45.0"), "go together"),
        (('"one"', '"one"\nlatitude_deg = 3.0'), "go together"),
        (('"simulated"', '"recording"'), "needs a table [receivers.recording]"),
        (('name = "a"\nfrequency_hz', "frequency_hz"), "channels[0].name: missing"),
    ],
)
def test_an_impossible_value_is_refused(change, expected):
    text = SIMULATED.replace(*change)
    assert text != SIMULATED
    found = problems(text)
    assert any(expected in p for p in found), found


def test_two_receivers_of_one_id_are_refused():
    receiver = SIMULATED[SIMULATED.index("[[receivers]]") :]
    assert "receivers: 2 entries have id = 'one'" in problems(SIMULATED + receiver)[0]


def test_a_receiver_without_any_channel_is_refused():
    text = SIMULATED.replace('[[channels]]\nname = "a"\nfrequency_hz = 446e6\n', "")
    assert "expected at least one [[channels]]" in problems(text)[0]


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("", "either latitude_deg and longitude_deg, or track"),
        ("track = [{at_s=2.0,latitude_deg=1.0,longitude_deg=1.0},"
         "{at_s=1.0,latitude_deg=1.0,longitude_deg=1.0}]", "must rise"),
    ],
)  # fmt: skip
def test_a_simulated_transmitter_needs_one_kind_of_place(place, fault):
    text = f"[[simulation.transmitters]]\nname='t'\nfrequency_hz=1e6\n{place}"
    assert fault in problems(text)[0]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        load_config(tmp_path / "latin.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * (5 * 2**20))
    with pytest.raises(ConfigError, match="larger than"):
        load_config(tmp_path / "huge.toml")
    (tmp_path / "broken.toml").write_text("a = [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.toml: Invalid value \(at"):
        load_config(tmp_path / "broken.toml")


def test_relative_paths_start_from_the_file_or_from_the_data_folder(tmp_path, monkeypatch):
    path = tmp_path / "etc" / "c.toml"
    path.parent.mkdir()
    path.write_text(TEN_LINES + "[locator]\nmodel_path = 'm.onnx'\n")
    config = load_config(path)
    assert config.receivers[0].recording.path == path.parent / "rtl_sdr.cu8"
    assert config.locator.model_path == path.parent / "m.onnx"
    monkeypatch.setenv("HEIMDALL_EDGE_DATA", str(tmp_path / "data"))
    assert load_config(path).receivers[0].recording.path == path.parent / "rtl_sdr.cu8"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rtl_sdr.cu8").touch()
    assert load_config(path).receivers[0].recording.path == tmp_path / "data" / "rtl_sdr.cu8"
    (path.parent / "rtl_sdr.cu8").touch()
    assert load_config(path).receivers[0].recording.path == path.parent / "rtl_sdr.cu8"


def test_standard_input_stays_standard_input(tmp_path):
    text = "[[receivers]]\nid='o'\nkind='observations'\nobservations.path='-'\n"
    config = parse_config(text, folder=tmp_path)
    assert str(config.receivers[0].observations.path) == "-"
    named = parse_config(text.replace("'-'", "'o.jsonl'"), folder=tmp_path)
    assert named.receivers[0].observations.path == tmp_path / "o.jsonl"


def test_the_digest_depends_on_what_is_said_not_on_layout():
    assert config_digest(parse_config("[mqtt]\nport=1883")) == config_digest(
        parse_config("mqtt = {port = 1_883} # same")
    )
    assert config_digest(Config()) != config_digest(parse_config("[mqtt]\nport=1884"))


def test_the_schema_knows_every_table_and_forbids_the_rest():
    schema = config_json_schema()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
    json.dumps(schema)


def test_the_default_ports_follow_tls():
    assert Config().mqtt.port_number == 1883
    assert parse_config("[mqtt.tls]\nenabled=true").mqtt.port_number == 8883
    assert parse_config("[mqtt]\nport=7").mqtt.port_number == 7


def test_a_password_comes_from_its_file_or_the_credential_and_is_never_quoted(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read_password(None) is None
    secret = tmp_path / "mqtt-password"
    secret.write_text("s3cret\n")
    assert read_password(secret) == "s3cret"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_password(None) == "s3cret"
    secret.write_text("\n")
    assert read_password(None) is None  # the unit's empty default: no password
    with pytest.raises(ConfigError, match="empty; expected one line"):
        read_password(secret)
    secret.write_bytes(b"s3cret\xff")
    with pytest.raises(ConfigError) as refused:
        read_password(secret)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(ConfigError, match="No such file"):
        read_password(tmp_path / "absent")


def test_a_secret_written_into_the_file_by_mistake_is_not_quoted():
    assert "hunter2" not in "".join(problems("[mqtt]\npassword = 'hunter2'"))
    assert "hunter2" not in "".join(problems("[mqtt]\npassword_file = ['hunter2']"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_configuration_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_config(text), Config)


# ── capture ──


CAPTURED = """
[[channels]]
name = "pmr1"
frequency_hz = 446_006_250.0
[capture]
"""


def test_captures_of_what_does_not_exist_are_refused():
    with pytest.raises(ConfigError) as refused:
        parse_config(CAPTURED + 'channels = ["pmr9"]\nreceivers = ["rx9"]')
    assert refused.value.problems == (
        "configuration: capture.channels: no channel is named 'pmr9'; expected pmr1",
        "configuration: capture.receivers: no receiver has the id 'rx9'; "
        "expected a [[receivers]] table of that id",
    )


def test_a_capture_must_hold_the_longest_transmission_of_its_channels():
    short = CAPTURED + "max_burst_s = 2.0\n"
    assert parse_config(short).capture.max_burst_s == 2.0, "it is off"
    with pytest.raises(ConfigError, match=r"capture.max_burst_s = 2: expected 5 or more"):
        parse_config(short + "enabled = true")
    other = short.replace("[capture]", '[[channels]]\nname = "x"\nfrequency_hz = 1e8\n'
                          "max_duration_s = 1.0\n[capture]")  # fmt: skip
    assert parse_config(other + 'enabled = true\nchannels = ["x"]').capture.enabled


def test_a_scan_may_not_dwell_where_there_is_nothing_to_listen_for():
    scanning = CAPTURED.replace("[capture]", """
        [[receivers]]
        id = "rx1"
        kind = "rtlsdr"
        gain_db = 20.0
        sample_rate_hz = 1e6
        scan = { centers_hz = [446.1e6, 145.5e6] }
        """)  # fmt: skip
    with pytest.raises(ConfigError) as refused:
        parse_config(scanning)
    assert refused.value.problems == (
        "configuration: receivers[0] (rx1).scan.centers_hz: no channel lies round 145500000 Hz; "
        "expected at least one within 145010000…145990000 Hz",
    )
    second = '[[channels]]\nname = "b"\nfrequency_hz = 145.6e6\n'
    assert parse_config(second + scanning).receivers[0].scan
