"""What OCI's runtime spec has no word for, and a bundle's config.json says nevertheless: its annotations, by name."""

from __future__ import annotations

USER = "io.mydocker.user"  # as typed; if it is not there, root
SECCOMP = "io.mydocker.seccomp"  # where its filter comes from, if not docker's default profile
NETWORK_OF = "io.mydocker.network-of"  # the ID of the container whose network namespace it shares
TERM = "io.mydocker.term"  # "true": TERM is the default of -t, and not the user's or the image's
INIT = "io.mydocker.init"  # "true": PID 1 is a small init that reaps and forwards signals
DRIVER = "io.mydocker.driver"  # the storage driver that its root is made with
LAYERS = "io.mydocker.layers"  # chain ids, bottom first, with commas between
FILL = "io.mydocker.fill"  # a JSON list of the mount points whose volume, while empty, gets what the image has there
