"""-v, --mount, --tmpfs and `volume`: what outlives a container, and what does not."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def volume(mydocker, name):
    """The name of a volume to be made by the test; it is removed at the end."""
    yield f"vol{name}"
    mydocker.remove_all()
    mydocker("volume", "rm", "-f", f"vol{name}")


class TestBind:
    def test_of_a_file(self, machine, mydocker, directory):
        machine.shell(f"echo host >{directory}/file")
        assert (
            mydocker.sh("cat /etc/passwd; echo inside >>/etc/passwd", "-v", f"{directory}/file:/etc/passwd") == "host"
        )
        assert machine.read(f"{directory}/file") == "host\ninside\n"

    def test_read_only(self, machine, mydocker, directory):
        assert "Read-only file system" in mydocker.sh("touch /data/x || true", "-v", f"{directory}:/data:ro")
        assert machine.run("ls", directory).stdout == ""

    @pytest.mark.parametrize("option", ["readonly", "ro", "readonly=true"])
    def test_mount_spelling(self, mydocker, directory, option):
        mount = f"type=bind,source={directory},target=/data,{option}"
        assert "Read-only file system" in mydocker.sh("touch /data/x || true", "--mount", mount)

    def test_mount_tmpfs(self, mydocker):
        mount = "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700"
        assert mydocker.sh("stat -f -c '%T %b' /t; stat -c %a /t", "--mount", mount) == "tmpfs 256\n700"

    def test_mount_does_not_make_the_host_directory(self, machine, mydocker, directory):
        line = mydocker.fails("run", "--rm", "--mount", f"type=bind,src={directory}/no,dst=/x", "busybox", "true")
        assert f"{directory}/no" in line
        assert not machine.exists(f"{directory}/no")

    def test_onto_each_other_the_outer_first(self, machine, mydocker, directory):
        machine.shell(f"mkdir {directory}/a {directory}/b; touch {directory}/a/outer {directory}/b/inner")
        out = mydocker.sh("ls /m /m/in", "-v", f"{directory}/b:/m/in", "-v", f"{directory}/a:/m")
        assert "outer" in out
        assert "inner" in out

    def test_the_same_target_twice_is_an_error(self, mydocker, directory):
        assert "/x" in mydocker.fails(
            "run", "--rm", "-v", f"{directory}:/x", "-v", f"{directory}:/x:ro", "busybox", "true"
        )

    def test_mounts_below_the_source_come_along_and_do_not_go_back(self, machine, mydocker, directory):
        machine.shell(f"mkdir {directory}/sub; mount -t tmpfs test {directory}/sub; touch {directory}/sub/seen")
        try:
            assert (
                mydocker.sh("ls /d/sub; umount /d/sub 2>/dev/null; true", "-v", f"{directory}:/d", "--privileged")
                == "seen"
            )
            assert machine.exists(f"{directory}/sub/seen")
        finally:
            machine.run("umount", f"{directory}/sub")

    def test_the_mounts_below_a_read_only_one(self, machine, mydocker, directory):
        machine.shell(f"mkdir {directory}/sub; mount -t tmpfs test {directory}/sub")
        try:
            for how, below in {"writable": True, "readonly": False, "enabled": False}.items():
                mount = f"type=bind,src={directory},dst=/d,readonly,bind-recursive={how}"
                assert "Read-only" in mydocker.sh("touch /d/x || true", "--mount", mount)
                assert ("Read-only" in mydocker.sh("touch /d/sub/x || true", "--mount", mount)) is not below
        finally:
            machine.run("umount", f"{directory}/sub")

    def test_the_last_directory_of_a_path_with_colon_like_names(self, machine, mydocker, directory):
        machine.shell(f"mkdir '{directory}/with space' && echo ok >'{directory}/with space/f'")
        assert mydocker.sh("cat '/in here/f'", "-v", f"{directory}/with space:/in here") == "ok"


class TestNamed:
    def test_outlives_the_container(self, mydocker, volume):
        mydocker.sh("echo kept >/data/f", "-v", f"{volume}:/data")
        assert mydocker.sh("cat /data/f", "-v", f"{volume}:/data:ro") == "kept"
        assert mydocker.sh("cat /data/f", "--mount", f"type=volume,source={volume},target=/data") == "kept"

    def test_new_one_starts_with_the_images_files(self, mydocker, volume):
        assert "passwd" in mydocker.sh("ls /etc", "-v", f"{volume}:/etc")

    def test_create_ls_inspect_rm(self, mydocker, volume):
        assert mydocker.ok("volume", "create", "--label", "a=b", volume) == volume
        head, *rows = mydocker.ok("volume", "ls").splitlines()
        assert head.split() == ["DRIVER", "VOLUME", "NAME"]
        assert ["local", volume] in [row.split() for row in rows]
        (found,) = json.loads(mydocker.ok("volume", "inspect", volume))
        assert (found["Name"], found["Driver"], found["Labels"]) == (volume, "local", {"a": "b"})
        assert found["Mountpoint"].endswith(f"/volumes/{volume}/_data")
        assert mydocker.ok("volume", "rm", volume) == volume
        assert volume not in mydocker.ok("volume", "ls", "-q")

    def test_in_use_it_is_not_removed(self, mydocker, volume, name):
        mydocker.ok("create", "--name", name, "-v", f"{volume}:/data", "busybox")
        assert volume in mydocker.fails("volume", "rm", volume)
        assert volume not in mydocker.ok("volume", "prune", "-f", "-a") + " "
        mydocker.ok("rm", name)
        assert volume in mydocker.ok("volume", "prune", "-f", "-a")

    def test_without_a_name_it_goes_with_rm_v_or_rm(self, mydocker, name):
        mydocker.ok("run", "--name", name, "-v", "/data", "busybox", "touch", "/data/x")
        assert len(mydocker.ok("volume", "ls", "-q").split()) == 1
        mydocker.ok("rm", "-v", name)
        mydocker.sh("touch /data/x", "-v", "/data")
        assert mydocker.ok("volume", "ls", "-q") == ""

    @pytest.mark.parametrize("command", [["inspect"], ["rm"]])
    def test_an_unknown_one_is_one_line(self, mydocker, command):
        stdout = "[]\n" if command == ["inspect"] else ""
        assert "no-such" in mydocker.fails("volume", *command, "no-such", stdout=stdout)

    @pytest.mark.parametrize("bad", ["a/b", "../x", "-x", ".", "a b", "x" * 300])
    def test_a_bad_name_is_one_line(self, mydocker, bad):
        mydocker.fails("volume", "create", bad, rc=125)


class TestSubpath:
    """--mount volume-subpath, as docker 28 has it."""

    def test_a_part_of_a_volume(self, machine, mydocker, volume, name):
        links = "ln -s /etc abs; ln -s /d/a absin; ln -s ../../../etc up; ln -s a in; ln -s /proc/self/root magic"
        mydocker.sh(f"cd /d; mkdir -p a/b empty; echo f >a/f; {links}", "-v", f"{volume}:/d")

        def mount(subpath: str, *options: str) -> str:
            return ",".join((f"type=volume,src={volume},dst=/m,volume-subpath={subpath}", *options))

        parts = ("a", "in", "a/b/..", "a/b", "a/f")
        several = [mount(part).replace("/m", f"/{number}") for number, part in enumerate(parts)]
        several.append(mount("a", "readonly").replace("/m", "/ro"))
        shown = mydocker.sh("ls -d /[0-4] /[0-4]/*; cat /4; touch /ro/x || :", *(f"--mount={each}" for each in several))
        *paths, content, refused = shown.splitlines()
        assert paths == "/0 /0/b /0/f /1 /1/b /1/f /2 /2/b /2/f /3 /4".split()
        assert (content, "Read-only" in refused) == ("f", True)
        for subpath, why in {"up": "a link leads out", "abs": "a link leads out", "nosuch": "No such file"}.items():
            words = ("run", "--rm", "--net", "none", "--mount", mount(subpath), "busybox", "true")
            assert why in mydocker.fails(*words, rc=125)
        for subpath in ("absin", "magic"):
            mydocker.fails("run", "--rm", "--net", "none", "--mount", mount(subpath), "busybox", "true", rc=125)
        # an empty directory is filled with the image's files
        words = ("--net", "none", "--mount", mount("empty").replace("/m", "/etc"), "busybox", "true")
        mydocker.ok("run", "--name", name, *words)
        data = f"{machine.store}/lib/volumes/{volume}/_data"
        assert machine.exists(f"{data}/empty/passwd")
        assert not machine.exists(f"{data}/passwd")
        assert mydocker.inspect(name, "HostConfig", "Mounts", 0, "VolumeOptions") == {"Subpath": "empty"}
        assert mydocker.inspect(name, "Mounts", 0, "Source") == mydocker.inspect(volume, "Mountpoint")
        machine.shell(f"rm -r {data}/empty; ln -s / {data}/empty")
        assert "a link leads out" in mydocker.fails("cp", f"{name}:/etc/passwd", "-")
        assert "a link leads out" in mydocker.fails("start", name)

    def test_it_never_leads_out_while_links_change(self, machine, mydocker, volume, name):
        """Another container exchanges the directory and a link to the host's root all the time."""
        swap = "cd /d; mkdir -p a; ln -s / b; while :; do mv a c; mv b a; mv a b; mv c a; done"
        mydocker.ok("run", "-d", "--net", "none", "--name", name, "-v", f"{volume}:/d", "busybox", "sh", "-c", swap)
        mydocker.ok("exec", name, "sh", "-c", "until [ -L /d/b ] || [ -L /d/a ]; do :; done")
        mount = f"type=volume,src={volume},dst=/m,volume-subpath=a,volume-nocopy"
        for _ in range(6):
            told = mydocker("run", "--rm", "--net", "none", "--mount", mount, "busybox", "ls", "/m")
            assert (told.rc, told.stdout) in ((0, ""), (125, "")), told


