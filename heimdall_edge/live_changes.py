"""What a reload may change, and what needs a restart; by key."""

from __future__ import annotations

from heimdall_edge.config import Config

LIVE_LOCATOR_KEYS = {
    "model_path", "model_sha256", "service_radius_m", "min_receivers", "tdoa",
    "systematic_sigma_m", "max_ood",
}  # fmt: skip
LIVE_KEYS = {"channels", "locator", "logging"}


def keys_that_need_restart(old: Config, new: Config) -> list[str]:
    """The keys that differ and cannot change while the daemon runs."""
    keys = [
        name
        for name in Config.model_fields
        if name not in LIVE_KEYS and getattr(old, name) != getattr(new, name)
    ]
    keys += [
        f"locator.{name}"
        for name in type(old.locator).model_fields
        if name not in LIVE_LOCATOR_KEYS
        and getattr(old.locator, name) != getattr(new.locator, name)
    ]
    keys += [
        f"channels of receiver {receiver.id}"
        for receiver in old.receivers
        if receiver.enabled
        and not receiver.gives_iq
        and receiver.follows_clock
        # Such a source tunes, and follows its channels itself: there is no chain to swap.
        and old.channels_of(receiver) != new.channels_of(receiver)
    ]
    return sorted(keys)


def with_live_changes(old: Config, new: Config) -> Config:
    """The old configuration with those changes of the new one that can be made now."""
    live = {name: getattr(new.locator, name) for name in LIVE_LOCATOR_KEYS}
    return old.model_copy(
        update={
            "channels": new.channels,
            "locator": old.locator.model_copy(update=live),
            "logging": new.logging,
        }
    )
