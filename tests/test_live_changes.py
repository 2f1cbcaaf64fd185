"""What a reload may change."""

from __future__ import annotations

from heimdall_edge.config import Config
from heimdall_edge.config_file import parse_config
from heimdall_edge.live_changes import keys_that_need_restart, with_live_changes

OLD = Config()
NEW = parse_config(
    """
locator = { wait_s = 3.0, min_receivers = 4 }
logging.level = "debug"
[mqtt]
host = "x"
[[channels]]
name = "a"
frequency_hz = 1e6
"""
)


def test_what_cannot_change_live_is_named_by_key():
    assert keys_that_need_restart(OLD, NEW) == ["locator.wait_s", "mqtt"]
    assert keys_that_need_restart(OLD, OLD) == []


def test_only_what_can_change_live_is_taken():
    merged = with_live_changes(OLD, NEW)
    assert merged.locator.min_receivers == 4
    assert merged.locator.wait_s == OLD.locator.wait_s
    assert merged.channels == NEW.channels
    assert merged.logging == NEW.logging
    assert merged.mqtt == OLD.mqtt


LEVELS_ONLY = """
[[channels]]
name = "a"
frequency_hz = 145e6
open_db = {open_db}
[[channels]]
name = "b"
frequency_hz = 146e6
[[receivers]]
id = "{name}"
kind = "openwebrx"
channels = ["{channel}"]
openwebrx.host = "sdr.example"
"""


def test_channels_that_a_level_only_receiver_follows_itself_need_a_restart():
    def config(channel: str, open_db: float):
        text = LEVELS_ONLY.format(name="hill", channel=channel, open_db=open_db)
        return parse_config(text)

    assert keys_that_need_restart(config("a", 8.0), config("a", 9.0)) == [
        "channels of receiver hill"
    ]
    assert keys_that_need_restart(config("b", 8.0), config("b", 9.0)) == []
