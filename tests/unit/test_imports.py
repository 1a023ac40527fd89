"""The rules of the house (docs/architecture.md), read from the import statements: who may know whom."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from mydocker.cli import explain

SOURCE = Path(__file__).parents[2] / "src"
PAGE = SOURCE.parent / "docs/architecture.md"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports(name: str) -> set[str]:
    """Every module that `name` imports, wherever the statement stands; `from a import b` is a.b where that is one."""
    found = set()
    for node in ast.walk(tree(MODULES[name])):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return found


def rooms() -> set[str]:
    """The modules and packages at the top."""
    return {name.split(".")[1] for name in MODULES if "." in name}


def within(name: str, *rooms: str) -> bool:
    return any(name == f"mydocker.{room}" or name.startswith(f"mydocker.{room}.") for room in rooms)


def own(name: str) -> set[str]:
    return {found for found in imports(name) if found.split(".")[0] == "mydocker"}


def offenders(rooms: list[str], allowed) -> list[str]:
    """`who imports what` for each import of the rooms' modules that `allowed` refuses."""
    return [
        f"{name} imports {found}"
        for name in MODULES
        if within(name, *rooms)
        for found in sorted(own(name))
        if not allowed(name, found)
    ]


BASE = ["record", "jsontext", "errors", "paths", "libraries"]
_PLANNED = ("plan", "cgroup", "limits", "rootfs", "security")
PLANNERS = ["image.drivers", "network", *(f"runtime.{name}" for name in _PLANNED)]
# Leases are state: they change under state.py's locks, and lapse when their container has ended.
LEASES = "network.leases"


def test_modules_are_found():
    assert {"mydocker", "mydocker.record", "mydocker.kernel.libc"} <= set(MODULES)


@pytest.mark.parametrize("room", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_a_package_imports_nothing(room):
    assert imports(room) == set()


def test_the_base_knows_only_itself():
    assert offenders(BASE, lambda _, found: within(found, *BASE)) == []


def test_the_model_is_plain_data():
    assert offenders(["model"], lambda _, found: within(found, "model", *BASE)) == []


def test_kernel_knows_only_the_base():
    assert offenders(["kernel"], lambda _, found: within(found, "kernel", "generated.syscalls", *BASE)) == []


def test_generated_tables_import_nothing_of_ours():
    assert offenders(["generated"], lambda _, found: within(found, "record")) == []


def test_build_reads_texts_only():
    """It knows no file, no kernel and no image: what it needs of them comes as arguments."""
    assert offenders(["build"], lambda _, found: within(found, "build", "model", "gotemplate", *BASE)) == []
    modules = {found for name in MODULES if within(name, "build") for found in imports(name)}
    assert modules & {"os", "subprocess", "socket", "tempfile", "pathlib", "io", "shutil"} == set()


def test_go_templates_know_only_errors():
    assert offenders(["gotemplate"], lambda _, found: within(found, "gotemplate", "errors")) == []


def test_ops_know_only_the_kernel():
    """Ops import only kernel, and the names of capabilities, which they show."""
    known = ("ops", "kernel", "model.oci.capabilities", *BASE)
    assert offenders(["ops"], lambda _, found: within(found, *known)) == []


def test_ops_on_networks_also_know_rules_and_ports():
    known = ("ops", "kernel", "network.ops", "network.firewall", "model.options.ports", *BASE)
    assert offenders(["network.ops"], lambda _, found: within(found, *known)) == []


def test_state_and_config_know_only_what_is_below():
    assert offenders(["state", "config"], lambda _, found: within(found, "kernel", "model", *BASE)) == []


def test_trace_knows_only_ops():
    assert offenders(["trace"], lambda _, found: within(found, "ops", *BASE)) == []


def test_planners_neither_keep_state_nor_act_nor_print():
    def allowed(name: str, found: str) -> bool:
        return not within(found, *(["trace", "cli", "engine"] + ([] if within(name, LEASES) else ["state"])))

    assert offenders(PLANNERS, allowed) == []


def test_nothing_below_the_engine_knows_it():
    below = sorted(rooms() - {"__main__", "cli", "engine"})
    assert offenders(below, lambda _, found: not within(found, "engine")) == []


def test_only_the_entry_point_knows_the_command_line():
    assert offenders(sorted(rooms() - {"__main__", "cli"}), lambda _, found: not within(found, "cli")) == []


def test_typer_stays_in_the_command_line():
    users = {name for name in MODULES if {found.split(".")[0] for found in imports(name)} & {"typer", "click", "rich"}}
    assert [name for name in users if not within(name, "cli")] == []


def test_only_trace_runs_an_op():
    callers = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("do", "undo")
    }
    assert callers <= {"mydocker.trace"}


def at_once(name: str) -> set[str]:
    """Everything that is loaded with a module: the imports at the heads of files, not those within functions."""
    found, todo = {name}, [name]
    while todo:
        for node in tree(MODULES[todo.pop()]).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom):
                    names = [node.module, *(f"{node.module}.{each}" for each in names)]
                todo += [each for each in names if each in MODULES and each not in found]
                found.update(names)
    return found


def test_a_build_from_the_cache_loads_nothing_slow():
    """Each of these takes as long as to read a Dockerfile, or belongs to steps that run."""
    slow = {"re", "typing", "json", "functools", "contextlib", "hashlib", "threading", "copy", "csv", "signal"}
    steps = {f"mydocker.{each}" for each in ("engine.create", "engine.start", "engine.build.copying", "image.intake")}
    assert at_once("mydocker.cli.verbs.build") & (slow | steps) == set()


def test_the_page_lists_every_room():
    """docs/architecture.md: a room is listed itself, or by all that is in it."""
    table = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    listed = {path.rstrip("/") for cell in table for path in re.findall(r"`([^`]+)`", cell)}
    home = SOURCE / "mydocker"
    assert [path for path in sorted(listed) if not (home / path).exists()] == []
    files = [path.relative_to(home) for path in MODULES.values() if path.name != "__init__.py"]
    assert [str(path) for path in files if listed.isdisjoint(map(str, [path, *path.parents]))] == []


def test_explain_knows_every_module_that_defines_ops():
    users = {name for name, path in MODULES.items() if "mydocker.ops.base.operation" in named(path)}
    assert {module.__name__ for module in explain.DEFINE_OPS} == users


def named(path: Path) -> set[str]:
    """Every name that a module imports from another."""
    froms = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
