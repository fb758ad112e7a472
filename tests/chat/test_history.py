import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localai_app.chat.conversation import (
    AnswerRecord,
    Conversation,
    GenerationStats,
    Message,
    Parameters,
    Role,
    Status,
)
from localai_app.chat.history import History, Interrupted
from localai_app.errors import NotFound, UsageError
from localai_app.store import leases
from localai_app.store.database import Database
from tests.decrypted import decrypted

KEY = bytes(range(32))
ANY_TEXT = st.text(st.characters(codec=None))
STATS = GenerationStats(12, 4, 30, 0.25, 1.5, "end")
RECORD = AnswerRecord(
    model_name="SmolLM2",
    model_sha256="ab" * 32,
    engine_build="b1",
    device="CPU",
    template_sha256="cd" * 32,
    prompt_hmac="ef" * 32,
    sampler={"temperature": 0.8, "top_k": 40, "seed": 7, "order": "top_k"},
    left_out=(3, 5),
)


class Clock:
    """Moves on by a second each time it is read."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "store.db", KEY)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(database: Database, clock: Clock) -> History:
    return History(database, clock)


def conversation(history: History, *texts: str, title: str = "") -> Conversation:
    """A conversation of finished messages: a question, its answer, a question …"""
    with history.transaction():
        made = history.create(title)
        leaf: int | None = None
        for number, text in enumerate(texts):
            if number % 2:
                leaf = history.add_answer(made.id, leaf)
                history.finish(leaf, text, Status.COMPLETE)
            else:
                leaf = history.add_question(made.id, leaf, text)
    return history.conversation(made.id)


def shown(history: History, conversation_id: int) -> list[Message]:
    return history.path(history.conversation(conversation_id).leaf_id)


def do(history: History, act: Callable[..., object], *given: object) -> None:
    with history.transaction():
        act(*given)


# -- conversations ---------------------------------------------------------------------------------


def test_conversation_comes_back_as_it_was_made(history: History) -> None:
    parameters = Parameters(temperature=0.2, seed=5, overflow="drop_oldest")
    with history.transaction():
        made = history.create("Leave", "Be brief.", parameters)
    assert history.conversation(made.id) == made
    assert (made.title, made.system_prompt, made.parameters) == ("Leave", "Be brief.", parameters)
    assert (made.leaf_id, made.trashed, made.model_sha256) == (None, None, "")
    assert history.path(made.leaf_id) == []


def test_changes_of_a_conversation_are_kept(history: History) -> None:
    made = conversation(history)
    do(history, history.rename, made.id, "  Two\nlines\x02 ")
    do(history, history.set_system_prompt, made.id, "Be\nlong.")
    do(history, history.set_parameters, made.id, Parameters(top_k=3))
    found = history.conversation(made.id)
    assert (found.title, found.system_prompt, found.parameters) == (
        "Two lines",
        "Be\nlong.",
        Parameters(top_k=3),
    )


def test_list_begins_with_the_one_that_last_got_a_message(history: History) -> None:
    first, second, third = (conversation(history, "hi").id for _ in range(3))
    do(history, history.add_question, first, None, "more")
    do(history, history.rename, second, "renamed")  # no reason to move it
    assert [found.id for found in history.conversations()] == [first, third, second]
    assert [found.id for found in history.conversations(limit=1, offset=1)] == [third]


def test_trash_hides_and_restore_brings_back(history: History) -> None:
    made = conversation(history, "hi")
    do(history, history.trash, made.id)
    assert history.conversations() == []
    (found,) = history.conversations(trashed=True)
    assert found.trashed is not None
    do(history, history.restore, made.id)
    assert history.conversations() == [made]


def test_every_conversation_has_its_own_content_key(history: History) -> None:
    keys = {history.content_key(conversation(history).id) for _ in range(3)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 3


def test_what_does_not_exist_is_not_found(history: History) -> None:
    with history.transaction():
        for act in (
            lambda: history.conversation(1),
            lambda: history.content_key(1),
            lambda: history.rename(1, "x"),
            lambda: history.trash(1),
            lambda: history.delete(1),
            lambda: history.add_question(1, None, "x"),
            lambda: history.message(1),
            lambda: history.path(1),
            lambda: history.show_branch(1),
            lambda: history.set_feedback(1, 1),
            lambda: history.reopen(1),
            lambda: history.finish(1, "", Status.COMPLETE),
        ):
            with pytest.raises(NotFound) as caught:
                act()
            assert caught.value.hint


def test_writing_outside_a_transaction_is_our_own_bug(history: History) -> None:
    with pytest.raises(AssertionError):
        history.create()


# -- messages --------------------------------------------------------------------------------------


def test_path_runs_from_the_first_message_to_the_last(history: History) -> None:
    made = conversation(history, "one", "two", "three")
    path = shown(history, made.id)
    assert [message.text for message in path] == ["one", "two", "three"]
    assert [message.role for message in path] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert [message.parent_id for message in path] == [None, path[0].id, path[1].id]
    assert history.message(path[1].id) == path[1]


def test_long_conversation_can_be_read_and_erased(history: History, database: Database) -> None:
    made = conversation(history, *(f"message {number}" for number in range(1500)))
    assert len(shown(history, made.id)) == 1500
    do(history, history.delete, made.id)
    assert history.search("message") == []
    assert database.check() == []


def test_finished_answer_has_its_record_stats_and_model(history: History) -> None:
    made = conversation(history, "hi")
    with history.transaction():
        answer = history.add_answer(made.id, made.leaf_id)
        history.finish(answer, "hello", Status.COMPLETE, stats=STATS, record=RECORD)
    found = history.message(answer)
    assert (found.text, found.status, found.stats, found.record) == ("hello", Status.COMPLETE, STATS, RECORD)
    assert history.conversation(made.id).model_sha256 == RECORD.model_sha256


def test_failed_answer_keeps_its_text_and_says_why(history: History) -> None:
    made = conversation(history, "hi")
    with history.transaction():
        answer = history.add_answer(made.id, made.leaf_id)
        history.finish(answer, "hel", Status.FAILED, error="The engine ended.")
    found = history.message(answer)
    assert (found.text, found.status, found.error) == ("hel", Status.FAILED, "The engine ended.")


def test_continued_answer_keeps_text_and_record_until_it_ends_again(history: History) -> None:
    made = conversation(history, "hi")
    with history.transaction():
        answer = history.add_answer(made.id, made.leaf_id)
        history.finish(answer, "hel", Status.STOPPED, stats=STATS, record=RECORD)
    do(history, history.reopen, answer)
    found = history.message(answer)
    assert (found.text, found.status, found.record) == ("hel", Status.GENERATING, RECORD)
    with history.transaction():
        history.finish(answer, "hello", Status.FAILED, error="x")
    assert history.message(answer).record == RECORD


def test_answer_that_is_being_written_cannot_be_reopened(history: History) -> None:
    made = conversation(history, "hi")
    with history.transaction():
        answer = history.add_answer(made.id, made.leaf_id)
        with pytest.raises(UsageError, match="already"):
            history.reopen(answer)


def test_feedback_is_kept_changed_and_taken_back(history: History) -> None:
    made = conversation(history, "hi", "hello")
    assert made.leaf_id is not None
    for value in (1, -1, 0, 0, 1):
        do(history, history.set_feedback, made.leaf_id, value)
        assert history.message(made.leaf_id).feedback == value


def test_message_cannot_hang_on_another_conversations_message(history: History) -> None:
    one, other = conversation(history, "hi"), conversation(history, "hi")
    with pytest.raises(Exception, match="FOREIGN KEY"):
        do(history, history.add_question, one.id, other.leaf_id, "x")


def test_long_and_odd_texts_come_back_whole(history: History) -> None:
    for text in ("x" * 3_000_000, "a\0b\x02c\x03", "😀" * 100, "e\u0301\u200d\ufeff", ""):
        made = conversation(history, text)
        assert shown(history, made.id)[0].text == text
    assert shown(history, conversation(history, "half \ud83d").id)[0].text == "half ?"


# -- the tree --------------------------------------------------------------------------------------


class Tree:
    """What the store should hold, in the plainest form."""

    def __init__(self) -> None:
        self.messages: dict[int, tuple[int | None, Role, str]] = {}
        self.leaf: int | None = None

    def add(self, message_id: int, parent_id: int | None, role: Role, text: str) -> None:
        self.messages[message_id] = (parent_id, role, text)
        self.leaf = message_id

    def path(self) -> list[int]:
        path, at = [], self.leaf
        while at is not None:
            path.append(at)
            at = self.messages[at][0]
        return path[::-1]

    def siblings(self, message_id: int) -> tuple[int, ...]:
        parent, role, _ = self.messages[message_id]
        return tuple(m for m, (p, r, _) in sorted(self.messages.items()) if (p, r) == (parent, role))

    def newest_under(self, message_id: int) -> int:
        under = {message_id}
        for child in sorted(self.messages):
            if self.messages[child][0] in under:
                under.add(child)
        return max(under)

    def of(self, role: Role) -> list[int]:
        return [m for m, (_, r, _) in sorted(self.messages.items()) if r is role]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["send", "regenerate", "edit", "show", "delete other"]), st.integers(0, 99), st.text()
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[History]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "store.db", KEY)
        yield History(database)
        database.close()


def test_siblings_are_of_one_role(history: History) -> None:
    made = conversation(history)
    with history.transaction():
        question = history.add_question(made.id, None, "hi")
        answer = history.add_answer(made.id, None)
    assert history.message(question).sibling_ids == (question,)
    assert history.message(answer).sibling_ids == (answer,)


@given(acts=ACTS)
@settings(max_examples=60, deadline=None)
def test_tree_of_messages_is_what_a_person_did(shared: History, acts: list[tuple[str, int, str]]) -> None:
    tree = Tree()
    with shared.transaction():
        made = shared.create()

    def ask(parent: int | None, text: str) -> None:
        question = shared.add_question(made.id, parent, text)
        tree.add(question, parent, Role.USER, text)
        answer(question, text)

    def answer(question: int, text: str) -> None:
        message_id = shared.add_answer(made.id, question)
        shared.finish(message_id, text[::-1], Status.COMPLETE)
        tree.add(message_id, question, Role.ASSISTANT, text[::-1])

    for act, number, text in acts:
        with shared.transaction():
            if act == "send" or not tree.messages:
                ask(tree.leaf, text)
            elif act == "regenerate":
                chosen = tree.of(Role.ASSISTANT)[number % len(tree.of(Role.ASSISTANT))]
                question = tree.messages[chosen][0]
                assert question is not None
                answer(question, text)
            elif act == "edit":
                chosen = tree.of(Role.USER)[number % len(tree.of(Role.USER))]
                ask(tree.messages[chosen][0], text)
            elif act == "show":
                chosen = sorted(tree.messages)[number % len(tree.messages)]
                tree.leaf = tree.newest_under(chosen)
                assert shared.show_branch(chosen) == tree.leaf
            else:
                other = shared.create()
                shared.add_question(other.id, None, text)
                shared.delete(other.id)
        path = shown(shared, made.id)
        assert [message.id for message in path] == tree.path()
        for message in path:
            assert (message.parent_id, message.role, message.text) == tree.messages[message.id]
            assert message.sibling_ids == tree.siblings(message.id)
            place, count = message.branch
            assert message.sibling_ids[place - 1] == message.id
            assert count == len(message.sibling_ids)


# -- leases ----------------------------------------------------------------------------------------


def test_progress_is_saved_and_stays_out_of_the_search_until_the_end(history: History) -> None:
    made = conversation(history, "hi")
    with history.transaction():
        answer = history.add_answer(made.id, made.leaf_id)
    with history.transaction():
        assert history.save_progress(answer, "walrus")
    assert (history.message(answer).text, history.message(answer).status) == ("walrus", Status.GENERATING)
    assert history.search("walrus") == []
    do(history, history.finish, answer, "walruses", Status.STOPPED)
    assert [hit.message_id for hit in history.search("walrus")] == [answer]


def test_a_title_keeps_the_joiners_that_words_and_emoji_are_written_with(history: History) -> None:
    title = "می\u200cخواهم 👩\u200d⚕️"
    with history.transaction():
        assert history.create(f" {title}\u202e\n").title == title


def test_answer_of_a_live_process_is_left_alone_however_late(history: History, clock: Clock) -> None:
    made = conversation(history, "hi")
    do(history, history.add_answer, made.id, made.leaf_id)
    clock.time += timedelta(days=1)
    with history.transaction():
        assert history.interrupt_expired() == []


def test_answer_of_an_unseen_process_is_interrupted_when_its_lease_has_run_out(
    history: History, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = conversation(history, "hi")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(leases, "this_process", lambda: "elsewhere|1|0.0")
        with history.transaction():
            answer = history.add_answer(made.id, made.leaf_id)
            history.save_progress(answer, "so far")
    with history.transaction():
        assert history.interrupt_expired() == []
    clock.time += timedelta(seconds=leases.LEASE_SECONDS)
    with history.transaction():
        assert history.interrupt_expired() == [Interrupted(answer, made.id)]
        assert history.interrupt_expired() == []
    found = history.message(answer)
    assert (found.text, found.status) == ("so far", Status.INTERRUPTED)
    with history.transaction():
        assert not history.save_progress(answer, "late")
    assert [hit.message_id for hit in history.search("far")] == [answer]


WRITER = """
import sys
from pathlib import Path
from localai_app.chat.history import History
from localai_app.store.database import Database
history = History(Database.open(Path(sys.argv[1]), bytes(range(32))))
with history.transaction():
    made = history.create("Killed")
    question = history.add_question(made.id, None, "typed by a person")
    answer = history.add_answer(made.id, question)
