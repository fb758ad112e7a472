"""``localai-app doctor``: everything that matters about this installation, on one screen."""

import argparse
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil

from localai_app import __version__
from localai_app.app import App
from localai_app.cli.commands import Session, plain
from localai_app.engine.client import PromptMessage
from localai_app.engine.protocol import Done, Sampling, Text
from localai_app.errors import LocalAIError
from localai_app.governance import keys
from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import Origin
from localai_app.models.installed import compute_sha256
from localai_app.paths import Paths, is_packaged, portable_folder

Level = Literal["ok", "warn", "bad"]

_SPEED_SECONDS = 2.0
_SLOW = 5.0
"""Tokens per second; people read about so fast."""
_LITTLE_MEMORY = 1 << 30
_TEXT = (
    "Write a long, detailed report for the board of a hospital about keeping patient records on its own "
    "computers. Cover these points, each in a paragraph of its own: privacy, the law, the cost of a breach, "
    "work during an outage of the network, backups, the training of new staff, old equipment, and who may "
    "read what. Give an example for each point, and close with a plan for the coming year.\n"
) * 4


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""


def examine(session: Session, arguments: argparse.Namespace) -> int:
    """Look at everything; 1 when something is bad."""
    checks: list[Check] = []
    for check in _checks(session, speed=not arguments.no_speed):
        checks.append(check)
        if not session.as_json:
            session.terminal.line(f"{check.level:<4}  {check.name:<12}  {check.text}")
    bad = sum(check.level == "bad" for check in checks)
    warned = sum(check.level == "warn" for check in checks)
    if session.as_json:
        session.terminal.json({"ok": bad == 0, "checks": plain(checks)})
    else:
        session.terminal.line(f"\n{bad} bad, {warned} to look at, {len(checks) - bad - warned} ok")
    return 1 if bad else 0


def _checks(session: Session, *, speed: bool) -> Iterator[Check]:
    yield _app()
    yield _memory()
    yield from _places(session.paths)
    yield policy_check(Policy.of_system())
    try:
        app = session.open()
    except LocalAIError as error:
        yield Check("store", "bad", error.line)
        return
    with app:
        yield from _guarded("encryption", lambda: _encryption(app))
        yield from _guarded("store", lambda: _store(app))
        yield from _guarded("audit log", lambda: _audit(app))
        yield from _guarded("engine", lambda: _engine(app))
        yield from _guarded("fit", lambda: _fit(app))
        yield from _guarded("starter", lambda: _starter(session, app))
        if speed:
            yield from _guarded("speed", lambda: _speed(session, app))


def _guarded(name: str, look: Callable[[], Check | list[Check]]) -> list[Check]:
    """What ``look`` found; an error is a finding too."""
    try:
        found = look()
    except LocalAIError as error:
        return [Check(name, "bad", error.line)]
    return [found] if isinstance(found, Check) else found


def _app() -> Check:
    system = platform.platform(aliased=True, terse=True)
    python = platform.python_version()
    facts: dict[str, Any] = {"version": __version__, "python": python, "system": system}
    facts["machine"] = platform.machine()
    for package in ("PySide6-Essentials", "llama-cpp-python", "sqlcipher3"):
        facts[package] = importlib.metadata.version(package)
    portable = portable_folder()
    facts["portable"] = None if portable is None else str(portable)
    kind = "" if portable is None else " (portable copy)"
    text = f"LocalAI App {__version__}{kind} · Python {python} · {system} {platform.machine()}"
    return Check("app", "ok", f"{text} · Qt {facts['PySide6-Essentials']}", facts)


def _memory() -> Check:
    memory = psutil.virtual_memory()
    text = f"{_gib(memory.available)} of {_gib(memory.total)} free · {_cores()}"
    facts = {"total": memory.total, "available": memory.available, "cores": psutil.cpu_count(logical=False)}
    if memory.available < _LITTLE_MEMORY:
        return Check("memory", "warn", f"{text}; close other programs before loading a large model", facts)
    return Check("memory", "ok", text, facts)


def _places(paths: Paths) -> Iterator[Check]:
    places = {"data": paths.data, "models": paths.models[0], "config": paths.config, "cache": paths.cache}
    for name, folder in places.items():
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        writable = os.access(existing, os.W_OK)
        facts = {"path": str(folder), "exists": folder.exists(), "writable": writable}
        if writable:
            yield Check(name, "ok", str(folder), facts)
        else:
            level: Level = "bad" if name == "data" else "warn"
            yield Check(name, level, f"{folder} cannot be written; check its owner and permissions", facts)


def policy_check(policy: Policy) -> Check:
    """What an administrator set, and whether this version acts on it."""
    held = [one for one in policy.in_force if one.origin is not Origin.DEFAULT]
    idle = [one.key.name for one in held if not one.key.enforced]
    facts = {
        "set": [one.key.name for one in held],
        "problems": [problem.line for problem in policy.problems],
        "not_enforced": idle,
    }
    if policy.problems:
        more = f"{len(policy.problems)} problems, the first: {policy.problems[0].line}"
        return Check("policy", "bad", f"{more} `localai-app policy show` lists them", facts)
    if idle:
        return Check("policy", "warn", f"not enforced by this version: {', '.join(idle)}", facts)
    return Check("policy", "ok", f"{len(held)} keys set" if held else "none on this computer", facts)


def _encryption(app: App) -> Check:
    how = keys.describe(app.paths)
    text = f"SQLCipher, AES-256 · {how}"
    facts = {"kind": app.key.kind, "weak": app.key.weak}
    if app.key.weak:
        return Check("encryption", "warn", f"{text}. To mend: localai-app key set-passphrase", facts)
    return Check("encryption", "ok", text, facts)


