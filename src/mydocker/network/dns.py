"""DNS messages (RFC 1035, RFC 6891), as far as a resolver of containers' names needs them: pure functions over bytes.

The input is untrusted, so nothing here raises for it, and every loop moves forward in the message. Names are bytes in
lower case without the final dot. A dot within a label is escaped by a backslash, so that it does not separate labels.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop
from _struct import pack, unpack_from

from mydocker.record import record

A, PTR, AAAA, OPT = 1, 12, 28, 41  # types
IN = 1  # the class of all records here
NOERROR, FORMERR, SERVFAIL, NOTIMP, REFUSED = 0, 1, 2, 4, 5  # response codes
BADVERS = 16

MIN_ANSWER = 512  # bytes of an answer by UDP that every client accepts
_MAX_ANSWER = 1232  # bytes that we send and offer to accept: fits in every packet
_HEADER = 12
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_WANTED, _RECURSION_THERE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_POINTER_TO_QUESTION = b"\xc0\x0c"

# A lease can end at any moment, and its address go to another container, so answers must not be cached. Asking again
# takes a tenth of a millisecond. (docker's TTL is 600 seconds.)
TTL = 0


@record
class Query:
    """A query as it was received. question: the bytes of name, type and class in the message. size: bytes of an answer
    by UDP that the client accepts. edns: the client speaks EDNS, so the answer must, too. problem: 0, or the response
    code to refuse the query with."""

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
    """Parse a message. None for one that gets no answer: an incomplete header, or an answer (which could loop)."""
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
    """The name at `at`, None if it is invalid, and the offset of its end. Pointers are refused: a question is the first
    name of a message, so there is nothing to point at."""
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
    """Read the client's OPT record, if there is one. Its owner is the root; any other owner ends the search."""
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
    """The answer with one record of the query's type for each of `data`; empty if the name has no record of that type.

    limit: bytes of an answer by UDP, 0 for none. A longer answer is truncated and says so, and the client asks by TCP.
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
    """An answer without records. code: the response code."""
    return _message(query, code, 0, [])


def _message(query: Query, code: int, flags: int, rows: list[bytes]) -> bytes:
    flags |= _RESPONSE | _RECURSION_THERE | (query.flags & (0x7800 | _RECURSION_WANTED)) | (code & 15)
    opt = _opt(query, code)
    header = pack("!6H", query.id, flags, 1 if query.question else 0, len(rows), 0, 1 if opt else 0)
    return header + query.question + b"".join(rows) + opt


def _opt(query: Query, code: int) -> bytes:
    return pack("!B2H2B2H", 0, OPT, _MAX_ANSWER, code >> 4, 0, 0, 0) if query.edns else b""


def limit(query: Query) -> int:
    """The maximum length of an answer by UDP."""
    return min(query.size, _MAX_ANSWER)


def shortened(query: Query, message: bytes) -> bytes:
    """Another server's answer by UDP as the client accepts it. One that is too long is replaced by a truncated one
    without records, so that the client asks by TCP."""
    return _message(query, code(message), _TRUNCATED, []) if len(message) > query.size else message


def answers(query: Query, number: int, message: bytes) -> bool:
    """True if a message answers our query, sent under that ID. Other messages are noise, or forged."""
    if len(message) < _HEADER:
        return False
    its_number, flags, questions = unpack_from("!3H", message)
    if its_number != number or not flags & _RESPONSE:
        return False
    if not questions and flags & 15 in (FORMERR, NOTIMP):
        return True  # a server that did not understand the question need not repeat it
    question = message[_HEADER : _HEADER + len(query.question)]
    return bool(questions == 1 and question.lower() == query.question.lower())


def code(message: bytes) -> int:
    """The response code."""
    return message[3] & 15


def encode_name(name: str) -> bytes:
    """A name in the format of messages. Raises ValueError for an invalid or overlong one."""
    labels = name.encode("ascii").split(b".")
    data = b"".join(bytes([len(label)]) + label for label in labels if len(label) < 64) + b"\0"
    if b"" in labels or len(data) != len(name) + 2 or len(data) > 255:
        raise ValueError(f"not a domain name: {name!r}")
    return data


def reverse(name: bytes) -> str:
    """The address for a name under in-addr.arpa or ip6.arpa, "" for other names."""
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
