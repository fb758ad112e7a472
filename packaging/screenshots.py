"""Take the pictures of the README: the real window, the real starter model, a real store.

usage: screenshots.py [FOLDER]     (default: docs/screenshots)
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from localai_app.app import App, open_app
from localai_app.chat.conversation import Parameters
from localai_app.documents.document import Scope
from localai_app.paths import Paths
from localai_app.tasks.extract import ExtractOptions
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.run import RunState
from localai_app.ui.application import make_application, make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.theme import Mode, Theme

EARLIER = ("Explain Article 28 duties", "Draft a reply to the regulator", "Translate the consent form")
FIRST = "Why do hospitals keep patient data on site? Answer with a numbered list."
SECOND = "Write a short letter that tells a patient how long records are kept."
SEED, SHOWN = 4, 260
ASKED = "At what amount is the landlord's liability capped?"
CAP = "shall not exceed EUR 250,000"
_END = (
    "10. NOTICES\n\n10.1 Any notice under this lease shall be in writing and shall be deemed\n"
    "served two business days after posting."
)
LEASES = {
    "mill-lane.pdf": (
        "LEASE OF MILL LANE 4\n\nbetween Mill Lane Holdings as Landlord and Foundry Books as Tenant\n\n"
        "1. PREMISES\n\n1.1 The Landlord lets the ground floor and the yard of Mill Lane 4.",
        "9. LIABILITY\n\n9.3 The Landlord shall maintain the structure of the Premises in good repair\n"
        "and shall be answerable for defects notified under clause 6.\n\n"
        "9.4 Save for wilful misconduct and gross negligence, the Landlord's\n"
        f"aggregate liability {CAP} (two hundred and fifty thousand)\n"
        f"arising from any single event or series of connected events.\n\n{_END}",
    ),
    "harbour-street.pdf": (
        "LEASE OF HARBOUR STREET 12\n\n4. RENT\n\n4.1 The rent is EUR 4,200 per month.",
        _END,
    ),
    "station-road.pdf": ("LEASE OF STATION ROAD 1\n\n5. TERM\n\n5.1 The term is five years.", _END),
    "quay-west.pdf": ("LEASE OF QUAY WEST\n\n3. USE\n\n3.1 The Tenant may use it as an office.", _END),
}
INVOICES = {
    "coffee-house.pdf": ("Coffee House Ltd", "2026-11-02", "84.90"),
    "printworks.pdf": ("Printworks GmbH", "2026-10-17", "1,249.00"),
    "river-power.pdf": ("River Power S.A.", "2026-11-01", "4,018.22"),
    "office-supplies.pdf": ("Office Supplies B.V.", "2026-10-05", "612.40"),
}
INVOICE_FIELDS = (
    Field("supplier", "Supplier", description="Who sends the invoice", required=True),
    Field("date", "Date", FieldType.DATE, "The day the invoice was issued", required=True),
    Field("total", "Total", FieldType.AMOUNT, "What is to be paid in all", required=True),
)
MODES: tuple[Mode, ...] = ("light", "dark")


def main() -> None:
    """Take every picture in both themes."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    application = make_application(["screenshots"])
    models = Paths.for_user().models
    for mode in MODES:
        with tempfile.TemporaryDirectory() as base:
            paths = Paths(Path(base) / "data", Path(base) / "config", Path(base) / "cache", models)
            with open_app(paths) as app:
                take(application, app, mode, folder)


def take(application: QApplication, app: App, mode: Mode, folder: Path) -> None:
    """The pictures of one theme."""
    for title in EARLIER:
        app.chat.rename(app.chat.create().id, title)
    app.settings.set("ui.theme", mode)
    app.settings.set("ui.welcomed", True)
    theme, jobs = Theme(application), Jobs()
    window = make_window(app, theme, jobs)
    theme.set_mode(mode)
    window.resize(1280, 820)
    window.show()
    window.load()
    pause(2500)
    save(window, folder / f"start-{mode}.png")
    page = window.chat_page
    conversation = app.chat.create()
    app.chat.set_parameters(conversation.id, Parameters(temperature=0.3, seed=SEED))
    page.open(conversation.id)
    until(lambda: page.current_id == conversation.id)
    page.send(FIRST)
    until(lambda: page.generating)
    until(lambda: not page.generating)
    page.send(SECOND)
    until(lambda: page.generating)
    length = len(page.transcript.toPlainText())
    until(lambda: len(page.transcript.toPlainText()) > length + SHOWN)
    save(window, folder / f"chat-{mode}.png")
    page.stop()
    until(lambda: not page.generating)
    take_documents(window, app, mode, folder)
    take_tasks(window, app, mode, folder)
    window.show_models()
    models = window.models_page
    assert models is not None
    until(lambda: bool(models.installed.models))
    models.installed.choose(next(iter(models.installed.models)))
    save(window, folder / f"models-{mode}.png")
    window.show_catalogue()
    until(lambda: bool(models.catalogue.offers))
    models.catalogue.view.choose(next(iter(models.catalogue.offers)))
    save(window, folder / f"catalogue-{mode}.png")
    window.close()
    jobs.close()


