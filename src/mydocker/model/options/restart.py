"""docker's restart policies: the values of --restart, when a container is restarted, and after which delay.

A policy is kept as its text: no, on-failure, on-failure:MAX, always, unless-stopped.
"""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options import units

NO = "no"
_KINDS = (NO, "on-failure", "always", "unless-stopped")
_MAX = 10**9  # restarts

# Why a container was ended, which suspends its policy; "" if nobody has ended it since its start.
BY_HAND = "by hand"
BY_REMOVAL = "by removal"  # by hand; the record of its end need not be durable
BY_SHUTDOWN = "by shutdown"
BY_RESTART = "by restart"  # it is started again at once; until then it is kept, even with --rm

_SHORTEST, _LONGEST = 100, 60_000  # ms between two runs
_SETTLED = 10_000  # ms of uptime after which the back-off starts again


def parse(text: str) -> str:
    """Return the policy as records hold it. Raises InvalidArgument."""
    kind, colon, maximum = (text or NO).partition(":")
    if kind not in _KINDS:
        raise InvalidArgument(f"unknown restart policy '{text}'", "no, on-failure[:MAX], always or unless-stopped")
    if not colon:
        return kind
    if kind != "on-failure":
        raise InvalidArgument(f"restart policy '{kind}' takes no number of restarts", "only on-failure:MAX does")
    count = units.integer(maximum, "number of restarts", 0, _MAX)
    return f"{kind}:{count}" if count else kind


def split(policy: str) -> tuple[str, int]:
    """Split a policy into its kind and the number of restarts, 0 for no limit."""
    kind, _, maximum = policy.partition(":")
    return kind, int(maximum or 0)


def restart_delay(policy: str, ended_by: str, code: int, count: int, previous_delay: int, uptime: int) -> int:
    """Return the milliseconds to wait before a container that has ended is restarted; 0: it is not restarted.

    code: its exit code. count: restarts since a person started it. previous_delay: the wait before the run that has
    ended, 0 if that was not a restart. uptime: the length of that run, in milliseconds.
    """
    kind, maximum = split(policy)
    restarts = kind in ("always", "unless-stopped") or (kind == "on-failure" and code and not 0 < maximum <= count)
    if ended_by or not restarts:
        return 0
    return _SHORTEST if uptime >= _SETTLED or not previous_delay else min(2 * previous_delay, _LONGEST)


def returns_at_boot(policy: str, ended_by: str) -> bool:
    """True if a container that has run before is started at boot. As with docker, on-failure containers are not."""
    return policy == "always" or (policy == "unless-stopped" and ended_by not in (BY_HAND, BY_REMOVAL))
