"""The documents of `inspect`: docker's JSON of containers, images and volumes, path for path.

Features that mydocker does not have (health checks, Windows, SELinux …) have the value that docker shows while they are
not used, so that templates and scripts written for docker work.
"""

from __future__ import annotations

from mydocker import paths
from mydocker.model import timestamp
from mydocker.model.network import BUILTIN, DEFAULT, builtin_id, endpoint_id
from mydocker.model.options import restart, times
from mydocker.model.options.netmode import is_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.container import Container
    from mydocker.model.network import Endpoint
    from mydocker.model.options.mounts import Mount
    from mydocker.model.options.request import CreateRequest

    Json = dict[str, Any]


def container(record: Container, request: CreateRequest, spec: Json, networks: dict[str, str]) -> Json:
    """Describe a container. request: complete(). spec: the bundle's config.json. networks: name -> ID."""
    directory = paths.container(record.id)
    running, restarting = record.is_up(), record.is_restarting()
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": record.command[0],
        "Args": record.command[1:],
        "State": {
            "Status": record.status,
            "Running": running or restarting,  # docker says so of a restarting container too
            "Paused": record.is_paused(),
            "Restarting": restarting,
            "OOMKilled": record.oom_killed,
            "Dead": False,
            "Pid": record.pid if running else 0,
            "ExitCode": 0 if running else record.exit_code,  # the record has that of the previous run
            "Error": record.error,
            "StartedAt": record.started_at or times.NEVER,
            "FinishedAt": record.finished_at or times.NEVER,
        },
        "Image": record.image_id,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/container.log",
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": record.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(record, request, spec),
        "GraphDriver": {"Name": record.driver, "Data": _graph_data(record, directory)},
        "Mounts": [_mount_point(mount, spec) for mount in request.mounts if mount["option"] != "tmpfs"],
        "Config": _config(record, request, spec),
        "NetworkSettings": _network_settings(record, networks, spec.get("hostname", "")),
    }


def _graph_data(record: Container, directory: str) -> Json:
    """Return docker's directories of an overlay; other drivers have a root directory only."""
    if record.driver not in ("overlay", "erofs"):
        return {"RootDir": f"{directory}/rootfs"}
    return {
        "LowerDir": _stack(record.layers, "erofs" if record.driver == "erofs" else ""),
        "MergedDir": f"{directory}/rootfs",
        "UpperDir": f"{directory}/upper",
        "WorkDir": f"{directory}/work",
    }


def _stack(layers: list[str], form: str = "") -> str:
    """Return the layers' directories, top layer first: overlay's lowerdir. layers: chain IDs, bottom first. form: as in
    paths.layer()."""
    return ":".join(paths.layer(layer, form) for layer in reversed(layers))


def _mount_point(mount: Mount, spec: Json) -> Json:
    source = next((m["source"] for m in spec["mounts"] if m["destination"] == mount["target"]), "")
    if "subpath" in mount:  # docker shows the volume's directory
        source = source.removesuffix(f"/{mount['subpath']}")
    point: Json = {"Type": mount["type"]}
    if mount["type"] == "volume":
        point["Name"] = mount["source"]
    point["Source"] = "" if mount["type"] == "tmpfs" else source
    point["Destination"] = mount["target"]
    if mount["type"] == "volume":
        point["Driver"] = "local"
    point["Mode"] = mount["mode"]
    point["RW"] = not mount["read_only"]
    point["Propagation"] = mount["propagation"] if mount["type"] == "bind" else ""
    return point


def _bind(mount: Mount) -> str:
    """Return -v's SOURCE:TARGET[:MODE]."""
    return ":".join(part for part in (mount["source"], mount["target"], mount["mode"]) if part)


def _mount_option(mount: Mount) -> Json:
    """Return a --mount in the form of docker's API."""
    entry: Json = {"Type": mount["type"]}
    if mount["source"] and not mount["anonymous"]:
        entry["Source"] = mount["source"]
    entry["Target"] = mount["target"]
    if mount["read_only"]:
        entry["ReadOnly"] = True
    options = dict(word.split("=", 1) for word in mount["options"] if "=" in word)
    if mount["propagation"] != "rprivate":
        entry["BindOptions"] = {"Propagation": mount["propagation"]}
    if not mount["recursive"]:
        entry.setdefault("BindOptions", {})["NonRecursive"] = True
    if "bind_recursive" in mount:
        key = "ReadOnlyNonRecursive" if mount["bind_recursive"] == "writable" else "ReadOnlyForceRecursive"
        entry.setdefault("BindOptions", {})[key] = True
    about_volume = {
        **({"NoCopy": True} if mount["type"] == "volume" and not mount["copy"] else {}),
        **({"Labels": mount["labels"]} if "labels" in mount else {}),
        **({"DriverConfig": {"Options": mount["volume_options"]}} if "volume_options" in mount else {}),
        **({"Subpath": mount["subpath"]} if "subpath" in mount else {}),
    }
    if about_volume:
        entry["VolumeOptions"] = about_volume
    if options:
        entry["TmpfsOptions"] = {}
        if "size" in options:
            entry["TmpfsOptions"]["SizeBytes"] = int(options["size"])
        if "mode" in options:
            entry["TmpfsOptions"]["Mode"] = int(options["mode"], 8)
    return entry