def take_documents(window: MainWindow, app: App, mode: Mode, folder: Path) -> None:
    """The Documents page, with a question, its answer and the page that it cites."""
    with tempfile.TemporaryDirectory() as base:
        files = [Path(base) / name for name in LEASES]
        for path in files:
            path.write_bytes(pdf(LEASES[path.name]))
        collection = app.documents.create_collection("Leases 2026")
        app.documents.add(files, collection.id)
        app.documents.resume()
        app.documents.wait()
        window.show_documents()
        page = window.documents_page
        assert page is not None
        until(lambda: bool(page.sidebar.collections.collections))
        page.sidebar.choose_collection(collection.id)
        until(lambda: len(page.sidebar.documents.documents) == len(LEASES))
        page.ask.pane.send(ASKED)
        until(lambda: page.ask.pane.generating)
        until(lambda: not page.ask.pane.generating)
        passage = app.documents.search(ASKED, limit=1)[0]
        start = passage.start + passage.text.index(CAP)
        page.open_document(passage.document_id, passage.page, (start, start + len(CAP)))
        until(lambda: page.view.canvas.image is not None)
        save(window, folder / f"documents-{mode}.png")
        page.view.show_model(True)
        save(window, folder / f"documents-model-{mode}.png")
        page.view.show_model(False)
        page.close_view()


def take_tasks(window: MainWindow, app: App, mode: Mode, folder: Path) -> None:
    """The Tasks page: before there is a task, with a new one, and with what came of it."""
    window.show_tasks()
    page = window.tasks_page
    assert page is not None
    until(page.home.cards.isVisible)
    save(window, folder / f"tasks-empty-{mode}.png")
    with tempfile.TemporaryDirectory() as base:
        files = [Path(base) / name for name in INVOICES]
        for path in files:
            path.write_bytes(pdf((invoice(*INVOICES[path.name]),)))
        collection = app.documents.create_collection("Invoices November")
        app.documents.add(files, collection.id)
        app.documents.resume()
        app.documents.wait()
        scope = Scope(collections=(collection.id,))
        page.begin(scope, "extract")
        new = page.new_task
        assert new is not None
        until(lambda: "about" in new.price.text())
        save(window, folder / f"tasks-new-{mode}.png")
        run = app.tasks.start("extract", ExtractOptions(INVOICE_FIELDS, title="Invoice"), scope)
        page.open_run(run)
        until(lambda: app.tasks.run(run.id).state is RunState.DONE)
        view = page.run_view
        assert view is not None
        until(lambda: view.run is not None and view.run.state is RunState.DONE)
        until(lambda: len(view.model.rows) == len(INVOICES))
        doubtful = next(row for row in view.model.rows if row.item.to_review)
        view.grid.choose(doubtful.item.id)
        view.panel.show_finding(doubtful.item.id, "total/0/")
        pause(1500)
        save(window, folder / f"tasks-{mode}.png")
        page.show_home()


def invoice(supplier: str, date: str, total: str) -> str:
    """The text of an invoice."""
    return (
        f"{supplier}\n\nINVOICE 2026-114\n\nDate: {date}\nTo: Foundry Books\n\n"
        f"Services in October                    {total}\n\nTotal EUR {total}\n\nPayable within 30 days."
    )


def pdf(pages: tuple[str, ...]) -> bytes:
    """A PDF of ``pages`` of plain Latin text."""
    objects = [b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>"]
    kids = []
    for text in pages:
        lines = [
            line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.split("\n")
        ]
        drawn = "BT /F 12 Tf 16 TL 72 760 Td\n" + "\n".join(f"({line}) Tj T*" for line in lines) + "\nET"
        stream = drawn.encode("latin-1")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 0000 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F 1 0 R >> >> >>" % len(objects)
        )
    root = len(objects) + 1
    objects.append(
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
    )
    objects.append(b"<< /Type /Catalog /Pages %d 0 R >>" % root)
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body.replace(b"/Parent 0000", b"/Parent %d" % root))
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, len(objects), len(made))
    )


def save(window: MainWindow, path: Path) -> None:
    """What the window shows now."""
    window.grab().save(str(path))
    sys.stderr.write(f"{path}\n")


def until(condition: Callable[[], bool]) -> None:
    """Let the window work until ``condition`` holds; give up after two minutes."""
    for _ in range(12_000):
        if condition():
            return
        pause(10)
    raise SystemExit("the window does not get there")


def pause(milliseconds: int) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
