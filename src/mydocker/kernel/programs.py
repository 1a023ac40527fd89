"""The one place that runs an external program: an argv list and bytes go in, its stdout comes out.

The three streams are memory files: nothing can dead-lock, and no thread or select loop is needed. subprocess would cost
9 ms.
"""

from __future__ import annotations

import _signal
import errno
import os

from mydocker.errors import HostError

# Never the caller's PATH: it may lead to anybody's programs, and lack the administrator's.
DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find(name: str) -> str:
    """The path of a program, or "" where there is none."""
    for directory in DIRECTORIES:
        path = f"{directory}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def run(argv: list[str], stdin: bytes = b"", package: str = "") -> str:
    """Run a program to its end, in an environment of our own; what it wrote to stdout.

    package: what to install where it is missing. Raises HostError if it is, and OSError with its stderr, that names the
    command, if it does not exit with 0.
    """
    path = find(argv[0])
    if not path:
        raise HostError(f"{argv[0]} is not installed", f"install the package {package or argv[0]}")
    files = [os.memfd_create(f"{argv[0]} {stream}") for stream in ("stdin", "stdout", "stderr")]
    try:
        _write(files[0], stdin)
        pid = os.posix_spawn(
            path,
            argv,
            {"PATH": ":".join(DIRECTORIES), "LC_ALL": "C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files)],
            setsigmask=[],
            setsigdef=[_signal.SIGPIPE],  # Python ignores it, and that would be inherited
        )
        try:
            _, status = os.waitpid(pid, 0)
        except BaseException:  # interrupted: what is undone next has to come after what it does
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # it had ended
            raise
        code = os.waitstatus_to_exitcode(status)
        stdout, stderr = (os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace") for file in files[1:])
    finally:
        for file in files:
            os.close(file)
    if code:
        reason = " ".join(stderr.split()) or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")
        raise OSError(errno.EIO, reason, " ".join(argv))
    return stdout


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.lseek(file, 0, os.SEEK_SET)
