"""The exceptions, as a tree. Each says who must act.

::

    HeimdallError
    ├── ConfigError       the operator: exit 78, not restarted
    ├── ModelError        whoever trained or placed the model: refused, the old one runs on
    ├── SourceError       nobody at once: the receiver is supervised and tried again
    │   └── SourceDataError   the file's or setting's owner: wrong, and trying again won't help
    ├── BurstError        nobody: counted by reason, the next burst goes on
    ├── PayloadError      the sender of a message or a line: it is refused, with the field's name
    └── OutboxError       the operator, when it lasts: the disk is full, or read-only

Anything else that is raised is a bug: it ends the process with a traceback.
"""

from __future__ import annotations


class HeimdallError(Exception):
    """Base of all errors that the daemon expects."""


class ConfigError(HeimdallError):
    """The configuration cannot be used; ``problems`` names every fault, one line each."""

    def __init__(self, problems: list[str] | str) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class ModelError(HeimdallError):
    """A model file is refused: which field, what it is, what was expected."""


class SourceError(HeimdallError):
    """A receiver cannot be opened or has failed; it is worth trying again.

    ``pause_s`` is how long to leave it alone at least: a volunteer's server said "come back later".
    """

    def __init__(self, message: str, *, pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        super().__init__(message)


class SourceDataError(SourceError):
    """A recording is malformed, or a setting can never work; trying again will not help."""


class BurstError(HeimdallError):
    """One burst cannot be used; ``reason`` is a bounded label for the metric."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class PayloadError(HeimdallError):
    """A message or line is not of the published format; ``field`` is the path that is wrong."""

    def __init__(self, message: str, *, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class OutboxError(HeimdallError):
    """The outbox cannot keep a message on disk."""
