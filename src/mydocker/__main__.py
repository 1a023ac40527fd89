"""The entry point: the fast parser or the full command line; every error becomes one line and an exit code."""

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
    gc.set_threshold(100_000)  # what a short command leaves is gone with it; what runs for long still collects
    try:
        code = run(sys.argv[1:])
    except BaseException as error:
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # what went wrong is told in peace
        try:
            from mydocker.cli import failure

            code = failure.report(error)
        except BaseException as worse:  # memory, or files that may be open, have run out
            os.write(2, f"mydocker: {error or type(error).__name__} ({worse or type(worse).__name__})\n".encode())
            code = 125
    os._exit(code)  # the interpreter's own way out takes 1 ms


if __name__ == "__main__":
    main()
