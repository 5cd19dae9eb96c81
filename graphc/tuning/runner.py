"""Running candidates in a process of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes.cost_model import Rates
from graphc.runtime.worker_process import RequestError, WorkerProcess
from graphc.tuning.space import Choice
from graphc.tuning.statistics import Times
from graphc.tuning.trial import STATUSES, Facts, RejectedError, Status

TIMEOUT = 120.0
"""The seconds that a candidate may take to compile and be checked, or to be measured."""


START_TIMEOUT = 300.0
"""The seconds that the process may take to start and to read the job."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is given to measure.

    Attributes:
        kind: ``pipeline`` or ``kernel``.
        graphs: The graph of each number of steps per dispatch.
        target: The target.
        clock: What times it: a key of `graphc.tuning.cases.CLOCKS`.
        memory: The bytes that a candidate may need; None for any number.
        rates: The device's speed, for predictions; None for none.
        load: Modules of the user's to import, which register passes and ops.
        reference: The pipeline whose results count for graphs that are too large for
            the evaluator.
    """

    kind: str
    graphs: Mapping[int, Graph]
    target: str
    clock: str = "wall"
    memory: int | None = None
    rates: Rates | None = None
    load: Sequence[str] = ()
    reference: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The job as a request holds it."""
        return {
            "kind": self.kind,
            "graphs": {str(steps): str(graph) for steps, graph in self.graphs.items()},
            "target": self.target,
            "clock": self.clock,
            "memory": self.memory,
            "rates": None if self.rates is None else asdict(self.rates),
            "load": list(self.load),
            "reference": self.reference,
        }


class WorkerRunner:
    """Compiles, checks and times choices in a worker, which is started anew if it ends.

    Args:
        job: What is tuned.
        describe: What the worker needs to know of a choice.
        timeout: The seconds that one request may take.

    Example:
        with WorkerRunner(job, space.program_of) as runner:
            outcome = Search(space.space, runner, strategy).run()
    """

    def __init__(
        self,
        job: Job,
        describe: Callable[[Choice], dict[str, Any]],
        timeout: float = TIMEOUT,
    ) -> None:
        self._job = job.to_json()
        self._describe = describe
        self._timeout = timeout
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew(self) -> None:
        """Ends the process; the next request starts another."""
        self.close()

    def close(self) -> None:
        """Ends the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def facts(self, choice: Choice) -> Facts:
        return Facts(**self._request("facts", program=self._describe(choice)))

    def prepare(self, choice: Choice) -> None:
        name, program = " ".join(choice), self._describe(choice)
        self._request("prepare", name=name, program=program)

    def measure(
        self, candidate: Choice, incumbent: Choice, rounds: int
    ) -> tuple[Times, Times]:
        for choice in (incumbent, candidate):
            if not self._request("holds", name=" ".join(choice)):
                self.prepare(choice)
        mine, theirs = self._request(
            "measure",
            candidate=" ".join(candidate),
            incumbent=" ".join(incumbent),
            rounds=rounds,
        )
        return mine, theirs

    def _request(self, call: str, **arguments: Any) -> Any:
        """The worker's answer.

        Raises:
            RejectedError: If it refuses, or does not answer.
        """
        worker = self._running()
        with _watched(worker, self._timeout) as late:
            try:
                return worker.request(call, **arguments)
            except RequestError as error:
                raise RejectedError(_status(error), error.message) from error
            except GraphcError as error:
                self.close()
                if late.is_set():
                    reason = f"it took more than {self._timeout:g} s"
                    raise RejectedError("timeout", reason) from error
                raise RejectedError("crashed", error.message) from error

    def _running(self) -> WorkerProcess:
        if self._worker is None:
            title = "candidates"
            self._worker = WorkerProcess("graphc.tuning.worker", title, {})
            try:
                with _watched(self._worker, START_TIMEOUT):
                    self._worker.request("open", job=self._job)
            except (RequestError, GraphcError) as error:
                self.close()
                raise GraphcError(
                    f"nothing can be measured for {self._job['target']} here",
                    received=error.message[:500],
                    hint="what is tuned elsewhere is used by `graphc compile --lock`",
                ) from error
        return self._worker


def _status(error: RequestError) -> Status:
    statuses: dict[str | None, Status] = {status: status for status in STATUSES}
    return statuses.get(error.details, "failed")


@contextmanager
def _watched(worker: WorkerProcess, seconds: float) -> Iterator[threading.Event]:
    """Ends a worker that is still busy after some time; the event says so."""
    late = threading.Event()

    def end() -> None:
        late.set()
        os.kill(worker.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