class TestOptions:
    """volume create -o: as docker's local driver, but mounted where only the container sees it."""

    def test_bind(self, machine, mydocker, volume, directory, name):
        machine.shell(f"mkdir {directory}/data")
        options = ("-o", "type=none", "-o", "o=bind", "--opt", f"device={directory}/data")
        mydocker.ok("volume", "create", *options, volume)
        assert mydocker.ok("volume", "create", *options, volume) == volume
        assert "exists with other options" in mydocker.fails("volume", "create", *options[:-1], "device=/srv", volume)
        expected = {"device": f"{directory}/data", "o": "bind", "type": "none"}
        assert mydocker.inspect(volume, "Options") == expected
        before = machine.snapshot()
        explained = mydocker.ok("run", "--rm", "--dry-run", "-v", f"{volume}:/etc", "busybox", "true")
        assert f"mount --bind {directory}/data" in explained
        # filled with the image's files, as docker does, though nothing can be moved into another mount
        mydocker.ok("run", "--name", name, "-v", f"{volume}:/etc", "busybox", "sh", "-c", "echo kept >/etc/new")
        assert {"passwd", "group", "new"} <= set(machine.run("ls", f"{directory}/data").lines)
        assert mydocker.sh("cat /d/new", "-v", f"{volume}:/d:ro") == "kept"
        machine.shell(f"echo copied >{directory}/file")
        mydocker.ok("cp", f"{directory}/file", f"{name}:/etc/copied")  # it is stopped
        assert machine.read(f"{directory}/data/copied") == "copied\n"
        mydocker.remove_all()
        assert machine.changes_since(before) == []
        # a prune leaves it alone, and `rm` removes only the name
        assert mydocker.ok("volume", "prune", "-f", "-a") == "Total reclaimed space: 0B"
        mydocker.ok("volume", "rm", volume)
        assert machine.exists(f"{directory}/data/passwd")

    def test_a_tmpfs_is_shared_by_the_containers_that_run(self, machine, mydocker, volume, name):
        mydocker.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=1000", volume)
        before = machine.snapshot()
        look = "stat -c '%u %a' /etc; stat -f -c '%T %b' /etc; ls /etc"
        assert mydocker.sh(look, "-v", f"{volume}:/etc").splitlines() == [
            "1000 1777", "tmpfs 256", "hostname", "hosts", "resolv.conf",
        ]  # fmt: skip
        # the directory around the mount point moves, and a link takes its place: a path would lead elsewhere
        hide = "mv /a /b; mkdir -p /x/d; ln -s /x /a; echo shared >/b/d/f; exec sleep 100"
        mydocker.ok(
            "run", "-d", "--net", "none", "--name", name, "-v", f"{volume}:/a/d:rw", "busybox", "sh", "-c", hide
        )
        mydocker.ok("exec", name, "sh", "-c", "until [ -e /b/d/f ]; do sleep 0.05; done")
        sleeper = ("-v", f"{volume}:/d:ro", "busybox", "sleep", "100")
        mydocker.ok("run", "-d", "--net", "none", "--init", "--name", f"{name}2", *sleeper)
        assert mydocker.ok("exec", f"{name}2", "cat", "/d/f") == "shared"
        mydocker.ok("rm", "-f", name)
        # the one that is left has it read-only; the next one not
        mydocker.sh("echo more >>/d/f", "-v", f"{volume}:/d")
        assert mydocker.ok("exec", f"{name}2", "cat", "/d/f") == "shared\nmore"
        assert "Read-only" in mydocker("exec", f"{name}2", "touch", "/d/x").stderr
        mydocker.ok("rm", "-f", f"{name}2")
        assert mydocker.sh("ls /d", "-v", f"{volume}:/d") == ""
        assert machine.changes_since(before) == []

    def test_of_mount(self, mydocker, volume, name):
        mount = (
            f'type=volume,src={volume},dst=/d,volume-opt=type=tmpfs,volume-opt=device=x,"volume-opt=o=size=1m,mode=700"'
        )
        words = ("--name", name, "--mount", f"{mount},volume-label=a=b", "busybox", "sh", "-c", "stat -f -c '%T %b' /d")
        assert mydocker.ok("run", *words) == "tmpfs 256"
        options = {"device": "x", "o": "size=1m,mode=700", "type": "tmpfs"}
        assert (mydocker.inspect(volume, "Options"), mydocker.inspect(volume, "Labels")) == (options, {"a": "b"})
        shown = mydocker.inspect(name, "HostConfig", "Mounts", 0, "VolumeOptions")
        assert shown == {"Labels": {"a": "b"}, "DriverConfig": {"Options": options}}
        other = mydocker.fails("run", "--mount", mount.replace("1m", "2m"), "busybox", "true", rc=125)
        assert f"volume {volume} exists with other options" in other
        bad = mydocker.fails("run", "--mount", "type=volume,dst=/d,volume-opt=foo=x", "busybox", "true", rc=125)
        assert "invalid volume option 'foo=x'" in bad

    def test_without_its_device_nothing_starts(self, machine, mydocker, volume, directory, name):
        mydocker.ok("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", f"device={directory}/no", volume)
        mydocker.ok("create", "--name", name, "-v", f"{volume}:/d", "busybox", "touch", "/d/x")
        line = mydocker.fails("run", "--rm", "-v", f"{volume}:/d", "busybox", "true", rc=125)
        assert f"bind {directory}/no as volume {volume}: No such file or directory: {directory}/no" in line
        assert volume in mydocker.fails("cp", f"{name}:/d", directory)
        machine.shell(f"mkdir {directory}/no")
        assert "Read-only file system" in mydocker("start", "-a", name).stderr
        assert machine.run("ls", "-A", f"{machine.store}/lib/volumes/{volume}/_data").stdout == ""


