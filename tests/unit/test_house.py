"""The house itself (docs/architecture.md, docs/glossary.md): no circles, no long files, and one language."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
GLOSSARY = ROOT / "docs/glossary.md"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 500  # lines


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def section(title: str) -> str:
    """The text of a section of the glossary."""
    _, _, rest = GLOSSARY.read_text().partition(f"\n## {title}\n")
    assert rest, f"docs/glossary.md has no section '{title}'"
    return rest.partition("\n## ")[0]


def retired_words() -> list[str]:
    """The words that no sentence of the source says."""
    words = re.findall(r"`(\w+)`", section("Retired words").partition("\n|")[0].partition("No sentence")[2])
    assert len(words) > 5
    return words


def retired_names() -> set[str]:
    """The identifiers in the first column of the glossary's table, which were renamed."""
    rows = [line.split("|")[1] for line in section("Retired words").splitlines() if line.startswith("|")]
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 20
    return names


def allowed() -> list[tuple[str, str]]:
    return re.findall(r"^- `(\w+)`: `(.+)`", section("Allowed uses"), re.MULTILINE)


# --- imports ----------------------------------------------------------------------------------------------------------


def imported(node: ast.AST) -> set[str]:
    """Our own modules that are imported anywhere below: in functions too, but not for types only."""
    modules: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            modules.update(alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                modules.add(full if full in MODULES else str(child.module))
        else:
            modules |= imported(child)
    return modules & set(MODULES)


def test_no_circle_of_imports():
    graph = {name: imported(tree(path)) for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 300
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


# --- size -------------------------------------------------------------------------------------------------------------


def test_no_file_is_long():
    lengths = {str(path.relative_to(SOURCE)): path.read_text().count("\n") for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST and "/generated/" not in name} == {}


# --- language ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", retired_words())
def test_a_retired_word_stays_away(word):
    phrases = [phrase for each, phrase in allowed() if each == word]
    uses = []
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            rest = line
            for phrase in phrases:
                rest = rest.replace(phrase, "")
            if re.search(rf"\b{word}\b", rest, re.IGNORECASE):
                uses.append(f"{path.relative_to(SOURCE)}:{number}: {line.strip()}")
    assert uses == []


def test_every_allowed_use_is_used():
    text = "\n".join(path.read_text() for path in FILES)
    assert [phrase for _, phrase in allowed() if phrase not in text] == []


def names(path: Path) -> dict[str, int]:
    """Identifiers that the file itself gives to something -> the line of one of them."""
    given: dict[str, int] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            given[node.name] = node.lineno
        elif isinstance(node, ast.arg):
            given[node.arg] = node.lineno
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            given[node.id if isinstance(node, ast.Name) else node.attr] = node.lineno
    return given


def test_no_retired_name_is_given():
    gone = retired_names()
    uses = {
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in FILES
        if "generated" not in path.parts
        for name, line in names(path).items()
        if name.lstrip("_") in gone
    }
    assert sorted(uses) == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_docstrings_name_the_thing(path):
    """A docstring begins with a verb or with the thing, not with a question or with somebody."""
    odd = []
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            first = (ast.get_docstring(node) or "").split(" ")[0].rstrip(",:.")
            if first in ("What", "Whether", "Whose", "Those", "Who", "Which", "That"):
                odd.append(f"{getattr(node, 'lineno', 1)}: {first}")
    assert odd == []


ODD = re.compile(r"\bshall\b|(?<!there )\bis no (?!longer)[a-z]", re.IGNORECASE)


def test_nobody_shall():
    """Two habits that readers stumble over, in comments and in texts: "must" or "will", and "is not a", are plainer."""
    uses = []
    for path in FILES:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) and ODD.search(token.string):
                uses.append(f"{path.relative_to(SOURCE)}:{token.start[0]}")
    assert uses == []
