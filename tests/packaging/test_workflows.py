"""What builds packages elsewhere may do no more than it needs, and runs nothing that can change unseen."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.scripts import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"])


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(file).values() for step in job["steps"]]


def test_there_are_some() -> None:
    assert {file.name for file in WORKFLOWS} == {"checks.yml", "packages.yml"}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_one_commit_and_its_version_is_said(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_jobs_only_read_unless_they_say_why_and_end_some_time(file: Path) -> None:
    whole = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert whole["permissions"] == {"contents": "read"}
    for name, job in jobs(file).items():
        assert ("permissions" in job) == (name == "release"), name
        assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_script_is_text_that_nobody_outside_can_write_into(file: Path) -> None:
    for step in steps(file):
        assert "${{" not in step.get("run", ""), step
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_secrets_are_seen_by_jobs_of_the_protected_environment_only() -> None:
    for file in WORKFLOWS:
        for name, job in jobs(file).items():
            if "secrets." in str(job):
                assert job["environment"] == "release", name


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_scripts_and_targets_that_are_run_exist(file: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(step.get("run", "") for step in steps(file))
    scripts = re.findall(r"(packaging/[\w/]+\.py|\.ci/\w+|requirements[\w-]*\.lock)", text)
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)
    assert all(f"\n{target}:" in makefile for target in re.findall(r"^make (\w+)", text, re.MULTILINE))
