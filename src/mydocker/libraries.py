"""Where typer, yaml and the like are, for an interpreter that was started without its site packages (-S)."""

from __future__ import annotations

import sys


def reach() -> None:
    """Put the distribution's packages, and those that the .rpm brings, on the import path."""
    if sys.flags.no_site:
        import site

        sys.path += [f"{__file__.rpartition('/mydocker/')[0]}/vendor", *site.getsitepackages()]
