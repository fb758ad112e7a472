"""``localai-app models fit``: what a model needs here, and how it is loaded."""

import argparse
import dataclasses

from localai_app.cli.commands import Session, find_model, plain
from localai_app.models.loading import LoadPlan, Overrides


def show_fit(session: Session, arguments: argparse.Namespace) -> int:
    """How a model would be loaded now; 1 when it would not be."""
    with session.open() as app:
        path = find_model(app.models, arguments.model) if arguments.model else app.models.selected().path
        if arguments.reset:
            app.models.set_overrides(path, Overrides())
        plan = app.models.plan(path)
        overrides = _with(plan.overrides, arguments)
        if overrides != plan.overrides:
            plan = app.models.plan(path, overrides)
        if arguments.keep:
            app.models.set_overrides(path, overrides)
    refusal = plan.refusal
    if session.as_json:
        session.terminal.json(
            {
                "model": plan.name,
                "path": str(plan.path),
                **plain(plan.fit),
                "needed": plan.fit.needed,
                "total": plan.fit.total,
                "longest_context": plan.longest_context or None,
                "overrides": plain(plan.overrides),
                "loads": refusal is None,
            }
        )
    else:
        session.terminal.line(f"{plan.name}: {plan.fit.words}")
        session.terminal.table(("", "VALUE", "CHOSEN"), _rows(plan))
    if refusal is not None:
        session.terminal.error(refusal.line)
        return 1
    return 0


def _with(kept: Overrides, arguments: argparse.Namespace) -> Overrides:
    """What is kept, with what the command line says in its place."""
    changes: dict[str, int | str | bool | None] = {}
    if arguments.context is not None:
        changes["context_length"] = arguments.context
    if arguments.kv_type is not None:
        changes["kv_type"] = None if arguments.kv_type == "auto" else arguments.kv_type
    if arguments.gpu_layers is not None:
        changes["gpu_layers"] = arguments.gpu_layers
    if arguments.anyway:
        changes["anyway"] = True
    return dataclasses.replace(kept, **changes)  # type: ignore[arg-type]


def _rows(plan: LoadPlan) -> list[tuple[str, str, str]]:
    fit, overrides = plan.fit, plan.overrides

    def chosen(value: object, automatic: object) -> str:
        return "automatic" if value == automatic else "set"

    longest = f", at most {plan.longest_context:,}" if plan.longest_context else ""
    gpu = "" if plan.has_gpu else ", no GPU was found"
    return [
        ("context", f"{fit.context_length:,} tokens", chosen(overrides.context_length, 0) + longest),
        ("KV cache", f"{fit.kv_type}, {_mb(fit.kv)}", chosen(overrides.kv_type, None)),
        ("GPU layers", f"{fit.gpu_layers} of {fit.layers + 1}", chosen(overrides.gpu_layers, -1) + gpu),
        ("weights", _mb(fit.weights - fit.copies), ""),
        ("computing", _mb(fit.compute), ""),
        ("process", _mb(fit.overhead), ""),
        ("memory", f"{_mb(fit.needed)} of {_mb(fit.ram_free)} free", ""),
        *([("GPU memory", f"{_mb(fit.vram)} of {_mb(fit.vram_free)} free", "")] if plan.has_gpu else []),
        *([("if short", "load anyway", "set")] if overrides.anyway else []),
    ]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
