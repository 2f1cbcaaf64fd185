"""SoapySDR's C API through ctypes: the calls we make, after ``SoapySDR/Device.h``.

Through ctypes, because SoapySDR is on no package index, and Debian's ``python3-soapysdr`` serves
the distribution's own Python alone: this works in any virtual environment of any CPython. A call
lets other threads run, as ctypes releases the interpreter lock.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util
from dataclasses import dataclass
from typing import Any

ABI = "0.8"
STATUS_NAMES = {
    -1: "timeout",
    -2: "stream error",
    -3: "corrupted data",
    -4: "overflow",
    -5: "not supported",
    -6: "time error",
    -7: "underflow",
}
"""After ``SoapySDR/Errors.h``."""


class SoapyError(Exception):
    """A call failed; the text is SoapySDR's or the driver's own."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a number may be: from ``lowest`` to ``highest``, both included."""

    lowest: float
    highest: float


class Kwargs(c.Structure):
    """``SoapySDRKwargs``: a map of texts."""

    _fields_ = (
        ("size", c.c_size_t),
        ("keys", c.POINTER(c.c_char_p)),
        ("values", c.POINTER(c.c_char_p)),
    )


class Range(c.Structure):
    """``SoapySDRRange``."""

    _fields_ = (("minimum", c.c_double), ("maximum", c.c_double), ("step", c.c_double))


class ArgInfo(c.Structure):
    """``SoapySDRArgInfo``: one of a driver's own settings."""

    _fields_ = (
        ("key", c.c_char_p),
        ("value", c.c_char_p),
        ("name", c.c_char_p),
        ("description", c.c_char_p),
        ("units", c.c_char_p),
        ("type", c.c_int),
        ("range", Range),
        ("n_options", c.c_size_t),
        ("options", c.POINTER(c.c_char_p)),
        ("option_names", c.POINTER(c.c_char_p)),
    )


STRINGS = c.POINTER(c.c_char_p)
LENGTH = c.POINTER(c.c_size_t)
DEVICE = STREAM = TEXT_TO_FREE = c.c_void_p
CHANNEL = (DEVICE, c.c_int, c.c_size_t)
"""Device, direction, channel: how most calls begin."""

CALLS: dict[str, tuple[Any, ...]] = {
    "SoapySDR_getABIVersion": (c.c_char_p,),
    "SoapySDR_free": (None, c.c_void_p),
    "SoapySDRStrings_clear": (None, c.POINTER(STRINGS), c.c_size_t),
    "SoapySDRKwargs_clear": (None, c.POINTER(Kwargs)),
    "SoapySDRKwargsList_clear": (None, c.POINTER(Kwargs), c.c_size_t),
    "SoapySDRArgInfoList_clear": (None, c.POINTER(ArgInfo), c.c_size_t),
    "SoapySDRDevice_lastError": (c.c_char_p,),
    "SoapySDRDevice_enumerateStrArgs": (c.POINTER(Kwargs), c.c_char_p, LENGTH),
    "SoapySDRDevice_makeStrArgs": (DEVICE, c.c_char_p),
    "SoapySDRDevice_unmake": (c.c_int, DEVICE),
    "SoapySDRDevice_getHardwareKey": (TEXT_TO_FREE, DEVICE),
    "SoapySDRDevice_getHardwareInfo": (Kwargs, DEVICE),
    "SoapySDRDevice_getNumChannels": (c.c_size_t, DEVICE, c.c_int),
    "SoapySDRDevice_getStreamFormats": (STRINGS, *CHANNEL, LENGTH),
    "SoapySDRDevice_getNativeStreamFormat": (TEXT_TO_FREE, *CHANNEL, c.POINTER(c.c_double)),
    "SoapySDRDevice_listAntennas": (STRINGS, *CHANNEL, LENGTH),
    "SoapySDRDevice_setAntenna": (c.c_int, *CHANNEL, c.c_char_p),
    "SoapySDRDevice_getSampleRateRange": (c.POINTER(Range), *CHANNEL, LENGTH),
    "SoapySDRDevice_setSampleRate": (c.c_int, *CHANNEL, c.c_double),
    "SoapySDRDevice_getSampleRate": (c.c_double, *CHANNEL),
    "SoapySDRDevice_getFrequencyRange": (c.POINTER(Range), *CHANNEL, LENGTH),
    "SoapySDRDevice_setFrequency": (c.c_int, *CHANNEL, c.c_double, c.POINTER(Kwargs)),
    "SoapySDRDevice_getFrequency": (c.c_double, *CHANNEL),
    "SoapySDRDevice_hasFrequencyCorrection": (c.c_bool, *CHANNEL),
    "SoapySDRDevice_setFrequencyCorrection": (c.c_int, *CHANNEL, c.c_double),
    "SoapySDRDevice_getBandwidthRange": (c.POINTER(Range), *CHANNEL, LENGTH),
    "SoapySDRDevice_setBandwidth": (c.c_int, *CHANNEL, c.c_double),
    "SoapySDRDevice_hasGainMode": (c.c_bool, *CHANNEL),
    "SoapySDRDevice_setGainMode": (c.c_int, *CHANNEL, c.c_bool),
    "SoapySDRDevice_listGains": (STRINGS, *CHANNEL, LENGTH),
    "SoapySDRDevice_getGainRange": (Range, *CHANNEL),
    "SoapySDRDevice_getGainElementRange": (Range, *CHANNEL, c.c_char_p),
    "SoapySDRDevice_setGain": (c.c_int, *CHANNEL, c.c_double),
    "SoapySDRDevice_setGainElement": (c.c_int, *CHANNEL, c.c_char_p, c.c_double),
    "SoapySDRDevice_getGain": (c.c_double, *CHANNEL),
    "SoapySDRDevice_getSettingInfo": (c.POINTER(ArgInfo), DEVICE, LENGTH),
    "SoapySDRDevice_writeSetting": (c.c_int, DEVICE, c.c_char_p, c.c_char_p),
    "SoapySDRDevice_getChannelSettingInfo": (c.POINTER(ArgInfo), *CHANNEL, LENGTH),
    "SoapySDRDevice_writeChannelSetting": (c.c_int, *CHANNEL, c.c_char_p, c.c_char_p),
    "SoapySDRDevice_setupStream": (
        STREAM, DEVICE, c.c_int, c.c_char_p, LENGTH, c.c_size_t, c.POINTER(Kwargs),
    ),
    "SoapySDRDevice_closeStream": (c.c_int, DEVICE, STREAM),
    "SoapySDRDevice_activateStream": (
        c.c_int, DEVICE, STREAM, c.c_int, c.c_longlong, c.c_size_t,
    ),
    "SoapySDRDevice_deactivateStream": (c.c_int, DEVICE, STREAM, c.c_int, c.c_longlong),
    "SoapySDRDevice_readStream": (
        c.c_int, DEVICE, STREAM, c.POINTER(c.c_void_p), c.c_size_t,
        c.POINTER(c.c_int), c.POINTER(c.c_longlong), c.c_long,
    ),
}  # fmt: skip
"""Name → result, then arguments."""


