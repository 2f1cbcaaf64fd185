"""The C++ parts under ``soapy/``, compiled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .compiling import shared_library

SOURCES = Path(__file__).resolve().parent / "soapy"
COMPILE = ("g++", "-O2", "-std=c++17", "-Wall", "-Wextra", "-shared", "-fPIC")
INCLUDE = (Path("/usr/include"), Path("/usr/local/include"))


def compiled(name: str, *libraries: str) -> Path:
    """The shared library that ``soapy/<name>.cpp`` makes, alone in a folder of its own.

    Skips the test where SoapySDR or a compiler is not installed.
    """
    headers = [folder / "SoapySDR/Device.hpp" for folder in INCLUDE]
    if shutil.which("g++") is None or not any(header.exists() for header in headers):
        pytest.skip("needs SoapySDR and a compiler: apt-get install libsoapysdr-dev g++")
    source = SOURCES / f"{name}.cpp"
    flags = [f"-l{wanted}" for wanted in libraries]
    return shared_library(name, [source], [*COMPILE, str(source), *flags])
