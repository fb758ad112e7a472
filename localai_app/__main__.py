"""Where every process of the app begins: window, command line or child."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from localai_app.paths import Paths
    from localai_app.processes import ChildIO

# Every import stands inside a function: a child confines itself before it loads anything else, and a
# command line loads no window.


def main() -> int:
    """Run what the command line asks for; the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--child"]:
        return _run_child(*arguments[1:])
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while all is loaded; from then on the command line takes it
        return 130


def _run(arguments: list[str]) -> int:
    from localai_app.processes import start_spawner  # noqa: PLC0415 - see above

    start_spawner()
    from localai_app import cli, paths, sandbox  # noqa: PLC0415 - see above

    paths.keep_caches_portable()
    if not _display_is_remote():
        sandbox.refuse_network()
    return cli.main(arguments, _open_window)


def _open_window(paths: "Paths", files: "list[Path]") -> int:
    from localai_app import sandbox  # noqa: PLC0415 - see above
    from localai_app.app import open_app  # noqa: PLC0415 - see above
    from localai_app.ui.application import run  # noqa: PLC0415 - see above

    return run(paths, open_app, files, connected=sandbox.refuse_network)


def _display_is_remote() -> bool:
    """Whether the window appears on a display that is reached over TCP (``ssh -X``): that connection
    must stand before the network is refused."""
    host = os.environ.get("DISPLAY", "").partition(":")[0]
    return host not in ("", "unix")


def _run_child(role: str, confinement: str) -> int:
    from localai_app.processes import run_child  # noqa: PLC0415 - see above

    roles = {
        "engine": _engine,
        "template": _template,
        "header": _header,
        "reader": _reader,
        "puller": _puller,
    }
    return run_child(confinement, roles[role])


def _engine(io: "ChildIO") -> int:
    from localai_app.engine.worker.main import main  # noqa: PLC0415 - see above

    return main(io)


def _template(io: "ChildIO") -> int:
    from localai_app.engine.worker.chat_template import main  # noqa: PLC0415 - see above

    return main(io)


def _header(io: "ChildIO") -> int:
    from localai_app.models.header_child import main  # noqa: PLC0415 - see above

    return main(io)


def _reader(io: "ChildIO") -> int:
    from localai_app.documents.reader_child import main  # noqa: PLC0415 - see above

    return main(io)


def _puller(io: "ChildIO") -> int:
    from localai_app.models.hub import main  # noqa: PLC0415 - see above

    return main(io)


if __name__ == "__main__":
    sys.exit(main())
