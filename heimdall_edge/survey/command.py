"""``heimdall-edge survey``: from the configuration to what is printed and drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from heimdall_edge.config import Config
from heimdall_edge.errors import ConfigError
from heimdall_edge.survey import report
from heimdall_edge.survey.run import Surveyed, survey


def run_survey(
    config: Config,
    *,
    seconds: float,
    receiver_id: str | None = None,
    png: Path | None = None,
    as_json: bool = False,
    out: TextIO | None = None,
) -> int:
    """Survey, print, draw.

    Returns
    -------
    The exit code: 0, or 1 where no receiver gave any samples.

    Raises
    ------
    ConfigError
        There is no such receiver, nothing to draw with, or no place for the picture.
    """
    out = out or sys.stdout
    draw = _painter(png)  # a minute of listening shall not end in "no Pillow"
    found = survey(config, seconds=seconds, receiver_id=receiver_id)
    text = json.dumps(report.as_json(found), indent=2) if as_json else report.in_words(found)
    print(text, file=out, flush=True)
    draw(found)
    return 0 if any(surveyed.measured for surveyed in found) else 1


def _painter(png: Path | None) -> Callable[[Sequence[Surveyed]], None]:
    """What draws the picture, if one is wanted."""
    if png is None:
        return lambda _found: None
    try:
        from heimdall_edge.survey.picture import draw
    except ImportError as error:
        raise ConfigError(
            f"--png needs Pillow ({error}): pip install 'heimdall-edge[survey]', or leave it out"
        ) from error
    if not png.parent.is_dir():
        raise ConfigError(f"--png {png}: there is no folder {png.parent}")
    return lambda found: _draw_to(draw, found, png)


def _draw_to(
    draw: Callable[[Sequence[Surveyed], Path], None], found: Sequence[Surveyed], png: Path
) -> None:
    try:
        draw(found, png)
    except OSError as error:
        raise ConfigError(f"--png {png}: {error.strerror or error}") from error
