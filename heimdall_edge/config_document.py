"""Writes the annotated configuration file from the models, so that the two cannot differ.

``python -m heimdall_edge.config_document > config/heimdall-edge.toml`` (``make docs``).
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heimdall_edge.config import Config

HEADER = """\
# heimdall-edge: every key, with its default.
#
# A line that starts with '#' and a key shows a key that has no default, or a table of which there
# may be several: take the '#' away to use it. `heimdall-edge check-config FILE` says what is wrong.
"""
EXAMPLES: dict[str, Any] = {
    "latitude_deg": 45.07,
    "longitude_deg": 7.69,
    "altitude_m": 240.0,
    "frequency_hz": 446_006_250.0,
    "center_freq_hz": 446_100_000.0,
    "sample_rate_hz": 2_400_000.0,
    "gain_db": 28.0,
    "sigma_s": 1e-7,
    "level_offset_sd_db": 4.0,
    "channels": ["pmr1"],
    "id": "rx1",
    "name": "pmr1",
    "kind": "recording",
    "path": "recording.sigmf-meta",
    "serial": "00000001",
    "index": 0,
    "bandwidth_hz": 1_500_000.0,
    "device": "driver=rtlsdr,serial=00000001",
    "antenna": "RX",
    "host": "sdr.example",
    "bias_tee": True,
    "gain_index": 10,
    "time_limit_password_file": "/etc/heimdall-edge/credentials/kiwi-time-limit",
    "user": "heimdall-edge alps-1",
    "band": 0,
    "full_scale_dbm": -10.0,
    "set_db": 28.0,
    "true_db": 27.1,
    "receivers": ["rx1"],
    "min_snr_db": 10.0,
    "centers_hz": [145_000_000.0, 446_100_000.0],
    "start_utc": "2026-01-31T12:00:00Z",
    "model_path": "/var/lib/heimdall-edge/model.onnx",
    "model_sha256": "0" * 64,
    "port": 1883,
    "username": "heimdall",
    "password_file": "/etc/heimdall-edge/credentials/mqtt-password",
    "ca_file": "/etc/ssl/certs/ca-certificates.crt",
    "cert_file": "/etc/heimdall-edge/client.crt",
    "key_file": "/etc/heimdall-edge/credentials/client.key",
    "reference_loss_db": 32.0,
    "duration_s": 60.0,
    "truth_path": "truth.jsonl",
    "at_s": 0.0,
}
"""Values for keys without a default, which are shown commented out."""


def annotated_toml() -> str:
    """The whole file: every key of every table, its meaning, its default."""
    return HEADER + "\n" + "\n".join(_table(Config, (), is_shown=True)).rstrip() + "\n"


def _table(model: type[BaseModel], path: tuple[str, ...], *, is_shown: bool) -> Iterator[str]:
    """The lines of one table: plain keys first, then the tables within it."""
    fields = [(name, info, _model_in(info.annotation)) for name, info in model.model_fields.items()]
    for name, info, inner in fields:
        if inner is None:
            yield from _key(name, info, is_shown=is_shown)
    for name, info, inner in fields:
        if inner is None:
            continue
        many = "tuple" in str(info.annotation)
        shown = is_shown and not many and info.default is not None
        mark = "" if shown else "#"
        title = ".".join((*path, name))
        yield ""
        yield from _comment(inner.__doc__ or "")
        yield f"{mark}[[{title}]]" if many else f"{mark}[{title}]"
        yield from _table(inner, (*path, name), is_shown=shown)


def _key(name: str, info: FieldInfo, *, is_shown: bool) -> Iterator[str]:
    if info.description:
        yield from _comment(info.description)
    absent = info.is_required() or info.default is None
    value = EXAMPLES[name] if absent else info.get_default(call_default_factory=True)
    mark = "" if is_shown and not absent else "#"
    yield f"{mark}{name} = {toml_value(value)}"


def _comment(text: str) -> Iterator[str]:
    plain = " ".join(text.replace("``", "").split())
    yield from textwrap.wrap(plain, 98, initial_indent="# ", subsequent_indent="# ")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a field is, or is a list of; ``None`` for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in get_args(annotation) if (m := _model_in(arg))), None)


def toml_value(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and not isinstance(value, Enum):
        return f"{value:_}" if abs(value) >= 10_000 else repr(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    text = value.as_posix() if isinstance(value, Path) else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.stdout.write(annotated_toml())
