"""The import path for typer, yaml and the like: the interpreter is started without site packages (-S)."""

from __future__ import annotations

import sys


def reach() -> None:
    """Add the distribution's packages, and those that the .rpm brings, to the import path."""
    if sys.flags.no_site:
        import site

        sys.path += [f"{__file__.rpartition('/mydocker/')[0]}/vendor", *site.getsitepackages()]
