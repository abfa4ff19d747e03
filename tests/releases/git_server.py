"""A real `git http-backend` on loopback with one bare repository behind a token; pushes what a test wants."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.certificates import Pair

TOKEN = "ghp-canary-5f6071829a0a1b2c3d4e"


class GitServer:
    """`seen`: command lines of this machine that held the token while git asked. `read_only`: no push is taken. A
    push that has come sets `pushing`, and waits for `held`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self.seen: list[str] = []
        self.url = ""
        self.read_only = False
        self.pushing, self.held = threading.Event(), threading.Event()
        self.held.set()
        self.git(folder, "init", "-q", "--bare", "-b", "main", "repo.git")
        self.git(folder, "init", "-q", "-b", "main", "work")

    def git(self, where: Path, *words: str) -> str:
        names = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **names}
        done = subprocess.run(["git", *words], cwd=where, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes | Path], message: str = "change", branch: str = "main") -> str:
        """Replaces everything by `files` and pushes it. A path is a symbolic link to it."""
        self.git(self.work, "rm", "-rqf", "--ignore-unmatch", ".")
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git(self.work, "add", "-A")
        return self.push(message, branch)

    def push(self, message: str = "change", branch: str = "main") -> str:
        self.git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        self.git(self.work, "push", "-qf", str(self.folder / "repo.git"), f"HEAD:{branch}")
        return self.git(self.work, "rev-parse", "HEAD")


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    wanted = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen += [line for line in _command_lines() if TOKEN in line or wanted.partition(" ")[2] in line]
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command == "POST" and path.endswith("git-receive-pack"):
                server.pushing.set()
                server.held.wait(60)
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                **({} if server.read_only else {"REMOTE_USER": "x-access-token"}),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, timeout=60)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a fetch that is too large is cut
                self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _command_lines() -> Iterator[str]:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


@contextlib.contextmanager
def git_server(folder: Path, certificate: Pair | None = None) -> Iterator[GitServer]:
    """With a `certificate`, by https as the host git.example, which only a proxy knows."""
    folder.mkdir(parents=True, exist_ok=True)
    made = GitServer(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as http:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        host = "http://127.0.0.1" if certificate is None else "https://git.example"
        made.url = f"{host}:{http.server_address[1]}/repo.git"
        try:
            yield made
        finally:
            http.shutdown()
            thread.join(30)
