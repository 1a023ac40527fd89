"""Settings for every test: hypothesis has no deadline, as a busy machine is not a failure, and makes no files here."""

from __future__ import annotations

import pytest
from hypothesis import configuration, settings

settings.register_profile("mydocker", deadline=None, database=None)
settings.load_profile("mydocker")


@pytest.fixture(autouse=True, scope="session")
def _hypothesis(tmp_path_factory: pytest.TempPathFactory):
    configuration.set_hypothesis_home_dir(tmp_path_factory.getbasetemp() / "hypothesis")
