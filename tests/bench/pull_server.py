"""A hub with one file, as fast as the system sends: ``python -m tests.bench.pull_server FILE SHA256``.

Prints its URL. Speaks as much of the hub's protocol as fetching takes.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATH, SHA256 = Path(sys.argv[1]), sys.argv[2]
SIZE = PATH.stat().st_size


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quietly."""

    def do_HEAD(self) -> None:
        """The metadata of the file."""
        host, port = self.server.server_address[:2]
        name = self.path.replace(f"/resolve/{COMMIT}", "")
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Size": str(SIZE), "X-Linked-Etag": f'"{SHA256}"'}
        self.begin(200, {**headers, "Content-Length": str(SIZE), "X-Name": f"{host}:{port}{name}"})

    def do_GET(self) -> None:
        """The repository, or the bytes."""
        if self.path.startswith("/api/"):
            siblings = [
                {
                    "rfilename": PATH.name,
                    "size": SIZE,
                    "lfs": {"sha256": SHA256, "size": SIZE, "pointerSize": 1},
                }
            ]
            body = json.dumps(
                {"id": "maker/model-GGUF", "sha": COMMIT, "tags": [], "siblings": siblings}
            ).encode()
            self.begin(200, {"Content-Length": str(len(body))})
            self.wfile.write(body)
            return
        self.begin(200, {"Content-Length": str(SIZE)})
        self.wfile.flush()
        with PATH.open("rb") as file:
            sent = 0
            while sent < SIZE:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, SIZE - sent)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Status and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
