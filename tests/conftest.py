"""For every test: hypothesis without its clock (a loaded machine is no failure) and without files of its own here."""

from __future__ import annotations

import pytest
from hypothesis import configuration, settings

settings.register_profile("mydocker", deadline=None, database=None)
settings.load_profile("mydocker")


@pytest.fixture(autouse=True, scope="session")
def _hypothesis(tmp_path_factory: pytest.TempPathFactory):
    configuration.set_hypothesis_home_dir(tmp_path_factory.getbasetemp() / "hypothesis")
