"""One COPY or ADD as data: the contract between the builder, which plans it, and copying.py, which does it."""

from __future__ import annotations

from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from mydocker.build.ignore import Ignore
    from mydocker.engine.build.roots import Root

    Source = Union[str, "Document", "Download"]


DOWNLOADED = 0o600  # the mode of a file that was fetched


@record
class Origin:
    """The tree that files are copied from. name: for messages, such as "the build context" or "stage 'one'".

    directory: a directory of the host, the build context, whose files become root's. root: instead of it, the root of
    another stage or image, whose files keep their owners. ignore: the rules of .dockerignore.
    """

    name: str
    directory: str = ""
    root: Root | None = None
    ignore: Ignore | None = None


@record
class Document:
    """A heredoc: a file of that name."""

    name: str
    content: bytes


@record
class Download:
    """A file of ADD that was fetched. url: for messages. name: of the file, from the URL, or "" if that has none. path:
    where it is, with its final mode and time. address: the URL with its password. etag: the server's name of this
    version, or "". content: the hash of its content, filled by digest(); or the one that is known, if the server says
    that the file is still that version: then it is not here."""

    url: str
    name: str
    path: str
    address: str = ""
    etag: str = ""
    content: str = ""
    is_here: bool = True


@record
class Step:
    """One COPY or ADD, with all variables expanded.

    sources: patterns of paths in `origin`, documents, and downloads. destination: as it is written. workdir: the
    directory that a relative one begins at. chown, chmod: as written, or "". link: an existing link in the destination
    is replaced, not followed. parents: a source keeps the directories above it. excludes: patterns as in .dockerignore.
    unpack: archives of the origin are unpacked (ADD). unpack_downloads: those that were fetched, too. time: in
    nanoseconds, of all that has no time of its own (SOURCE_DATE_EPOCH), or None for now.

    seen: filled by digest(): path in the context -> the file's stamp when it was hashed.
    """

    origin: Origin
    sources: list[Source]
    destination: str
    workdir: str = "/"
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: list[str] = []
    unpack: bool = False
    unpack_downloads: bool = False
    time: int | None = None
    seen: dict[str, tuple[int, ...]] | None = None
