"""The container files, without a Docker daemon: their syntax, and that the command they run is one that exists."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from expunge.cli import app

ROOT = Path(__file__).parents[2]
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def instructions():
    """The Dockerfile's instructions: what each is, and what it says."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def test_the_dockerfile_is_made_of_instructions_and_runs_as_nobody_special():
    found = instructions()
    assert {kind for kind, _said in found} == KNOWN
    assert [said for kind, said in found if kind == "USER"] == ["expunge"]
    last = [kind for kind, _said in found]
    assert last.index("USER") < last.index("ENTRYPOINT")
    for kind, said in found:
        if kind == "COPY" and "--from" not in said:
            assert all((ROOT / name).exists() for name in said.split()[:-1])


def test_what_the_container_runs_can_be_run():
    (entry,) = (json.loads(said) for kind, said in instructions() if kind == "ENTRYPOINT")
    (command,) = (json.loads(said) for kind, said in instructions() if kind == "CMD")
    assert entry == ["expunge"]
    name, *given = command
    serve = vars(typer.main.get_command(app))["commands"][name]
    context = serve.make_context(name, list(given))  # raises on an option that is not there
    assert context.params["plain_http"]
    done = CliRunner().invoke(app, [*command[:-1], "/nowhere"])
    assert done.exit_code == 1
    (health,) = (said for kind, said in instructions() if kind == "HEALTHCHECK")
    probe = json.loads(health[health.index("CMD") + 3 :])
    compile(probe[2], "healthcheck", "exec")
    assert f":{context.params['port']}/healthz" in probe[2]


def test_the_compose_file_names_what_it_uses():
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
        for secret in service["secrets"]:
            assert secret in compose["secrets"]
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert services[other]["healthcheck"]["test"]
    desk = services["desk"]
    assert (ROOT / "deploy" / desk["build"]["context"] / desk["build"]["dockerfile"]).is_file()
    assert all(port.startswith("127.0.0.1:") for port in desk["ports"])  # plain HTTP stays on this machine


@pytest.mark.parametrize(
    "path", [".github/ISSUE_TEMPLATE/fault.yml", ".github/ISSUE_TEMPLATE/wish.yml", ".pre-commit-config.yaml"]
)
def test_forms_and_hooks_can_be_read(path):
    found = yaml.safe_load((ROOT / path).read_text())
    if "body" in found:
        assert all(part["type"] == "markdown" or part["id"] for part in found["body"])
    else:
        run = " ".join(hook["entry"] for hook in found["repos"][0]["hooks"])
        lint = (ROOT / "Makefile").read_text().split("lint:")[1].split("\n\n")[0]
        for command in re.findall(r"\$\(BIN\)/(\S+)", lint):
            assert command in run
