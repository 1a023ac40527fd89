"""The oracle itself: docker answers, and has the image that mydocker has."""

from __future__ import annotations


def test_both_run_the_same_busybox(docker, mydocker):
    command = ("busybox", "sh", "-c", "echo $0; md5sum /bin/busybox", "shell")
    ours = mydocker.ok("run", "--rm", "--net", "none", *command)
    assert docker.ok("run", "--rm", "--net", "none", *command) == ours
    assert docker.ok("image", "inspect", "-f", "{{.Config.Cmd}}", "busybox") == "[sh]"
