"""pyrtlsdr, on whichever librtlsdr there is, and without NumPy.

pyrtlsdr takes pyrtlsdrlib's librtlsdr before the system's, and fails on one that lacks any function
that it knows. Where ``LD_LIBRARY_PATH`` holds a librtlsdr, or pyrtlsdrlib is not installed, it gets
the other one, with those functions filled in that nobody here needs.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

from heimdall_edge.drivers.refusal import Refusal

NOT_NEEDED = ("rtlsdr_set_dithering", "rtlsdr_set_gpio_", "rtlsdr_get_gpio_")
"""Beginnings of the names of functions that older libraries lack. Dithering is on, there, too."""
TOO_OLD = (
    "librtlsdr is too old: it lacks {missing}; expected that of pyrtlsdrlib 0.0.7 or later "
    "(pip install pyrtlsdrlib), or librtlsdr 0.6 or later"
)
NO_LIBRARY = (
    "librtlsdr is not installed; expected that of pyrtlsdrlib (pip install pyrtlsdrlib), or the "
    "system's (apt install librtlsdr0)"
)
BLOG_V4 = b"Blog V4"
FILE_NAMES = ("librtlsdr.so.0", "librtlsdr.so.2", "librtlsdr.so")


class OlderLibrary(ctypes.CDLL):
    """A librtlsdr in which each function that is missing, and not needed, does nothing."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not name.startswith(NOT_NEEDED):
                raise
            return _Nothing()


class _Nothing:
    """Stands for a C function; pyrtlsdr sets its types, and may call it."""

    restype: Any = None
    argtypes: Any = None

    def __call__(self, *_: object) -> int:
        return 0


def load() -> Any:
    """The module of pyrtlsdr that has its classes and its library.

    Raises
    ------
    Refusal
        There is no librtlsdr, or none that pyrtlsdr can use.
    """
    sys.modules["numpy"] = None  # type: ignore[assignment]  # pyrtlsdr would load it
    if (library := _library_of_the_system()) is not None:
        loader = types.ModuleType("pyrtlsdrlib")
        loader.load_librtlsdr = lambda: library  # type: ignore[attr-defined]
        sys.modules["pyrtlsdrlib"] = loader
    try:
        return importlib.import_module("rtlsdr.rtlsdr")
    except ImportError as error:
        raise Refusal("library", f"{NO_LIBRARY} ({error})") from error
    except AttributeError as error:
        missing = str(error).rsplit(" ", 1)[-1]
        raise Refusal("library", TOO_OLD.format(missing=missing)) from error


def knows_blog_v4() -> bool:
    """Whether the loaded library tunes an RTL-SDR Blog V4 as that wants to be: it names it."""
    with Path("/proc/self/maps").open() as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "librtlsdr" in line}
    return any(BLOG_V4 in Path(path).read_bytes() for path in paths)


def _library_of_the_system() -> OlderLibrary | None:
    """The one that is asked for, or the only one there is; ``None``: take pyrtlsdrlib's."""
    folders = [Path(f) for f in os.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    asked_for = [str(f / name) for f in folders for name in FILE_NAMES if (f / name).exists()]
    if not asked_for and importlib.util.find_spec("pyrtlsdrlib") is not None:
        return None
    for path in asked_for or FILE_NAMES:
        try:
            return OlderLibrary(path)
        except OSError:
            continue
    return None