def _host_config(record: Container, request: CreateRequest, spec: Json) -> Json:
    written = {
        option: [mount for mount in request.mounts if mount["option"] == option]
        for option in ("volume", "mount", "tmpfs")
    }
    policy, maximum = restart.split(record.restart)
    shown: Json = {
        "Binds": [_bind(mount) for mount in written["volume"] if not mount["anonymous"]] or None,
        "ContainerIDFile": request.cidfile,
        "LogConfig": {"Type": request.anyway.get("log_driver", "cri"), "Config": request.log_options},
        "NetworkMode": request.network,
        "PortBindings": _bindings(record.requested_ports, ""),
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": maximum},
        "AutoRemove": request.auto_remove,
        "VolumeDriver": request.anyway.get("volume_driver", ""),
        "VolumesFrom": request.volumes_from or None,
        "ConsoleSize": [0, 0],
        "CapAdd": request.cap_add or None,
        "CapDrop": request.cap_drop or None,
        "CgroupnsMode": request.cgroupns or "private",
        "Dns": request.dns,
        "DnsOptions": request.dns_options,
        "DnsSearch": request.dns_search,
        "ExtraHosts": request.extra_hosts or None,
        "GroupAdd": request.group_add or None,
        "IpcMode": request.ipc or "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": request.oom_score_adj,
        "PidMode": request.pid,
        "Privileged": request.privileged,
        "PublishAllPorts": request.publish_all,
        "ReadonlyRootfs": request.read_only,
        "SecurityOpt": request.security_opt or ([] if request.unmasked else None),
        "UTSMode": request.uts,
        "UsernsMode": request.anyway.get("userns", ""),
        "ShmSize": request.shm_size,
        "Runtime": request.anyway.get("runtime", "mydocker"),
        "Isolation": request.anyway.get("isolation", ""),
        "CpuShares": request.cpu_shares,
        "Memory": request.memory,
        "NanoCpus": request.nano_cpus,
        "CgroupParent": request.cgroup_parent,
        "BlkioWeight": request.blkio_weight,
        "BlkioWeightDevice": _block_limits(request, "weight") or [],
        "BlkioDeviceReadBps": _block_limits(request, "read_bps"),
        "BlkioDeviceWriteBps": _block_limits(request, "write_bps"),
        "BlkioDeviceReadIOps": _block_limits(request, "read_iops"),
        "BlkioDeviceWriteIOps": _block_limits(request, "write_iops"),
        "CpuPeriod": request.cpu_period,
        "CpuQuota": request.cpu_quota,
        "CpuRealtimePeriod": request.cpu_rt_period,
        "CpuRealtimeRuntime": request.cpu_rt_runtime,
        "CpusetCpus": request.cpuset_cpus,
        "CpusetMems": request.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device["source"],
                "PathInContainer": device["target"],
                "CgroupPermissions": device["access"],
            }
            for device in request.devices
        ],
        "DeviceCgroupRules": request.device_rules or None,
        "DeviceRequests": None,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": request.memory_reservation,
        "MemorySwap": spec["linux"]["resources"].get("memory", {}).get("swap", request.memory_swap),
        "MemorySwappiness": None if request.memory_swappiness < 0 else request.memory_swappiness,
        "OomKillDisable": request.oom_kill_disable,
        "PidsLimit": request.pids_limit or None,
        "Ulimits": [{"Name": limit["name"], "Hard": limit["hard"], "Soft": limit["soft"]} for limit in request.ulimits]
        or None,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "MaskedPaths": spec["linux"]["maskedPaths"] or ([] if request.unmasked else None),
        "ReadonlyPaths": spec["linux"]["readonlyPaths"] or ([] if request.unmasked else None),
    }
    # docker leaves these out if they were not given
    if written["tmpfs"]:
        shown["Tmpfs"] = {mount["target"]: mount["mode"] for mount in written["tmpfs"]}
    if written["mount"]:
        shown["Mounts"] = [_mount_option(mount) for mount in written["mount"]]
    if request.sysctls:
        shown["Sysctls"] = request.sysctls
    if request.init:
        shown["Init"] = True
    if request.annotations:
        shown["Annotations"] = request.annotations
    if request.umask >= 0:
        shown["Umask"] = f"{request.umask:04o}"  # podman's: docker has no such option
    return shown


