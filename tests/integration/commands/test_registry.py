"""pull, push, login and run --pull, with a registry on loopback; and with servers that lie."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import hostile
import pytest
from archives import archive, busybox
from image_archives import ARCHITECTURE, OCI, Image, descriptor, digest
from machine import PATH, until
from registries import INDEX, liar, registry

pytestmark = pytest.mark.local

BUSYBOX = busybox(("mark", b"base\n"))
TOP = archive(("mark", b"top\n"))
QUICK = ("--rm", "--net", "none")
OTHER = {"amd64": "arm64", "arm64": "amd64"}[ARCHITECTURE]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture
def lies(machine):
    with liar() as served:
        yield served


@pytest.fixture
def store(machine):
    """The names of all blobs, layers and workspaces."""

    def listed() -> list[str]:
        root = Path(machine.store, "lib")
        return sorted(name for top in ("images/blobs/sha256", "layers") for name in os.listdir(root / top))

    return listed


def made(name: str, **options) -> Image:
    """An image of two layers that no other test has."""
    return Image([BUSYBOX, archive(("mark", f"{name}\n".encode()))], **options)


def inspected(mydocker, name: str) -> dict:
    (document,) = json.loads(mydocker.ok("image", "inspect", name))
    return document


# --- pull and push ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd", "chunked"])
def test_an_image_is_pulled_byte_for_byte_and_runs(mydocker, plain, name, docker, compression):
    image = made(name, compression=compression)
    manifest = plain.push(name, "1", image, docker)
    where = f"{plain.address}/{name}"
    lines = mydocker.ok("pull", f"{where}:1").splitlines()
    assert lines[0] == f"1: Pulling from {name}"
    assert f"{digest(image.blobs[1])[7:19]}: Pull complete" in lines
    assert lines[-3:] == [
        f"Digest: {digest(manifest)}",
        f"Status: Downloaded newer image for {where}:1",
        f"{where}:1",
    ]
    document = inspected(mydocker, f"{where}:1")
    assert (document["Id"], document["RepoDigests"]) == (image.id, [f"{where}@{digest(manifest)}"])
    assert document["Config"]["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert mydocker.ok("run", *QUICK, f"{where}@{digest(manifest)}", "cat", "/mark") == name
    assert f"Status: Image is up to date for {where}:1" in mydocker.ok("pull", f"{where}:1")
    mydocker.ok("rmi", f"{where}:1")


def test_what_is_pushed_is_the_same_image_elsewhere(mydocker, plain, make, name, tmp_path):
    mydocker.ok("tag", make([("mark", b"mine\n")], ['LABEL a="b c"']), f"{plain.address}/{name}:2")
    document = inspected(mydocker, f"{plain.address}/{name}:2")
    lines = mydocker.ok("push", f"{plain.address}/{name}:2").splitlines()
    assert lines[0] == f"The push refers to repository [{plain.address}/{name}]"
    word, size = lines[-1].removeprefix("2: digest: ").split(" size: ")
    data = (plain.directory / f"data/docker/registry/v2/blobs/sha256/{word[7:9]}/{word[7:]}/data").read_bytes()
    assert (digest(data), len(data)) == (word, int(size))
    assert json.loads(data)["config"]["digest"] == document["Id"]
    assert inspected(mydocker, f"{plain.address}/{name}:2")["RepoDigests"] == [f"{plain.address}/{name}@{word}"]
    mydocker.ok("rmi", f"{plain.address}/{name}:2", f"img{name}")
    assert mydocker.ok("pull", "-q", f"{plain.address}/{name}@{word}") == f"{plain.address}/{name}@{word}"
    assert inspected(mydocker, f"{plain.address}/{name}@{word}")["Id"] == document["Id"]
    mydocker.ok("rmi", document["Id"])


def test_layers_that_are_there_are_not_fetched(mydocker, plain, name):
    plain.push(name, "1", Image([BUSYBOX]))
    plain.push(name, "2", made(name))
    mydocker.ok("pull", f"{plain.address}/{name}:1")
    before = plain.blobs_sent()
    lines = mydocker.ok("pull", f"{plain.address}/{name}:2").splitlines()
    assert f"{digest(BUSYBOX)[7:19]}: Already exists" in lines
    assert plain.blobs_sent() - before == 2  # the config and one layer
    names = [f"{plain.address}/{name}:{tag}" for tag in "123"]
    manifest = plain.push(name, "3", made(name, compression="gzip"))
    mydocker.ok("pull", names[2])
    assert "Image is up to date" in mydocker.ok("pull", f"{plain.address}/{name}@{digest(manifest)}")
    assert plain.blobs_sent() - before == 2
    assert mydocker.ok("run", *QUICK, names[2], "cat", "/mark") == name
    assert f"{plain.address}/{name}@{digest(manifest)}" in inspected(mydocker, names[2])["RepoDigests"]
    mydocker.ok("rmi", *names)


def test_all_tags(mydocker, plain, name):
    for tag in ("1", "2"):
        plain.push(name, tag, made(f"{name}{tag}"))
    assert mydocker.ok("pull", "-a", "-q", f"{plain.address}/{name}") == f"{plain.address}/{name}"
    names = [f"{plain.address}/{name}:{tag}" for tag in ("1", "2")]
    listed = mydocker.ok("images", "--format", "{{.Repository}}:{{.Tag}}", f"{plain.address}/{name}")
    assert sorted(listed.split()) == names
    mydocker.ok("rmi", *names)


# --- platforms --------------------------------------------------------------------------------------------------------


def entry(manifest: bytes, **platform: str) -> dict:
    more = {"platform": platform} if platform else {}
    return descriptor(f"{OCI}.image.manifest.v1+json", manifest, **more)


HERE = {"os": "linux", "architecture": ARCHITECTURE}
PLATFORMS = {
    "its own": ([HERE], 0),
    "after a foreign one": ([{"os": "linux", "architecture": OTHER}, HERE], 1),
    "without a platform": ([{}], 0),
    "the first of two": ([HERE, HERE], 0),
    "behind a statement": ([{"os": "unknown", "architecture": "unknown"}, HERE], 1),
}


@pytest.mark.parametrize("case", PLATFORMS)
def test_the_platform_is_chosen_from_an_index(mydocker, lies, name, case):
    rows, chosen = PLATFORMS[case]
    images = [made(f"{name}{number}") for number in range(len(rows))]
    data = lies.index(name, [entry(lies.image(name, image), **row) for image, row in zip(images, rows)])
    mydocker.ok("pull", f"{lies.address}/{name}:1")
    document = inspected(mydocker, f"{lies.address}/{name}:1")
    assert document["Id"] == images[chosen].id
    assert document["RepoDigests"] == [f"{lies.address}/{name}@{digest(data)}"]
    mydocker.ok("rmi", f"{lies.address}/{name}:1")


@pytest.mark.parametrize(
    "platforms",
    [[], [{"os": "linux", "architecture": OTHER}], [{"os": "windows", "architecture": ARCHITECTURE}]],
    ids=["empty", "foreign", "windows"],
)
def test_a_foreign_platform_is_an_error_unless_asked_for(mydocker, lies, name, platforms):
    manifest = lies.image(name, made(name, config={"architecture": OTHER}))
    lies.index(name, [entry(manifest, **row) for row in platforms])
    where = f"{lies.address}/{name}:1"
    result = mydocker("pull", where)
    assert result.rc == 1
    assert f"no matching manifest for linux/{ARCHITECTURE}" in result.stderr
    if platforms and platforms[0]["architecture"] == OTHER:
        mydocker.ok("pull", "--platform", f"linux/{OTHER}", where)
        assert inspected(mydocker, where)["Architecture"] == OTHER
        mydocker.ok("rmi", where)


# --- run --pull -------------------------------------------------------------------------------------------------------


def test_run_pulls_what_is_missing(mydocker, plain, name):
    plain.push(name, "latest", made(name))
    where = f"{plain.address}/{name}"
    result = mydocker("run", *QUICK, where, "cat", "/mark")
    assert (result.rc, result.stdout) == (0, f"{name}\n")
    lines = result.stderr.splitlines()
    assert lines[0] == f"Unable to find image '{where}:latest' locally"
    assert lines[-1] == f"Status: Downloaded newer image for {where}:latest"
    before = len(plain.requests())
    for options in ((), ("--pull", "missing"), ("--pull=never",)):
        assert mydocker("run", *QUICK, *options, where, "true").stderr == ""
    assert len(plain.requests()) == before
    plain.push(name, "latest", made(f"{name}new"))
    result = mydocker("run", *QUICK, "--pull", "always", where, "cat", "/mark")
    assert result.stdout == f"{name}new\n"
    assert f"Status: Downloaded newer image for {where}:latest" in result.stderr
    old = made(name).id
    mydocker.ok("rmi", where, old)


def test_create_pulls_too(mydocker, plain, name):
    plain.push(name, "1", made(name))
    result = mydocker("create", "--net", "none", "--name", name, f"{plain.address}/{name}:1", "true")
    assert result.rc == 0
    assert f"Unable to find image '{plain.address}/{name}:1' locally" in result.stderr
    mydocker.ok("rm", name)
    mydocker.ok("rmi", f"{plain.address}/{name}:1")
    result = mydocker("run", *QUICK, "-q", f"{plain.address}/{name}:1", "cat", "/mark")
    assert (result.rc, result.stdout, result.stderr) == (0, f"{name}\n", "")
    mydocker.ok("rmi", f"{plain.address}/{name}:1")


def test_build_pulls_too(mydocker, plain, name, tmp_path):
    image = made(name)
    plain.push(name, "1", image)
    (tmp_path / "Dockerfile").write_text(f"FROM {plain.address}/{name}:1\n")
    said = mydocker("build", "--progress", "plain", "-t", name, str(tmp_path)).stderr
    assert said.startswith(f"#1 pulling {plain.address}/{name}:1\n")
    assert f" {digest(image.blobs[1])[7:19]}: Pull complete\n" in said
    mydocker.ok("rmi", name, f"{plain.address}/{name}:1")
    mydocker.ok("builder", "prune", "-a", "-f")


def test_never_and_a_dry_run_ask_nobody(mydocker, plain, name):
    before = len(plain.requests())
    for options in (("--pull", "never"), ("--dry-run",)):
        line = mydocker.fails("run", *QUICK, *options, f"{plain.address}/{name}", "true")
        assert line.startswith(f"mydocker: no such image: {plain.address}/{name} ")
    assert len(plain.requests()) == before


@pytest.mark.parametrize("verb", ["run", "create"])
def test_what_no_registry_has_is_an_error_of_one_line(mydocker, plain, verb):
    result = mydocker(verb, "--net", "none", f"{plain.address}/nosuch", "true")
    first, second = result.stderr.splitlines()
    assert (result.rc, first) == (125, f"Unable to find image '{plain.address}/nosuch:latest' locally")
    assert f"manifest for {plain.address}/nosuch:latest not found" in second


# --- passwords and certificates ---------------------------------------------------------------------------------------


@pytest.fixture
def apart(tmp_path):
    """apart(text) writes a config.yaml; it returns the environment of a store, and a home, of the test's own."""

    def environment(settings: str) -> dict[str, str]:
        (tmp_path / "config.yaml").write_text(settings)
        names = {"MYDOCKER_ROOT": "lib", "MYDOCKER_RUN": "run", "MYDOCKER_CONFIG": "config.yaml"}
        return {**{key: f"{tmp_path}/{name}" for key, name in names.items()}, "HOME": str(tmp_path)}

    return environment


