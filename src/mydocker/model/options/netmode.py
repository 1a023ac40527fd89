"""The values of --net that are not networks."""

from __future__ import annotations


def is_mode(option: str) -> bool:
    """True for none, host and container:NAME. A container that was created with one of them never joins a network."""
    return option in ("none", "host") or option.startswith("container:")
