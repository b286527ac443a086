"""A Hugging Face hub on loopback: serves folders as repositories to the real client."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """`repos`: folder by id. `gated`: ids whose files need a token. `served`: paths of files that were sent.
    `failing`: the status that everything is answered with, if any. `breaking_off`: files end too early. `stalling`:
    called halfway through each weight file that is sent whole."""

    repos: Mapping[str, Path]
    gated: frozenset[str] = frozenset()
    token: str = "secret"
    served: list[str] = field(default_factory=list)
    endpoint: str = ""
    failing: int = 0
    breaking_off: bool = False
    stalling: Callable[[], object] | None = None


@contextmanager
def small_hub(hub: Hub) -> Iterator[Hub]:
    """Runs the hub and sets its `endpoint`."""

    class Handler(_Handler):
        shown = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    shown: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        if self.shown.failing:
            self._send(self.shown.failing, b"", {})
        elif path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/").partition("/revision/")[0].partition("/tree/"))
        else:
            self._file(path, body)

    def _describe(self, path: tuple[str, str, str]) -> None:
        repo, tree, _ = path
        folder = self.shown.repos.get(repo)
        if folder is None:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            return
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        names = [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]
        if tree:
            answer = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in names]
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
            return
        siblings = [{"rfilename": name, "size": size, "blobId": "0" * 40} for name, size in names]
        answer = {"id": repo, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False, "tags": []}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, path: str, body: bool) -> None:
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        file = self.shown.repos.get(repo, Path("/nowhere")) / name
        if repo in self.shown.gated and self.headers.get("authorization") != f"Bearer {self.shown.token}":
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        elif not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self._content(name, file.read_bytes(), body)

    def _content(self, name: str, content: bytes, body: bool) -> None:
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        span = self.headers.get("range")
        if body and not span:
            self.shown.served.append(name)
        if body and span:
            first, _, last = span.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1 if last else None]
        self._send(206 if span else 200, content, headers, body, stalling=name.endswith(".safetensors") and not span)

    def _send(
        self, status: int, content: bytes, headers: Mapping[str, str], body: bool = True, stalling: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            whole = not (self.shown.breaking_off and "X-Repo-Commit" in headers)
            half = len(content) // 2
            self.wfile.write(content[:half])
            if stalling and self.shown.stalling:
                self.shown.stalling()
            self.wfile.write(content[half:] if whole else b"")
            self.close_connection = not whole
