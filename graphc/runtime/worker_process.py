"""Processes that do what must not happen in this one, and how they are talked to.

A worker is a module that is run with ``python -m`` and calls `serve`. Requests and
answers are JSON objects on a socket. Unlike those of `multiprocessing`, a worker does not
import the program's main module, which need not be fit for that.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import IO, Any

from graphc.ir.errors import GraphcError

_LOG_LIMIT = 1 << 20


class RequestError(Exception):
    """What was asked for cannot be done.

    Attributes:
        message: Why, in one line.
        details: More about it, which may be several lines, or None.
    """

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class WorkerProcess:
    """A process that runs a module which serves requests, one at a time.

    Threads may share it.

    It ends when it is closed, when nothing refers to this object any more, or when this
    process ends in whatever way.

    Args:
        module: The module's name.
        title: What errors call the process, as in "Triton's interpreter".
        environment: What to add to the environment; all variables of Triton's own that
            this process has are left out.
    """

    def __init__(self, module: str, title: str, environment: Mapping[str, str]) -> None:
        self._title = title
        own, other = socket.socketpair()
        self._connection = Connection(own.detach())
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRITON_")}
        paths = os.pathsep.join(sys.path)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `_end` closes it
        self._log_start = 0
        self._lock = threading.Lock()
        self._later: deque[tuple[str, dict[str, Any]]] = deque()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", module, str(other.fileno())],
                env=inherited | {"PYTHONPATH": paths} | dict(environment),
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self._log,
            )
        held = (self._process, self._connection, self._log)
        self.close = weakref.finalize(self, _end, *held)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def request(
        self, call: str, descriptor: int | None = None, **arguments: Any
    ) -> Any:
        """What the worker's function `call` returns.

        Args:
            call: The key of the function among those that the worker serves.
            descriptor: A file descriptor that the function gets with `receive_file`.
            **arguments: The function's arguments, as JSON can hold them.

        Raises:
            RequestError: If the function raises it.
            GraphcError: If the process has ended.
        """
        with self._lock:
            while self._later:
                self._request(*self._later.popleft())
            return self._request(call, arguments, descriptor)

    def request_later(self, call: str, **arguments: Any) -> None:
        """Makes a request, without an answer, before the next one is made.

        Unlike `request` it may be called at any time: what Python collects as garbage
        while a request is being made may ask for something too.

        Args:
            call: The key of the function; it must not raise.
            **arguments: Its arguments.
        """
        self._later.append((call, arguments))

    def _request(
        self, call: str, arguments: dict[str, Any], descriptor: int | None = None
    ) -> Any:
        self._log_start = self._log_size()
        try:
            content = json.dumps({"call": call, "arguments": arguments})
            self._connection.send_bytes(content.encode())
            if descriptor is not None:
                send_handle(self._connection, descriptor, self._process.pid)
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise GraphcError(
                f"the process of {self._title} has ended: {self._ending()}",
                received=self.log() or None,
            ) from error
        except BaseException:  # an interrupt: the answer to come fits no later request
            self.close()
            raise
        if "error" in answer:
            raise RequestError(answer["error"], answer["details"])
        return answer["result"]

    def log(self) -> str:
        """The last lines that the process wrote to its standard error output.

        Only those since the last request, and at most 20.
        """
        if not self.close.alive:
            return ""
        content = os.pread(self._log.fileno(), _LOG_LIMIT, self._log_start)
        return "\n".join(content.decode(errors="replace").strip().splitlines()[-20:])

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size if self.close.alive else 0

    def _ending(self) -> str:
        if not self.close.alive:
            return "it was closed"
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _end(
    process: subprocess.Popen[bytes], connection: Connection, log: IO[bytes]
) -> None:
    connection.close()
    process.kill()
    process.wait()
    log.close()


def serve(make_calls: Callable[[Connection], Mapping[str, Callable[..., Any]]]) -> None:
    """Answers requests until the process that started this one closes the connection.

    Args:
        make_calls: Returns the functions that requests name. A `RequestError` of theirs
            is an answer; any other error ends the process.
    """
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=_watch, args=[connection], daemon=True).start()
    calls = make_calls(connection)
    with contextlib.suppress(EOFError):
        while True:
            request = json.loads(connection.recv_bytes())
            try:
                result = calls[request["call"]](**request["arguments"])
                answer = {"result": result}
            except RequestError as error:
                answer = {"error": error.message, "details": error.details}
            connection.send_bytes(json.dumps(answer).encode())


def receive_file(connection: Connection) -> int:
    """The file descriptor that came with a request."""
    return recv_handle(connection)


def _watch(connection: Connection) -> None:
    """Ends this process once the other end of the connection is closed."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLHUP)
    poll.poll()
    os._exit(0)
