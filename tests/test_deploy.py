"""The files in deploy/ agree with the server: settings, paths, times, and what is copied."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sled.serving.app import make_app
from sled.serving.guard import MAX_UPLOAD_BYTES
from sled.serving.server import Server
from sled.serving.settings import ServerSettings
from tests.serving.conftest import Running
from tests.serving.conftest import served as served

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
SETTINGS = {f"SLED_{name}".upper() for name in ServerSettings.model_fields}
DEFAULTS = ServerSettings()


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, Any]]:
    """The objects of the Kubernetes manifest by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(text("kubernetes/sled.yaml"))}


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(DEPLOY)) for path in FILES])
def test_settings_in_the_environment_exist(path: Path) -> None:
    assert set(re.findall(r"\bSLED_[A-Z_]+", path.read_text(encoding="utf-8"))) <= SETTINGS


def test_all_of_what_the_image_copies_exists_and_is_not_ignored() -> None:
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text("docker/Dockerfile"), re.M)
        for name in line.split()
    ]
    assert "sled" in copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_installs_extras_that_exist() -> None:
    (names,) = re.findall(r'"\.\[([\w,]+)\]"', text("docker/Dockerfile"))
    extras = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{name}": [' in extras for name in names.split(","))


def test_probes_ask_for_paths_that_exist(manifest: dict[str, dict[str, Any]]) -> None:
    def load() -> Any:
        raise NotImplementedError

    paths = {getattr(one, "path", "") for one in make_app(Server(DEFAULTS, load, "", "x")).routes}
    (container,) = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    asked = {
        container[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    asked |= set(re.findall(r"127\.0\.0\.1:8000(/\w+)", text("docker/Dockerfile")))
    assert asked == {"/ready", "/health"}
    assert asked <= paths


def test_callers_get_the_time_to_end(manifest: dict[str, dict[str, Any]]) -> None:
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    wait_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > wait_s + DEFAULTS.drain_s
    compose = yaml.safe_load(text("docker/compose.yaml"))
    for name in ("sled-1", "sled-2"):
        grace = compose["services"][name]["stop_grace_period"]
        assert float(grace.removesuffix("s")) > DEFAULTS.drain_s


def test_the_autoscaler_reads_a_figure_of_the_server(
    manifest: dict[str, dict[str, Any]], served: Running
) -> None:
    (metric,) = manifest["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert served.server.registry.get_sample_value(name) is not None
    assert f'"{name}"' in text("ray/sled_app.py")


def test_objects_select_the_pods(manifest: dict[str, dict[str, Any]]) -> None:
    labels = manifest["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifest["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert manifest[kind]["spec"]["selector"]["matchLabels"] == labels


def test_nginx_waits_longer_than_the_server_and_takes_recordings() -> None:
    config = text("nginx/sled.conf")
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        (seconds,) = re.findall(rf"{name} (\d+)s;", config)
        assert float(seconds) > DEFAULTS.idle_s
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", config)
    assert int(megabytes) << 20 >= MAX_UPLOAD_BYTES
    names = set(re.findall(r"server (sled-\d):8000", config))
    assert names == yaml.safe_load(text("docker/compose.yaml"))["services"].keys() - {"proxy"}


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_understands_its_file(tmp_path: Path) -> None:
    config = re.sub(r"sled-\d:8000", "127.0.0.1:8000", text("nginx/sled.conf"))
    (tmp_path / "sled.conf").write_text(config)
    lines = [f"pid {tmp_path}/pid;", "events {}", f"http {{ include {tmp_path}/sled.conf; }}"]
    (tmp_path / "nginx.conf").write_text("\n".join(lines))
    command = ["nginx", "-t", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_check_of_the_image_is_a_command() -> None:
    check = text("docker/Dockerfile").partition("HEALTHCHECK")[2]
    (words,) = re.findall(r"CMD (\[.*\])", check)
    program, flag, code = json.loads(words)
    assert (program, flag) == ("python", "-c")
    compile(code, "check", "exec")