text = ""
while True:
    text += "word "
    with history.transaction():
        history.save_progress(answer, text)
    print(len(text), flush=True)
"""


def test_answer_of_a_killed_process_is_interrupted_at_once_and_keeps_what_was_saved(
    history: History, database: Database
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database.path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) > 100:
            break
    child.kill()
    saved = max([100, *(int(line) for line in child.stdout)])
    child.stdout.close()
    child.wait()
    with history.transaction():
        (interrupted,) = history.interrupt_expired()
    question, answer = shown(history, interrupted.conversation_id)
    assert question.text == "typed by a person"
    assert (answer.id, answer.status) == (interrupted.message_id, Status.INTERRUPTED)
    assert len(answer.text) >= saved
    assert database.check() == []


# -- erasing ---------------------------------------------------------------------------------------


def test_delete_erases_everything_of_a_conversation_and_nothing_else(
    history: History, database: Database
) -> None:
    doomed = conversation(history, "walrus question", "walrus answer", title="walrus")
    other = conversation(history, "penguin question", "penguin answer", title="penguin")
    assert doomed.leaf_id is not None
    do(history, history.set_feedback, doomed.leaf_id, 1)
    key = history.content_key(doomed.id)
    assert b"walrus" in decrypted(database.path, KEY)
    assert key in decrypted(database.path, KEY)
    do(history, history.delete, doomed.id)
    assert history.conversations() == [other]
    assert history.search("walrus") == []
    assert len(history.search("penguin")) == 2
    for table in ("answer_record", "feedback"):
        assert not database.rows(f"SELECT * FROM {table} WHERE message_id = ?", [doomed.leaf_id])
    for index in ("message_search", "conversation_search"):
        database.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
    assert database.check() == []

    # Freed pages and the log.
    assert b"walrus" not in decrypted(database.path, KEY)
    assert key not in decrypted(database.path, KEY)
    # The store written out in plain: neither text, nor a word of the index, nor the key.
    plain = database.path.with_name("plain.db")
    with database._connection() as connection:
        connection.execute("ATTACH DATABASE ? AS plain KEY ''", [str(plain)])
        connection.execute("SELECT sqlcipher_export('plain')").fetchall()
        connection.execute("DETACH DATABASE plain")
    content = plain.read_bytes()
    assert b"walrus" not in content
    assert key not in content
    assert b"penguin question" in content


def test_index_is_in_step_with_the_texts_after_every_kind_of_change(
    history: History, database: Database
) -> None:
    made = conversation(history, "one", "two", title="title")
    assert made.leaf_id is not None
    do(history, history.rename, made.id, "other title")
    do(history, history.reopen, made.leaf_id)
    do(history, history.save_progress, made.leaf_id, "two three")
    do(history, history.finish, made.leaf_id, "two three four", Status.COMPLETE)
    do(history, history.finish, made.leaf_id, "five", Status.COMPLETE)
    conversation(history, "marks \x02 and \x03")
    with history.transaction():
        history.add_answer(made.id, made.leaf_id)
    for index in ("message_search", "conversation_search"):
        database.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
    assert [len(history.search(word)) for word in ("two", "three", "five", "other")] == [0, 0, 1, 1]


# -- search ----------------------------------------------------------------------------------------


def found(history: History, query: str) -> list[str]:
    return [hit.snippet for hit in history.search(query)]


def test_search_finds_all_words_and_the_beginning_of_the_last(history: History) -> None:
    made = conversation(history, "How much annual leave is there?", "Twenty-five days.", title="Leave")
    (hit,) = history.search("annual lea")
    assert hit.snippet == "How much \x02annual\x03 \x02leave\x03 is there?"
    assert (hit.conversation_id, hit.conversation_title, hit.role) == (made.id, "Leave", Role.USER)
    assert found(history, "annual days") == []
    assert found(history, "ann leave") == []
    assert found(history, "five") == ["Twenty-\x02five\x03 days."]


def test_search_ignores_case_and_accents(history: History) -> None:
    conversation(history, "Résumé of Ångström")
    assert len(found(history, "RESUME angstrom")) == 1


def test_search_finds_scripts_without_spaces_and_signs(history: History) -> None:
    conversation(history, "私は東京に住んでいます", "f(x) -> y costs 100% of a_b")
    assert found(history, "東京") == ["私は\x02東京\x03に住んでいます"]
    assert len(found(history, "->")) == 1
    assert len(found(history, "costs ->")) == 1
    assert found(history, "costs =>") == []
    assert found(history, "%%") == []


def test_search_finds_titles_too_but_names_no_conversation_twice(history: History) -> None:
    by_title = conversation(history, "hello", title="Quarterly report")
    both = conversation(history, "the quarterly report", title="Quarterly report 2")
    empty = conversation(history, title="Quarterly 東京")
    hits = history.search("quarterly")
    assert hits[0].conversation_id == both.id
    assert {hit.conversation_id: hit.message_id for hit in hits} == {
        by_title.id: by_title.leaf_id,
        both.id: both.leaf_id,
        empty.id: 0,
    }
    assert [hit.snippet for hit in history.search("東京")] == ["Quarterly \x02東京\x03"]


def test_search_leaves_out_the_trash(history: History) -> None:
    made = conversation(history, "walrus 東京", title="walrus")
    do(history, history.trash, made.id)
    assert history.search("walrus") == []
    assert history.search("東京") == []
    do(history, history.restore, made.id)
    assert len(history.search("walrus")) == 1


def test_search_stops_at_its_limit(history: History) -> None:
    conversation(history, *["walrus"] * 10)
    assert len(history.search("walrus", limit=3)) == 3


def test_marks_in_a_text_are_not_taken_for_found_words(history: History) -> None:
    conversation(history, "\x02fake\x03 walrus -> x")
    assert found(history, "walrus") == [" fake  \x02walrus\x03 -> x"]
    assert found(history, "->") == [" fake  walrus \x02->\x03 x"]


@given(text=ANY_TEXT, query=ANY_TEXT)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_query_is_answered_over_any_text(shared: History, text: str, query: str) -> None:
    with shared.transaction():
        made = shared.create(text)
        shared.add_question(made.id, None, text)
        for words in (query, text, f'{query}"*', f"text:{query}", f"NEAR({query})"):
            for hit in shared.search(words):
                assert hit.snippet.count("\x02") == hit.snippet.count("\x03")
        shared.delete(made.id)


@given(
    words=st.lists(st.text("abcdeéñüß0123", min_size=1, max_size=6), min_size=1, max_size=8), data=st.data()
)
@settings(deadline=None)
def test_every_word_of_a_message_finds_it(shared: History, words: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.permutations(words))[: data.draw(st.integers(1, len(words)))]
    with shared.transaction():
        made = shared.create()
        message = shared.add_question(made.id, None, ", ".join(words))
        assert message in [hit.message_id for hit in shared.search(" ".join(wanted), limit=1000)]
        shared.delete(made.id)
