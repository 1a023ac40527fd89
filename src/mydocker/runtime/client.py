"""The monitor's view of an attached command line. While the container runs, the monitor never waits for it."""

from __future__ import annotations

import os
import select

from mydocker.runtime.messages import STDERR, STDIN_ENDED, STDOUT, Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = {b"stdout": STDOUT, b"stderr": STDERR}


class Client:
    """behind: output that the command line has not taken yet. gone: the command line has hung up, so sending does
    nothing. feeds: it has the container's stdin, and has not closed it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.feeds = False
        self.behind: list[tuple[bytes, bytes]] = []
        self.gone = False

    def set_blocking(self, blocking: bool) -> None:
        """blocking: wait until the command line has taken each message."""
        if not self.gone:
            self.channel.socket.setblocking(blocking)

    def fileno(self) -> int:
        return self.channel.fileno()

    def say(self, kind: bytes, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        try:
            self.channel.send(kind, body, descriptors)
        except OSError:
            self.drop()

    def output(self, stream: bytes, data: bytes) -> None:
        """stream: b"stdout" or b"stderr"."""
        self.behind.append((_KINDS[stream], data))
        self.flush()

    def flush(self) -> None:
        """Send as much as the command line takes without waiting."""
        while self.behind:
            try:
                self.channel.send(*self.behind[0])
            except BlockingIOError:
                return
            except OSError:
                self.drop()
                return
            del self.behind[0]

    def react(self, events: int) -> None:
        """Do what poll(2) says: send what is behind, and read."""
        if events & select.POLLOUT:
            self.flush()
        if not self.gone and events & ~select.POLLOUT:
            self._read()

    def _read(self) -> None:
        """Read what the command line says: that its stdin has ended, or nothing more."""
        try:
            message = self.channel.receive(longest=1)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        for descriptor in message.fds:
            os.close(descriptor)
        if message.kind == STDIN_ENDED:
            self.feeds = False
        elif not message.kind:
            self.drop()

    def drop(self) -> None:
        self.channel.close()
        self.behind.clear()
        self.gone, self.feeds = True, False
