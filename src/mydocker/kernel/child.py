"""Call a function in a child process: what it mounts, or changes of itself, ends with it, however it ends."""

from __future__ import annotations

import os

from mydocker import jsontext
from mydocker.errors import HostError, MydockerError, from_details
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


def in_child(work: Callable[[], list[str]], about: str) -> list[str]:
    """Call `work` in a child process, which ends with this one at the latest. Raises its MydockerError or
    OSError, and HostError for other errors. about: what the child does, for the messages."""
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
        except OSError as error:
            name = error.filename if isinstance(error.filename, str) else about
            os.write(writer, jsontext.dumps({"os_error": [error.errno, error.strerror, name]}).encode())
        except Exception as error:
            os.write(writer, jsontext.dumps({"error": HostError(f"{about}: {error}").details()}).encode())
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
        raise HostError(f"{about} was cut short: its process was killed")
    outcome = jsontext.loads(answer)
    if "os_error" in outcome:
        raise OSError(*outcome["os_error"])
    if status:
        raise from_details(outcome["error"])
    result: list[str] = outcome["result"]
    return result
