"""docs/cluster.md, its templates, and every `regstudy` command in README and docs: what they say can be run."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from conftest import require
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from regstudy.cli.app import app

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / "docs" / "cluster").glob("*"))
SCRIPTS = [path for path in TEMPLATES if path.suffix == ".sbatch"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = typer.main.get_command(app)
# those of man.archlinux.org/man/sbatch.1 and srun.1 that the templates need, with the form of their values
SBATCH = {
    "array": r"\d+-\d+(%\d+)?",
    "cpus-per-task": r"\d+",
    "gpus-per-node": r"\d+",
    "job-name": r"[\w-]+",
    "nodes": r"\d+",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "open-mode": "append|truncate",
    "output": r"[\w%.-]+",
    "requeue": "",
    "signal": r"([RB]:)?[A-Z]+@\d+",
    "time": r"\d\d:\d\d:\d\d",
}
SRUN = {"cpus-per-task", "exclude", "nodelist", "nodes", "ntasks", "overlap"}


class Strict(BaseModel):
    """A part of a Kubernetes object, as far as the templates use it; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


class Secret(Strict):
    apiVersion: Literal["v1"]  # noqa: N815
    kind: Literal["Secret"]
    metadata: Metadata
    type: Literal["Opaque"]
    stringData: dict[str, str]  # noqa: N815


class KeyOfSecret(Strict):
    name: str
    key: str


class ValueFrom(Strict):
    secretKeyRef: KeyOfSecret  # noqa: N815


class Variable(Strict):
    name: str
    valueFrom: ValueFrom  # noqa: N815


class Resources(Strict):
    requests: dict[str, int | str]
    limits: dict[str, int | str]


class Mount(Strict):
    name: str
    mountPath: str  # noqa: N815


class Container(Strict):
    name: str
    image: str
    command: list[str]
    args: list[str]
    env: list[Variable]
    resources: Resources
    volumeMounts: list[Mount]  # noqa: N815


class Claim(Strict):
    claimName: str  # noqa: N815


class Volume(Strict):
    name: str
    persistentVolumeClaim: Claim  # noqa: N815


class PodSpec(Strict):
    restartPolicy: Literal["Never"]  # noqa: N815 - a policy on failures allows no other
    terminationGracePeriodSeconds: int = Field(ge=30)  # noqa: N815
    containers: list[Container]
    volumes: list[Volume]


class Template(Strict):
    spec: PodSpec


class ExitCodes(Strict):
    containerName: str  # noqa: N815
    operator: Literal["In", "NotIn"]
    values: list[int]


class Condition(Strict):
    type: Literal["DisruptionTarget"]


class FailureRule(Strict):
    action: Literal["FailJob", "Ignore", "Count", "FailIndex"]
    onExitCodes: ExitCodes | None = None  # noqa: N815
    onPodConditions: list[Condition] | None = None  # noqa: N815


class FailurePolicy(Strict):
    rules: list[FailureRule]


class JobSpec(Strict):
    parallelism: int = Field(ge=1)
    backoffLimit: int = Field(ge=0)  # noqa: N815
    podFailurePolicy: FailurePolicy  # noqa: N815
    template: Template


class Job(Strict):
    apiVersion: Literal["batch/v1"]  # noqa: N815
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


def joined(text: str) -> list[str]:
    """The lines of a script, those that are continued in one piece."""
    return re.sub(r"\\\n\s*", " ", text).splitlines()


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every line of the templates' scripts and of the pages' console and bash blocks, with its file."""
    for path in SCRIPTS:
        yield from ((path.name, line) for line in joined(path.read_text(encoding="utf-8")))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|bash|shell)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            yield from ((page.name, line.removeprefix("$ ")) for line in joined(block))


def words_after(line: str, *program: str) -> list[str] | None:
    """The arguments of a program in a line of shell; None if the line does not run it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # printed text with an apostrophe
        return None
    start = next((at for at in range(len(words)) if tuple(words[at : at + len(program)]) == program), None)
    before = words[:start]
    if start is None or (before and before[0] not in ("srun", "exec", "python", "nohup")):
        return None
    rest = words[start + len(program) :]
    end = next((at for at, word in enumerate(rest) if word in ("&", "&&", "|", ";", ">")), len(rest))
    return rest[:end]


