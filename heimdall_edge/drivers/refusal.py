"""Why a driver gives up: what its ERROR frame says."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is what the driver says, and no bug
    """A driver cannot open or go on.

    Parameters
    ----------
    reason
        A short code, such as ``busy``.
    message
        What happened, and what the operator can do.
    permanent
        Whether trying again cannot help, until the configuration changes.
    """

    def __init__(self, reason: str, message: str, *, permanent: bool = False) -> None:
        self.reason, self.message, self.permanent = reason, message, permanent
        super().__init__(f"{reason}: {message}")

    @property
    def said(self) -> dict[str, object]:
        """The ERROR frame's payload."""
        return {"reason": self.reason, "message": self.message, "permanent": self.permanent}
