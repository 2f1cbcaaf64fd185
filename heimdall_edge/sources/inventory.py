"""Which receivers this host has, and which of those that are configured are among them.

::

    drivers/dongles ─┐                 ┌─▶ table for people
    drivers/soapy   ─┴▶ Device ─▶ Inventory
    configuration ───▶ Wanted ──┘      └─▶ JSON for programs

Drivers are asked in processes of their own: one that hangs or crashes spoils no other's answer.
A dongle that a program uses is left alone; one that nobody uses is opened for a moment.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.child import driver_command, driver_environment

PATIENCE_S = 20.0
"""How long a driver may take to list its devices."""
LISTERS: Mapping[str, tuple[str, ...]] = {
    "rtlsdr": ("heimdall_edge.drivers.dongles",),
    "soapy": ("heimdall_edge.drivers.soapy", "--list"),
}
"""Kind → the module that lists its devices, one JSON object a line, and its arguments."""
STATES = {"kernel_driver": "held by the kernel's driver", "busy": "in use"}
"""A driver's reasons, in fewer words."""
NETWORK_KINDS = ("rtl_tcp", "spyserver", "kiwisdr", "openwebrx", "websdr")

Ask = Callable[[str, tuple[str, ...]], tuple[list[dict[str, Any]], str | None]]
"""Kind, module and arguments → what its driver lists, and what went wrong."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of this host."""

    kind: str
    """Of the receiver that would read it: ``rtlsdr`` or ``soapy``."""
    name: str
    """Its serial, or the arguments that open it: what goes into the configuration."""
    model: str
    state: str
    """``free``, ``in use``, or what is wrong with it."""
    index: int | None = None
    message: str | None = None
    """What to do about that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A receiver that the configuration names."""

    receiver: str
    kind: str
    device: str
    is_found: bool | None
    """``None``: it is on no USB port of this host, and nobody was asked."""
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is, what is wanted, and what could not be found out."""

    devices: tuple[Device, ...]
    receivers: tuple[Wanted, ...]
    notes: tuple[str, ...]

    @property
    def lacks_something(self) -> bool:
        """Whether a configured device is not there."""
        return any(wanted.is_found is False for wanted in self.receivers)


def list_receivers(
    out: IO[str],
    *,
    receivers: Sequence[Receiver] | None = None,
    as_json: bool = False,
    ask: Ask | None = None,
) -> bool:
    """Write which receivers there are; whether all configured ones were found.

    Parameters
    ----------
    receivers
        Of the configuration; ``None`` where none was named.
    as_json
        One JSON object instead of tables.
    ask
        Asks one driver.
    """
    found = inventory(receivers or (), ask=ask or ask_driver)
    out.write(json.dumps(asdict(found), indent=2) if as_json else _in_words(found))
    out.write("\n")
    return not found.lacks_something


def inventory(receivers: Iterable[Receiver], *, ask: Ask) -> Inventory:
    """Ask all drivers, and look for what is configured."""
    answers = {kind: ask(kind, command) for kind, command in LISTERS.items()}
    dongles = [_dongle(listed) for listed in answers["rtlsdr"][0]]
    soapy = [_soapy_device(listed) for listed in answers["soapy"][0]]
    return Inventory(
        devices=(*dongles, *soapy),
        receivers=tuple(_wanted(receiver, dongles, answers["soapy"][0]) for receiver in receivers),
        notes=tuple(problem for _, problem in answers.values() if problem),
    )


def ask_driver(
    kind: str, command: tuple[str, ...], *, patience_s: float = PATIENCE_S
) -> tuple[list[dict[str, Any]], str | None]:
    """What a driver lists in its own process, and what went wrong with that."""
    try:
        run = subprocess.run(
            driver_command(*command),
            env=driver_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"{kind}: its driver did not answer for {patience_s:g} s"
    listed = list(_objects(run.stdout))
    refusals = [said for said in listed if "reason" in said]
    if refusals:
        return [], f"{kind}: {refusals[0].get('message')}"
    if run.returncode:
        last = run.stderr.decode(errors="replace").strip().splitlines()[-1:]
        ended = last[0] if last else f"its driver ended with {run.returncode}"
        return listed, f"{kind}: {ended}"
    return listed, None


def _objects(output: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines; libraries print others."""
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _dongle(listed: Mapping[str, Any]) -> Device:
    maker, product, tuner = listed["manufacturer"], listed["product"], listed["tuner"]
    state = str(listed["state"])
    return Device(
        kind="rtlsdr",
        name=listed["serial"],
        model=", ".join(filter(None, (f"{maker} {product}".strip(), tuner))),
        state=STATES.get(state, state),
        index=listed["index"],
        message=listed["message"],
    )


