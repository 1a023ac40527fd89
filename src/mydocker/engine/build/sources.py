"""The sources of a step: the files that its patterns match, and what is taken of a directory."""

from __future__ import annotations

import os
import stat

from mydocker.build.failure import Malformed
from mydocker.build.globs import Glob, has_wildcards
from mydocker.build.ignore import Ignore
from mydocker.engine.build.failures import failed, refused
from mydocker.engine.build.tree import ENTER, SKIP, TAKE, Opened, open_directory
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from mydocker.engine.build.steps import Origin, Step
    from mydocker.engine.build.tree import Tree


@record
class Match:
    """A source. name: its path as the pattern matched it, which gives the copy its name. path: the same without
    links. info: the stat of what is there."""

    name: str
    path: str
    info: os.stat_result

    @property
    def file_name(self) -> str:
        """Return the last part of the path without links."""
        return self.path.rpartition("/")[2]


def open_origin(origin: Origin) -> Opened:
    """Open the tree of an origin; the root of another stage has to be mounted."""
    path = origin.root.path if origin.root else origin.directory
    if not path:
        raise refused(f"there are no files in {origin.name}", "give a directory, not only a Dockerfile")
    try:
        return open_directory(path)
    except OSError as error:
        raise failed(f"read {origin.name}", error) from None


def matches(step: Step, pattern: str, tree: Tree) -> list[Match]:
    """List the files that a pattern matches, in the order of their names, without those that --exclude leaves out by
    their names: files, and what wildcards match. Of a directory that is named, --exclude is for the content.

    Raises InvalidArgument for a path without wildcards that does not exist, for a link to nothing, and for a malformed
    pattern.
    """
    _check(pattern)
    try:
        names = tree.match(pattern)
    except ValueError as error:
        raise refused(str(error)) from None
    except OSError as error:
        raise failed(f"read {tree.name}", error) from None
    is_path = not has_wildcards(pattern)
    excluded = _ignore(step.excludes)
    listed = []
    for name in names:
        hit = excluded.matches(name.rpartition("/")[2])
        if hit and not is_path:
            continue
        try:
            path = tree.locate(name)
            info = tree.stat(path)
        except FileNotFoundError:
            raise refused(f"'/{name}' not found in {tree.name}", _hint(name, tree)) from None
        except OSError as error:
            raise failed(f"read '/{name}' in {tree.name}", error) from None
        if not hit or stat.S_ISDIR(info.st_mode):
            listed.append(Match(name, path, info))
    return listed


def _check(pattern: str) -> None:
    if not pattern.strip():
        raise refused("an empty source, which would mean all files", "is a variable not set? write . for all files")


def _hint(name: str, tree: Tree) -> str:
    try:
        if stat.S_ISLNK(tree.stat(name).st_mode):
            return "it is a link to a file that does not exist there"
        return "it is left out by .dockerignore" if tree.ignore else ""
    except OSError:
        return ""


def selection(step: Step) -> Callable[[str, bool], int]:
    """Return the function that tells Tree.walk() what to take of a directory: all but the step's `excludes`, which are
    relative to that directory."""
    if not step.excludes:
        return lambda _, __: TAKE
    ignore = _ignore(step.excludes)

    def select(path: str, is_directory: bool) -> int:
        if not ignore.matches(path):
            return TAKE
        return ENTER if is_directory and ignore.may_contain(path) else SKIP

    return select


def _ignore(patterns: list[str]) -> Ignore:
    try:
        return Ignore(patterns)
    except Malformed as error:
        raise refused(error.message, error.hint) from None


# --- --parents --------------------------------------------------------------------------------------------------------


@record
class Branch:
    """A source of --parents. name: the pattern. top: the directory, resolved, below which paths are kept. select: for
    Tree.walk(). is_path: the pattern has no wildcards."""

    name: str
    top: str
    select: Callable[[str, bool], int]
    is_path: bool


def branch(step: Step, pattern: str, tree: Tree) -> Branch:
    """Plan a source whose path is kept, from the part `/./` on if it has one. As with docker, its wildcards are those
    of .dockerignore, so there is a `**`; links are copied, not followed, except before the `/./`."""
    _check(pattern)
    before, pivot, after = pattern.partition("/./")
    if not pivot:
        before, after = "", pattern
    after = os.path.normpath(f"/{after}").lstrip("/")
    try:
        top = tree.locate(before)
    except FileNotFoundError:
        raise refused(f"'/{before.strip('/')}' not found in {tree.name}") from None
    include, exclude = _ignore([after or "**"]), selection(step)
    parts = after.split("/")

    def select(path: str, is_directory: bool) -> int:
        if include.matches(path):
            return exclude(path, is_directory)
        if is_directory and _may_match_below(parts, path.split("/")):
            return max(ENTER, exclude(path, True))
        return SKIP

    return Branch(pattern, top, select, not any(map(has_wildcards, parts)))


def _may_match_below(pattern: list[str], directory: list[str]) -> bool:
    for part, name in zip(pattern, directory):
        if "**" in part:
            return True
        if not Glob(part, double_stars=False).matches(name):
            return False
    return len(pattern) > len(directory)
