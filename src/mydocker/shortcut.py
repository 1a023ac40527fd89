"""Faster imports: bring(NAME) imports NAME and everything it needs from one cached bytecode file.

importlib needs 11 system calls and 25 µs for each module, and a start loads 90 of them. The first bring() writes the
bytecode of all modules that it loaded into one file in __pycache__; later calls read that file and run one module's
code after another. The cache is valid for a module as long as its source has the same size and st_ctime (not st_mtime:
packages give every file of a release the same mtime). If it is not, importlib loads the modules, and the file is
written again.
Line numbers are left out. With MYDOCKER_DEBUG (tracebacks) or -X importtime the cache is not used.
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

    Row = tuple[str, bool, int, int, CodeType]  # name, True for a package; ctime and size of the source; code

_ROOT = __file__.rpartition("/mydocker/")[0]
_TAG = sys.implementation.cache_tag
_HEADER = (MAGIC_NUMBER, 1, _ROOT)  # Python's version, this file's format, and the directory that the code names
_Module = type(sys)
_Code = type((lambda: None).__code__)


def bring(*names: str, part: str = "") -> None:
    """Import modules. part: the cache file's name, by default the first module's. Callers that start with different
    modules loaded need separate files. Raises as an import does."""
    path = f"{_ROOT}/mydocker/__pycache__/{part or names[0]}.{_TAG}.all"
    one_by_one = "importtime" in sys._xoptions or "MYDOCKER_DEBUG" in os.environ
    writes = not one_by_one and not sys.dont_write_bytecode
    before = len(sys.modules)
    cached = set() if one_by_one else _read_cache(path)
    for name in names:
        __import__(name)
    loaded = [name for name in [*sys.modules][before:] if name.startswith("mydocker.")]
    if writes and not cached.issuperset(loaded):
        _write_cache(path, loaded)


def _read_cache(path: str) -> set[str]:
    """Load the cached modules. Returns their names; an empty set if the cache is stale: then a part may be loaded."""
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
    """Run a module's code as importlib does. A parent package that was already loaded when the cache was written may be
    missing now, so it is imported here."""
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
    sys.modules[name] = sys.modules.pop(name)  # behind the modules that it has imported
    setattr(sys.modules[parent], tail, module)


def _write_cache(path: str, names: list[str]) -> None:
    """names: the loaded modules in the order in which they finished, as sys.modules has them. Without a .pyc of each,
    or where the file can't be written, there is no cache."""
    temporary = f"{path}.{os.getpid()}"
    try:
        data = dumps((_HEADER, [_row(name) for name in names]))
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        if not isinstance(error, (OSError, ValueError, EOFError, TypeError)):
            raise


def _row(name: str) -> Row:
    """Read a module's .pyc. Raises ValueError if it is older than the source, OSError if there is none."""
    package = hasattr(sys.modules[name], "__path__")
    source = _source(name, package)
    directory, _, tail = source.rpartition("/")
    data, status = _read(f"{directory}/__pycache__/{tail[:-3]}.{_TAG}.pyc"), os.stat(source)
    # PEP 552: the magic number, flags (0: valid by time and size), the source's time and size, four bytes each.
    if data[:16] != MAGIC_NUMBER + b"\0\0\0\0" + _word(int(status.st_mtime)) + _word(status.st_size):
        raise ValueError(name)
    return name, package, status.st_ctime_ns, status.st_size, _bare(loads(memoryview(data)[16:]))


def _bare(code: CodeType) -> CodeType:
    """Remove the line numbers, a fifth of the bytecode, from a code object and those inside it."""
    if not hasattr(code, "co_linetable"):  # before Python 3.10
        return code
    constants = tuple(_bare(each) if isinstance(each, _Code) else each for each in code.co_consts)
    # Python 3.9 has no such table, and newer versions of mypy do not know Python 3.9.
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
