"""Image, compose file and LiveKit's configuration against the program: a name that one of them has wrong fails here.

The validators are wheels of the development lock. One that is missing is a failure, never a skip.
"""

import ast
import hashlib
import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.servers import livekit_server, postgres_server, rabbitmq_server
from runtime.settings import (
    PARTS,
    AmqpSettings,
    ApiSettings,
    DatabaseSettings,
    IngressSettings,
    Settings,
    WorkerSettings,
    load,
)
from runtime.settings.loading import variable_of
from webhook_ingress.app import PATH

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICE_OF = {"webhook_ingress": "ingress", "worker": "worker", "session_api": "api"}
"""The service that runs each part."""
MISSED = {
    "webhook_ingress": "LIVEKIT_API_KEY: is not set",
    "worker": "LIVEKIT_API_KEY: is not set",
    "session_api": "JUNE_API_KEYS: is not set",
}
"""What each part says first without any setting."""

Json = dict[str, Any]
S = TypeVar("S", bound=Settings)


def _tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a tool of this venv; raises FileNotFoundError when it is missing."""
    environment = {"HOME": os.environ.get("HOME", "/"), "PATH": os.defpath}
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> Json:
    """The services as docker compose understands them."""
    read = _tool("docker-compose", "config", "--format", "json")
    assert read.returncode == 0, read.stderr
    understood: Json = json.loads(read.stdout)["services"]
    return understood


@pytest.fixture(scope="module")
def livekit_config() -> Json:
    """deploy/livekit.yaml."""
    config: Json = yaml.safe_load((ROOT / "deploy/livekit.yaml").read_text())
    return config


def _settings(services: Json, kind: type[S], part: str) -> S:
    """What the part would be told in its container. Raises SettingsInvalid."""
    return load(kind, services[SERVICE_OF[part]]["environment"])


def _url(services: Json, part: str, kind: type[AmqpSettings] | type[DatabaseSettings]) -> str:
    settings = _settings(services, kind, part)
    url = settings.amqp_url if isinstance(settings, AmqpSettings) else settings.database_url
    return url.get_secret_value()


def test_compose_reads_its_file_without_a_complaint() -> None:
    """`docker compose config` accepts the file and warns of nothing."""
    read = _tool("docker-compose", "config", "--quiet")
    assert (read.returncode, read.stderr) == (0, "")


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    """No finding of any level."""
    read = _tool("hadolint", "Dockerfile")
    assert (read.returncode, read.stdout) == (0, "")


@pytest.mark.parametrize("part", PARTS)
def test_what_compose_tells_a_part_are_settings_of_that_part(services: Json, part: str) -> None:
    """Every variable is one that the part reads, and its settings load from them."""
    known = {variable_of(field) for field in PARTS[part].model_fields.values()}
    given = {name.removesuffix("_FILE") for name in services[SERVICE_OF[part]]["environment"]}
    assert given - known == set()
    load(PARTS[part], services[SERVICE_OF[part]]["environment"])


def test_each_part_has_a_service_that_runs_it(services: Json) -> None:
    """One service a part, made of the same Dockerfile, with the part's name as its command."""
    for part, name in SERVICE_OF.items():
        assert services[name]["command"] == [part]
        assert services[name]["build"]["dockerfile"] == "Dockerfile"
    assert set(SERVICE_OF) == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_healthy_when_its_default_admin_port_says_ready(services: Json, part: str) -> None:
    """The health check asks /readyz where the part serves it."""
    settings = load(PARTS[part], services[SERVICE_OF[part]]["environment"])
    asked = re.findall(r"http://[^']+", " ".join(services[SERVICE_OF[part]]["healthcheck"]["test"]))
    assert asked == [f"http://127.0.0.1:{getattr(settings, 'admin_port', None)}/readyz"]


def test_every_service_has_a_health_check_and_comes_back(services: Json) -> None:
    """None is without a check, nor stays away after a crash."""
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in services.values())
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


def test_a_part_may_take_as_long_to_drain_as_it_takes(services: Json) -> None:
    """Docker does not kill a part before the part itself gives up, after ten seconds."""
    for name in SERVICE_OF.values():
        grace_s = float(services[name]["stop_grace_period"].removesuffix("s"))
        assert timedelta(seconds=grace_s) > timedelta(seconds=10)


