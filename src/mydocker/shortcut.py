"""A short way to our own bytecode: bring(NAME) is `import NAME`, from one file for all that this loads.

importlib takes 11 system calls and 25 µs of its own for a module, and a start loads 90 of them. What bring() loads for
the first time it keeps, in __pycache__, beside the .pyc that it is made of; from then on it reads that one file, and
runs one module's code after another. Each module is still what importlib would load: it counts only for a source of the
same size that nobody has touched since (by st_ctime; packages give the files of two versions one st_mtime). Where one
does not, importlib goes its own way, and the file is made again.
Line numbers are left out. Who wants a traceback (MYDOCKER_DEBUG) or each import (-X importtime) gets importlib's way.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    Row = tuple[str, bool, int, int, CodeType]  # name, whether it is a package; ctime and size of its source; its code

_ROOT = __file__.rpartition("/mydocker/")[0]
_TAG = sys.implementation.cache_tag
_HEADER = (MAGIC_NUMBER, 1, _ROOT)  # Python's version, ours, and what the code says of its place
_Module = type(sys)
_Code = type((lambda: None).__code__)


def bring(*names: str, part: str = "") -> None:
    """Import them. part: what the file is called, as a rule by the first; two that have loaded different things before
    need two. Raises what an import raises."""
    path = f"{_ROOT}/mydocker/__pycache__/{part or names[0]}.{_TAG}.all"
    one_by_one = "importtime" in sys._xoptions or "MYDOCKER_DEBUG" in os.environ
    keeps = not one_by_one and not sys.dont_write_bytecode
    before = len(sys.modules)
    known = set() if one_by_one else _take(path)
    for name in names:
        __import__(name)
    loaded = [name for name in [*sys.modules][before:] if name.startswith("mydocker.")]
    if keeps and not known.issuperset(loaded):
        _keep(path, loaded)


def _take(path: str) -> set[str]:
    """Load what is kept there, as far as it is of the sources of now: the names, none if it is not whole any more."""
    try:
        header, rows = loads(_read(path))
    except (OSError, ValueError, EOFError, TypeError):
        return set()
    if header != _HEADER:
        return set()
    for name, package, time, size, code in rows:
        if name in sys.modules:
            continue
        source = _source(name, package)
        try:
            status = os.stat(source)
        except OSError:
            return set()
        if (status.st_ctime_ns, status.st_size) != (time, size):
            return set()
        _load(name, package, source, code)
    return {row[0] for row in rows}


def _load(name: str, package: bool, source: str, code: CodeType) -> None:
    """What importlib does with the code of a module. Most of what this one imports has been loaded before; what a part
    that was loaded earlier brought along, when this was kept, need not be there now."""
    parent, _, tail = name.rpartition(".")
    if parent not in sys.modules:
        __import__(parent)
    module = sys.modules[name] = _Module(name)
    module.__file__, module.__package__ = source, name if package else parent
    module.__spec__ = ModuleSpec(name, None, origin=source, is_package=package)
    if package:
        module.__path__ = [source.rpartition("/")[0]]
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    sys.modules[name] = sys.modules.pop(name)  # behind those that it has loaded
    setattr(sys.modules[parent], tail, module)


def _keep(path: str, names: list[str]) -> None:
    """names: what was loaded, in the order in which it was done: sys.modules has them so. Where that can't be written,
    or not all of it has a .pyc, nothing is kept."""
    beside = f"{path}.{os.getpid()}"
    try:
        data = dumps((_HEADER, [_row(name) for name in names]))
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)
        os.replace(beside, path)
    except BaseException as error:
        try:
            os.unlink(beside)
        except OSError:
            pass
        if not isinstance(error, (OSError, ValueError, EOFError, TypeError)):
            raise


def _row(name: str) -> Row:
    """By its .pyc. Raises ValueError if that is not of its source as it is now, OSError if there is none."""
    package = hasattr(sys.modules[name], "__path__")
    source = _source(name, package)
    directory, _, tail = source.rpartition("/")
    data, status = _read(f"{directory}/__pycache__/{tail[:-3]}.{_TAG}.pyc"), os.stat(source)
    # PEP 552: the magic number, flags (0: it goes by time and size), the source's time and size, four bytes each.
    if data[:16] != MAGIC_NUMBER + b"\0\0\0\0" + _word(int(status.st_mtime)) + _word(status.st_size):
        raise ValueError(name)
    return name, package, status.st_ctime_ns, status.st_size, _bare(loads(memoryview(data)[16:]))


def _bare(code: CodeType) -> CodeType:
    """Without its line numbers, which are a fifth of it, and so the code in it."""
    if not hasattr(code, "co_linetable"):  # before Python 3.10
        return code
    constants = tuple(_bare(each) if isinstance(each, _Code) else each for each in code.co_consts)
    # As of Python 3.9, there is no such table; newer versions of mypy know no Python 3.9.
    return code.replace(co_consts=constants, co_linetable=b"")  # type: ignore[call-arg, unused-ignore]


def _source(name: str, package: bool) -> str:
    return f"{_ROOT}/{name.replace('.', '/')}" + ("/__init__.py" if package else ".py")


def _word(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
