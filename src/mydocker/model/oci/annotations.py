"""Names of annotations in config.json, for data that OCI's runtime spec has no field for."""

from __future__ import annotations

USER = "io.mydocker.user"  # as typed; root if it is missing
GROUPS = "io.mydocker.groups"  # those of --group-add, as typed, separated by commas
SECCOMP = "io.mydocker.seccomp"  # the origin of the filter, if it is not docker's default profile
NETWORK_OF = "io.mydocker.network-of"  # the ID of the container whose network namespace it shares
SHM = "the other container's /dev/shm"  # the source of the mount of one that joins an IPC namespace
# A kind of namespace -> the annotation with the ID of the container whose it joins.
JOINED = {"pid": "io.mydocker.pid-of", "ipc": "io.mydocker.ipc-of"}
TERM = "io.mydocker.term"  # "true": TERM is -t's default, not set by the user or the image
INIT = "io.mydocker.init"  # "true": PID 1 is a small init that reaps and forwards signals
DRIVER = "io.mydocker.driver"  # the storage driver of its root
LAYERS = "io.mydocker.layers"  # chain IDs, bottom first, separated by commas
FILL = "io.mydocker.fill"  # a JSON list of mount points; an empty volume there is filled with the image's files
VOLUMES = "io.mydocker.volumes"  # a JSON list of the volumes with options, each a VolumeMount
WRITABLE_BELOW = "io.mydocker.writable-below"  # a JSON list of read-only mount points; the mounts below are not
SUBPATHS = "io.mydocker.subpaths"  # a JSON object: mount point -> the path in its volume, the end of its source
MADE = "io.mydocker.made"  # the file that gets a list of the mount points that had to be made in the root
