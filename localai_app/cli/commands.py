"""Runs a command. Importing this module brings the services along."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from localai_app.app import App, open_app
from localai_app.cli.terminal import Terminal
from localai_app.engine.client import Engine
from localai_app.errors import NotFound
from localai_app.models.installed import InstalledModel
from localai_app.models.service import ModelService
from localai_app.paths import Paths

CAPTURED = "Questions, answers and results are kept for your organisation, even if you erase them."


@dataclasses.dataclass(frozen=True)
class Session:
    """What every command gets."""

    paths: Paths
    terminal: Terminal
    as_json: bool
    """Whether one JSON document is wanted instead of text."""
    engine: Engine | None = None

    def open(self) -> App:
        """The app on this session's folders; a passphrase is asked for where one is needed."""
        app = open_app(self.paths, ask_passphrase=self.terminal.ask_passphrase, engine=self.engine)
        if app.policy.captures_content:
            self.terminal.note(CAPTURED)
        return app


Command = Callable[[Session, argparse.Namespace], int]


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments.command`` names; return the exit code."""
    from localai_app.cli import (  # noqa: PLC0415 - they import Session
        asking,
        audit,
        backups,
        catalogue,
        conversations,
        doctor,
        documents,
        fitting,
        library,
        linking,
        network,
        policy,
        pulling,
        talk,
        task_results,
        task_verify,
        tasks,
        upkeep,
    )

    commands: dict[str, Command] = {
        "chat": talk.chat,
        "chat list": conversations.show_list,
        "chat show": conversations.show,
        "chat search": conversations.search,
        "chat export": conversations.export,
        "chat delete": conversations.delete,
        "chat restore": conversations.restore,
        "chat rename": conversations.rename,
        "models list": library.show_list,
        "models show": library.show_details,
        "models verify": library.verify,
        "models import": library.import_models,
        "models remove": library.remove,
        "models move": library.move_folder,
        "models search": pulling.search,
        "models pull": pulling.pull,
        "models catalogue": catalogue.show_catalogue,
        "models link": linking.link_models,
        "models unlink": linking.unlink_model,
        "models select": library.select,
        "models fit": fitting.show_fit,
        "docs add": documents.add,
        "docs list": documents.show_list,
        "docs show": documents.show,
        "docs search": documents.search,
        "docs ask": asking.ask,
        "docs remove": documents.remove,
        "docs restore": documents.restore,
        "docs refresh": documents.refresh,
        "docs collections": documents.show_collections,
        "task run": tasks.run,
        "task list": tasks.show_list,
        "task show": task_results.show,
        "task resume": tasks.resume,
        "task pause": tasks.pause,
        "task stop": tasks.stop,
        "task retry": tasks.retry,
        "task review": task_results.review,
        "task export": task_results.export,
        "task evidence": task_results.evidence,
        "task verify": task_verify.verify,
        "task remove": task_results.remove,
        "task restore": task_results.restore,
        "task erase": task_results.erase,
        "task kinds": tasks.show_kinds,
        "task templates": tasks.show_templates,
        "policy show": policy.show,
        "policy check": policy.check,
        "audit list": audit.show_list,
        "audit show": audit.show,
        "audit verify": audit.verify,
        "audit checkpoint": audit.checkpoint,
        "audit export": audit.export,
        "audit hand-over": audit.hand_over,
        "audit rotate": audit.rotate,
        "network check": network.check,
        "network verify": network.verify,
        "network list": network.show_list,
        "backup create": backups.create,
        "backup verify": backups.verify,
        "backup restore": backups.restore,
        "key show": upkeep.show_key,
        "key set-passphrase": upkeep.set_passphrase,
        "key use-keystore": upkeep.use_keystore,
        "key renew": upkeep.renew,
        "key make-recovery-key": upkeep.make_recovery_key,
        "key recover": upkeep.recover,
        "doctor": doctor.examine,
    }
    return commands[arguments.command](session, arguments)


def plain(value: Any) -> Any:
    """``value`` (dataclasses, times, paths, mappings) as what JSON can hold."""

    def other(part: Any) -> Any:
        return str(part) if isinstance(part, Path) else dict(part)

    return msgspec.to_builtins(value, enc_hook=other)


def find_model(models: ModelService, named: str) -> Path:
    """The file that ``named`` means: a path, or the name of an installed model (its beginning is enough).

    Raise `NotFound`.
    """
    path = Path(named).expanduser()
    if path.suffix.lower() == ".gguf" or path.exists():
        return path.absolute()

    def matches(model: InstalledModel) -> bool:
        names = (model.name, model.path.stem, f"{model.name} {model.quantisation}")
        return any(name.casefold().startswith(named.casefold()) for name in names)

    found = [model for model in models.every() if matches(model)]
    if len(found) == 1:
        return found[0].path
    if found:
        raise NotFound(
            f"“{named}” may be " + " or ".join(model.path.name for model in found) + ".", "Name the file."
        )
    raise NotFound(f"There is no model “{named}”.", "`localai-app models list` shows what there is.")
