from __future__ import annotations

import pytest

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.kiwi_setup import KiwiSetup, Wish
from heimdall_edge.sources.kiwi_status import parse_status
from heimdall_edge.sources.websocket import ElsewhereError

ADDRESS = Address("kiwi.example", 8073)
WISH = Wish(ADDRESS, "test", 77_500.0, 5_000.0, agc=False, gain_db=50.0, password="sesame")
SAID = {"audio_rate": "12000", "sample_rate": "12001.135131", "freq_offset": "0.000"}
STATUS = parse_status("status=active\nusers=0\nusers_max=4\ngps=(50.0155, 9.0108)\n")


def setup_of(**said):
    setup = KiwiSetup(ADDRESS)
    setup.heed(SAID | said)
    return setup


def wish(**changes):
    values = {name: getattr(WISH, name) for name in WISH.__dataclass_fields__}
    return Wish(**values | changes)


def test_both_rates_complete_it():
    setup = KiwiSetup(ADDRESS)
    setup.heed({"audio_rate": "12000"})
    assert not setup.is_complete
    setup.heed({"sample_rate": "12001.1"})
    assert setup.is_complete


def test_a_frequency_offset_is_taken_off():
    status = parse_status("status=active\nusers_max=4\nbands=116000000-146000000\n")
    setup = setup_of(freq_offset="116000.000")
    two_metres = wish(center_freq_hz=144.3e6)
    reception = setup.reception(two_metres, status)
    assert reception.freq_offset_hz == 116e6
    assert any("freq=28300.000" in words for words in setup.answers(two_metres, reception))


def test_an_older_server_says_its_offset_on_its_page_only():
    status = parse_status("status=active\nusers_max=4\nfreq_offset=116000.000\n")
    setup = KiwiSetup(ADDRESS)
    setup.heed({"audio_rate": "12000", "sample_rate": "12001.1"})
    assert setup.reception(wish(center_freq_hz=144.3e6), status).freq_offset_hz == 116e6


@pytest.mark.parametrize(
    ("center_freq_hz", "bands"),
    [(446e6, "bands=0-30000000"), (40e6, ""), (1e6, "bands=5000000-30000000")],
)
def test_what_it_does_not_receive_can_never_work(center_freq_hz, bands):
    status = parse_status(f"status=active\nusers_max=4\n{bands}\n")
    with pytest.raises(
        SourceDataError, match=rf"kiwi\.example:8073: center_freq_hz = {center_freq_hz:.0f}"
    ):
        setup_of().reception(wish(center_freq_hz=center_freq_hz), status)


def test_a_band_that_is_too_wide_is_cut_to_what_it_gives():
    reception = setup_of().reception(wish(half_band_hz=9_000.0), STATUS)
    assert reception.half_band_hz == 5_900
    assert reception.notes == ("the pass band is cut to ±5900 Hz",)
    wide = setup_of(audio_rate="20250", sample_rate="20252.1")
    assert wide.reception(wish(half_band_hz=9_000.0), STATUS).half_band_hz == 9_000


def test_the_place_of_its_configuration_comes_before_the_page_s():
    said = {"load_cfg": '{"rx_gps": "(51.123456, 8.123456)", "rx_asl": 300}'}
    assert setup_of(**said).reception(WISH, STATUS).place.place.altitude_m == 300
    assert setup_of().reception(WISH, STATUS).place.place.latitude_deg == 50.0155


def test_a_configuration_that_cannot_be_read_is_noted_and_the_page_s_place_taken():
    reception = setup_of(load_cfg="{").reception(WISH, STATUS)
    assert reception.place.place.latitude_deg == 50.0155
    assert "its configuration cannot be read" in reception.notes[0]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"sample_rate": "many"}, "sample_rate='many'; expected a number"),
        ({"sample_rate": "nan"}, "expected a number"),
        ({"audio_rate": "1"}, "audio_rate=1; expected 8000 to 48000"),
        ({"sample_rate": "144013.6"}, "wide-band"),
        ({"freq_offset": "1e999"}, "expected a number"),
    ],
)
def test_rates_that_are_none_are_refused(said, why):
    with pytest.raises(SourceError, match=why):
        setup_of(**said).reception(WISH, STATUS)


def test_a_redirection_and_a_refusal_end_the_visit():
    with pytest.raises(ElsewhereError) as elsewhere:
        setup_of(redirect="http://b.example:8073")
    assert elsewhere.value.location == "http://b.example:8073"
    with pytest.raises(SourceError, match="all 4 channels are taken") as refused:
        setup_of(too_busy="4")
    assert refused.value.pause_s == 600


def test_an_offset_that_moves_under_way_ends_the_visit():
    setup = setup_of()
    setup.heed({"freq_offset": "0.000"})
    with pytest.raises(SourceError, match=r"frequency offset went from '0\.000' to '1\.000' kHz"):
        setup.heed({"freq_offset": "1.000"})


def test_passwords_do_not_show_in_a_wish():
    assert "sesame" not in repr(WISH)
