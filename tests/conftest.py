"""For every test: hypothesis without its clock (a loaded machine is no failure) and without a database on disk."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("mydocker", deadline=None, database=None)
settings.load_profile("mydocker")
