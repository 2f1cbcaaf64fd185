"""Literals of JavaScript, as a page's script assigns them: read, never run.

Objects with bare or quoted keys, arrays, strings, numbers, ``true``, ``false``, ``null``; a comma
may stand before a closing bracket. Nothing else: no expressions, no calls.
"""

from __future__ import annotations

import re

MAX_CHARS = 1 << 18
MAX_DEPTH = 8

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<word>[A-Za-z_$][\w$]*)
    |(?P<mark>[\[\]{},:])
    )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None, "undefined": None}


def assigned(script: str, name: str) -> object:
    """The literal that a script assigns to a variable the first time.

    Raises
    ------
    ValueError
        The script is too long, assigns nothing to it, or something that is no literal.
    """
    if len(script) > MAX_CHARS:
        raise ValueError(f"a script of {len(script)} characters: expected up to {MAX_CHARS}")
    found = re.search(rf"(?<![\w$.]){re.escape(name)}\s*=(?!=)", script)
    if found is None:
        raise ValueError(f"a script without {name} = …")
    return _Reader(script, found.end(), name).value(0)


class _Reader:
    """Goes through a script, token by token."""

    def __init__(self, script: str, at: int, name: str) -> None:
        self._script, self._at, self._name = script, at, name

    def value(self, depth: int) -> object:
        kind, text = self._next()
        if kind == "string":
            return _unescaped(text)
        if kind == "number":
            return float(text)
        if kind == "word" and text in _WORDS:
            return _WORDS[text]
        if depth >= MAX_DEPTH:
            raise ValueError(f"{self._name} is nested deeper than {MAX_DEPTH}")
        if text == "[":
            return self._array(depth)
        if text == "{":
            return self._object(depth)
        raise self._unexpected(text)

    def _array(self, depth: int) -> list[object]:
        items: list[object] = []
        while not self._takes("]"):
            items.append(self.value(depth + 1))
            if not self._takes(","):
                self._must_take("]")
                break
        return items

    def _object(self, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        while not self._takes("}"):
            kind, key = self._next()
            if kind not in ("string", "word", "number"):
                raise self._unexpected(key)
            self._must_take(":")
            items[_unescaped(key) if kind == "string" else key] = self.value(depth + 1)
            if not self._takes(","):
                self._must_take("}")
                break
        return items

    def _next(self) -> tuple[str, str]:
        found = _TOKEN.match(self._script, self._at)
        if found is None:
            raise self._unexpected(self._script[self._at : self._at + 20].strip())
        self._at = found.end()
        kind = found.lastgroup or ""
        return kind, found[kind]

    def _takes(self, mark: str) -> bool:
        found = _TOKEN.match(self._script, self._at)
        if found is None or found["mark"] != mark:
            return False
        self._at = found.end()
        return True

    def _must_take(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._unexpected(self._script[self._at : self._at + 20].strip())

    def _unexpected(self, text: str) -> ValueError:
        return ValueError(f"{self._name} holds {text[:20]!r}: expected a literal")


def _unescaped(quoted: str) -> str:
    """A string's text; of the escapes only those that stand for their own character."""
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])
