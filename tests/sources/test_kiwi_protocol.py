from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.kiwi_protocol import (
    authorisation,
    half_band_limit_hz,
    parse_message,
    rate_accepted,
    refusal_in,
    settings_for,
)
from tests.fuzz.kiwi_message import one_input


def test_a_message_is_names_and_values_percent_decoded():
    said = parse_message(b"MSG rx_chans=4 wb_only  load_cfg=%7b%22a%22%3a%20%22b=c%22%7d client=")
    assert said == {"rx_chans": "4", "wb_only": "", "load_cfg": '{"a": "b=c"}', "client": ""}


def test_bytes_that_are_no_text_are_kept_from_doing_harm():
    assert parse_message(b"MSG name=\xff%ff") == {"name": "\ufffd\ufffd"}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"SND\x08", "expected 'MSG'"),
        (b"MSG " + b"a " * 300, "more than 256 words"),
        (b"MSG " + b"a" * (1 << 20), "expected 1048576 at most"),
    ],
)
def test_what_is_no_message_or_absurd_is_refused(bad, why):
    with pytest.raises(ValueError, match=why):
        parse_message(bad)


@pytest.mark.parametrize(
    ("words", "reason", "pause_s"),
    [
        ("too_busy=4", "all 4 channels are taken", 600),
        ("badp=1", "wrong password", 600),
        ("badp=2", "finding out its own address", 60),
        ("badp=3", "our address is not allowed", 86_400),
        ("badp=4", "no password set", 86_400),
        ("badp=5", "a connection from our address already", 600),
        ("badp=6", "updating its database", 60),
        ("badp=7", "open elsewhere", 600),
        ("badp=99", "badp='99'", 600),
        ("badp=x", "badp='x'", 600),
        ("reason_disabled=back%20at%20noon down=0", "switched off: 'back at noon'", 1800),
        ("reason_disabled= down=1", "updating its software", 600),
        ("down=2", "making a backup", 600),
        ("wb_only", "wide-band", 3600),
        ("exclusive_use", "for himself", 1800),
        ("inactivity_timeout=30", "30 minutes without a touch", 3600),
        ("ip_limit=60%2C192.0.2.7", "60 minutes a day", 86_400),
        ("camp_disconnect", "listened along", 600),
        ("password_timeout", "too long for a password", 600),
    ],
)
def test_each_refusal_has_its_reason_and_its_pause(words, reason, pause_s):
    refusal = refusal_in(parse_message(b"MSG " + words.encode()))
    assert refusal is not None
    assert reason in refusal.reason
    assert refusal.pause_s == pause_s


@pytest.mark.parametrize("words", ["badp=0", "rx_chans=4", "version_maj=1 version_min=690", ""])
def test_other_messages_are_no_refusals(words):
    assert refusal_in(parse_message(b"MSG " + words.encode())) is None


def test_a_password_is_percent_encoded_whole():
    assert authorisation("") == "SET auth t=kiwi p="
    assert authorisation("a b/=#ü", time_limit_password="x y") == (
        "SET auth t=kiwi p=a%20b%2F%3D%23%C3%BC ipl=x%20y"
    )


def test_without_a_password_the_other_one_is_not_taken_for_it():
    # The server reads words: after "p=" it takes the next one, whatever that is.
    assert authorisation("", time_limit_password="x y") == "SET auth t=kiwi p=# ipl=x%20y"


def test_all_five_settings_that_the_server_waits_for_are_sent():
    words = settings_for(
        user="heimdall-edge alp", baseband_hz=77_500, half_band_hz=5_000, agc=False, gain_db=50.4
    )
    assert "SET mod=iq low_cut=-5000 high_cut=5000 freq=77.500" in words
    assert "SET agc=0 hang=0 thresh=-100 slope=6 decay=1000 manGain=50" in words
    assert "SET ident_user=heimdall-edge%20alp" in words
    assert "SET compression=0" in words
    assert rate_accepted(12_000) == "SET AR OK in=12000 out=44100"


def test_the_pass_band_has_a_limit_at_each_rate():
    assert half_band_limit_hz(12_000) == 5_900
    assert half_band_limit_hz(20_250) == pytest.approx(9_922.5)


MESSAGES = st.sampled_from(
    ["sample_rate=", "audio_rate=", "freq_offset=", "load_cfg=", "badp=", "redirect=", "ip_limit="]
)
VALUES = st.sampled_from(["12000", "12001.1", "nan", "1e999", "%7B%7D", "-1", "0", "²"]) | st.text(
    max_size=8
)


@given(
    st.binary(max_size=80)
    | st.lists(st.tuples(MESSAGES, VALUES)).map(
        lambda pairs: "\n".join(name + value for name, value in pairs).encode("utf-8", "replace")
    )
)
def test_any_bytes_are_messages_or_an_error(data):
    one_input(data)
