"""A SoapySDR device that fails as asked: the module ``soapy/heimdallsim.cpp``, driven from Python.

It is a real module of the real library: whoever opens ``device.args`` goes through libSoapySDR.
"""

from __future__ import annotations

from pathlib import Path


class SoapyDevice:
    """One device; ``args`` opens it, further settings are those in the head of the C++ file.

    Controls, while it streams:

    ``overflow(n)``
        ``n`` samples of each channel are lost, and the driver says so.
    ``lose(n)``
        ``n`` samples of each channel are lost, and only the device's time tells.
    ``corrupt()``
        One read fails with "corrupted data"; nothing is lost.
    ``jump(ns)``
        The device's time jumps; nothing is lost.
    ``stall()``
        No samples come any more: each read times out.
    ``die()``
        Each read fails for good, as after an unplugging.
    ``hang()``
        A read never returns.
    ``crash()``
        SIGSEGV.

    And before it opens: ``open_fault = "fail" | "hang" | "crash"``.
    ``made`` lists the settings that the driver was told, in their order.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self._control, self._record = folder / "control", folder / "record"
        self._settings = settings
        self.open_fault: str | None = None

    @property
    def args(self) -> str:
        settings = {
            "driver": "heimdallsim",
            "control": self._control,
            "record": self._record,
            **self._settings,
            **({"open": self.open_fault} if self.open_fault else {}),
        }
        return ",".join(f"{key}={value}" for key, value in settings.items())

    @property
    def made(self) -> list[str]:
        return self._record.read_text().splitlines() if self._record.exists() else []

    def overflow(self, n_samples: int) -> None:
        self._order(f"overflow {n_samples}")

    def lose(self, n_samples: int) -> None:
        self._order(f"lose {n_samples}")

    def corrupt(self) -> None:
        self._order("corrupt")

    def jump(self, duration_ns: int) -> None:
        self._order(f"jump {duration_ns}")

    def stall(self) -> None:
        self._order("stall")

    def die(self) -> None:
        self._order("die")

    def hang(self) -> None:
        self._order("hang")

    def crash(self) -> None:
        self._order("crash")

    def _order(self, text: str) -> None:
        unfinished = self._control.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.rename(self._control)
