"""Which receivers a host has."""

import io
import json
from pathlib import Path

import pytest

from heimdall_edge.cli import main
from heimdall_edge.config_kinds import KiwiSdr, ObservationFile, Recording, RtlSdr, Soapy
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.inventory import ask_driver, list_receivers

from ..emulators.usb_dongles import BLOG_V4, Dongle, UsbDongles

FREE = {
    "index": 0,
    "serial": "A1",
    "manufacturer": "Realtek",
    "product": "RTL2838UHIDIR",
    "error": 0,
    "tuner": "R820T",
    "state": "free",
    "message": None,
}
HELD = {**FREE, "index": 1, "serial": "B2", "tuner": None, "state": "busy", "message": "stop it"}
SIMULATED = {"driver": "sim", "serial": "7", "label": "A simulated radio"}
DONGLE = {"center_freq_hz": 446e6, "sample_rate_hz": 2.4e6, "gain_db": 28.0}


def host_with(*dongles, soapy=(), problem=None):
    """Asks drivers that give these answers."""

    def ask(kind, _command):
        return (list(dongles), problem) if kind == "rtlsdr" else (list(soapy), None)

    return ask


def dongle_receiver(name="rx", **table):
    return Receiver(id=name, kind="rtlsdr", rtlsdr=RtlSdr(**table), **DONGLE)


def soapy_receiver(device):
    return Receiver(id="rx", kind="soapy", soapy=Soapy(device=device), **DONGLE)


def listed(*receivers, ask):
    out = io.StringIO()
    is_complete = list_receivers(out, receivers=receivers, as_json=True, ask=ask)
    return json.loads(out.getvalue()), is_complete


def found(receiver, ask):
    (wanted,) = listed(receiver, ask=ask)[0]["receivers"]
    return wanted["is_found"]


def test_people_see_a_table():
    out = io.StringIO()
    receivers = [dongle_receiver("north", serial="A1"), dongle_receiver("south", serial="C3")]
    ask = host_with(FREE, HELD, soapy=[SIMULATED])
    assert not list_receivers(out, receivers=receivers, ask=ask)
    assert out.getvalue().splitlines() == [
        "KIND    NAME                  MODEL                         STATE",
        "rtlsdr  A1 (index 0)          Realtek RTL2838UHIDIR, R820T  free",
        "rtlsdr  B2 (index 1)          Realtek RTL2838UHIDIR         in use",
        "soapy   driver=sim, serial=7  A simulated radio             found",
        "",
        "RECEIVER  KIND    DEVICE     FOUND",
        "north     rtlsdr  serial A1  yes",
        "south     rtlsdr  serial C3  NO",
        "",
        "rtlsdr B2: stop it",
    ]


def test_nothing_at_all_is_said_too():
    out = io.StringIO()
    assert list_receivers(out, ask=host_with(problem="rtlsdr: librtlsdr is not installed"))
    assert out.getvalue() == (
        "No receiver was found on this host.\n\nrtlsdr: librtlsdr is not installed\n"
    )


def test_programs_get_one_object():
    said, is_complete = listed(ask=host_with(FREE))
    assert is_complete
    assert said["devices"][0]["name"] == "A1"
    assert (said["receivers"], said["notes"]) == ([], [])


@pytest.mark.parametrize(
    ("table", "is_found"),
    [
        ({"serial": "B2"}, True),
        ({"serial": "b2"}, False),
        ({"index": 1}, True),
        ({"index": 2}, False),
        ({}, True),
    ],
)
def test_a_configured_dongle_is_looked_for(table, is_found):
    assert found(dongle_receiver(**table), host_with(FREE, HELD)) is is_found


def test_dongles_that_cannot_be_told_apart_are_said():
    said, _ = listed(dongle_receiver(serial="A1"), ask=host_with(FREE, {**HELD, "serial": "A1"}))
    assert "2 dongles fit" in said["receivers"][0]["message"]


@pytest.mark.parametrize(
    ("device", "is_found"),
    [
        ("driver=sim", True),
        ("driver=sim, serial=7", True),
        ("driver=sim,serial=8", False),
        ("driver=other", False),
        ("driver=sim,rate=fast", True),
    ],
)
def test_a_configured_soapy_device_is_looked_for(device, is_found):
    assert found(soapy_receiver(device), host_with(soapy=[SIMULATED])) is is_found


def test_what_is_no_device_of_this_host_is_not_asked_for(tmp_path):
    kiwi = Receiver(id="k", kind="kiwisdr", kiwisdr=KiwiSdr(host="a.b"), center_freq_hz=77.5e3)
    assert found(kiwi, host_with()) is None
    (tmp_path / "there").touch()
    for name, is_found in (("there", True), ("gone", False)):
        recording = Recording(path=tmp_path / name)
        assert found(Receiver(id="r", kind="recording", recording=recording), host_with()) is (
            is_found
        )
    pipe = Receiver(id="o", kind="observations", observations=ObservationFile(path=Path("-")))
    assert found(pipe, host_with()) is None


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import time; time.sleep(60)", "x: its driver did not answer for 1 s"),
        ("raise SystemExit('SoapySDR is not installed')", "x: SoapySDR is not installed"),
        ("import os; os.kill(os.getpid(), 9)", "x: its driver ended with -9"),
        ("""print('{"reason": "library", "message": "too old"}')""", "x: too old"),
        ("print('chatter'); print('[1]'); print('{}')", None),
    ],
)
def test_a_driver_that_fails_is_a_note(tmp_path, monkeypatch, program, problem):
    (tmp_path / "lister.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert ask_driver("x", ("lister",), patience_s=1.0)[1] == problem


def test_the_command_lists_this_hosts_dongles(tmp_path, capsys):
    config = tmp_path / "c.toml"
    config.write_text(
        '[station]\nname = "monte"\nlatitude_deg = 45.0\nlongitude_deg = 7.6\n'
        '[[channels]]\nname = "c"\nfrequency_hz = 446.1e6\nbandwidth_hz = 12500\n'
        '[[receivers]]\nid = "rx"\nkind = "rtlsdr"\ncenter_freq_hz = 446e6\n'
        'sample_rate_hz = 2.4e6\ngain_db = 28.0\nrtlsdr.serial = "C3"\n'
    )
    with UsbDongles([Dongle("A1"), Dongle("V4", **BLOG_V4)], visible=True) as usb:
        usb.hold_elsewhere("A1")
        assert main(["receivers"]) == 0
        said = capsys.readouterr().out
        assert main(["receivers", "--json", "--config", str(config)]) == 1
        told = capsys.readouterr()
    assert "rtlsdr  A1 (index 0)" in said
    assert "RTLSDRBlog Blog V4, R828D" in said
    assert json.loads(told.out)["receivers"][0]["is_found"] is False
    assert "a configured receiver was not found" in told.err
