"""A web server and a mail server that keep what they are sent, for tests."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """Answers every POST with `status` after `seconds`.

    `got`: headers and body of all it was sent; `taken`: keys of what it did not refuse.
    """

    def __init__(self) -> None:
        self.status = 204
        self.seconds = 0.0
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((dict(self.headers), body))
                status = web.status
                time.sleep(web.seconds)
                if status < 300:
                    web.taken.append(self.headers["Idempotency-Key"])
                self.send_response(status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: tests look at `got`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=hush"

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _ in self.got]


class Mail:
    """Takes every mail but those for addresses that begin with `nobody`."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[EmailMessage] = []
        post = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line: str) -> None:
                self.wfile.write(line.encode() + b"\r\n")

            def handle(self) -> None:
                self.say("220 test")
                while line := self.rfile.readline().decode().strip():
                    verb = line.split(":")[0].upper()
                    if verb == "RCPT TO" and "<nobody" in line:
                        self.say("550 no such person")
                    elif verb == "DATA":
                        self.say("354 go on")
                        lines: list[str] = []
                        while (text := self.rfile.readline().decode()) != ".\r\n":
                            lines.append(text)
                        mail = message_from_string("".join(lines), policy=policy.default)
                        assert isinstance(mail, EmailMessage)
                        post.got.append(mail)
                        self.say("250 taken")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def ids(self) -> list[str]:
        return [mail["Message-ID"] for mail in self.got]


@contextmanager
def serving(one: Web | Mail) -> Iterator[None]:
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()