def test_a_registry_with_a_password_and_a_ca_of_its_own(mydocker, apart, name, tmp_path):
    with registry(tmp_path, secure=True) as served:
        env = apart(f"registries: {{'{served.address}': {{ca: {tmp_path}/cert.pem}}}}\n")
        where = f"{served.address}/{name}:1"
        mydocker.ok("import", "-", where, input=TOP, env=env)
        refused = mydocker("push", where, env=env)
        assert refused.rc == 1
        assert f"'mydocker login {served.address}'" in refused.stderr
        login = ("login", "-u", "bird", "--password-stdin", served.address)
        mydocker.fails(*login, input=b"wrong\n", env=env)
        result = mydocker(*login, input=b"secret\n", env=env)
        assert (result.rc, result.stdout) == (0, "Login Succeeded\n")
        kept = tmp_path / ".docker/config.json"
        assert list(json.loads(kept.read_text())["auths"]) == [served.address]
        assert kept.stat().st_mode & 0o777 == 0o600
        mydocker.ok("push", where, env=env)
        mydocker.ok("rmi", where, env=env)
        mydocker.ok("pull", where, env=env)
        env = apart("")
        assert mydocker("pull", where, env=env).rc == 0  # on loopback any certificate is taken, as with docker
        assert mydocker.ok("logout", served.address, env=env) == f"Removing login credentials for {served.address}"
        assert mydocker("pull", where, env=env).rc == 1


