"""Which librtlsdr pyrtlsdr gets. Each case in a process of its own: modules load once."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
{before}
from heimdall_edge.drivers.librtlsdr import knows_blog_v4, load
from heimdall_edge.drivers.refusal import Refusal
try:
    module = load()
    said = {{"library": module.librtlsdr._name, "numpy": module.has_numpy, "v4": knows_blog_v4()}}
except Refusal as refusal:
    said = refusal.said
print(json.dumps(said))
"""
WITHOUT_PYRTLSDRLIB = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "pyrtlsdrlib" else find(name, *a)
"""
NO_LIBRARY_AT_ALL = (
    WITHOUT_PYRTLSDRLIB
    + """
import ctypes, ctypes.util
sys.modules["pyrtlsdrlib"] = None
class NoLibrary(ctypes.CDLL):
    def __init__(self, *_): raise OSError("no such file")
ctypes.CDLL = NoLibrary
ctypes.util.find_library = lambda name: None
"""
)


def said_by(before="", **environment):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture
def old_library(tmp_path):
    """A librtlsdr from before the bias tee: all of its functions do nothing."""
    functions = ["get_device_count", "get_device_name", "get_device_usb_strings", "open", "close"]
    source = tmp_path / "old.c"
    source.write_text("".join(f"int rtlsdr_{name}(void) {{ return 0; }}\n" for name in functions))
    command = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "librtlsdr.so.0"), str(source)]
    subprocess.run(command, check=True)
    return str(tmp_path)


def test_pyrtlsdrlibs_is_taken_first_and_without_numpy():
    said = said_by()
    assert "pyrtlsdrlib" in said["library"]
    assert (said["numpy"], said["v4"]) == (False, True)


def test_the_systems_is_taken_where_pyrtlsdrlib_is_not_installed():
    said = said_by(WITHOUT_PYRTLSDRLIB)
    assert said == {"library": "librtlsdr.so.0", "numpy": False, "v4": False}


def test_one_that_is_too_old_is_named_with_what_it_lacks(old_library):
    said = said_by(LD_LIBRARY_PATH=old_library)
    assert said["reason"] == "library"
    assert "librtlsdr is too old: it lacks rtlsdr_get_index_by_serial" in said["message"]


def test_none_at_all_says_how_to_get_one():
    said = said_by(NO_LIBRARY_AT_ALL)
    assert said["reason"] == "library"
    assert "librtlsdr is not installed; expected that of pyrtlsdrlib" in said["message"]
