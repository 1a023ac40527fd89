"""What --net says when it names no network."""

from __future__ import annotations


def is_mode(option: str) -> bool:
    """Whether it is none, host or container:NAME. Who was made with one of them never joins a network."""
    return option in ("none", "host") or option.startswith("container:")
