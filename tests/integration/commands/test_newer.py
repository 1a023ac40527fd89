"""The newest docker, podman and buildah of Debian, as far as all other tests with them rely on it."""


def test_its_programs_make_and_run_an_image(machine, newer_host):
    tar = newer_host.ok("sh", "-c", "mkdir -p /tmp/made/bin && cd /tmp/made && tar -cf /tmp/made.tar .")
    assert tar == ""
    for program in ("docker", "podman"):
        newer_host.ok(program, "import", "/tmp/made.tar", "made:1")
        assert "made" in newer_host.ok(program, "images", "--format", "{{.Repository}}")
    assert "localhost/made" in newer_host.ok("buildah", "images", "--format", "{{.Name}}")
