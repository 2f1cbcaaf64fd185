"""Checks of JSON that comes from strangers: bounded, finite, of the kind that was agreed."""

from __future__ import annotations

import json
from typing import Any, cast

from heimdall_edge.types import Place

MAX_NAME_CHARS = 200


def parsed(text: str, *, max_chars: int) -> object:
    """A JSON value; ValueError says what is wrong with the text."""
    if len(text) > max_chars:
        raise ValueError(f"a text of {len(text)} characters: expected up to {max_chars}")
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("a text is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{text[:60]!r} is no JSON: {error.msg}") from error


def as_object(value: object, name: str) -> dict[str, Any]:
    """A JSON object; ``name`` is what a complaint calls it."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {_shown(value)}: expected a JSON object")
    return value


def as_number(value: object, name: str, *, least: float, greatest: float) -> float:
    """A number between two limits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= cast(float, value) <= greatest:
        raise ValueError(
            f"{name} is {_shown(value)}: expected a number from {least:g} to {greatest:g}"
        )
    return float(cast(float, value))


def as_words(value: object) -> str:
    """Text for a message or log, of bounded length; empty where there is none."""
    return value[:MAX_NAME_CHARS] if isinstance(value, str) else ""


def as_place(gps: object, altitude_m: object) -> Place | None:
    """Where an antenna is, from {lat, lon}; None where that is missing or is no place."""
    if not isinstance(gps, dict):
        return None
    try:
        latitude_deg = as_number(gps.get("lat"), "lat", least=-90, greatest=90)
        longitude_deg = as_number(gps.get("lon"), "lon", least=-180, greatest=180)
    except ValueError:
        return None
    try:
        ground_m = as_number(altitude_m, "asl", least=-500, greatest=9_000)
    except ValueError:
        ground_m = 0.0
    return Place(latitude_deg, longitude_deg, ground_m)


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no number")


def _shown(value: object) -> str:
    return repr(value)[:60]