class Calls:
    """The loaded library; each call raises what the library says of its failure.

    Raises
    ------
    SoapyError
        It is not installed, or speaks another version of the interface.
    """

    def __init__(self) -> None:
        library = _load()
        self._calls: dict[str, Any] = {}
        for name, (result, *arguments) in CALLS.items():
            call = getattr(library, name)
            call.restype, call.argtypes = result, arguments
            self._calls[name.removeprefix("SoapySDRDevice_").removeprefix("SoapySDR_")] = call
        found = self._calls["getABIVersion"]().decode()
        if found != ABI:
            raise SoapyError(f"libSoapySDR has interface {found}; expected {ABI}")

    def bare(self, name: str, *arguments: object) -> Any:
        """Call, and leave it to the caller to tell a failure."""
        return self._calls[name](*arguments)

    def value(self, name: str, *arguments: object) -> Any:
        """Call what returns a value; its failure shows only in the library's last error."""
        result = self._calls[name](*arguments)
        if problem := self.last_error():
            raise SoapyError(f"{name}: {problem}")
        return result

    def do(self, name: str, *arguments: object) -> None:
        """Call what returns a status."""
        status = self._calls[name](*arguments)
        if status:
            why = self.last_error() or STATUS_NAMES.get(status, f"status {status}")
            raise SoapyError(f"{name}: {why}")

    def text(self, name: str, *arguments: object) -> str:
        found = self.value(name, *arguments)
        text = (c.cast(found, c.c_char_p).value or b"").decode(errors="replace")
        self._calls["free"](found)
        return text

    def texts(self, name: str, *arguments: object) -> list[str]:
        length = c.c_size_t()
        found = self.value(name, *arguments, c.byref(length))
        texts = _texts_of(found, length.value)
        self._calls["SoapySDRStrings_clear"](c.byref(found), length)
        return texts

    def pairs(self, name: str, *arguments: object) -> dict[str, str]:
        found: Kwargs = self.value(name, *arguments)
        pairs = _pairs_of(found)
        self._calls["SoapySDRKwargs_clear"](c.byref(found))
        return pairs

    def lists_of_pairs(self, name: str, *arguments: object) -> list[dict[str, str]]:
        length = c.c_size_t()
        found = self.value(name, *arguments, c.byref(length))
        lists = [_pairs_of(found[i]) for i in range(length.value)]
        if found:
            self._calls["SoapySDRKwargsList_clear"](found, length)
        return lists

    def spans(self, name: str, *arguments: object) -> list[Span]:
        length = c.c_size_t()
        found = self.value(name, *arguments, c.byref(length))
        spans = [Span(found[i].minimum, found[i].maximum) for i in range(length.value)]
        if found:
            self._calls["free"](found)
        return spans

    def argument_keys(self, name: str, *arguments: object) -> list[str]:
        """The names in a list of the driver's own settings."""
        length = c.c_size_t()
        found = self.value(name, *arguments, c.byref(length))
        keys = [found[i].key.decode(errors="replace") for i in range(length.value)]
        if found:
            self._calls["SoapySDRArgInfoList_clear"](found, length)
        return keys

    def last_error(self) -> str:
        """What the last call on this thread has to say; empty where it went well."""
        return (self._calls["lastError"]() or b"").decode(errors="replace")


def _load() -> c.CDLL:
    for name in (f"libSoapySDR.so.{ABI}", ctypes.util.find_library("SoapySDR")):
        try:
            if name is not None:
                return c.CDLL(name)
        except OSError:
            continue
    raise SoapyError(
        f"libSoapySDR.so.{ABI} not found; on Debian: "
        "apt-get install libsoapysdr0.8, and the soapysdr-module-… of the device"
    )


def _texts_of(array: Any, length: int) -> list[str]:
    """A C array of C strings."""
    return [(array[i] or b"").decode(errors="replace") for i in range(length)]


def _pairs_of(kwargs: Kwargs) -> dict[str, str]:
    """A map that the library owns, copied."""
    keys, values = _texts_of(kwargs.keys, kwargs.size), _texts_of(kwargs.values, kwargs.size)
    return dict(zip(keys, values, strict=True))
