"""The command line at a monitor's other end: what it is told, and that nobody waits for it."""

from __future__ import annotations

from _socket import SCM_RIGHTS, SOL_SOCKET, socket
from _struct import pack

from mydocker import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Client:
    """behind: output that it has not taken yet. gone: it hung up; what is said then is lost, and that is no error."""

    def __init__(self, channel: socket) -> None:
        self.channel = channel
        self.behind: list[bytes] = []
        self.gone = False

    def set_blocking(self, blocking: bool) -> None:
        """Whether what is said waits until it is taken."""
        if not self.gone:
            self.channel.setblocking(blocking)

    def fileno(self) -> int:
        return self.channel.fileno()

    def say(self, kind: bytes, value: Any, descriptors: list[int] | None = None) -> None:
        rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
        try:
            self.channel.sendmsg([kind + jsontext.dumps(value).encode()], rights)
        except OSError:
            self.drop()

    def output(self, message: bytes) -> None:
        self.behind.append(message)
        self.flush()

    def flush(self) -> None:
        while self.behind:
            try:
                self.channel.send(self.behind[0])
            except BlockingIOError:
                return
            except OSError:
                self.drop()
                return
            del self.behind[0]

    def drop(self) -> None:
        self.channel.close()
        self.behind.clear()
        self.gone = True
