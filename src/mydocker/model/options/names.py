"""Names of containers, volumes, hosts and users, and paths in a container, by docker's rules."""

from __future__ import annotations

import os

from mydocker.errors import InvalidArgument

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
_WORD = frozenset(LETTERS + DIGITS)
_INNER = _WORD | frozenset("_.-")
_LAST_ID = 2**31 - 1  # of users and groups, as for docker and runc

_ADJECTIVES = (
    "able agile alert amber ample apt artful azure blithe bold brave breezy bright brisk calm candid canny cheery "
    "clever cosy crisp curious dainty daring deft dreamy eager early easy elated fair famous fast fearless festive "
    "fine fluent fond frank fresh gallant gentle glad golden good grand happy hardy hearty honest hopeful jolly "
    "jovial keen kind lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid polite "
    "proud quick quiet ready robust serene sharp silent sincere sleepy smart snug sober stoic sunny sure swift "
    "tender thrifty tidy upbeat vivid warm wise witty zealous"
)
_SURNAMES = (
    "abel archimedes babbage banach bardeen bell bernoulli bohr boole bose brahe cantor carson cauchy chebyshev clarke "
    "conway copernicus curie darwin dijkstra dirac edison einstein euclid euler faraday fermat fermi feynman fibonacci "
    "franklin galileo galois gauss germain goodall hamilton hawking heisenberg hermite herschel hertz hilbert hodgkin "
    "hopper huygens hypatia jacobi johnson joliot kepler kovalevskaya lagrange lamarr laplace leavitt leibniz liskov "
    "lovelace mayer maxwell meitner mendel mendeleev mirzakhani neumann newton nightingale nobel noether pascal "
    "pasteur pauling perlman planck poincare ptolemy raman ramanujan riemann ritchie rubin sagan shannon snyder "
    "tesla thompson torvalds turing vaughan volta wiles wilson wozniak wright yalow"
)


def _is_word(text: str) -> bool:
    """True for [a-zA-Z0-9][a-zA-Z0-9_.-]*, short enough for a file name."""
    return 1 <= len(text) <= 255 and text[0] in _WORD and _INNER.issuperset(text)


def _is_name(text: str) -> bool:
    return len(text) > 1 and _is_word(text)


def container_name(text: str) -> str:
    """Check a name. A leading slash is dropped: `inspect` prints one."""
    name = text[1:] if text.startswith("/") else text
    if not _is_name(name):
        raise InvalidArgument(
            f"invalid container name '{text}'", "two or more of [a-zA-Z0-9_.-], the first a letter or digit"
        )
    return name


def random_name() -> str:
    """Return one of some 9,000 names, such as brave_hopper. The caller tries again if it is taken."""
    adjectives, surnames = _ADJECTIVES.split(), _SURNAMES.split()
    pick = int.from_bytes(os.urandom(4), "little")
    return f"{adjectives[pick % len(adjectives)]}_{surnames[pick // len(adjectives) % len(surnames)]}"


def volume_name(text: str) -> str:
    if not _is_name(text):
        raise InvalidArgument(
            f"invalid volume name '{text}'",
            "two or more of [a-zA-Z0-9_.-], the first a letter or digit; a host directory begins with / or ./",
        )
    return text


def hostname(text: str) -> str:
    """Check a host name: up to the kernel's 64 bytes of letters, digits, - and . (RFC 1123), and _, which some networks
    use."""
    if not (_is_word(text) and len(text) <= 64):
        raise InvalidArgument(f"invalid hostname '{text}'", "up to 64 of [a-zA-Z0-9_.-], the first a letter or digit")
    return text


def user(text: str) -> str:
    """Check NAME or UID, also with :GROUP or :GID. Names are resolved in the container."""
    parts = text.split(":")
    if len(parts) > 2 or any(map(_is_bad_id, parts)):
        raise InvalidArgument(
            f"invalid user '{text}'", f"NAME or UID, or one of these with :GROUP or :GID, up to {_LAST_ID}"
        )
    return text


def _is_bad_id(text: str) -> bool:
    if text.isdigit():
        return not text.isascii() or len(text) > 10 or int(text) > _LAST_ID
    return text.startswith("-") or any(char in text for char in "\0\n")


def absolute_path(text: str, what: str) -> str:
    """Return a path in the container without `.`, `..`, `//` and a final slash. what: its name in the message."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidArgument(f"invalid {what} '{text}'", "an absolute path, such as /data")
    return os.path.normpath("/" + text.lstrip("/"))


def stream(name: str) -> str:
    """Parse --attach. Raises InvalidArgument."""
    if name.lower() not in ("stdin", "stdout", "stderr"):
        raise InvalidArgument(f"invalid stream '{name}'", "--attach stdin, stdout or stderr")
    return name.lower()