def test_compose_runs_the_versions_that_the_tests_run(services: Json) -> None:
    """Images are those of the servers that tests start."""
    assert services["rabbitmq"]["image"] == rabbitmq_server.IMAGES["4"]
    assert services["livekit"]["image"] == livekit_server.IMAGE
    assert services["postgres"]["image"] == postgres_server.IMAGE


@pytest.mark.parametrize("part", PARTS)
def test_a_part_logs_in_to_the_broker_of_the_file(services: Json, part: str) -> None:
    """Host, user and password of JUNE_AMQP_URL are those of the service."""
    url = urlsplit(_url(services, part, AmqpSettings))
    broker = services["rabbitmq"]["environment"]
    assert (url.hostname, url.port, url.path) == ("rabbitmq", 5672, "/")
    assert (url.username, url.password) == (broker["RABBITMQ_DEFAULT_USER"], broker["RABBITMQ_DEFAULT_PASS"])


def test_the_worker_logs_in_to_the_database_of_the_file(services: Json) -> None:
    """Host, user, password and database of JUNE_DATABASE_URL are those of the service."""
    url = urlsplit(_url(services, "worker", DatabaseSettings))
    database = services["postgres"]["environment"]
    assert (url.scheme, url.hostname, url.port) == ("postgresql", "postgres", 5432)
    assert (url.username, url.password, url.path) == (
        database["POSTGRES_USER"],
        database["POSTGRES_PASSWORD"],
        f"/{database['POSTGRES_DB']}",
    )


def test_livekit_knows_the_key_that_both_parts_have(services: Json, livekit_config: Json) -> None:
    """LIVEKIT_KEYS holds the parts' pair, the webhooks are signed with it, and LiveKit takes a secret this long."""
    (key, secret), *others = yaml.safe_load(services["livekit"]["environment"]["LIVEKIT_KEYS"]).items()
    ingress = _settings(services, IngressSettings, "webhook_ingress")
    worker = _settings(services, WorkerSettings, "worker")
    assert ingress.keys.secrets == worker.keys.secrets == {key: secret}
    assert livekit_config["webhook"]["api_key"] == key
    assert len(secret) >= 32
    assert not others
    assert "keys" not in livekit_config


def test_livekit_posts_its_webhooks_to_the_ingress(services: Json, livekit_config: Json) -> None:
    """The URL leads to the ingress' service, port and path, and the ingress listens for other containers."""
    ingress = _settings(services, IngressSettings, "webhook_ingress")
    assert livekit_config["webhook"]["urls"] == [f"http://ingress:{ingress.ingress_port}{PATH}"]
    assert services["ingress"]["expose"] == [str(ingress.ingress_port)]
    assert not ipaddress.ip_address(ingress.ingress_host).is_loopback


def test_the_api_is_published_with_the_key_that_the_file_names(services: Json) -> None:
    """Whoever reads the file can use the API; it listens where its port is published, and everybody needs a key."""
    api = _settings(services, ApiSettings, "session_api")
    assert api.api_keys is not None
    (key,) = api.api_keys.get_secret_value()
    (named,) = re.findall(r"The key is `([\w-]+)`", COMPOSE.read_text())
    assert named.startswith("public-development-")
    assert key.digest == hashlib.sha256(named.encode()).digest()
    assert [port["target"] for port in services["api"]["ports"]] == [api.api_port]
    assert not ipaddress.ip_address(api.api_host).is_loopback


def test_the_worker_and_its_clients_find_livekit(services: Json, livekit_config: Json) -> None:
    """The worker goes to the service, clients to the port that is published, both to the one LiveKit listens on."""
    worker = _settings(services, WorkerSettings, "worker")
    assert worker.livekit_ws_url.get_secret_value() == f"ws://livekit:{livekit_config['port']}"
    assert worker.client_url == f"ws://127.0.0.1:{livekit_config['port']}"


