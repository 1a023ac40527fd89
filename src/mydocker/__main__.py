"""The entry point: the fast parser or the full command line. Every error becomes one line and an exit code."""

from __future__ import annotations

import _signal
import gc
import os
import sys

from mydocker import shortcut


def run(argv: list[str]) -> int:
    shortcut.bring("mydocker.cli.dispatch", "mydocker.cli.fastargs", "mydocker.cli.streams")
    from mydocker.cli import dispatch, fastargs, streams

    streams.prepare()
    try:
        request = fastargs.parse(argv)
        if request:
            return dispatch.dispatch(*request)
        from mydocker.cli import app

        return app.run(argv)
    finally:
        streams.flush()


def main() -> None:
    gc.set_threshold(100_000)  # short commands exit before garbage matters; long-running ones still collect
    try:
        code = run(sys.argv[1:])
    except BaseException as error:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # do not let Ctrl-C interrupt the error message
        try:
            from mydocker.cli import failure

            code = failure.report(error)
        except BaseException as worse:  # out of memory, or of file descriptors
            os.write(2, f"mydocker: {error or type(error).__name__} ({worse or type(worse).__name__})\n".encode())
            code = 125
    os._exit(code)  # the interpreter's own exit takes 1 ms


if __name__ == "__main__":
    main()
