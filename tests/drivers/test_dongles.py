"""The dongles of a host, and which of them is meant."""

import json
import os
import subprocess
import sys

import pytest

from heimdall_edge.drivers.dongles import Plugged, chosen, tuner_name
from heimdall_edge.drivers.refusal import Refusal

from ..emulators.usb_dongles import Dongle, UsbDongles

ONE, TWO = Plugged(0, "A1", "Realtek", "RTL2838UHIDIR"), Plugged(1, "B2", "RTLSDRBlog", "Blog V4")
MUTE = Plugged(2, "", error=-3)


@pytest.mark.parametrize(
    ("dongles", "wanted", "found"),
    [
        ([ONE, TWO], {"serial": "B2"}, TWO),
        ([ONE, TWO], {"index": 1}, TWO),
        ([TWO], {}, TWO),
        ([MUTE, ONE], {"serial": "A1"}, ONE),
        ([ONE, ONE], {"serial": "A1"}, ONE),
    ],
)
def test_the_dongle_that_is_meant_is_found(dongles, wanted, found):
    assert chosen(dongles, **{"serial": None, "index": None, **wanted}) is found


@pytest.mark.parametrize(
    ("dongles", "wanted", "reason", "words"),
    [
        ([], {"serial": "A1"}, "not_found", "no RTL-SDR dongle is plugged in"),
        ([ONE], {"serial": "a1"}, "not_found", "found 'A1' (Realtek RTL2838UHIDIR)"),
        ([ONE], {"index": 1}, "not_found", "no dongle has index 1; found 'A1'"),
        ([ONE, TWO], {}, "not_found", "one of 'A1' (Realtek RTL2838UHIDIR), 'B2' (RTLSDRBlog"),
        ([MUTE], {"serial": "A1"}, "permission", "plugdev"),
        ([MUTE], {"serial": ""}, "permission", "plugdev"),
    ],
)
def test_a_dongle_that_cannot_be_meant_is_refused(dongles, wanted, reason, words):
    with pytest.raises(Refusal) as caught:
        chosen(dongles, **{"serial": None, "index": None, **wanted})
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_the_list_shows_each_with_its_tuner_and_who_holds_it():
    dongles = [Dongle("A1"), Dongle("B2"), Dongle("C3"), Dongle("D4", tuner="R828D")]
    with UsbDongles(dongles) as usb:
        usb.hold_elsewhere("B2")
        usb.kernel_driver("C3")
        run = subprocess.run(
            [sys.executable, "-m", "heimdall_edge.drivers.dongles"],
            env={**os.environ, **usb.environment},
            capture_output=True,
            check=True,
        )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(f["index"], f["serial"], f["state"], f["tuner"]) for f in found] == [
        (0, "A1", "free", "R820T"),
        (1, "B2", "busy", None),
        (2, "C3", "kernel_driver", None),
        (3, "D4", "free", "R828D"),
    ]


def test_a_tuner_that_a_later_library_knows_has_a_name_too():
    assert [tuner_name(number) for number in (0, 5, 6, 9)] == ["", "R820T", "R828D", "tuner 9"]
