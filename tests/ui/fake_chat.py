"""Services in memory, with answers that follow a script: the window's test double."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localai_app.chat.conversation import (
    AnswerRecord,
    Conversation,
    GenerationStats,
    Message,
    Parameters,
    Role,
    SearchHit,
    Status,
)
from localai_app.chat.service import ChatService, ModelLoading, PromptProgress, TextDelta, Turn, TurnFinished
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Coverage, Gathering, Mode, Price, Sources
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError, ModelNotFound, NotFound, PolicyRefused
from localai_app.models.fit import Memory, choose
from localai_app.models.gguf import Tensor
from localai_app.models.installed import InstalledModel
from localai_app.models.loading import LoadPlan, Overrides
from localai_app.models.residency import Absence, Residency
from localai_app.models.service import ModelService
from tests.fake_engine import FAKE_HEADER

STATS = GenerationStats(512, 400, 212, 0.4, 17.9, "end")
RECORD = AnswerRecord(
    "Fake 1B", "ab" * 32, "fake 1", "CPU", "cd" * 32, "ef" * 32, {"temperature": 0.8, "top_k": 40, "seed": 7}
)


class FakeTurn(Turn):
    """Yields the pieces of a script; waits at each for `FakeChat.gate` while it is held."""

    def __init__(self, chat: "FakeChat", question: Message | None, answer: Message) -> None:
        self.question, self.answer = question, answer
        self._chat = chat
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[object]:
        chat, text = self._chat, self.answer.text
        sources = chat.rows[self.answer.conversation_id].sources
        yield ModelLoading(0.5)
        if sources is not None:
            yield Gathering("searching", 0, 1)
            yield Gathering("reading", 3, 12, 90.0)
        yield PromptProgress(600, 1200)
        status, error = Status.COMPLETE, ""
        for piece in chat.script:
            while not chat.gate.wait(0.01) and not self._stopped.is_set():
                pass
            if self._stopped.is_set() or self._stopped.wait(chat.delay):
                status = Status.STOPPED
                break
            text += piece
            yield TextDelta(piece)
        if chat.failure is not None and status is Status.COMPLETE:
            status, error = Status.FAILED, chat.failure.line
        record = RECORD
        if sources is not None:
            mode = Mode.SEARCH if sources.mode is Mode.AUTO else sources.mode
            record = replace(RECORD, coverage=replace(chat.coverage, mode=mode))
            chat.save(self.answer.id, citations=chat.citations)
        yield TurnFinished(
            chat.save(self.answer.id, text=text, status=status, error=error, stats=STATS, record=record)
        )

    def stop(self) -> None:
        self._stopped.set()


class FakeChat(ChatService):
    """Conversations in two dicts."""

    def __init__(self) -> None:
        self.rows: dict[int, Conversation] = {}
        self.messages: dict[int, Message] = {}
        self.script: list[str] = ["Yes", ", ", "certainly", "."]
        self.failure: LocalAIError | None = None
        self.refusal: LocalAIError | None = None
        self.delay = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.citations: tuple[Citation, ...] = ()
        """Of the next answers from documents."""
        self.coverage = Coverage(Mode.SEARCH, 4, 4, 96, 12, 18, 1536)
        self.cost = [
            Price(Mode.SEARCH, 4, 12, 18, 1536, 12.0),
            Price(Mode.EXHAUSTIVE, 4, 96, 40, 48_000, 240.0),
            Price(Mode.WHOLE, 4, 96, 96, 45_000, 200.0, fits=False),
        ]
        self.priced: list[tuple[str, Sources]] = []
        self.links_allowed = True
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self._lock = threading.RLock()

    # ------------------------------------------------------------ filling

    def add(self, title: str, *texts: str, age: timedelta = timedelta(), **more: object) -> Conversation:
        """A conversation whose messages alternate between person and model."""
        with self._lock:
            moment = datetime.now(UTC) - age
            row = Conversation(len(self.rows) + 1, title, moment, moment, **more)  # type: ignore[arg-type]
            self.rows[row.id] = row
            for number, text in enumerate(texts):
                self._say(row.id, Role.ASSISTANT if number % 2 else Role.USER, text)
            return self.rows[row.id]

    def save(self, message_id: int, **values: object) -> Message:
        """Change a message."""
        with self._lock:
            self.messages[message_id] = replace(self.messages[message_id], **values)  # type: ignore[arg-type]
            return self.message(message_id)

    def _say(
        self, number: int, role: Role, text: str, parent: int | None = -1, status: Status = Status.COMPLETE
    ) -> Message:
        with self._lock:
            parent = self.rows[number].leaf_id if parent == -1 else parent
            answer = role is Role.ASSISTANT and status is Status.COMPLETE
            message = Message(
                len(self.messages) + 1,
                number,
                parent,
                role,
                text,
                status,
                datetime.now(UTC),
                stats=STATS if answer else None,
                record=RECORD if answer else None,
            )
            self.messages[message.id] = message
            self._change(number, leaf_id=message.id)
            return self.message(message.id)

    def _change(self, number: int, **values: object) -> Conversation:
        with self._lock:
            self.rows[number] = replace(self.conversation(number), **values)  # type: ignore[arg-type]
            return self.rows[number]

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread().name)
        if self.refusal is not None:
            raise self.refusal

    # ------------------------------------------------------------ the service

    def create(self, sources: Sources | None = None) -> Conversation:
        self._note("create")
        return self.add("", sources=sources)

    def set_sources(self, conversation_id: int, sources: Sources | None) -> Conversation:
        self._note("set_sources")
        return self._change(conversation_id, sources=sources)

    def prices(self, question: str, sources: Sources) -> list[Price]:
        self._note("prices")
        self.priced.append((question, sources))
        return self.cost

    def conversations(
        self, *, trashed: bool = False, limit: int = 200, offset: int = 0
    ) -> list[Conversation]:
        self._note(f"conversations {offset}")
        rows = [row for row in self.rows.values() if (row.trashed is not None) == trashed]
        return sorted(rows, key=lambda row: row.updated, reverse=True)[offset : offset + limit]

    def conversation(self, conversation_id: int) -> Conversation:
        if conversation_id not in self.rows:
            raise NotFound(f"There is no conversation {conversation_id}.")
        return self.rows[conversation_id]

    def path(self, conversation_id: int) -> list[Message]:
        self._note("path")
        found: list[Message] = []
        at = self.conversation(conversation_id).leaf_id
        while at is not None:
            found.append(self.message(at))
            at = found[-1].parent_id
        return found[::-1]

    def message(self, message_id: int) -> Message:
        message = self.messages[message_id]
        siblings = tuple(
            each.id
            for each in self.messages.values()
            if (each.conversation_id, each.parent_id, each.role)
            == (message.conversation_id, message.parent_id, message.role)
        )
        return replace(message, sibling_ids=siblings)

    def rename(self, conversation_id: int, title: str) -> Conversation:
        self._note("rename")
        return self._change(conversation_id, title=title)

    def set_system_prompt(self, conversation_id: int, text: str) -> Conversation:
        self._note("set_system_prompt")
        return self._change(conversation_id, system_prompt=text)

    def set_parameters(self, conversation_id: int, parameters: Parameters) -> Conversation:
        self._note("set_parameters")
        return self._change(conversation_id, parameters=parameters)

    def trash(self, conversation_id: int) -> None:
        self._note("trash")
        self._change(conversation_id, trashed=datetime.now(UTC))

    def restore(self, conversation_id: int) -> None:
        self._note("restore")
        self._change(conversation_id, trashed=None)

    def delete(self, conversation_id: int) -> None:
        self._note("delete")
        del self.rows[conversation_id]

    def search(self, query: str, limit: int = 50) -> list[SearchHit]:
        self._note("search")
        hits = []
        for message in self.messages.values():
            row = self.rows.get(message.conversation_id)
            at = message.text.lower().find(query.lower())
            if row is not None and row.trashed is None and at >= 0:
                found = message.text[at : at + len(query)]
                start = max(0, at - 40)
                snippet = f"{message.text[start:at]}\x02{found}\x03{message.text[at + len(query) : at + 80]}"
                hits.append(SearchHit(row.id, row.title, message.id, message.role, snippet, message.created))
        return hits[:limit]

    def require_link(self, address: str) -> None:
        self._note(f"link {address}")
        if not self.links_allowed:
            raise PolicyRefused("Your organisation does not allow opening links from this app.")

    def show_branch(self, message_id: int) -> list[Message]:
        self._note("show_branch")
        at = message_id
        while True:
            children = [each.id for each in self.messages.values() if each.parent_id == at]
            if not children:
                break
            at = children[-1]
        number = self.messages[message_id].conversation_id
        self._change(number, leaf_id=at)
        return self.path(number)

    def set_feedback(self, message_id: int, value: int) -> Message:
        self._note("set_feedback")
        return self.save(message_id, feedback=value)

    def export(self, conversation_id: int, file_format: str) -> bytes:
        self._note("export")
        return b"# a copy"

    def send(self, conversation_id: int, text: str) -> Turn:
        self._note("send")
        row = self.conversation(conversation_id)
        self._change(conversation_id, title=row.title or text[:60], updated=datetime.now(UTC))
        question = self._say(conversation_id, Role.USER, text)
        answer = self._say(conversation_id, Role.ASSISTANT, "", status=Status.GENERATING)
        return FakeTurn(self, question, answer)

    def regenerate(self, message_id: int) -> Turn:
        self._note("regenerate")
        old = self.messages[message_id]
        answer = self._say(old.conversation_id, Role.ASSISTANT, "", old.parent_id, Status.GENERATING)
        return FakeTurn(self, None, answer)

    def continue_answer(self, message_id: int) -> Turn:
        self._note("continue_answer")
        return FakeTurn(self, None, self.save(message_id, status=Status.GENERATING))

    def edit(self, message_id: int, text: str) -> Turn:
        self._note("edit")
        old = self.messages[message_id]
        question = self._say(old.conversation_id, Role.USER, text, old.parent_id)
        answer = self._say(old.conversation_id, Role.ASSISTANT, "", question.id, Status.GENERATING)
        return FakeTurn(self, question, answer)


class FakeModels(ModelService):
    """Two models, none loaded until asked."""

    def __init__(self) -> None:
        self.models = [
            InstalledModel(
                Path("/models/SmolLM2.gguf"), "SmolLM2 135M Instruct", "Q4_1", 98_000_000, starter=True
            ),
            InstalledModel(Path("/models/qwen.gguf"), "Qwen2.5 Coder 1.5B Instruct", "Q4_K_M", 1_100_000_000),
        ]
        self.current: InstalledModel | None = self.models[0]
        self.info: ModelInfo | None = None
        self.base = False
        self.notice = ""
        self.kept: dict[Path, Overrides] = {}
        self.memory = Memory(ram_free=9 * 10**9, ram_total=16 * 10**9)

    def plan(self, path: Path | None = None, overrides: Overrides | None = None) -> LoadPlan:
        model = self.selected() if path is None else next(m for m in self.models if m.path == path)
        overrides = self.kept.get(model.path, Overrides()) if overrides is None else overrides
        header = replace(
            FAKE_HEADER,
            layers=4,
            context_length=32_768,
            feed_forward=(8,) * 4,
            heads=(8,) * 4,
            kv_heads=(8,) * 4,
            key_length=128,
            value_length=128,
            windowed=(False,) * 4,
            recurrent=(False,) * 4,
            tensors=(Tensor("token_embd.weight", "Q4_0", (8,), model.size),),
        )
        fit = choose(
            header,
            self.memory,
            context_length=overrides.context_length,
            gpu_layers=overrides.gpu_layers,
            kv_type=overrides.kv_type,
        )
        return LoadPlan(model.path, model.name, fit, overrides, 32_768, bool(self.memory.vram_total))

    def set_overrides(self, path: Path, overrides: Overrides) -> None:
        self.kept[path] = overrides

    def take_notice(self) -> str:
        notice, self.notice = self.notice, ""
        return notice

    def installed(self) -> list[InstalledModel]:
        return list(self.models)

    def selected(self) -> InstalledModel:
        if self.current is None:
            raise ModelNotFound("There is no model on this computer yet.", "Put a GGUF file into /models.")
        return self.current

    def select(self, path: Path, *, keep: bool = True) -> InstalledModel:
        self.current = next(
            (m for m in self.models if m.path == path), InstalledModel(path, path.stem, "", 1)
        )
        return self.current

    def recommended_sampling(self, model: InstalledModel) -> dict[str, float]:
        return {"temperature": 0.2} if model.starter else {}

    def loaded(self) -> ModelInfo | None:
        return self.info

    def load(self, on_progress: object = None) -> ModelInfo:
        model = self.selected()
        self.info = ModelInfo(
            path=str(model.path),
            name=model.name,
            architecture="llama",
            description="llama",
            parameters=1,
            size=model.size,
            vocabulary=1,
            embedding_length=1,
            layers=1,
            context_length=8192,
            trained_context_length=8192,
            bos="",
            eos="",
            chat_template=None if self.base else "{{ messages }}",
            device="CPU",
            threads=8,
            engine_build="fake",
            load_seconds=0.1,
            confinement="confined: no files, no network",
        )
        return self.info


class FakeResidency(Residency):
    """Unloads when a test says so."""

    def __init__(self, settings: "FakeSettings", models: FakeModels) -> None:
        super().__init__(settings, lambda: None, Arbiter(cores=lambda: 4))  # type: ignore[arg-type]
        self.models = models
        self.why: Absence = ""

    def absence(self) -> Absence:
        return "" if self.models.info else self.why

    def unload(self, why: Absence) -> None:
        """What its thread does when the time has come."""
        self.models.info, self.why = None, why
        assert self.on_rest is not None
        self.on_rest()


class FakeSettings:
    """Settings in a dict."""

    def __init__(self, **values: object) -> None:
        self.values = dict(values)

    def get(self, key: str, default: object = None) -> object:
        return self.values.get(key, default)

    def set(self, key: str, value: object) -> None:
        self.values[key] = value
