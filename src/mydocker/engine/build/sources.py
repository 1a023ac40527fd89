"""The sources of a step: the files that its patterns match, and what is taken of a directory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from mydocker.engine.build.failures import failed, refused
from mydocker.engine.build.tree import SKIP, TAKE

if TYPE_CHECKING:
    from typing import Callable

    from mydocker.engine.build.steps import Step
    from mydocker.engine.build.tree import Tree


class Match(NamedTuple):
    """A source. name: its path as the pattern matched it, which gives the copy its name. path: the same without
    links. info: the stat of what is there."""

    name: str
    path: str
    info: os.stat_result

    @property
    def file_name(self) -> str:
        """Return the last part of the path without links."""
        return self.path.rpartition("/")[2]


def matches(step: Step, pattern: str, tree: Tree) -> list[Match]:
    """List the files that a pattern matches, in the order of their names. Raises InvalidArgument for a path without
    wildcards that does not exist, for a link to nothing, and for a malformed pattern."""
    if not pattern.strip():
        raise refused(
            "an empty source would be the whole of the context" if step.origin.root is None else "an empty source",
            "is a variable not set? write . for all files",
        )
    try:
        names = tree.match(pattern)
    except ValueError as error:
        raise refused(str(error)) from None
    except OSError as error:
        raise failed(f"read {tree.name}", error) from None
    listed = []
    for name in names:
        try:
            path = tree.locate(name)
            listed.append(Match(name, path, tree.stat(path)))
        except FileNotFoundError:
            raise refused(f"'/{name}' not found in {tree.name}", _hint(name, tree)) from None
        except OSError as error:
            raise failed(f"read '/{name}' in {tree.name}", error) from None
    return listed


def _hint(name: str, tree: Tree) -> str:
    try:
        if stat.S_ISLNK(tree.stat(name).st_mode):
            return "it is a link to a file that does not exist there"
        return "it is left out by .dockerignore" if tree.ignore else ""
    except OSError:
        return ""


def selection(step: Step) -> Callable[[str, bool], int]:
    """Return the function that tells Tree.walk() what to take of a directory: all but the step's `excludes`."""
    if not step.excludes:
        return lambda _, __: TAKE
    raise refused("--exclude does not work yet")


def is_excluded(step: Step, match: Match) -> bool:
    """True if --exclude leaves out a source itself."""
    return bool(step.excludes) and selection(step)(os.path.basename(match.name), False) == SKIP
