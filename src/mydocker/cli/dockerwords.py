"""docker's commands and options that mydocker does not have, and what to type instead.

From the help of docker 20.10, and of 28 for buildx and compose; a test compares. Loaded only for an unknown word.
"""

from __future__ import annotations

from mydocker import paths

_SWARM = "mydocker runs containers of one host"

# the words of a command -> what to type instead; "" if there is nothing. A group stands for all its commands.
COMMANDS: dict[tuple[str, ...], str] = {
    ("system", "events"): "",
    ("volume", "update"): "",
    ("bake",): "'mydocker build --target STAGE' for each",
    ("buildx",): "'mydocker build'",
    ("checkpoint",): "",
    ("completion",): "the packages bring completions",
    ("compose",): "",
    ("config",): _SWARM,
    ("context",): _SWARM,
    ("events",): "",
    ("manifest",): "'skopeo inspect --raw docker://NAME:TAG'",
    ("node",): _SWARM,
    ("plugin",): "",
    ("search",): "'skopeo list-tags docker://NAME' lists an image's tags",
    ("secret",): _SWARM,
    ("service",): _SWARM,
    ("stack",): _SWARM,
    ("swarm",): _SWARM,
    ("trust",): "mydocker verifies no signatures",
}

_HEALTH = "mydocker runs no health checks"
_RUN = {
    "--gpus": "'--device PATH'",
    "--health-cmd": _HEALTH,
    "--health-interval": _HEALTH,
    "--health-retries": _HEALTH,
    "--health-start-interval": _HEALTH,
    "--health-start-period": _HEALTH,
    "--health-timeout": _HEALTH,
    "--ip6": "an IPv6 address follows from the IPv4 one, '--ip ADDRESS'",
    "--kernel-memory": "'--memory SIZE'",
    "--link": "containers on one network find each other by name: 'mydocker network create NAME', '--network NAME'",
    "--link-local-ip": "",
    "--storage-opt": "",
    "--use-api-socket": "there is no daemon to reach",
    **dict.fromkeys(("--cpu-count", "--cpu-percent", "--io-maxbandwidth", "--io-maxiops"), "only Windows has it"),
}
_ONE_PLATFORM = "an image here is of one platform: 'mydocker pull --platform' chooses it"
# the words of a command, () for docker itself -> option -> what to type instead, as above
OPTIONS: dict[tuple[str, ...], dict[str, str]] = {
    (): dict.fromkeys(
        ("--config", "--context", "-c", "--host", "-H", "--tls", "--tlscacert", "--tlscert", "--tlskey", "--tlsverify"),
        "there is no daemon to reach",
    )
    | dict.fromkeys(("--debug", "-D", "--log-level", "-l"), "MYDOCKER_DEBUG=1 in the environment shows tracebacks"),
    ("run",): _RUN,
    ("create",): _RUN,
    ("start",): {"--checkpoint": "", "--checkpoint-dir": ""},
    ("update",): {"--kernel-memory": "'--memory SIZE'"},
    ("builder", "prune"): {
        **dict.fromkeys(("--max-used-space", "--min-free-space", "--reserved-space"), "'--keep-storage SIZE'"),
        **dict.fromkeys(("--builder", "--debug", "--verbose"), ""),
    },
    **{(word,): {"--platform": _ONE_PLATFORM} for word in ("history", "push", "rmi")},
    ("image", "inspect"): {"--platform": _ONE_PLATFORM},
    ("images",): {"--tree": ""},
    ("version",): {"--kubeconfig": ""},
    ("rm",): {"--link": "there are no links", "-l": "there are no links"},
    ("build",): {
        **dict.fromkeys(("--attest", "--provenance", "--sbom"), "mydocker makes no attestations"),
        **dict.fromkeys(("--cache-from", "--cache-to"), "the cache is in the store: 'mydocker builder prune'"),
        **dict.fromkeys(("--cpu-period", "--cpu-quota"), "'--cpu-shares NUMBER' or '--cpuset-cpus LIST'"),
        **dict.fromkeys(("--allow", "--security-opt"), "steps have the isolation of 'mydocker run'"),
        "--annotation": "'--label KEY=VALUE'",
        "--build-context": "COPY --from=IMAGE, or files of the context",
        "--builder": "there is one builder",
        "--call": "",
        "--cgroup-parent": f"cgroup_parent in {paths.CONFIG}",
        "--check": "a build prints the warnings; '# check=error=true' makes them errors",
        "--isolation": "Linux has no other",
        "--metadata-file": "'--iidfile FILE'",
        "--no-cache-filter": "'--no-cache'",
        "--push": "'mydocker push NAME' after the build",
        "--squash": "'mydocker export' and 'mydocker import' make an image of one layer",
        "--ssh": "'--secret id=NAME,src=FILE'",
        "--stream": "the context is read where it is",
    },
    ("volume", "ls"): {"--cluster": _SWARM},
    ("volume", "create"): {
        **dict.fromkeys(
            ("--availability", "--group", "--limit-bytes", "--required-bytes", "--scope", "--secret", "--sharing",
             "--topology-preferred", "--topology-required", "--type"),
            _SWARM,
        ),
    },
    ("network", "create"): {
        "--attachable": "every container may join",
        "--aux-address": "'--ip-range ADDRESS/PREFIX' leaves the other addresses of the subnet free",
        "--config-from": "",
        "--config-only": "",
        "--ingress": _SWARM,
        "--ipam-opt": "",
        "--ipv4": "every network has IPv4",
    },
    ("network", "inspect"): {"--verbose": "", "-v": ""},
    ("network", "connect"): {
        "--driver-opt": "",
        "--gw-priority": "the first network has the default route",
        "--ip6": "an IPv6 address follows from the IPv4 one, '--ip ADDRESS'",
        "--link": "containers on one network find each other by name",
        "--link-local-ip": "",
    },
}  # fmt: skip


def command(path: tuple[str, ...]) -> str | None:
    """The hint for a command of docker's; None if docker does not have it either."""
    instead = COMMANDS.get(path)
    return None if instead is None else _hint(instead)


def option(path: tuple[str, ...], name: str) -> str | None:
    """The hint for an option of docker's, or None. path: the command's words; () for docker itself."""
    instead = OPTIONS.get(path, {}).get(name)
    return None if instead is None else _hint(instead)


def _hint(instead: str) -> str:
    return f"docker has it, mydocker does not (yet): {instead}" if instead else "docker has it, mydocker does not (yet)"