def _store(app: App) -> list[Check]:
    started = time.monotonic()
    problems = app.database.check()
    size = app.paths.database.stat().st_size
    if problems:
        hint = "Copy the file away and restore a backup."
        text = f"{len(problems)} problems, the first: {problems[0]}. {hint}"
        return [Check("store", "bad", text, {"problems": problems})]
    seconds = time.monotonic() - started
    return [Check("store", "ok", f"every page is sound ({_mib(size)}, {seconds:.1f} s)", {"bytes": size})]


def _audit(app: App) -> Check:
    result = app.audit.verify()
    facts = plain(result)
    if result.sound:
        return Check("audit log", "ok", f"{result.entries} entries, none changed", facts)
    return Check("audit log", "bad", f"{result.problem}; see `localai-app audit verify`", facts)


def _engine(app: App) -> list[Check]:
    ready = app.engine.probe()
    devices = [
        f"{each.name} ({each.description}, {_gib(each.memory_free)} of {_gib(each.memory_total)} free)"
        for each in ready.devices
    ]
    checks = [
        _engine_build(ready.engine_build, app.engine.notice),
        Check(
            "processor",
            "ok",
            " ".join(_features(ready.system_info)) or ready.system_info,
            {"system_info": ready.system_info},
        ),
        Check("devices", "ok", "; ".join(devices) or "CPU", {"devices": plain(ready.devices)}),
    ]
    confined = not ready.confinement.startswith("not confined")
    text = ready.confinement if confined else f"{ready.confinement}: the system does not fence in the engine"
    checks.append(
        Check("confinement", "ok" if confined else "warn", text, {"confinement": ready.confinement})
    )
    return checks


def _engine_build(build: str, notice: str) -> Check:
    """Which engine computes, and what of it does not."""
    facts = {"build": build, "notice": notice}
    if notice:
        return Check("engine", "warn", f"{build}. {notice}", facts)
    return Check("engine", "ok", build, facts)


def _fit(app: App) -> Check:
    """How the selected model would be loaded."""
    plan = app.models.plan()
    chosen = "as set" if not plan.overrides.automatic else "chosen automatically"
    text = f"{plan.name}: {plan.fit.words[:-1]}, {chosen}."
    facts = {"model": plan.name, "overrides": plain(plan.overrides), **plain(plan.fit)}
    if plan.refusal is not None:
        return Check("fit", "warn", plan.refusal.line, facts)
    return Check("fit", "warn" if plan.fit.grade == "tight" else "ok", text, facts)


def _features(system_info: str) -> Iterator[str]:
    """The features that are on in llama.cpp's line ``CPU : SSE3 = 1 | AVX = 1 | ...``."""
    for part in system_info.replace(":", "|").split("|"):
        name, _, value = part.partition("=")
        if value.strip() == "1":
            yield name.strip()


def _starter(session: Session, app: App) -> Check:
    starter = app.models.starter
    path = next(
        (folder / starter.file for folder in app.paths.models if (folder / starter.file).is_file()), None
    )
    if path is None:
        source = "the package localai-app-models brings it" if is_packaged() else "`make run` fetches it"
        text = f"{starter.name} is not in {app.paths.models[0]}; {source}"
        level: Level = "warn" if app.models.installed() else "bad"
        return Check("starter", level, text)
    found = compute_sha256(path, lambda done: session.terminal.status(f"Hashing the starter … {done:.0%}"))
    facts = {"path": str(path), "sha256": found, "expected": starter.sha256}
    if found != starter.sha256:
        remedy = "install its package again" if is_packaged() else "delete it, then `make run`"
        return Check("starter", "bad", f"{path} is not the file that was published: {remedy}", facts)
    return Check(
        "starter", "ok", f"{starter.name} {starter.quantisation}, SHA-256 {found[:16]}… is right", facts
    )


def _speed(session: Session, app: App) -> Check:
    """Load the selected model and let it write for two seconds."""
    name = app.models.selected().name
    model = app.models.load(lambda done: session.terminal.status(f"Loading {name} … {done:.0%}"))
    session.terminal.status("Measuring …")
    if notice := app.models.take_notice():
        session.terminal.note(notice)
    prompt = app.engine.render([PromptMessage("user", _TEXT)])
    generation = app.engine.generate(prompt, Sampling(temperature=0), slot="doctor")
    first = 0.0
    for event in generation:
        if isinstance(event, Text):
            first = first or time.monotonic()
            if time.monotonic() - first > _SPEED_SECONDS:
                generation.cancel()
        elif isinstance(event, Done):
            usage = event.usage
    read = (usage.prompt_tokens - usage.reused_tokens) / max(usage.first_token_seconds, 1e-9)
    wrote = max(0, usage.output_tokens - 1) / max(usage.generation_seconds, 1e-9)
    facts = {
        "model": name,
        "device": model.device,
        "threads": model.threads,
        "load_seconds": round(model.load_seconds, 3),
        "tokens_per_second": round(wrote, 1),
        "prompt_tokens_per_second": round(read, 1),
        "output_tokens": usage.output_tokens,
        "prompt_tokens": usage.prompt_tokens,
    }
    speed = f"{wrote:.0f} tokens/s, prompt {read:.0f} tokens/s"
    text = f"{speed} · {name} on {model.device}, {model.threads} threads"
    if wrote < _SLOW:
        return Check("speed", "warn", f"{text}; a smaller model would answer faster", facts)
    return Check("speed", "ok", text, facts)


def _cores() -> str:
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    return f"{physical or logical} cores, {logical} threads"


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
