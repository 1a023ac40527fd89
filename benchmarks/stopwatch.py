"""Print how many seconds commands take together, so many of them at a time: what hyperfine has no way to say.

    stopwatch.py AT_ONCE    the commands come on stdin, as a JSON list of lists of words

One that fails ends it with exit code 1, and with what the commands have said on stderr. To be run where the commands
are to run: the way into a contestant's host is not measured.
"""

import json
import os
import sys
import tempfile
import time

at_once, waiting = int(sys.argv[1]), json.load(sys.stdin)[::-1]
running = 0
with tempfile.TemporaryFile() as said:
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    quiet.append((os.POSIX_SPAWN_DUP2, said.fileno(), 2))
    start = time.perf_counter()
    while waiting or running:
        while waiting and running < at_once:
            words = waiting.pop()
            os.posix_spawnp(words[0], words, os.environ, file_actions=quiet)
            running += 1
        _, status = os.wait()
        running -= 1
        if status:
            said.seek(0)
            sys.exit(said.read().decode(errors="replace") or f"exit status {status}")
    print(time.perf_counter() - start)
