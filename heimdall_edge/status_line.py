"""The line that ``systemctl status`` shows: how many receivers run, what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heimdall_edge.types import ModelIdentity, ReceiverState, ReceiverStatus

REASON_CHARACTERS = 160
MOST_NAMED = 3
"""Of what a receiver gave up."""
_WELL = {ReceiverState.RUNNING, ReceiverState.STARTING, ReceiverState.DISABLED}


def status_line(
    statuses: Sequence[ReceiverStatus], model: ModelIdentity, problems: Sequence[str]
) -> str:
    """One line: receivers, model, and whatever somebody should look at."""
    running = sum(status.state is ReceiverState.RUNNING for status in statuses)
    head = f"{running} of {len(statuses)} receivers running, model {model.name} {model.version}"
    return "; ".join([head, *_troubles(statuses), *problems])


def _troubles(statuses: Sequence[ReceiverStatus]) -> Iterator[str]:
    for status in statuses:
        if status.state not in _WELL:
            reason = (status.reason or "")[:REASON_CHARACTERS]
            yield f"{status.receiver_id} {status.state}: {reason}"
        if status.given_up:
            named, n_more = status.given_up[:MOST_NAMED], len(status.given_up) - MOST_NAMED
            more = f" and {n_more} more" if n_more > 0 else ""
            yield f"{status.receiver_id} gave up {', '.join(named)}{more}"
