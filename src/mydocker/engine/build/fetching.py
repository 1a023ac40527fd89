"""ADD of a URL: fetch the file, check it, and give it the mode and time that it has with docker.

A file whose server names its version by an ETag is fetched once: later builds ask if it is still that one. BuildKit
does so, too, and likewise goes by nothing else. A weak one (W/…) does not count: it may name several contents.
"""

from __future__ import annotations

import hashlib
import os
import re
import time

from mydocker import __version__, config
from mydocker.engine.build import hashing
from mydocker.engine.build.failures import refused
from mydocker.engine.build.steps import DOWNLOADED, Download
from mydocker.errors import HostError
from mydocker.image import build_cache
from mydocker.image.limits import over
from mydocker.kernel import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.build.instructions import Add
    from mydocker.engine.build.steps import Step
    from mydocker.image.writer import Scratch

_PATIENCE = 60  # seconds without a byte
_LONGEST = 3600  # seconds for a file
_CHUNK = 1 << 20
_NOT_MODIFIED = 304
_LONGEST_ETAG = 1000  # characters
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}  # digits of a checksum
_GIT = re.compile(r"git@|(git|ssh)://|https?://[^#?]*\.git(?:[#?].*)?$")


def fetch(add: Add, step: Step, scratch: Scratch, reuse: bool = False) -> None:
    """Replace the URLs among the sources of a step by the fetched files. add: the instruction, expanded. scratch: where
    the files go. reuse: those that remember() knows are not fetched if they are still the same. Raises InvalidArgument
    for a source that can't be fetched, or has another checksum."""
    for source in step.sources:
        if isinstance(source, str) and _GIT.match(source):
            raise refused(f"ADD of a git repository is not supported: {source}", "clone it into the context")
    remote = [isinstance(source, str) and source.startswith(("http://", "https://")) for source in step.sources]
    if add.checksum:
        _check_form(add.checksum)
        if not all(remote):
            raise refused("--checksum is for files that are fetched", "http:// or https:// sources")
        if len(remote) > 1:
            raise refused("--checksum is for one source", "write an ADD for each")
    step.unpack_downloads = add.unpack is True
    step.sources = [
        _download(str(source), add.checksum, f"{scratch.path}/fetched-{number}", reuse) if is_remote else source
        for number, (source, is_remote) in enumerate(zip(step.sources, remote))
    ]


def remember(step: Step, checksum: str) -> None:
    """Note the versions of the fetched files, of which digest() has been called. checksum: that they have been compared
    with, or ""."""
    for source in step.sources:
        if isinstance(source, Download) and source.is_here and source.etag:
            facts = {"etag": source.etag, "content": source.content, "checksum": checksum}
            build_cache.put_download(source.address, facts)


def bring(step: Step, checksum: str) -> None:
    """Fetch the files that are still the same, after all: the step has no result yet. Raises as fetch(), and if a file
    has changed meanwhile."""
    for source in step.sources:
        if isinstance(source, Download) and not source.is_here:
            _download(source.address, checksum, source.path, False)
            if hashing.content_of(source.path) != source.content:
                raise HostError(f"{source.url} has changed while it was asked for", "build again")
            source.is_here = True


def _check_form(checksum: str) -> None:
    kind, _, digits = checksum.partition(":")
    if len(digits) != _LENGTHS.get(kind) or not set(digits) <= set("0123456789abcdef"):
        raise refused(f"invalid checksum '{checksum}'", "sha256: and 64 hexadecimal digits")


def _download(url: str, checksum: str, path: str, reuse: bool) -> Download:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import unquote, urlsplit

    shown = re.sub(r"//[^/@]*@", "//", url)  # without a password
    known = build_cache.download(url) if reuse else None
    if known and known["checksum"] != checksum:
        known = None
    try:
        parts = urlsplit(url)
        name = unquote(parts.path.rstrip("/").rpartition("/")[2], errors="surrogateescape")
        name = "" if name in (".", "..") or "/" in name or "\0" in name else name
        with _open(url, known["etag"] if known else "") as response:
            actual = _store(response, path, shown, checksum.partition(":")[0] or "sha256")
            modified, etag = response.headers.get("Last-Modified", ""), response.headers.get("ETag", "")
    except HTTPError as error:
        if known and error.code == _NOT_MODIFIED:
            return Download(shown, name, path, url, known["etag"], known["content"], is_here=False)
        raise refused(f"can't fetch {shown}: {error.code} {error.reason}") from None
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in files.NO_SPACE:
            raise files.no_space(path, error) from None
        why = getattr(error, "reason", "") or getattr(error, "strerror", "") or error
        raise refused(f"can't fetch {shown}: {why}") from None
    if checksum and actual != checksum:
        raise refused(f"checksum mismatch: {shown} has {actual}, not {checksum}")
    os.chmod(path, DOWNLOADED)
    os.utime(path, (_seconds(modified), _seconds(modified)))
    return Download(shown, name, path, url, etag if etag.startswith('"') and len(etag) < _LONGEST_ETAG else "")


def _open(url: str, etag: str) -> Any:
    """Send a GET. etag: of the version that is known, or "": the answer for it is HTTPError 304. Redirections are
    followed, to http and https only; a user and password are for the first host."""
    from base64 import b64encode
    from urllib import request
    from urllib.parse import unquote, urlsplit, urlunsplit

    opener = request.OpenerDirector()
    handlers: list[Any] = [
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPSHandler(),
    ]
    for handler in handlers:
        opener.add_handler(handler)
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    asked = request.Request(urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": f"mydocker/{__version__}"})
    if etag:
        asked.add_header("If-None-Match", etag)
    if at:
        asked.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    return opener.open(asked, timeout=_PATIENCE)


def _store(response: Any, path: str, url: str, kind: str) -> str:
    """Write the body into a new file. Returns its checksum. Raises HostError if it is cut short."""
    announced = response.headers.get("Content-Length", "")
    total = hashlib.new(kind)
    size, limit = 0, config.load()["image_size"]
    end = time.monotonic() + _LONGEST
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while piece := response.read1(_CHUNK):
            size += len(piece)
            if size > limit:
                raise over(f"a file of more than {limit} bytes from {url}", "image_size")
            if time.monotonic() > end:
                raise refused(f"can't fetch {url}: it takes more than {_LONGEST // 60} minutes")
            total.update(piece)
            files.write_all(descriptor, piece)
    finally:
        os.close(descriptor)
    if announced.isdigit() and size != int(announced):
        raise HostError(f"can't fetch {url}: it ended after {size} of {announced} bytes", "try again")
    return f"{kind}:{total.hexdigest()}"


def _seconds(modified: str) -> int:
    """Parse a Last-Modified header; 0 without one, as with docker: the same file has the same time in each build."""
    from email.utils import parsedate_to_datetime

    try:
        return max(0, int(parsedate_to_datetime(modified).timestamp()))
    except (TypeError, ValueError, OverflowError, IndexError):
        return 0