# A helper in the protocol that docker 20.10 was seen to speak. It keeps one password, and notes each call.
HELPER = """#!/bin/sh
cd "$(dirname "$0")"
input=$(cat)
echo "$1 $input" >>calls
case $1 in
    store) echo "$input" >password ;;
    get) cat password 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
    erase) rm password ;;
esac
"""


def test_a_credential_helper_keeps_the_password(mydocker, apart, name, tmp_path):
    (tmp_path / "bin").mkdir()
    helper = tmp_path / "bin/docker-credential-fake"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    kept = tmp_path / "docker/config.json"
    kept.parent.mkdir()
    with registry(tmp_path, secure=True) as served:
        more = {"PATH": f"{tmp_path}/bin:{PATH}", "DOCKER_CONFIG": str(kept.parent)}
        env = {**apart(f"registries: {{'{served.address}': {{ca: {tmp_path}/cert.pem}}}}\n"), **more}
        where = f"{served.address}/{name}:1"
        mydocker.ok("import", "-", where, input=TOP, env=env)
        kept.write_text(json.dumps({"credsStore": "nosuch", "credHelpers": {served.address: "fake"}}))
        assert "'mydocker login" in mydocker.fails("push", "-q", where, env=env)
        login = ("login", "-ubird", "--password-stdin", served.address)
        assert mydocker(*login, input=b"secret", env=env).stderr == ""
        assert json.loads(kept.read_text())["auths"] == {served.address: {}}
        mydocker.ok("push", "-q", where, env=env)
        mydocker.ok("rmi", where, env=env)
        mydocker.ok("pull", "-q", where, env=env)
        again = mydocker.ok("login", served.address, env=env)
        assert again == "Authenticating with existing credentials...\nLogin Succeeded"
        assert mydocker.ok("logout", served.address, env=env) == f"Removing login credentials for {served.address}"
        assert mydocker.ok("logout", served.address, env=env) == f"Not logged in to {served.address}"
        calls = (tmp_path / "bin/calls").read_text().splitlines()
        row = json.dumps({"ServerURL": served.address, "Username": "bird", "Secret": "secret"})
        assert f"store {row}" in calls
        assert {call for call in calls if "store" not in call} >= {f"get {served.address}", f"erase {served.address}"}

        kept.write_text(json.dumps({"credsStore": "nosuch"}))
        missing = "the credential helper docker-credential-nosuch is not installed"
        assert missing in mydocker.fails(*login, input=b"secret", env=env)
        assert missing in mydocker.fails("pull", "-q", where, env=env)
        kept.write_text(json.dumps({"credsStore": "nosuch", "credHelpers": {served.address: ""}}))
        assert "unencrypted" in mydocker(*login, input=b"secret", env=env).stderr
        mydocker.ok("pull", "-q", where, env=env)