COMMANDS = sorted(
    {
        (file, *words)
        for file, line in shell_lines()
        for words in (words_after(line, "regstudy"), words_after(line, "study.py"))
        if words and "…" not in words
    }
)


def parse(command: Any, words: list[str]) -> None:
    """Parse a command line as the program does, without running it; raises what the program would print."""
    words = [re.sub(r"\$\w+", "1", word) for word in words]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        parse(command.commands[words[0]], words[1:])
    elif not {"--help", "--version", "--install-completion"} & set(words):
        command.make_context("regstudy", words)


def test_the_scan_finds_templates_and_commands() -> None:
    assert [path.name for path in TEMPLATES] == ["ray.sbatch", "workers.sbatch", "workers.yaml"]
    assert len(COMMANDS) > 40 and len({file for file, *_ in COMMANDS}) > 8


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:100])
def test_every_command_of_the_docs_is_one_that_the_program_takes(command: tuple[str, ...]) -> None:
    words = list(command[1:])
    if words[0].startswith("-") and words[0] not in ("--help", "--version", "--install-completion"):
        words.insert(0, "study")  # `python study.py …`
    parse(PROGRAM, words)
    if "ray" in words:
        assert not {"--device", "--threads"} & set(words)  # follow from the launcher


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_correct_bash_and_ask_for_what_sbatch_knows(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True, timeout=20)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"  # sbatch refuses a script without
    first = next(at for at, line in enumerate(lines) if line and not line.startswith("#"))
    asked = [line for line in lines if line.startswith("#SBATCH")]
    assert asked and asked == [line for line in lines[:first] if line.startswith("#SBATCH")]  # later ones are ignored
    for line in asked:
        option, _, value = line.removeprefix("#SBATCH --").partition("=")
        assert re.fullmatch(SBATCH[option], value), line
    for line in joined("\n".join(lines)):
        for word in (words_after(line, "srun") or []) if "srun" in line else []:
            if not word.startswith("--"):
                break
            assert word.removeprefix("--").partition("=")[0] in SRUN, line


RAY = [words for _, line in shell_lines() if (words := words_after(line, "ray"))]


def test_the_options_of_ray_are_those_of_ray() -> None:
    assert len(RAY) >= 2
    require(importlib.util.find_spec("ray") is not None, "the extra `ray` is not installed")
    from ray.scripts.scripts import cli

    for words in RAY:
        if "…" not in words:
            parse(cli, words)


def test_the_kubernetes_objects_have_the_fields_of_their_kind_and_fit_together() -> None:
    path = ROOT / "docs" / "cluster" / "workers.yaml"
    found: list[Any] = [json.loads(json.dumps(one)) for one in YAML(typ="safe").load_all(path)]
    assert [one["kind"] for one in found] == ["Secret", "Job"]
    secret, job = Secret.model_validate(found[0]), Job.model_validate(found[1])
    (container,) = job.spec.template.spec.containers
    (variable,) = container.env
    assert variable.valueFrom.secretKeyRef.name == secret.metadata.name
    assert set(secret.stringData) == {variable.valueFrom.secretKeyRef.key} == {variable.name} == {"PGPASSWORD"}
    assert {one.name for one in container.volumeMounts} == {one.name for one in job.spec.template.spec.volumes}
    codes = [rule.onExitCodes for rule in job.spec.podFailurePolicy.rules if rule.onExitCodes]
    assert {code.containerName for code in codes} == {container.name}
    assert container.command[0] == "regstudy"
    parse(PROGRAM, [*container.command[1:], *container.args])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_password_stands_in_a_url(path: Path) -> None:
    assert not re.search(r"://[^\s/@]+:[^\s@]+@", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_page_links_every_template(path: Path) -> None:
    assert f"](cluster/{path.name})" in (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
