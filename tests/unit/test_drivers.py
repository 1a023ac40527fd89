"""The mounts that storage drivers plan, and the choice of a driver."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mydocker import config, paths
from mydocker.errors import Conflict, CorruptRecord, HostError, InvalidArgument
from mydocker.image.drivers import aufs, base, choice, copy, overlay, probe
from mydocker.kernel.mounts import FLAGS
from mydocker.ops.rootfs import Mount

CHECKOUT = Path(__file__).parents[2]
PAGE = 4096
DIR = f"/var/lib/mydocker/containers/{'c' * 64}"


@pytest.fixture(autouse=True)
def _places(monkeypatch):
    monkeypatch.setattr(paths, "LAYERS", "/var/lib/mydocker/layers")


def chain(count: int) -> list[str]:
    return [f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}" for number in range(count)]


def directories(layers: list[str]) -> list[str]:
    return [f"/var/lib/mydocker/layers/{layer[7:]}" for layer in layers]


def options(data: str) -> dict[str, str]:
    return dict(option.partition("=")[::2] for option in data.split(","))


class TestOverlay:
    def test_root(self):
        layers = chain(3)
        (mount,) = overlay.root_ops(DIR, layers)
        assert isinstance(mount, Mount)
        assert (mount.source, mount.target, mount.fstype, mount.flags) == ("overlay", f"{DIR}/rootfs", "overlay", 0)
        mounted = options(mount.data)
        assert mounted["lowerdir"].split(":") == directories(layers)[::-1]
        assert (mounted["upperdir"], mounted["workdir"]) == (f"{DIR}/upper", f"{DIR}/work")
        assert (mounted["redirect_dir"], mounted["metacopy"], mounted["index"]) == ("nofollow", "off", "off")

    def test_view_has_the_changes_on_top_and_writes_nothing(self):
        layers = chain(2)
        (mount,) = overlay.view_ops(DIR, layers)
        mounted = options(mount.data)
        assert mounted["lowerdir"].split(":") == [f"{DIR}/upper", *directories(layers)[::-1]]
        assert "upperdir" not in mounted
        assert mount.flags == FLAGS["ro"] | FLAGS["nodev"] | FLAGS["nosuid"] | FLAGS["noexec"]

    @pytest.mark.parametrize("count", [80, 127, 500])
    @pytest.mark.parametrize("plan", [overlay.root_ops, overlay.view_ops])
    def test_short_links_make_as_many_layers_fit_into_a_page_as_the_kernel_stacks(self, plan, count):
        (mount,) = plan(DIR, chain(count))
        assert len(mount.data) < PAGE
        lowers = options(mount.data)["lowerdir"].split(":")[-count:]
        assert len(set(lowers)) == count
        assert not any("/" in lower or lower.startswith(".") for lower in lowers)
        assert mount.directory == paths.LAYERS
        assert mount.shell().startswith(f"cd {paths.LAYERS} && ")

    @pytest.mark.parametrize("plan", [overlay.root_ops, overlay.view_ops])
    def test_too_many_layers_are_an_error(self, plan):
        with pytest.raises(Conflict, match="too many layers for overlay: 501"):
            plan(DIR, chain(501))

    def test_no_layer_at_all_is_an_error(self):
        with pytest.raises(Conflict, match="no layers"):
            overlay.root_ops(DIR, [])

    def test_separators_of_options_and_layers_are_escaped(self):
        assert overlay.escape("/a:b,c\\d") == "/a\\:b\\,c\\\\d"

    def test_prepare_makes_directories_once_and_gives_the_root_the_image_s_mode(self, tmp_path, monkeypatch):
        monkeypatch.setattr(paths, "LAYERS", str(tmp_path / "layers"))
        layers = chain(2)
        for layer, mode in zip(layers, (0o755, 0o711)):
            (tmp_path / "layers" / layer[7:]).mkdir(parents=True)
            (tmp_path / "layers" / layer[7:]).chmod(mode)
        for _ in range(2):
            overlay.prepare(str(tmp_path), layers)
            assert {"upper", "work", "rootfs"} <= {path.name for path in tmp_path.iterdir()}
            assert (tmp_path / "upper").stat().st_mode & 0o7777 == 0o711
            (tmp_path / "layers" / layers[1][7:]).chmod(0o700)

    def test_prepare_makes_the_short_links_and_refuses_one_with_another_target(self, tmp_path, monkeypatch):
        monkeypatch.setattr(paths, "LAYERS", str(tmp_path / "layers"))
        layers = chain(35)
        for layer in layers:
            (tmp_path / "layers" / layer[7:]).mkdir(parents=True)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            overlay.prepare(str(tmp_path / name), layers)
        (mount,) = overlay.root_ops(str(tmp_path / "one"), layers)
        lowers = options(mount.data)["lowerdir"].split(":")
        links = [tmp_path / "layers" / lower for lower in lowers[::-1]]
        assert [link.resolve().name for link in links] == [layer[7:] for layer in layers]
        links[-1].unlink()
        links[-1].symlink_to(layers[0][7:])
        with pytest.raises(CorruptRecord, match="does not point to"):
            overlay.prepare(str(tmp_path / "one"), layers)


class TestAufs:
    def test_root_is_mounted_as_in_the_book(self):
        layers = chain(2)
        (mount,) = aufs.root_ops(DIR, layers)
        bottom, top = directories(layers)
        assert (mount.source, mount.target, mount.fstype, mount.flags) == ("none", f"{DIR}/rootfs", "aufs", 0)
        assert mount.data == f"br:{DIR}/rw=rw:{top}=ro+wh:{bottom}=ro+wh"

    def test_view_writes_nothing(self):
        (mount,) = aufs.view_ops(DIR, chain(1))
        assert mount.data == f"br:{DIR}/rw=ro+wh:{directories(chain(1))[0]}=ro+wh"
        assert mount.flags & FLAGS["ro"]

    def test_too_many_layers_are_an_error(self):
        with pytest.raises(Conflict, match="too many layers for aufs: 60"):
            aufs.root_ops(DIR, chain(60))


def test_copy_binds_its_directory_on_itself():
    (mount,) = copy.root_ops(DIR, chain(2))
    assert (mount.source, mount.target, mount.flags) == (f"{DIR}/rootfs", f"{DIR}/rootfs", FLAGS["bind"])
    assert copy.view_ops(DIR, chain(2)) == []


class TestChoice:
    @pytest.fixture
    def host(self, monkeypatch):
        """host(overlay="why not", aufs=…)"""

        def says(**why_not: str) -> None:
            for name, why in why_not.items():
                monkeypatch.setattr(choice.named(name), "why_not", lambda try_it=True, why=why: why)
                if name == "erofs":
                    monkeypatch.setattr(probe, "erofs", lambda try_it=True, why=why: why)

        return says

    def test_overlay_is_the_default(self, host):
        host(overlay="", aufs="")
        driver, why = choice.choose("")
        assert driver.name == "overlay"
        assert "default" in why

    def test_aufs_where_overlay_fails_and_the_kernel_has_it(self, host):
        host(overlay="broken", erofs="", aufs="")
        assert choice.choose("")[0].name == "erofs"
        host(erofs="old")
        driver, why = choice.choose(None)
        assert (driver.name, why) == ("aufs", "no overlay: broken; no erofs: old")

    def test_copy_works_everywhere_and_the_reason_is_returned(self, host):
        host(overlay="broken", erofs="old", aufs="missing")
        driver, why = choice.choose("")
        assert (driver.name, why) == ("copy", "no overlay: broken; no erofs: old; no aufs: missing")

    def test_what_is_configured_is_used_or_an_error(self, host):
        host(overlay="", erofs="", aufs="missing")
        assert choice.choose("copy")[0].name == "copy"
        with pytest.raises(HostError, match="aufs does not work here: missing"):
            choice.choose("aufs")
        with pytest.raises(InvalidArgument, match="unknown storage driver 'zfs'"):
            choice.choose("zfs")

    def test_the_order_is_the_one_that_config_yaml_and_the_reference_promise(self):
        """copy works everywhere, so a driver after it would never be tried."""
        assert choice.NAMES[-1] == "copy"
        promised = " or ".join(", ".join(choice.NAMES).rsplit(", ", 1))
        assert config.KEYS["storage_driver"][1].startswith(f"{promised}; empty: the first")
        assert f"# {promised}; empty: the first" in (CHECKOUT / "packaging/config.yaml").read_text()
        reference = (CHECKOUT / "docs/reference.md").read_text().replace("`", "")
        assert f"| storage_driver | the first that works | {promised} |" in reference
        assert f": {', '.join(choice.NAMES)} |" in (CHECKOUT / "docs/glossary.md").read_text()

    @pytest.mark.parametrize("name", choice.NAMES)
    def test_a_driver_is_complete_and_can_be_configured(self, name):
        driver = choice.named(name)
        assert driver.name == name
        protocol = ast.parse(Path(base.__file__).read_text())
        parts = {node.name: node for node in ast.walk(protocol) if isinstance(node, ast.ClassDef)}
        wanted = [parts["Driver"], parts["Indexing"]] if driver.form else [parts["Driver"]]
        for function in (node for part in wanted for node in part.body if isinstance(node, ast.FunctionDef)):
            parameters = list(inspect.signature(getattr(driver, function.name)).parameters)
            assert ["self", *parameters] == [each.arg for each in function.args.args], function.name
        config._check({**{key: default for key, (default, _) in config.KEYS.items()}, "storage_driver": name})
        role = yaml.safe_load((CHECKOUT / "ansible/roles/mydocker/meta/argument_specs.yml").read_text())
        settings = role["argument_specs"]["main"]["options"]["mydocker_config"]["options"]
        assert name in settings["storage_driver"]["choices"]

    @pytest.mark.parametrize("name", ["zfs", "", "base", "../x"])
    def test_a_container_with_an_unknown_driver_is_an_error(self, name):
        with pytest.raises(CorruptRecord):
            choice.named(name)


@pytest.mark.parametrize(
    ("table", "why"), [("nodev\toverlay\nnodev\taufs\n", ""), ("nodev\toverlay\n", "no aufs"), ("\tbaufs\n", "no aufs")]
)
def test_aufs_works_if_the_kernel_lists_it(tmp_path, monkeypatch, table, why):
    (tmp_path / "filesystems").write_text(table)
    monkeypatch.setattr(
        "builtins.open", lambda path, real=open, **how: real(path.replace("/proc", str(tmp_path)), **how)
    )
    assert why in aufs.why_not()
    assert bool(aufs.why_not()) == bool(why)


class TestProbeOfErofs:
    @pytest.fixture(autouse=True)
    def host(self, tmp_path, monkeypatch):
        monkeypatch.setattr(paths, "ROOT", str(tmp_path))
        monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=self.release))

    release = "6.12.41+deb13-amd64"

    @pytest.mark.parametrize("release", ["6.11.9", "5.10.0-1", "6.1.0-37-amd64", "4.18", "odd"])
    def test_an_older_kernel_is_not_tried(self, monkeypatch, release):
        self.release = release
        monkeypatch.setattr(probe, "_try_erofs", lambda: pytest.fail("tried"))
        assert probe.erofs(True) == f"the kernel is {release}, and mounts erofs from files from 6.12 on"

    @pytest.mark.parametrize("why", ["", "no such thing"])
    def test_one_boot_needs_one_test(self, monkeypatch, why):
        monkeypatch.setattr(probe, "_try_erofs", lambda: why)
        assert probe.erofs(False) == ""
        assert probe.erofs(True) == why
        monkeypatch.setattr(probe, "_try_erofs", lambda: pytest.fail("tried again"))
        assert probe.erofs(True) == probe.erofs(False) == why
