"""Run skopeo, which speaks with registries: it logs in, follows mirrors and proxies, and verifies certificates.

    /run/mydocker/_registries/HOST/ca.crt    a link to the CA that config.yaml names for a registry

Every process of it ends with this one (PR_SET_PDEATHSIG). A registry that is silent for `registry_timeout` seconds
(config.yaml) is an error.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tempfile

from mydocker import config, paths
from mydocker.engine.transfer import credentials
from mydocker.errors import HostError, MydockerError, NotFound
from mydocker.kernel import process, programs
from mydocker.kernel.files import make_private
from mydocker.model.options import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_POLICY = "/etc/containers/policy.json"
# What skopeo takes from the caller's environment: where its files are, and the way to the registry.
_KEPT = (
    *("HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_FATAL = re.compile(r'level=fatal msg=(?:"((?:[^"\\]|\\.)*)"|(.*))')
_PREFIXES = re.compile(r'^(Error parsing image name "[^"]*"|Error listing repository tags|initializing source [^ ]+): ')
_UNREACHABLE = re.compile(r"pinging container registry (\S+): .*\b(?:dial|lookup) .*: (.+)$")
# What a registry's answer is about -> the remedy. The first that matches counts.
_LOGIN = "'mydocker login HOST'"
_REMEDIES = (
    ("gave HTTP response to HTTPS client", "for plain http: 'registries: {HOST: {insecure: true}}' in CONFIG"),
    ("x509: ", "for a CA of its own: 'registries: {HOST: {ca: FILE}}' in CONFIG"),
    ("tls: ", "for a CA of its own: 'registries: {HOST: {ca: FILE}}' in CONFIG"),
    ("unauthorized", _LOGIN),
    ("authentication required", _LOGIN),
    ("denied", _LOGIN),
    ("invalid username/password", "are user and password right?"),
    ("toomanyrequests", f"{_LOGIN}, or wait"),
    ("no such host", "is the name right, and is there a network?"),
    ("network is unreachable", "is there a network?"),
    ("connection refused", "is the registry running?"),
    ("timeout", "is there a network?"),
)


class Skopeo:
    """skopeo for one registry. host: as in an image's name, `docker.io` for Docker Hub."""

    def __init__(self, host: str) -> None:
        settings = config.load()
        self.host = host
        self._passwords: io.FileIO | None = None  # a memory file, which _authfile() makes
        self._asked = False
        self._unasked = ""  # the reason why there is no password
        self.patience: int = settings["registry_timeout"]
        self._own: dict[str, Any] = settings["registries"].get(host) or {}
        self._program = programs.find("skopeo")
        if not self._program:
            raise HostError("skopeo is not installed, which speaks with registries", "install the package skopeo")

    # --- commands -----------------------------------------------------------------------------------------------------

    def manifest(self, reference: references.Reference) -> bytes:
        """Fetch a manifest or a list of manifests, byte for byte."""
        return self.run("inspect", ["--raw", *self.tls(), address(reference)], str(reference))

    def tags(self, name: str) -> list[str]:
        """List the tags of a repository."""
        reference = references.Reference(name, "latest")
        data = self.run("list-tags", [*self.tls(), address(reference).rpartition(":")[0]], name)
        try:
            tags = json.loads(data)["Tags"]
            if not all(isinstance(tag, str) for tag in tags):
                raise TypeError("a tag is not text")
        except (ValueError, KeyError, TypeError) as error:
            raise MydockerError(f"{self.host} sent a malformed list of tags: {error}") from None
        return sorted(set(tags))

    def run(self, command: str, options: list[str], what: str, stdin: bytes = b"") -> bytes:
        """Run `skopeo COMMAND` to its end. Returns its stdout. what: names the thing in errors."""
        with self.spawn(command, options, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            try:
                out, errors = running.communicate(stdin, self.patience)
            except subprocess.TimeoutExpired:
                raise self.silent() from None
            finally:
                running.kill()  # no harm if it has ended
        if running.returncode:
            raise self.error(errors.decode(errors="replace"), what)
        return out

    def spawn(self, command: str, options: list[str], debug: bool = False, **streams: Any) -> subprocess.Popen[bytes]:
        """Start `skopeo COMMAND`. It ends with the thread that calls this. debug: it says more on stderr."""
        general = ["--debug"] if debug else []
        if command != "login":
            options = [*self._authfile(), *options]
        if not any(map(os.path.exists, (_POLICY, _home(".config/containers/policy.json")))):
            general.append("--insecure-policy")  # skopeo can't do without; a policy that there is counts
        environment = {"PATH": ":".join(programs.DIRECTORIES), "LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}
        environment.update((name, os.environ[name]) for name in _KEPT if name in os.environ)
        if self._passwords or command == "login":
            environment["DOCKER_CONFIG"] = f"{paths.RUN}/_registries/none"  # it would read docker's file all the same
        return subprocess.Popen(
            [self._program, *general, command, *options],
            env=environment,
            pass_fds=[self._passwords.fileno()] if self._passwords else (),
            **{"stderr": subprocess.PIPE, **streams},
            preexec_fn=process.die_with_parent,
        )

    # --- the way to the registry --------------------------------------------------------------------------------------

    def tls(self, prefix: str = "") -> list[str]:
        """Return the options for the registry's certificate. prefix: `dest-` for a copy's destination."""
        options = []
        if self._own.get("insecure", is_loopback(self.host) and "ca" not in self._own):
            options.append(f"--{prefix}tls-verify=false")
        if self._own.get("ca"):
            options.append(f"--{prefix}cert-dir={self._certificates(self._own['ca'])}")
        return options

    def _authfile(self) -> list[str]:
        """Return the option for the registry's password, which the user's file or a helper knows. As with docker, a
        helper that is missing or fails leaves nothing but a registry for everybody."""
        if not self._asked:
            self._asked = True
            try:
                data = credentials.for_skopeo(self.host)
            except HostError as error:
                self._unasked, data = error.message, b"{}"
            if data is not None:
                self._passwords = open(os.memfd_create("passwords"), "wb", buffering=0)
                self._passwords.write(data)
        return [f"--authfile=/proc/self/fd/{self._passwords.fileno()}"] if self._passwords else []

    def _certificates(self, file: str) -> str:
        """Return a directory with the CA of the registry, as skopeo wants it. It stays: it has nothing but a link."""
        if not os.path.isfile(file):
            raise HostError(f"the CA of registry {self.host} is missing: {file}", f"see registries in {paths.CONFIG}")
        directory = f"{paths.RUN}/_registries/{self.host}"
        make_private(directory)
        link = f"{directory}/ca.crt"
        if not os.path.islink(link) or os.readlink(link) != file:
            new = f"{link}.{os.urandom(6).hex()}"
            os.symlink(file, new)
            os.rename(new, link)
        return directory

    # --- errors -------------------------------------------------------------------------------------------------------

    def silent(self) -> HostError:
        return HostError(
            f"registry {self.host} did not answer within {self.patience} s", f"registry_timeout in {paths.CONFIG}"
        )

    def error(self, stderr: str, what: str) -> MydockerError:
        """Make an error of what skopeo said, in one line. what: names the thing."""
        fatal = _FATAL.findall(stderr)
        text = " ".join((_unquoted(fatal[-1][0]) or fatal[-1][1] if fatal else stderr).split())
        text = _PREFIXES.sub("", text) or "skopeo ended without a word"
        text = _UNREACHABLE.sub(r"registry \1 can't be reached: \2", text)
        if "manifest unknown" in text or "name unknown" in text or " 404 (" in text:
            return NotFound(f"manifest for {what} not found in registry {self.host}", "are its name and tag right?")
        for part, remedy in _REMEDIES:
            if part in text:
                if _LOGIN in remedy and self._unasked:
                    remedy = self._unasked
                remedy = remedy.replace("HOST", self.host).replace("CONFIG", paths.CONFIG)
                return HostError(f"{what}: {text}", remedy)
        return HostError(f"{what}: {text}")


def address(reference: references.Reference) -> str:
    """Return skopeo's name of an image in its registry, `docker://docker.io/library/busybox:latest`."""
    return f"docker://{references.full(reference)}"


def is_loopback(host: str) -> bool:
    """True for a registry on this machine: as with docker, it may use plain http or any certificate."""
    name = host.partition(":")[0]
    return name == "localhost" or re.fullmatch(r"127(\.\d+){3}", name) is not None


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:  # Go quotes some bytes otherwise
        return text.replace('\\"', '"')


def _home(path: str) -> str:
    return f"{os.environ.get('HOME') or '/root'}/{path}"
