"""Serve a web page that counts its readers in a redis, which it reaches by the name `redis`."""

from __future__ import annotations

import http.server
import socket


def redis(*words: str) -> int:
    """Send a command and return its answer, a number. The protocol: https://redis.io/docs/reference/protocol-spec"""
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("redis", 6379), timeout=5) as connection, connection.makefile("rb") as answers:
        connection.sendall(command.encode())
        answer = answers.readline().decode().strip()
    if not answer.startswith(":"):
        raise ConnectionError(f"redis said {answer!r}")
    return int(answer[1:])


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            code, text = 200, f"You are reader number {redis('INCR', 'readers')}.\n"
        except OSError as error:  # redis is starting, restarting, or on another network
            code, text = 503, f"Cannot count: {error}\n"
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    print("counting on port 8000", flush=True)
    http.server.ThreadingHTTPServer(("", 8000), Page).serve_forever()
