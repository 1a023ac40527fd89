"""DNS messages (RFC 1035, RFC 6891), as far as a resolver of containers' names needs them: pure functions over bytes.

What comes in is anybody's bytes, so nothing here raises for them, and every loop moves forward in the message. Names
are bytes in lower case without the final dot; a dot within a label has a backslash, so that it does not pass for two.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop
from _struct import pack, unpack_from

from mydocker.record import record

A, PTR, AAAA, OPT = 1, 12, 28, 41  # types
IN = 1  # the class that everything is of
NOERROR, FORMERR, SERVFAIL, NOTIMP, REFUSED = 0, 1, 2, 4, 5  # codes of an answer
BADVERS = 16

MIN_ANSWER = 512  # bytes of an answer by UDP that every client takes
_MAX_ANSWER = 1232  # that we send and offer to take: it fits in every packet
_HEADER = 12
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_WANTED, _RECURSION_THERE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_POINTER_TO_QUESTION = b"\xc0\x0c"

# A lease can end at any moment and its address be another container's, so nobody shall keep an answer: asking again
# costs a tenth of a millisecond. (docker says 600 seconds.)
TTL = 0


@record
class Query:
    """A question as it came. question: its bytes in the message, name, type and class. size: bytes of an answer by UDP
    that the client takes. edns: it speaks EDNS, and so must the answer. problem: 0, or the code to refuse it with."""

    id: int
    flags: int
    name: bytes = b""
    type: int = 0
    klass: int = 0
    question: bytes = b""
    size: int = MIN_ANSWER
    edns: bool = False
    problem: int = NOERROR


def parse(message: bytes) -> Query | None:
    """None for what is not worth an answer: no whole header, or an answer itself (to answer it might never end)."""
    if len(message) < _HEADER:
        return None
    number, flags, questions, answers, authorities, additions = unpack_from("!6H", message)
    query = Query(number, flags)
    if flags & _RESPONSE:
        return None
    if flags & 0x7800:  # not a standard query
        query.problem = NOTIMP
        return query
    name, end = _read_name(message, _HEADER)
    if questions != 1 or name is None or end + 4 > len(message):
        query.problem = FORMERR
        return query
    query.name, query.question = name, message[_HEADER : end + 4]
    query.type, query.klass = unpack_from("!2H", message, end)
    if not answers and not authorities:
        _read_additions(query, message, end + 4, additions)
    return query


def _read_name(message: bytes, at: int) -> tuple[bytes | None, int]:
    """The name at `at` and where it ends; None if it is none. A pointer is refused: in front of a question there is
    nothing to point at."""
    labels: list[bytes] = []
    start = at
    while at < len(message):
        length = message[at]
        at += 1
        if length == 0:
            return b".".join(labels), at
        if length > 63 or at + length > len(message) or at + length - start > 254:
            break
        labels.append(message[at : at + length].lower().replace(b".", b"\\."))
        at += length
    return None, at


def _read_additions(query: Query, message: bytes, at: int, count: int) -> None:
    """The client's OPT record, if there is one. Its owner is the root; whatever has another ends the search."""
    for _ in range(min(count, 4)):
        if at + 11 > len(message) or message[at]:
            return
        kind, size, _, version, _, length = unpack_from("!2H2B2H", message, at + 1)
        at += 11 + length
        if kind == OPT and at <= len(message):
            query.edns, query.size = True, max(MIN_ANSWER, size)
            if version:
                query.problem = BADVERS
            return


def answer(query: Query, data: list[bytes], limit: int = 0) -> bytes:
    """The answer: one record of the query's own type for each of `data`; none of them: the name has none of that type.

    limit: bytes; an answer by UDP that would be longer holds fewer records and says so, and the client asks by TCP.
    """
    rows = [
        _POINTER_TO_QUESTION + pack("!2HIH", query.type, query.klass, TTL, len(entry)) + entry for entry in data[:1000]
    ]
    flags, maximum = _AUTHORITATIVE, limit
    if maximum:
        maximum -= _HEADER + len(query.question) + len(_opt(query, NOERROR))
        while sum(map(len, rows)) > maximum:
            del rows[len(rows) // 2 :]
            flags |= _TRUNCATED
    return _message(query, NOERROR, flags, rows)


def refusal(query: Query, code: int) -> bytes:
    """An answer that says only what went wrong."""
    return _message(query, code, 0, [])


def _message(query: Query, code: int, flags: int, rows: list[bytes]) -> bytes:
    flags |= _RESPONSE | _RECURSION_THERE | (query.flags & (0x7800 | _RECURSION_WANTED)) | (code & 15)
    opt = _opt(query, code)
    header = pack("!6H", query.id, flags, 1 if query.question else 0, len(rows), 0, 1 if opt else 0)
    return header + query.question + b"".join(rows) + opt


def _opt(query: Query, code: int) -> bytes:
    return pack("!B2H2B2H", 0, OPT, _MAX_ANSWER, code >> 4, 0, 0, 0) if query.edns else b""


def limit(query: Query) -> int:
    """How long an answer by UDP may be."""
    return min(query.size, _MAX_ANSWER)


def shortened(query: Query, message: bytes) -> bytes:
    """Another server's answer by UDP, as the client can take it. One that is longer than the client allows is replaced:
    it holds no record and says so, and the client asks by TCP."""
    return _message(query, code(message), _TRUNCATED, []) if len(message) > query.size else message


def answers(query: Query, number: int, message: bytes) -> bool:
    """Is this message what a server says to our query, sent under that number? Anything else is noise, or forged."""
    if len(message) < _HEADER:
        return False
    its_number, flags, questions = unpack_from("!3H", message)
    if its_number != number or not flags & _RESPONSE:
        return False
    if not questions and flags & 15 in (FORMERR, NOTIMP):
        return True  # who did not understand the question does not have to repeat it
    question = message[_HEADER : _HEADER + len(query.question)]
    return bool(questions == 1 and question.lower() == query.question.lower())


def code(message: bytes) -> int:
    return message[3] & 15


def encode_name(name: str) -> bytes:
    """A name as messages have it. Raises ValueError for one that DNS has no room for."""
    labels = name.encode("ascii").split(b".")
    data = b"".join(bytes([len(label)]) + label for label in labels if len(label) < 64) + b"\0"
    if b"" in labels or len(data) != len(name) + 2 or len(data) > 255:
        raise ValueError(f"no domain name: {name!r}")
    return data


def reverse(name: bytes) -> str:
    """The address that a name of in-addr.arpa or ip6.arpa stands for, "" if it is none."""
    labels = name.split(b".")[::-1]
    if labels[:2] == [b"arpa", b"in-addr"] and len(labels) == 6:
        numbers = labels[2:]
        if all(label.isdigit() and len(label) <= 3 and int(label) < 256 for label in numbers):
            return inet_ntop(AF_INET, bytes(map(int, numbers)))
    if labels[:2] == [b"arpa", b"ip6"] and len(labels) == 34:
        digits = b"".join(labels[2:])
        if len(digits) == 32 and all(digit in b"0123456789abcdef" for digit in digits):
            return inet_ntop(AF_INET6, bytes.fromhex(digits.decode()))
    return ""