def test_a_wrong_certificate_is_an_error_where_a_ca_is_named(mydocker, apart, name, tmp_path):
    (tmp_path / "other").mkdir()
    with registry(tmp_path, secure=True) as served, registry(tmp_path / "other", secure=True) as other:
        env = apart(f"registries: {{'{served.address}': {{ca: {other.directory}/cert.pem}}}}\n")
        line = mydocker.fails("pull", "-q", f"{served.address}/{name}", env=env)
        assert "certificate" in line
        assert f"'registries: {{{served.address}: {{ca: FILE}}}}' in {tmp_path}/config.yaml" in line


# --- servers that lie -------------------------------------------------------------------------------------------------

LIST = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": "../../x", "size": 1}]}
LIES = {
    "another layer": {"layer": b"no layer"},
    "another layer of that size": {"layer": TOP[::-1]},
    "another config": {"config": b"{}"},
    "a manifest that is no JSON": {"manifest": b"<html>"},
    "a list that names a path": {"manifest": json.dumps(LIST).encode()},
    "schema 1": {"manifest": b'{"schemaVersion": 1, "fsLayers": [], "history": []}'},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_an_error_of_one_line_and_nothing_stays(mydocker, lies, store, lie):
    lies.image("bird", Image([TOP]), **LIES[lie])
    before = store()
    result = mydocker("pull", "-q", f"{lies.address}/bird:1")
    assert (result.rc, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("mydocker: ")
    assert store() == before


def test_a_hostile_image_leaves_nothing(mydocker, lies, store, directory):
    """Its registry tells the truth about it."""
    before = store()
    escaping = hostile.escaping(directory)["through a link"]
    for image in (
        Image([TOP, escaping], compression="gzip"),
        Image([TOP, hostile.WRONG["cut off in a file"]]),
        Image([TOP], config={"config": {"Env": 5}}),
    ):
        lies.image("bird", image)
        line = mydocker.fails("pull", "-q", f"{lies.address}/bird:1")
        assert "refused" in line or "unexpected end of archive" in line
        assert store() == before


def test_an_endless_manifest_is_an_error(mydocker, lies, store):
    lies.image("bird", Image([TOP]))
    lies.endless.add("/v2/bird/manifests/1")
    before = store()
    result = mydocker("pull", "-q", f"{lies.address}/bird:1")
    assert result.rc == 1
    assert len(result.stderr.splitlines()) == 1
    assert store() == before


def test_of_an_endless_layer_no_more_is_read_than_its_size(mydocker, lies):
    image = Image([TOP])
    lies.image("bird", image)
    lies.endless.add(f"/v2/bird/blobs/{digest(TOP)}")
    mydocker.ok("pull", "-q", f"{lies.address}/bird:1")
    assert mydocker.ok("rmi", f"{lies.address}/bird:1").endswith(f"Deleted: {digest(TOP)}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_pull_leaves_nothing(mydocker, lies, store, machine, number):
    """A layer that never comes to its end; after SIGKILL the next change of the store removes the workspace."""
    large = Image([archive(("zeros", bytes(4 << 20)))])
    lies.image("bird", large, layer=large.layers[0][:1000])
    lies.slow.add(f"/v2/bird/blobs/{digest(large.layers[0])}")
    before = store()
    running = mydocker.start("pull", f"{lies.address}/bird:1")
    until(lambda: any(name.startswith(".") for name in store()), "a workspace")
    running.send_signal(number)
    running.wait(30)
    until(lambda: not machine.run("pgrep", "-f", f"{lies.address}").stdout, "the end of skopeo")
    if number == signal.SIGKILL:
        mydocker.ok("tag", "busybox", "swept")
        mydocker.ok("import", "-", "swept", input=TOP)
        mydocker.ok("rmi", "swept")
    assert [name for name in store() if name.startswith(".")] == []
    assert store() == before
