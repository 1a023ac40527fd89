"""The loop of `network rm` and `volume rm`."""

from __future__ import annotations

from mydocker.cli.streams import tell
from mydocker.errors import MydockerError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def remove_each(names: Iterable[str], remove: Callable[[str], object], force: bool) -> int:
    """Remove each and print its name. Errors are reported at once, and the loop goes on; returns the exit code.

    force: an object that does not exist is not an error.
    """
    code = 0
    for name in names:
        try:
            remove(name)
            print(name)
        except NotFound as error:
            if not force:
                code = tell(error)
        except MydockerError as error:
            code = tell(error)
    return code
