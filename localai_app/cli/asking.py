"""``localai-app docs ask``."""

import argparse
from typing import Any

from localai_app.app import App
from localai_app.chat.conversation import Status
from localai_app.cli import citations
from localai_app.cli.commands import Session, find_model, plain
from localai_app.cli.documents import find_collection, find_document
from localai_app.cli.talk import INTERRUPTED, run_turn, show_end, show_notice
from localai_app.documents.document import Scope
from localai_app.documents.grounding import Mode, Price, Sources
from localai_app.errors import UsageError


def ask(session: Session, arguments: argparse.Namespace) -> int:
    """Answer a question from documents, or say what that costs; 1 when it failed."""
    terminal = session.terminal
    question = terminal.read_all() if arguments.question == "-" else arguments.question
    if not question.strip():
        raise UsageError("The question is empty.", "Write it, or - to read it from stdin.")
    with session.open() as app:
        if arguments.model:
            app.models.select(find_model(app.models, arguments.model), keep=False)
        sources = Sources(_scope(app, arguments), Mode(arguments.mode))
        app.models.check_selected(lambda done: terminal.status(f"Checking the model … {done:.0%}"))
        terminal.status("Counting …")
        prices = app.chat.prices(question, sources)
        if arguments.price:
            _show_prices(session, prices)
            return 0
        price = next((one for one in prices if one.mode is sources.mode), prices[0])
        terminal.note(f"{price.mode.value}: {price.words}")
        return _answer(session, app, sources, question, price)


def _answer(session: Session, app: App, sources: Sources, question: str, price: Price) -> int:
    terminal = session.terminal
    conversation = app.chat.create(sources)
    _, answer = run_turn(
        terminal, lambda: app.chat.send(conversation.id, question), show_text=not session.as_json
    )
    show_notice(terminal, app)
    if session.as_json:
        terminal.json(
            {
                "question": question,
                "answer": answer.text,
                "status": answer.status,
                "error": answer.error or None,
                "model": answer.record.model_name if answer.record else None,
                "conversation_id": conversation.id,
                "answer_id": answer.id,
                "price": _flat(price),
                **citations.report(answer),
            }
        )
    else:
        if answer.text:
            terminal.line()
        citations.show(terminal, answer)
        show_end(terminal, answer, f"`localai-app chat --conversation {conversation.id}`")
    if answer.status is Status.FAILED:
        return 1
    return INTERRUPTED if answer.status is Status.STOPPED else 0


def _scope(app: App, arguments: argparse.Namespace) -> Scope:
    return Scope(
        collections=tuple(find_collection(app, named).id for named in arguments.collection),
        documents=tuple(find_document(app, named).id for named in arguments.document),
    )


def _show_prices(session: Session, prices: list[Price]) -> None:
    if session.as_json:
        session.terminal.json([_flat(price) for price in prices])
        return
    rows = [("*" if price is prices[0] else "", price.mode.value, price.words) for price in prices]
    session.terminal.table(("", "MODE", "COST"), rows)


def _flat(price: Price) -> dict[str, Any]:
    return {**plain(price), "words": price.words}
