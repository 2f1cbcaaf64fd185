"""What a KiwiSDR says in words, and what we say to it: pure, apart from any socket.

::

    "MSG too_busy=4"  ─ parse_message ─▶ {"too_busy": "4"} ─ refusal_in ─▶ Refusal(pause_s=600)
    settings_for(…) ─▶ "SET mod=iq low_cut=-5000 …"

A refusal is a value: what it means, and for how long the server is to be left alone. Public
receivers are volunteers' machines; the pauses are theirs to be generous with, not ours to shorten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

MESSAGE_TAG = b"MSG"
MAX_MESSAGE_BYTES = 1 << 20
"""``load_cfg`` is the largest: some tens of kilobytes."""
MAX_PAIRS = 256
MINUTE_S, HOUR_S = 60.0, 3600.0
TOMORROW_S = 24 * HOUR_S
MANUAL_GAIN_DB = 50.0
MAX_HALF_BAND_HZ = {12_000: 5_900.0}
"""Audio rate → how far the pass band may reach; 0.49 of the rate elsewhere."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a server does not serve us now."""

    reason: str
    """What it said, and what to do."""
    pause_s: float
    """How long to leave it alone at least."""


def parse_message(message: bytes) -> dict[str, str]:
    """Read a ``MSG``: name → value, percent-decoded; a bare name's value is empty.

    Unknown names are kept: the caller looks for those it knows.

    Raises
    ------
    ValueError
        It is no ``MSG``, or absurdly large.
    """
    if not message.startswith(MESSAGE_TAG):
        raise ValueError(f"message that begins with {message[:4]!r}; expected 'MSG'")
    if len(message) > MAX_MESSAGE_BYTES:
        raise ValueError(f"message of {len(message)} bytes; expected {MAX_MESSAGE_BYTES} at most")
    words = message[4:].decode("utf-8", "replace").split(" ", MAX_PAIRS)
    if len(words) > MAX_PAIRS:
        raise ValueError(f"message of more than {MAX_PAIRS} words; expected fewer")
    pairs = (word.partition("=") for word in words if word.strip())
    return {name.strip(): unquote(value).strip() for name, _, value in pairs}


# ── refusals ──────────────────────────────────────────────────────────────────────────────

_BAD_PASSWORD: Mapping[int, Refusal] = {
    1: Refusal(
        "wrong password, or every channel without one is taken; "
        "ask its owner, and set kiwisdr.password_file",
        10 * MINUTE_S,
    ),
    2: Refusal("the server is still finding out its own address", MINUTE_S),
    3: Refusal("our address is not allowed", TOMORROW_S),
    4: Refusal("the server has no password set", TOMORROW_S),
    5: Refusal("it has a connection from our address already; one receiver a host", 10 * MINUTE_S),
    6: Refusal("the server is updating its database", MINUTE_S),
    7: Refusal("it is open elsewhere already", 10 * MINUTE_S),
}
_DOWN = {
    0: ("switched off", 30 * MINUTE_S),
    1: ("updating its software", 10 * MINUTE_S),
    2: ("making a backup", 10 * MINUTE_S),
}
_ENDINGS: Mapping[str, tuple[str, float]] = {
    "wb_only": ("it serves wide-band connections only", HOUR_S),
    "exclusive_use": ("somebody has it for himself", 30 * MINUTE_S),
    "camp_disconnect": ("the user that it listened along with is gone", 10 * MINUTE_S),
    "password_timeout": ("it waited too long for a password", 10 * MINUTE_S),
}
_LONGEST_QUOTE = 80


def refusal_in(said: Mapping[str, str]) -> Refusal | None:
    """The refusal that a message holds, if any."""
    if "badp" in said:
        return _bad_password(said["badp"])
    if "down" in said or "reason_disabled" in said:
        what, pause_s = _DOWN.get(_number(said.get("down", "0")), _DOWN[0])
        reason = said.get("reason_disabled", "")[:_LONGEST_QUOTE]
        return Refusal(f"the receiver is {what}" + (f": {reason!r}" if reason else ""), pause_s)
    if "too_busy" in said:
        return Refusal(f"all {_number(said['too_busy'])} channels are taken", 10 * MINUTE_S)
    if "inactivity_timeout" in said:
        minutes = _number(said["inactivity_timeout"])
        return Refusal(f"its limit of {minutes} minutes without a touch is reached", HOUR_S)
    if "ip_limit" in said:
        minutes = _number(said["ip_limit"].partition(",")[0])
        return Refusal(
            f"its limit of {minutes} minutes a day and address is reached; come back tomorrow, "
            "or ask its owner and set kiwisdr.time_limit_password_file",
            TOMORROW_S,
        )
    for name, (reason, pause_s) in _ENDINGS.items():
        if name in said:
            return Refusal(reason, pause_s)
    return None


def _bad_password(value: str) -> Refusal | None:
    code = _number(value)
    if code == 0:
        return None
    unknown = Refusal(f"it does not let us in (badp={value[:8]!r})", 10 * MINUTE_S)
    return _BAD_PASSWORD.get(code, unknown)


def _number(text: str) -> int:
    """A count as the server writes it; −1 where it is none."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else -1


# ── what we say ───────────────────────────────────────────────────────────────────────────


def authorisation(password: str, *, time_limit_password: str = "") -> str:
    """The first words; percent-encoded, and never to be logged."""
    words = f"SET auth t=kiwi p={quote(password, safe='')}"
    if not time_limit_password:
        return words
    nothing = "" if password else "#"  # the server would take the next word for the password
    return f"{words}{nothing} ipl={quote(time_limit_password, safe='')}"


def half_band_limit_hz(audio_rate_hz: int) -> float:
    """How far the pass band may reach to either side at a rate."""
    return MAX_HALF_BAND_HZ.get(audio_rate_hz, 0.49 * audio_rate_hz)


def settings_for(
    *, user: str, baseband_hz: float, half_band_hz: float, agc: bool, gain_db: float
) -> tuple[str, ...]:
    """All that the server needs before it sends IQ, but for the rate.

    Parameters
    ----------
    user
        Who we are; its owner sees it.
    baseband_hz
        What to tune to, the server's frequency offset taken off.
    gain_db
        Manual gain, which holds while ``agc`` is off; 0…100.
    """
    edge_hz = round(half_band_hz)
    return (
        "SET squelch=0 param=0",
        "SET genattn=0",
        "SET gen=0 mix=-1",
        f"SET ident_user={quote(user, safe='')}",
        f"SET mod=iq low_cut={-edge_hz} high_cut={edge_hz} freq={baseband_hz / 1e3:.3f}",
        f"SET agc={int(agc)} hang=0 thresh=-100 slope=6 decay=1000 manGain={round(gain_db)}",
        "SET compression=0",
        KEEPALIVE,
    )


def rate_accepted(audio_rate_hz: int) -> str:
    """The answer to ``audio_rate``; without it no samples come."""
    return f"SET AR OK in={audio_rate_hz} out=44100"


KEEPALIVE = "SET keepalive"
