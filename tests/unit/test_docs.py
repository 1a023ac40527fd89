"""The pages for readers: what they name exists, links lead somewhere, and README's Chinese twin says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mydocker.generated.fasttable import ALIASES, COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TOP = {path.name for path in ROOT.iterdir()}
# From the top of the checkout, such as `tests/unit/`, or in the package, such as `state.py`. A * may be in it.
PATH = re.compile(r"`([\w.-]+/[\w./*-]*|[\w-]+\.py)`")
PLACE = re.compile(r"`(\w+)` in `([\w./]+\.py)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
README, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"


def headings(page: Path) -> list[str]:
    prose = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    return re.findall(r"(?m)^(#+) ", prose)


def located(path: str, page: Path = README) -> list[Path]:
    """From the top of the checkout, in the package, or beside the page."""
    places = [ROOT] if path.split("/")[0] in TOP else [ROOT / "src/mydocker", page.parent]
    return [each for place in places for each in place.glob(path.rstrip("/"))]


def links(page: Path) -> list[str]:
    return LINK.findall(page.read_text())


def anchors(page: Path) -> set[str]:
    """GitHub's names of the headings."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestPage:
    def test_every_path_exists(self, page):
        named = [
            path for path in PATH.findall(page.read_text()) if path.endswith((".py", "/")) or path.split("/")[0] in TOP
        ]
        assert [path for path in named if not located(path, page)] == []

    def test_every_name_is_where_the_page_says(self, page):
        for name, path in PLACE.findall(page.read_text()):
            assert re.search(rf"(?m)^ *(def|class) {name}\b", located(path)[0].read_text()), f"{name} in {path}"

    def test_every_link_leads_somewhere(self, page):
        for link in links(page):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_readme_is_short():
    assert len(README.read_text().splitlines()) <= 110


def test_what_readme_misses_is_missing():
    """Words in the table's first column: `top`, `system df`, `--gpus`, `--health-…`."""
    table = re.search(r"(?m)^\| of docker \|.*\n(?:\|.*\n)+", README.read_text())
    assert table
    words = re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in table[0].splitlines()))
    options = {name for command in COMMANDS.values() for name in command[3]}
    assert [word for word in words if tuple(word.split()) in {*COMMANDS, *ALIASES}] == []
    assert [word for word in words if word in options] == []
    beginnings = tuple(word[:-1] for word in words if word.endswith("…"))
    assert [name for name in options if name.startswith(beginnings)] == []


class TestChineseReadme:
    def test_it_has_the_same_headings(self):
        assert headings(CHINESE) == headings(README)

    def test_it_has_the_same_code_blocks(self):
        blocks = re.compile(r"(?ms)^```\w*\n.*?^```")
        assert blocks.findall(CHINESE.read_text()) == blocks.findall(README.read_text())

    def test_it_has_the_same_links(self):
        twins = {"README.md", "README.zh.md"}
        assert [link for link in links(CHINESE) if link not in twins] == [
            link for link in links(README) if link not in twins
        ]

    def test_its_tables_name_the_same_files_and_commands(self):
        def cells(page: Path) -> list[list[str]]:
            return [re.findall(r"`[^`]+`", row) for row in page.read_text().splitlines() if row.startswith("|")]

        assert cells(CHINESE) == cells(README)
