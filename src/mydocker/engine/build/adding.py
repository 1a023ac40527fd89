"""ADD of archives: what is one, by its content and not by its name, and its files in the image."""

from __future__ import annotations

import io
import os

from mydocker.engine.build.failures import refused
from mydocker.errors import InvalidArgument
from mydocker.image import unpacking
from mydocker.image.streams import CHUNK, decompressed
from mydocker.image.tar_reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.engine.build.placing import Target


def is_archive(content: int) -> bool:
    """True if a file is a tar with at least one entry, plain or compressed with gzip, bzip2, xz or zstd. content: its
    descriptor, whose offset is set to 0. Raises HostError if there is no program for zstd."""
    os.lseek(content, 0, os.SEEK_SET)
    try:
        with io.BufferedReader(io.FileIO(content, closefd=False), CHUNK) as packed, decompressed(packed) as plain:
            return next(iter(Reader(plain)), None) is not None
    except InvalidArgument:
        return False
    finally:
        os.lseek(content, 0, os.SEEK_SET)


def unpack(content: int, target: Target, place: str, has_owner: bool) -> None:
    """Unpack an archive into a directory, which is made if it is missing. place: resolved. has_owner: the target's
    owner counts, not the archive's. The mode of --chmod never does, as with docker."""
    target.make_directories(place, lambda mode, _: mode)
    if not target.is_directory(place):
        raise refused(f"cannot unpack into /{place}: it is not a directory")
    owner = (target.owner.uid, target.owner.gid) if has_owner and target.owner else None
    with io.BufferedReader(io.FileIO(content, closefd=False), CHUNK) as packed, decompressed(packed) as plain:
        directory = target.open_directory(place)
        try:
            unpacking.unpack_into(plain, directory, owner, target.time)
        finally:
            os.close(directory)
