"""Reads the configuration file, and words what is wrong with it: all faults at once."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from heimdall_edge.config import BAND_SHARE, Channel, Config
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.errors import ConfigError

MAX_FILE_BYTES = 4 * 2**20
SECRET_WORDS = ("password", "secret", "token")


def load_config(path: Path) -> Config:
    """Read, check and return the configuration.

    Raises
    ------
    ConfigError
        The file cannot be read, is no TOML, or holds a wrong key or value; every fault is named
        with the file, the key's path, the value, and what was expected.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes: no configuration file")
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    return parse_config(text, name=str(path), folder=path.resolve().parent)


def parse_config(text: str, *, name: str = "configuration", folder: Path | None = None) -> Config:
    """Check a configuration's text; relative paths in it start from ``folder``."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    try:
        # As JSON, because strict models then take a list for a tuple and a string for a path.
        config = Config.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        raise ConfigError([f"{name}: {line}" for line in _faults(error, document)]) from error
    check_whole(config, name=name)
    return _with_paths_from(config, folder) if folder else config


def check_whole(config: Config, *, name: str = "configuration") -> None:
    """Raise ConfigError where tables that are right by themselves contradict each other."""
    problems = [f"{name}: {problem}" for problem in _contradictions(config)]
    if problems:
        raise ConfigError(problems)


def config_digest(config: Config) -> str:
    """SHA-256 of what the configuration says, whatever its layout in the file."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def config_json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _faults(error: ValidationError, document: dict[str, Any]) -> Iterator[str]:
    """One line a fault: key path, value, what was expected."""
    for fault in error.errors(include_url=False, include_context=False):
        location = fault["loc"]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            yield f"{key_path(location)}: unknown key; {_known_keys(location)}"
        elif fault["type"] == "missing":
            yield f"{key_path(location)}: missing; expected a value"
        else:
            yield f"{key_path(location)}{_value_at(document, location)}: {message}"


def key_path(location: tuple[int | str, ...]) -> str:
    """A key's place in the file, such as ``receivers[0].clock.sigma_s``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _value_at(document: Any, location: tuple[int | str, ...]) -> str:
    """`` = value`` for a plain value, nothing for a table, never a secret."""
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(document, dict | list) or any(
        word in str(part) for part in location for word in SECRET_WORDS
    ):
        return ""
    return f" = {str(document)[:80]!r}" if isinstance(document, str) else f" = {document!s:.80}"


def _known_keys(location: tuple[int | str, ...]) -> str:
    """The keys that the unknown one's table has, the nearest in spelling first."""
    table: Any = Config
    for part in location[:-1]:
        if isinstance(part, str):
            table = _table_of(table.model_fields[part].annotation)
    unknown = str(location[-1])
    near = difflib.get_close_matches(unknown, table.model_fields, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}expected one of {', '.join(table.model_fields)}"


