"""``localai-app policy``. Neither command opens the store: policy shows even where it forbids that."""

import argparse
from typing import Any

from localai_app.cli.commands import Session
from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import InForce, Layer, Level, merge
from localai_app.governance.policy_schema import BLOCKED, unknown_items
from localai_app.governance.policy_sources import read_layer
from localai_app.governance.policy_words import NOT_ENFORCED, value_words, where_from


def show(session: Session, arguments: argparse.Namespace) -> int:
    """Every key with its value and where that comes from; 1 where a source has a problem."""
    policy = Policy.of_system()
    in_force, problems = policy.in_force, policy.problems
    if session.as_json:
        found = {
            "keys": [_facts(one) for one in in_force],
            "problems": [{"source": each.source, "key": each.key, "text": each.text} for each in problems],
        }
        session.terminal.json(found)
        return 1 if problems else 0
    for one in in_force:
        session.terminal.line(_line(one))
    for problem in problems:
        session.terminal.error(problem.line)
    return 1 if problems else 0


def check(session: Session, arguments: argparse.Namespace) -> int:
    """Say what is wrong with a file; 1 where anything is. Who owns it is not looked at."""
    level = Level.RECOMMENDED if arguments.recommended else Level.MANDATORY
    layer = read_layer(arguments.file, level, None)
    outcome = merge([layer])
    problems = outcome.problems
    remarks = [] if problems else [line for one in outcome.keys.values() for line in _remarks(one, layer)]
    if session.as_json:
        found = [{"key": problem.key, "text": problem.text} for problem in problems]
        session.terminal.json({"sound": not problems, "problems": found, "remarks": remarks})
    elif problems:
        for problem in problems:
            session.terminal.line(problem.line)
    else:
        for remark in remarks:
            session.terminal.note(remark)
        session.terminal.line(f"{len(layer.values)} keys, all sound.")
    return 1 if problems else 0


def _remarks(one: InForce, layer: Layer) -> list[str]:
    """What is allowed and yet worth a word."""
    name = one.key.name
    if name not in layer.values:
        return []
    remarks = [] if one.key.enforced else [f"{name} is {NOT_ENFORCED}."]
    if unknown := unknown_items(one.key, one.value):
        remarks.append(f"{name}: this version does not know {', '.join(f'“{item}”' for item in unknown)}.")
    return remarks


def _line(one: InForce) -> str:
    locked = "locked" if one.locked else "free"
    notes = [] if one.key.enforced else [NOT_ENFORCED]
    value = value_words(one.key, one.value)
    return f"{one.key.name:<24}{locked:<8}{value}  ({'; '.join([where_from(one), *notes])})"


def _facts(one: InForce) -> dict[str, Any]:
    return {
        "key": one.key.name,
        "value": None if one.value == BLOCKED else one.value,
        "blocked": one.value == BLOCKED,
        "origin": str(one.origin),
        "sources": list(one.sources),
        "locked": one.locked,
        "enforced": one.key.enforced,
        "means": one.key.means,
    }
