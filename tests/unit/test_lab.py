"""The files for lab machines agree with the program: the commands tested there, the role's settings."""

from __future__ import annotations

from pathlib import Path

import yaml
from lab import test_commands as lab_commands

from mydocker.config import KEYS
from mydocker.generated.fasttable import COMMANDS

ROLE = Path(__file__).parents[2] / "ansible/roles/mydocker"


def test_every_command_is_tested_on_every_machine():
    marks = [mark for test in vars(lab_commands).values() for mark in getattr(test, "pytestmark", ())]
    tested = {name for mark in marks if getattr(mark, "name", "") == "command" for name in mark.args}
    assert tested == {" ".join(path) for path in COMMANDS}


def options() -> dict:
    return yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]


def test_the_role_knows_every_setting():
    kinds = {str: "str", int: "int", dict: "dict"}
    found = {key: each["type"] for key, each in options()["main"]["options"]["mydocker_config"]["options"].items()}
    assert found == {key: kinds[type(default)] for key, (default, _) in KEYS.items()}


def test_every_variable_of_the_role_has_a_default():
    declared = {key for entry in options().values() for key in entry["options"]}
    assert set(yaml.safe_load((ROLE / "defaults/main.yml").read_text())) == declared