def _table_of(annotation: Any) -> Any:
    """The model within ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(found for arg in get_args(annotation) if (found := _table_of(arg)))


def _contradictions(config: Config) -> Iterator[str]:
    """What no single table can see."""
    yield from _repeated("channels", "name", [c.name for c in config.channels])
    yield from _repeated("receivers", "id", [r.id for r in config.receivers])
    yield from _repeated(
        "simulation.transmitters", "name", [t.name for t in config.simulation.transmitters]
    )
    known = {channel.name for channel in config.channels}
    for i, receiver in enumerate(config.receivers):
        where = f"receivers[{i}] ({receiver.id})"
        for name in receiver.channels or ():
            if name not in known:
                expected = ", ".join(sorted(known)) or "a [[channels]] table of that name"
                yield f"{where}.channels: no channel is named {name!r}; expected {expected}"
        if receiver.gives_iq and not config.channels:
            yield f"{where}: there is nothing to listen for; expected at least one [[channels]]"
        if receiver.kind == "simulated" and not (
            receiver.latitude_deg is not None or config.station.latitude_deg is not None
        ):
            yield f"{where}: has no place; expected latitude_deg and longitude_deg"
        for channel in config.channels_of(receiver):
            yield from _out_of_band(where, receiver, channel)
        yield from _idle_centers(where, receiver, config.channels_of(receiver))
    yield from _capture_problems(config)


def _capture_problems(config: Config) -> Iterator[str]:
    """Names that do not exist, and transmissions that are longer than what is at hand of them."""
    capture = config.capture
    channels = {channel.name: channel for channel in config.channels}
    for name in capture.channels or ():
        if name not in channels:
            expected = ", ".join(sorted(channels)) or "a [[channels]] table of that name"
            yield f"capture.channels: no channel is named {name!r}; expected {expected}"
    receivers = {receiver.id for receiver in config.receivers}
    for name in capture.receivers or ():
        if name not in receivers:
            expected = ", ".join(sorted(receivers)) or "a [[receivers]] table of that id"
            yield f"capture.receivers: no receiver has the id {name!r}; expected {expected}"
    for channel in config.channels if capture.enabled else ():
        is_kept = capture.channels is None or channel.name in capture.channels
        key = "window_s" if channel.mode == "continuous" else "max_duration_s"
        lasts_s = getattr(channel, key)
        if is_kept and lasts_s > capture.max_burst_s:
            yield (
                f"capture.max_burst_s = {capture.max_burst_s:g}: expected {lasts_s:g} or more, "
                f"the {key} of channel {channel.name!r}, or its start would be missing"
            )


def _repeated(table: str, key: str, names: list[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{table}: {count} entries have {key} = {name!r}; expected each to be unique"


def _out_of_band(where: str, receiver: Receiver, channel: Channel) -> Iterator[str]:
    half_band_hz = _half_band_hz(receiver)
    if half_band_hz is None or not receiver.centers_hz:
        return
    half_channel_hz = channel.bandwidth_hz / 2
    reach_hz = half_band_hz - half_channel_hz
    if all(abs(channel.frequency_hz - center) > reach_hz for center in receiver.centers_hz):
        bands = " or ".join(
            f"{center - half_band_hz:.0f}…{center + half_band_hz:.0f} Hz"
            for center in receiver.centers_hz
        )
        yield (
            f"{where}: channel {channel.name!r} ({channel.frequency_hz - half_channel_hz:.0f}…"
            f"{channel.frequency_hz + half_channel_hz:.0f} Hz) "
            f"lies outside its band; expected within {bands} "
            f"(or list the channels it watches in {where.split(' ')[0]}.channels)"
        )


def _idle_centers(where: str, receiver: Receiver, channels: Sequence[Channel]) -> Iterator[str]:
    """Centres of a scan at which there is nothing to listen for."""
    half_band_hz = _half_band_hz(receiver)
    if receiver.scan is None or half_band_hz is None:
        return
    for center_hz in receiver.scan.centers_hz:
        reaches_hz = (abs(c.frequency_hz - center_hz) + c.bandwidth_hz / 2 for c in channels)
        if channels and all(reach_hz > half_band_hz for reach_hz in reaches_hz):
            yield (
                f"{where}.scan.centers_hz: no channel lies round {center_hz:.0f} Hz; expected at "
                f"least one within {center_hz - half_band_hz:.0f}…{center_hz + half_band_hz:.0f} Hz"
            )


def _half_band_hz(receiver: Receiver) -> float | None:
    """How far to either side of its centre a receiver hears; ``None`` where only it knows."""
    if receiver.kiwisdr:
        return receiver.kiwisdr.half_band_hz
    return receiver.sample_rate_hz and BAND_SHARE * receiver.sample_rate_hz / 2


def _with_paths_from(config: Config, folder: Path) -> Config:
    """Resolve the relative paths of the file against its own folder."""
    receivers = []
    for receiver in config.receivers:
        if receiver.recording:
            found = find_data(receiver.recording.path, folder)
            table = receiver.recording.model_copy(update={"path": found})
            receiver = receiver.model_copy(update={"recording": table})
        if receiver.observations and str(receiver.observations.path) != "-":
            found = find_data(receiver.observations.path, folder)
            lines = receiver.observations.model_copy(update={"path": found})
            receiver = receiver.model_copy(update={"observations": lines})
        receivers.append(receiver)
    model_path = config.locator.model_path
    locator = config.locator.model_copy(
        update={"model_path": folder / model_path if model_path else None}
    )
    truth_path = config.simulation.truth_path
    simulation = config.simulation.model_copy(
        update={"truth_path": folder / truth_path if truth_path else None}
    )
    return config.model_copy(
        update={"receivers": tuple(receivers), "locator": locator, "simulation": simulation}
    )


def find_data(path: Path, folder: Path) -> Path:
    """A recording's path: beside the configuration, in ``HEIMDALL_EDGE_DATA``, or here."""
    data = os.environ.get("HEIMDALL_EDGE_DATA")
    folders = [folder, Path(data)] if data else [folder, Path.cwd()]
    return next((f / path for f in folders if (f / path).exists()), folder / path)


def read_password(path: Path | None) -> str | None:
    """The broker's password: from its file, or from systemd's credential ``mqtt-password``.

    Raises
    ------
    ConfigError
        The file cannot be read, or is empty; its content is never quoted.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if path is None and credentials:
        path = Path(credentials) / "mqtt-password"
        if not path.exists() or path.read_bytes() in {b"", b"\n"}:
            return None
    if path is None:
        return None
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"mqtt.password_file: {path}: {reason}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"mqtt.password_file: {path}: empty; expected one line")
    return lines[0]
