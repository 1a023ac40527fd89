"""The corpus of Dockerfiles in dockerfile_cases.json, each with what docker 28.5 (BuildKit) made of it.

`bb` is an image of a busybox root without ENV, with the users bob 1234:1235 and the group staff 50. The context of a
case without `files` has a.txt, b.txt, d/sub/y, links and archives. docker's `ArgsEscaped` is left out of the configs,
and contents above 160 characters out of the trees; `%70000x` stands for 70,000 letters x.

`refused` says when we refuse a Dockerfile. `ours` is there where our result is another one, and says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("dockerfile_cases.json").read_text())


def text(case: dict[str, Any]) -> bytes:
    """The Dockerfile."""
    return str(case["dockerfile"]).replace("%70000x", "x" * 70000).encode()


def options(case: dict[str, Any]) -> tuple[dict[str, str], str, dict[str, str]]:
    """--build-arg, --target and --label. A build argument without a value has that of the environment, zedval."""
    given, target, labels = {}, "", {}
    words = case.get("args", [])
    for option, value in zip(words[::2], words[1::2]):
        key, sign, rest = value.partition("=")
        if option == "--build-arg":
            given[key] = rest if sign else "zedval"
        elif option == "--label":
            labels[key] = rest
        elif option == "--target":
            target = value
    return given, target, labels
