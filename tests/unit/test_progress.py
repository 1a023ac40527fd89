"""The layers of an image on a terminal."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios

import pytest

from mydocker.cli import progress
from mydocker.model.options.references import parse

DIGESTS = [f"sha256:{number:064x}" for number in range(1, 6)]


@pytest.fixture
def terminal():
    """terminal(rows) opens one of so many rows and 40 columns. Returns (its descriptor, what was written)."""
    opened = []

    def of_rows(rows: int):
        master, slave = os.openpty()
        opened.extend((master, slave))
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, 40, 0, 0))
        return slave, lambda: everything(master)

    yield of_rows
    for descriptor in opened:
        os.close(descriptor)


def everything(master: int) -> str:
    """Read what the terminal has, which comes in pieces."""
    text = b""
    while select.select([master], [], [], 0.3)[0]:
        text += os.read(master, 65536)
    return text.decode()


def pull(descriptor: int) -> None:
    shown = progress.Pulling(descriptor)
    shown.begin(parse("nginx"), [{"digest": digest, "size": 100} for digest in DIGESTS])
    for at in range(len(DIGESTS)):
        shown.advance(at, "reading", 50)
        shown.advance(at, "done", 100)


def test_each_layer_has_a_line_that_is_rewritten(terminal):
    descriptor, written = terminal(24)
    pull(descriptor)
    text = written()
    assert text.startswith("latest: Pulling from library/nginx\r\n000000000000: Pulling fs layer\r\n")
    assert "\x1b[5A\x1b[2K\r000000000000: Downloading      50B/100B\r\x1b[5B" in text
    assert "\x1b[1A\x1b[2K\r000000000000: Pull complete\r\x1b[1B" in text


def test_lines_that_do_not_fit_on_the_terminal_are_not_rewritten(terminal):
    descriptor, written = terminal(5)
    pull(descriptor)
    lines = written().split("\r\n")
    assert "\x1b" not in "".join(lines)
    assert lines.count("000000000000: Pull complete") == 5