def test_nothing_is_written_where_a_link_of_the_image_leads(machine, mydocker, directory, name):
    """A mount's target that is a link in the container is followed inside its root, never on the host."""
    mydocker.ok("run", "--name", name, "busybox", "ln", "-s", f"{directory}/made", "/link")
    mydocker.ok("commit", name, f"img{name}")
    mydocker.sh("true", "--tmpfs", "/tmp")
    result = mydocker("run", "--rm", "-v", f"{directory}:/link/deep", f"img{name}", "ls", "/link/deep")
    assert result.rc in (0, 125)
    assert not machine.exists(f"{directory}/made")
    mydocker.remove_all()
    mydocker.ok("rmi", f"img{name}")


class TestBroken:
    """A volume whose record is damaged, or was never written, is named and can be removed; the others work."""

    DAMAGES = {
        "none": "rm {0}",
        "empty": ": >{0}",
        "cut": "truncate -s 20 {0}",
        "a FIFO": "rm {0}; mkfifo {0}",
        "a directory": "rm {0}; mkdir {0}",
        "of another type": """sed -i 's/"labels": {{}}/"labels": []/' {0}""",
        "of another": """sed -i 's/"name": "[^"]*"/"name": "other"/' {0}""",
    }

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_one_is_named_and_the_others_work(self, machine, mydocker, volume, damage):
        store = f"{machine.store}/lib/volumes"
        mydocker.ok("volume", "create", volume)
        mydocker.ok("volume", "create", f"{volume}.good")
        done = machine.shell(self.DAMAGES[damage].format(f"{store}/{volume}/volume.json"))
        assert done.rc == 0, done.stderr
        for words in ("ls -q", "prune -f --filter name=nosuch"):
            told = mydocker("volume", *words.split())
            assert told.stdout.split() == ([f"{volume}.good"] if "ls" in words else "Total reclaimed space: 0B".split())
            assert told.rc != 0
            assert [line.count(f"{store}/{volume}/volume.json") for line in told.stderr.splitlines()] == [1]
            assert f"'mydocker volume rm {volume}'" in told.stderr
        assert f"{volume}/volume.json" in mydocker("volume", "inspect", volume).stderr
        assert mydocker.inspect(f"{volume}.good", "Name") == f"{volume}.good"
        assert mydocker.sh("echo x >/d/x; cat /d/x", "-v", f"{volume}.good:/d") == "x"
        mydocker.ok("volume", "create", f"{volume}.new")
        assert mydocker.ok("volume", "rm", volume, f"{volume}.good", f"{volume}.new").split()[0] == volume
        assert mydocker.ok("volume", "ls", "-q") == ""
        assert machine.run("ls", "-A", store).lines == [".lock"]

    def test_one_without_a_record_is_taken_again_with_its_data(self, machine, mydocker, volume):
        directory = f"{machine.store}/lib/volumes/{volume}"
        mydocker.sh("echo kept >/d/x", "-v", f"{volume}:/d")
        machine.run("rm", f"{directory}/volume.json")
        assert mydocker.sh("cat /d/x", "-v", f"{volume}:/d") == "kept"
        assert mydocker.ok("volume", "ls", "-q") == volume

    def test_half_of_one_is_swept(self, machine, mydocker, volume):
        """Leftovers of a crash while a volume is created or removed."""
        machine.shell(f"mkdir -p {machine.store}/lib/volumes/.new.left/_data/x")
        mydocker.ok("volume", "create", volume)
        assert mydocker.ok("volume", "ls", "-q") == volume
        mydocker.ok("volume", "rm", volume)
        assert machine.run("ls", "-A", f"{machine.store}/lib/volumes").lines == [".lock"]

    @pytest.mark.parametrize("name", ["../containers", "..", ".", ".lock", "a/../../names", ""])
    def test_what_is_no_name_leads_nowhere(self, machine, mydocker, name):
        mydocker.ok("create", "--name", "stays", "busybox")
        assert mydocker("volume", "rm", name).rc != 0
        assert mydocker.ok("ps", "-aq", "--no-trunc", "--filter", "name=stays")
        mydocker.ok("rm", "stays")
