"""Stream blobs out of a registry with `skopeo experimental-image-proxy`: byte for byte, several at once, as pipes.

Its protocol (skopeo, cmd/skopeo/proxy.go, since 1.4), over a SOCK_SEQPACKET pair: one JSON object a packet.

    {"method": "GetBlob", "args": [image, "sha256:…", size]}     we ask
    {"success": true, "value": …, "pipeid": 7, "error": ""}      it answers; a pipe's read end comes by SCM_RIGHTS
    {"method": "FinishPipe", "args": [7]}                        it waits for the end of the blob, closes the pipe

A pipe has no end of file before FinishPipe, whose answer says whether the blob came whole. A reader knows a blob's size
and checks its digest, so it asks only if the pipe is silent: the blob may have ended too early. Workers read blobs in
copies of this process; a record lock on a memory file makes each question and its answer one act.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import select
import signal
import socket

from mydocker.engine.transfer import skopeo
from mydocker.errors import HostError, MydockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mydocker.model.options.references import Reference

_LONGEST = 32 << 10  # bytes of a packet, the proxy's own limit
_F_SETPIPE_SZ, _PIPE = 1031, 1 << 20
_QUIET = 3  # seconds of silence until we ask whether the blob has ended


class Proxy:
    """`with Proxy(registry, reference) as proxy:` gives the blobs of one repository. reference: any of its images."""

    def __init__(self, registry: skopeo.Skopeo, reference: Reference) -> None:
        self._registry = registry
        self._reference = reference

    def __enter__(self) -> Proxy:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = os.memfd_create("proxy")
        self._errors = os.memfd_create("proxy stderr")
        with theirs:
            options = [*self._registry.tls(), "--sockfd=0"]
            self._process = self._registry.spawn(
                "experimental-image-proxy", options, stdin=theirs, stdout=self._errors, stderr=self._errors
            )
        self._socket.settimeout(self._registry.patience)
        try:
            self._call("Initialize")
            self._image = self._call("OpenImage", skopeo.address(self._reference))[0]["value"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._socket.close()
        os.close(self._lock)
        os.close(self._errors)

    def open(self, digest: str, size: int) -> Blob:
        """Return a blob as a stream, of which `size` bytes are to be read."""
        reply, descriptors = self._call("GetBlob", self._image, digest, size)
        if len(descriptors) != 1:
            raise HostError("skopeo sent no pipe", "is this skopeo 1.4 or newer?")
        announced = reply.get("value")
        blob = Blob(self, descriptors[0], reply["pipeid"], size)
        if isinstance(announced, int) and announced >= 0 and announced != size:
            blob.close()
            raise MydockerError(f"registry {self._registry.host} has {announced} bytes for {digest}, not {size}")
        return blob

    def read(self, digest: str, size: int) -> bytes:
        """Read a whole blob."""
        with self.open(digest, size) as blob:
            data = b""
            while len(data) < size and (more := blob.read(size - len(data))):
                data += more
        return data

    # --- for the blobs ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from asking."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def ask(self, method: str, *args: Any) -> None:
        try:
            self._socket.send(json.dumps({"method": method, "args": args}).encode())
        except OSError:
            raise self._ended() from None

    def answer(self) -> tuple[dict[str, Any], list[int]]:
        """Return (the reply, the descriptors that came with it). Raises MydockerError if it reports an error."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._socket, _LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
        except socket.timeout:
            raise self.silent() from None
        except OSError:
            raise self._ended() from None
        if not packet:
            raise self._ended()
        reply: dict[str, Any] = json.loads(packet)
        if not reply.get("success"):
            text = json.dumps(str(reply.get("error")), ensure_ascii=False)
            raise self._registry.error(f"level=fatal msg={text}", str(self._reference))
        return reply, descriptors

    def silent(self) -> HostError:
        return self._registry.silent()

    def _call(self, method: str, *args: Any) -> tuple[dict[str, Any], list[int]]:
        with self.alone():
            self.ask(method, *args)
            return self.answer()

    def _ended(self) -> MydockerError:
        said = os.pread(self._errors, _LONGEST, 0).decode(errors="replace")
        if "unknown command" in said:
            return HostError("this skopeo has no experimental-image-proxy", "it needs skopeo 1.4 or newer")
        return self._registry.error(said, str(self._reference))


class Blob(io.FileIO):
    """The pipe of a blob."""

    def __init__(self, proxy: Proxy, descriptor: int, pipe: int, size: int) -> None:
        with contextlib.suppress(OSError):  # the user's pipes may be at their limit
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE)
        super().__init__(descriptor)
        self._proxy = proxy
        self._pipe = pipe
        self._left = size
        self._asked = contextlib.ExitStack()
        self._has_asked = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readinto(self, buffer: Any) -> int:
        """Read what there is. Raises HostError if nothing comes any more."""
        patience = self._proxy._registry.patience
        if not self._poll.poll(min(_QUIET, patience) * 1000):
            self._ask()
            if not self._poll.poll(patience * 1000):
                raise self._proxy.silent()
        count = super().readinto(buffer) or 0
        self._left -= count
        if self._has_asked and (not count or self._left <= 0):
            self._has_asked = False
            with self._asked:
                self._proxy.answer()
        return count

    def read(self, size: int | None = -1) -> bytes:
        buffer = bytearray(_PIPE if size is None or size < 0 else size)
        return bytes(buffer[: self.readinto(buffer)])

    def _ask(self) -> None:
        if not self._has_asked:
            self._asked.enter_context(self._proxy.alone())
            self._proxy.ask("FinishPipe", self._pipe)
            self._has_asked = True
