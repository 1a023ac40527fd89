"""Choose a storage driver. overlay is always loaded, as it is nearly always in use; any other only when used."""

from __future__ import annotations

import sys

from mydocker.errors import CorruptRecord, HostError, InvalidArgument
from mydocker.image.drivers import overlay, probe  # noqa: F401

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.drivers.base import Driver

NAMES = ("overlay", "erofs", "aufs", "copy")  # the first that works is the default


def named(name: str) -> Driver:
    """Return the driver of a container. Raises CorruptRecord if there is no driver of that name."""
    if name not in NAMES:
        raise CorruptRecord(f"unknown storage driver '{name}'", f"one of {' '.join(NAMES)}")
    path = f"mydocker.image.drivers.{name}"
    if path not in sys.modules:
        from mydocker import shortcut

        shortcut.bring(path)
    driver: Any = sys.modules[path]
    return driver  # type: ignore[no-any-return]


def choose(configured: str | None, try_it: bool = True) -> tuple[Driver, str]:
    """Return (the driver for new containers, the reason). configured: the name in the configuration, or "". try_it: if
    False, nothing is written (a dry run), and a driver that has not been tried yet counts as working.

    Raises InvalidArgument for an unknown name, HostError if the configured driver does not work here.
    """
    if configured:
        if configured not in NAMES:
            raise InvalidArgument(f"unknown storage driver '{configured}'", f"one of {' '.join(NAMES)}")
        driver = named(configured)
        why_not = driver.why_not(try_it)
        if why_not:
            raise HostError(f"storage driver {configured} does not work here: {why_not}", "leave storage_driver empty")
        return driver, "configured"
    reasons = []
    for name in NAMES:
        # Where erofs does not work, a start does not load it.
        why_not = probe.erofs(try_it) if name == "erofs" else named(name).why_not(try_it)
        if not why_not:
            break
        reasons.append(f"no {name}: {why_not}")
    return named(name), "; ".join(reasons) or "the default, and it works here"