def _soapy_device(listed: Mapping[str, Any]) -> Device:
    named = {key: listed[key] for key in ("driver", "serial", "remote") if key in listed}
    return Device(
        kind="soapy",
        name=", ".join(f"{key}={value}" for key, value in named.items()),
        model=str(listed.get("label", "")),
        state="found",
    )


# ── what is configured ────────────────────────────────────────────────────────────────────


def _wanted(
    receiver: Receiver, dongles: Sequence[Device], soapy: Sequence[Mapping[str, Any]]
) -> Wanted:
    if receiver.kind == "rtlsdr":
        return _wanted_dongle(receiver, dongles)
    if receiver.soapy is not None:
        asked = dict(_pairs(receiver.soapy.device))
        is_found = any(_fits(asked, listed) for listed in soapy)
        return Wanted(receiver.id, receiver.kind, receiver.soapy.device, is_found)
    table = getattr(receiver, receiver.kind)
    if receiver.kind in NETWORK_KINDS:
        return Wanted(receiver.id, receiver.kind, f"{table.host}:{table.port}", None)
    path = getattr(table, "path", None)
    is_there = None if path is None or str(path) == "-" else path.exists()
    return Wanted(receiver.id, receiver.kind, "" if path is None else str(path), is_there)


def _wanted_dongle(receiver: Receiver, dongles: Sequence[Device]) -> Wanted:
    table = receiver.rtlsdr
    serial, index = (table.serial, table.index) if table else (None, None)
    if serial is not None:
        name, fitting = f"serial {serial}", [d for d in dongles if d.name == serial]
    elif index is not None:
        name, fitting = f"index {index}", [d for d in dongles if d.index == index]
    else:
        name, fitting = "the only one", list(dongles)
    message = None
    if len(fitting) > 1:
        message = f"{len(fitting)} dongles fit: give each a serial with rtl_eeprom -s, and name it"
    return Wanted(receiver.id, receiver.kind, name, bool(fitting), message)


def _pairs(arguments: str) -> Iterator[tuple[str, str]]:
    for pair in arguments.split(","):
        key, _, value = pair.partition("=")
        yield key.strip(), value.strip()


def _fits(asked: Mapping[str, str], listed: Mapping[str, Any]) -> bool:
    """Whether a listed device has all that is asked for, as far as it says."""
    return asked.get("driver") == listed.get("driver") and all(
        str(listed[key]) == value for key, value in asked.items() if key in listed
    )


# ── in words ──────────────────────────────────────────────────────────────────────────────


def _in_words(found: Inventory) -> str:
    parts = [_table(("KIND", "NAME", "MODEL", "STATE"), [_device_row(d) for d in found.devices])]
    if not found.devices:
        parts = ["No receiver was found on this host."]
    if found.receivers:
        rows = [_wanted_row(wanted) for wanted in found.receivers]
        parts.append(_table(("RECEIVER", "KIND", "DEVICE", "FOUND"), rows))
    about = {f"{d.kind} {d.name}": d.message for d in found.devices}
    about |= {wanted.receiver: wanted.message for wanted in found.receivers}
    lines = [f"{name}: {message}" for name, message in about.items() if message]
    return "\n\n".join(
        [*parts, *(["\n".join([*lines, *found.notes])] if lines or found.notes else [])]
    )


def _device_row(device: Device) -> tuple[str, ...]:
    index = "" if device.index is None else f" (index {device.index})"
    return device.kind, f"{device.name}{index}", device.model, device.state


def _wanted_row(wanted: Wanted) -> tuple[str, ...]:
    answers = {True: "yes", False: "NO", None: "not asked"}
    return wanted.receiver, wanted.kind, wanted.device, answers[wanted.is_found]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)
