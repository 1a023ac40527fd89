"""export: a container's root file system as a tar."""

from __future__ import annotations

import os
import sys

from mydocker import jsontext, state
from mydocker.errors import HostError, MydockerError, from_details
from mydocker.image import packing
from mydocker.image.drivers import choice
from mydocker.kernel import files
from mydocker.ops.namespaces import Unshare
from mydocker.ops.rootfs import SetPropagation
from mydocker.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from mydocker.model.container import Container

_CHUNK = 1 << 20


def export(container: str, output: str) -> list[str]:
    """Write a running or stopped container's root file system as a tar, without what is mounted in it. output: a file,
    replaced when the tar is complete; "" for stdout. Returns a sentence for each file that was left out."""
    source = state.find(container)
    if not output:
        sys.stdout.flush()
        return _export(source, 1)
    # The tar is written into a device or FIFO; a file is replaced at the end.
    special = os.path.exists(output) and not os.path.isfile(output)
    path = output if special else f"{output}.{os.urandom(6).hex()}"
    try:
        descriptor = os.open(path, os.O_WRONLY | (0 if special else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC, 0o600)
        try:
            left_out = _export(source, descriptor)
        finally:
            os.close(descriptor)
        if not special:
            os.rename(path, output)
        return left_out
    except OSError as error:
        raise HostError(f"can't write {output}: {error.strerror}", "give another -o FILE") from None
    finally:
        if not special and os.path.lexists(path):
            os.unlink(path)


def _export(container: Container, descriptor: int) -> list[str]:
    """Write the tar in a child with its own mount namespace, so that the root's mount always ends with the child."""
    driver = choice.named(container.driver)
    driver.prepare(container.directory, container.layers)

    def write() -> list[str]:
        trace = Trace("container")
        trace.run([Unshare(["mount"]), SetPropagation("/", "private")])
        trace.run(driver.view_ops(container.directory, container.layers))
        with open(descriptor, "wb", _CHUNK, closefd=False) as out:
            return packing.pack(f"{container.directory}/rootfs", out)

    return _in_child(write)


def _in_child(work: Callable[[], list[str]]) -> list[str]:
    """Call `work` in a child process, which ends with this one at the latest. Raises MydockerError for its errors."""
    from signal import SIGKILL

    from mydocker.kernel import process

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            process.die_with_parent()
            done = {"result": work()}
            files.write_all(writer, jsontext.dumps(done).encode())
            status = 0
        except MydockerError as error:
            os.write(writer, jsontext.dumps({"error": error.details()}).encode())
        except Exception as error:
            os.write(writer, jsontext.dumps({"error": HostError(f"export: {error}").details()}).encode())
        finally:
            os._exit(status)
    os.close(writer)
    try:
        with open(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, SIGKILL)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
    if not answer:
        raise HostError("export was cut short: its process was killed")
    outcome = jsontext.loads(answer)
    if status:
        raise from_details(outcome["error"])
    result: list[str] = outcome["result"]
    return result