def _block_limits(request: CreateRequest, kind: str) -> list[Json] | None:
    """Return docker's list of limits of one kind; None if there are none."""
    key = "Weight" if kind == "weight" else "Rate"
    return [{"Path": each["path"], key: each["value"]} for each in request.block_limits if each["kind"] == kind] or None


def _config(record: Container, request: CreateRequest, spec: Json) -> Json:
    attached = request.attached
    env = dict(pair.split("=", 1) for pair in spec["process"]["env"])
    volumes: Json = {
        mount["target"]: {} for mount in request.mounts if mount["anonymous"] and mount["option"] != "mount"
    }
    shown: Json = {
        "Hostname": spec.get("hostname") or env.get("HOSTNAME", ""),
        "Domainname": request.domainname,
        "User": request.user,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Tty": request.tty,
        "OpenStdin": request.interactive,
        "StdinOnce": request.interactive and "stdin" in attached,
        "Env": request.env,
        "Cmd": request.command or None,
        "Image": request.image,
        "Volumes": volumes or None,
        "WorkingDir": request.workdir,
        "Entrypoint": request.entrypoint or None,
        "OnBuild": None,
        "Labels": request.labels,
    }
    exposed = sorted({*request.exposed_ports, *_bindings(record.requested_ports, "")})
    if exposed:
        shown["ExposedPorts"] = {port: {} for port in exposed}
    mac = next((endpoint.requested_mac for endpoint in record.endpoints if endpoint.requested_mac), "")
    if mac:
        shown["MacAddress"] = mac
    if request.no_healthcheck:
        shown["Healthcheck"] = {"Test": ["NONE"]}
    if request.stop_signal:
        shown["StopSignal"] = request.stop_signal
    if request.stop_timeout is not None:
        shown["StopTimeout"] = request.stop_timeout
    return shown


_NO_ADDRESS = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}


def _network_settings(record: Container, networks: dict[str, str], hostname: str) -> Json:
    running, endpoints = record.is_up(), record.endpoints
    ports: Json = dict.fromkeys(record.exposed)
    ports.update(_bindings(record.bound_ports, "0.0.0.0"))
    first = next((endpoint for endpoint in endpoints if endpoint.network == DEFAULT), None)
    return {
        "Bridge": "",
        "SandboxID": record.id if running and endpoints else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports if running and endpoints else {},
        "SandboxKey": f"/run/netns/{record.name}" if running and endpoints else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **(_addresses(first, record, networks) if first else _NO_ADDRESS),
        "Networks": {each.network: _endpoint(each, record, networks, hostname) for each in endpoints} or _mode(record),
    }


def _mode(record: Container) -> Json:
    """Return the mode in place of the networks; nothing for a container that has been disconnected from all."""
    network = record.network
    shown: Json = {**_UNCONNECTED, **_NO_ADDRESS}
    if network in BUILTIN and record.is_up():
        shown["NetworkID"] = builtin_id(network)
        shown["EndpointID"] = endpoint_id(shown["NetworkID"], record.id)
    return {network: shown} if is_mode(network) else {}


_UNCONNECTED = {"IPAMConfig": None, "Links": None, "Aliases": None, "NetworkID": "", "DriverOpts": None}


def _endpoint(endpoint: Endpoint, record: Container, networks: dict[str, str], hostname: str) -> Json:
    aliases = _aliases(endpoint, record, hostname)
    return {
        **_UNCONNECTED,
        "IPAMConfig": {"IPv4Address": endpoint.requested_ip} if endpoint.requested_ip else None,
        "Aliases": aliases or None,
        "NetworkID": networks.get(endpoint.network, ""),
        **_addresses(endpoint, record, networks),
        "DNSNames": [record.name, *aliases] if aliases else None,
    }