def test_livekits_ports_are_published_as_they_are(services: Json, livekit_config: Json) -> None:
    """Clients are told these numbers by LiveKit itself: another one outside would lead nowhere."""
    rtc = livekit_config["rtc"]
    published = {
        (port["target"], int(port["published"]), port["protocol"]) for port in services["livekit"]["ports"]
    }
    wanted = {(livekit_config["port"], "tcp"), (rtc["tcp_port"], "tcp"), (rtc["udp_port"], "udp")}
    assert published == {(port, port, protocol) for port, protocol in wanted}
    assert services["livekit"]["volumes"][0]["source"] == str(ROOT / "deploy/livekit.yaml")
    assert services["livekit"]["command"] == ["--config", services["livekit"]["volumes"][0]["target"]]


def test_livekits_configuration_has_no_key_of_its_own(livekit_config: Json) -> None:
    """LiveKit refuses keys it does not know: these are all given to the livekit-server of the tests, too."""
    plan = livekit_server._Plan(
        http_port=1,
        udp_port=1,
        webhook_urls=(),
        api_key="",
        api_secret="",
        empty_timeout=timedelta(),
        departure_timeout=timedelta(),
    )
    assert set(_paths(livekit_config)) <= set(_paths(json.loads(plan.config())))


def _paths(config: Json, above: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")


def test_nothing_is_published_beyond_this_machine(services: Json) -> None:
    """Public passwords serve loopback alone; the ingress' port and the database's are not published at all."""
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert {name for name, service in services.items() if "ports" in service} == {
        "rabbitmq",
        "livekit",
        "api",
    }


def test_development_secrets_are_in_the_compose_file_alone(services: Json) -> None:
    """No default, test or page repeats one: whoever takes them along has taken them from there."""
    worker = services["worker"]["environment"]
    secrets = {worker["LIVEKIT_API_SECRET"], services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"]}
    assert all(secret.startswith("public-development-") for secret in secrets)
    text = {".py", ".md", ".yaml", ".yml", ".toml", ""}
    searched = [path for path in _project_files() if path.suffix in text and path != COMPOSE]
    assert [
        path for path in searched for secret in secrets if secret in path.read_text("utf-8", "replace")
    ] == []


def _project_files() -> Iterator[Path]:
    """What belongs to the project: nothing that a tool made, and no local data."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    yield from (path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith("."))
    yield from (path for folder in folders for path in folder.rglob("*") if path.is_file())


def _copied() -> list[str]:
    """What the Dockerfile takes from the project; what lies in a folder that it takes too is not named again."""
    copies = re.findall(r"^COPY (?!--from)(\S+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert copies
    return [name for name in copies if not any(name.startswith(f"{folder}/") for folder in copies)]


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    """.dockerignore keeps everything out, then lets in what the Dockerfile copies."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(_copied())


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_from_what_the_image_holds(tmp_path: Path, part: str) -> None:
    """With the copied folders alone it gets as far as its settings: no import leads out of the image."""
    for name in _copied():
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tmp_path / "parts" / name, ignore=shutil.ignore_patterns("__pycache__")
            )
    environment = {"PYTHONPATH": str(tmp_path / "parts"), "PYTHONSAFEPATH": "1", "PATH": os.defpath}
    ran = subprocess.run(
        [sys.executable, "-m", part],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert MISSED[part] in ran.stderr


@pytest.mark.slow
def test_what_the_parts_import_is_in_the_image() -> None:
    """Each package is in its lock, but for what `june join` and `june up --servers` look for and do without."""
    locked = set(
        map(_canonical, re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    )
    distributions = packages_distributions()
    missing = {
        package
        for package in _imported() - sys.stdlib_module_names - set(_copied())
        if not locked & set(map(_canonical, distributions.get(package, ())))
    }
    assert missing == {"numpy", "deploy", "examples"}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported() -> set[str]:
    """The first names of all that the copied folders import."""
    found = set()
    for path in (path for folder in _copied() for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_the_image_is_not_root_and_its_packages_are_hashed() -> None:
    """The last user is a number that is not root's, and pip checks every hash."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert int(re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)[-1]) > 0
    assert "--require-hashes -r" in dockerfile