def _aliases(endpoint: Endpoint, record: Container, hostname: str) -> list[str]:
    """Return the aliases in docker's order: those given, the short ID, --hostname. The default network has none."""
    if endpoint.network == DEFAULT:
        return []
    requested, own = ([alias for alias in endpoint.aliases if (alias == hostname) is own] for own in (False, True))
    return list(dict.fromkeys([*requested, record.id[:12], *own]))


def _addresses(endpoint: Endpoint, record: Container, networks: dict[str, str]) -> Json:
    if not endpoint.address or not record.is_up():
        return _NO_ADDRESS
    (ip, _, prefix), (ip6, _, prefix6) = endpoint.address.partition("/"), endpoint.address6.partition("/")
    return {
        "EndpointID": endpoint_id(networks.get(endpoint.network, ""), record.id),
        "Gateway": endpoint.gateway,
        "GlobalIPv6Address": ip6,
        "GlobalIPv6PrefixLen": int(prefix6 or "0"),
        "IPAddress": ip,
        "IPPrefixLen": int(prefix),
        "IPv6Gateway": endpoint.gateway6,
        "MacAddress": endpoint.mac,
    }


def _bindings(texts: list[str], every: str) -> Json:
    """Return docker's {"80/tcp": [{"HostIp", "HostPort"}]}. every: the text for all addresses of the host."""
    if not texts:
        return {}
    from mydocker.model.options.ports import parse_published

    bindings: Json = {}
    for port in parse_published(texts):
        host = f"{port.host}-{port.last}" if port.last > port.host else str(port.host or "")
        bindings.setdefault(port.target, []).append({"HostIp": port.host_ip or every, "HostPort": host})
    return bindings


# docker's Config of an image that sets nothing, in docker's order; None for what JSON leaves out then.
_BLANK: Json = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": None,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Healthcheck": None,
    "ArgsEscaped": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "NetworkDisabled": None,
    "MacAddress": None,
    "OnBuild": None,
    "Labels": None,
    "StopSignal": None,
    "StopTimeout": None,
    "Shell": None,
}
_LEFT_OUT = {
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell",
}  # fmt: skip


def image(image_id: str, config: Json, layers: list[str], names: list[str], size: int) -> Json:
    """Describe an image. image_id: sha256:…. config: the image's config, docker's or OCI's. layers: chain IDs, bottom
    first. names: NAME:TAG or NAME@DIGEST. size: bytes, of all layers."""
    history = config.get("history") or [{}]
    described: Json = {
        "Id": image_id,
        "RepoTags": [name for name in names if "@" not in name],
        "RepoDigests": [name for name in names if "@" in name],
        "Parent": config.get("parent") or "",
        "Comment": config.get("comment") or history[-1].get("comment") or "",
        "Created": config.get("created") or times.NEVER,
        "Container": config.get("container") or "",
        "ContainerConfig": _config_of_image(config.get("container_config")),
        "DockerVersion": config.get("docker_version") or "",
        "Author": config.get("author") or "",
        "Config": _config_of_image(config.get("config")),
        "Architecture": config.get("architecture") or "",
        "Variant": config.get("variant"),
        "Os": config.get("os") or "",
        "OsVersion": config.get("os.version"),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Name": "overlay", "Data": _graph_data_of_image(layers)},
        "RootFS": {"Type": "layers", "Layers": (config.get("rootfs") or {}).get("diff_ids") or []},
        "Metadata": {"LastTagTime": times.NEVER},
    }
    return {key: value for key, value in described.items() if value or key not in ("Variant", "OsVersion")}


def _config_of_image(own: Json | None) -> Json:
    """Return all of docker's keys, with docker's empty values for those that the image does not set."""
    given = {key: value for key, value in (own or {}).items() if key in _BLANK and value is not None}
    merged = {**_BLANK, **given}
    return {key: value for key, value in merged.items() if value or key not in _LEFT_OUT}


def _graph_data_of_image(layers: list[str]) -> Json:
    data = {"LowerDir": _stack(layers[:-1]), "UpperDir": _stack(layers[-1:])}
    return {key: value for key, value in data.items() if value}


def volume(
    name: str, created: str, labels: dict[str, str] | None = None, options: dict[str, str] | None = None
) -> Json:
    """Describe a volume. created: RFC 3339; docker shows whole seconds."""
    return {
        "CreatedAt": timestamp.rfc3339(times.parse_rfc3339(created) // timestamp.SECOND * timestamp.SECOND),
        "Driver": "local",
        "Labels": labels or None,
        "Mountpoint": f"{paths.volume(name)}/_data",
        "Name": name,
        "Options": dict(sorted(options.items())) if options else None,
        "Scope": "local",
    }
