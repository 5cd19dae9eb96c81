"""Candidates on other machines: runners on a Ray cluster (the extra ``cluster``).

The only file that imports Ray. A task goes to one machine of the cluster as a whole: what
different machines measure cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Self

from graphc.ir.errors import GraphcError, UnsupportedError
from graphc.tuning.machine import device_name, is_device
from graphc.tuning.runner import Job, WorkerRunner
from graphc.tuning.space import Choice
from graphc.tuning.statistics import Times
from graphc.tuning.trial import Facts, RejectedError, Status

LOCAL = "local"
"""The address that stands for a cluster of this machine alone."""


class RemoteRunner:
    """What lives on the other machine: a runner, and answers that travel.

    Args:
        job: What is tuned.
        device: The name of the device that it must be measured on.
        timeout: The seconds that one request may take.
    """

    def __init__(self, job: Job, device: str, timeout: float) -> None:
        found = device_name(job.target)
        if not is_device(found, device):
            raise GraphcError("the cluster has another device", received=found)
        self._programs: dict[Choice, dict[str, Any]] = {}
        self._runner = WorkerRunner(job, self._programs.__getitem__, timeout)

    def answer(
        self, call: str, programs: dict[Choice, dict[str, Any]], *arguments: Any
    ) -> tuple[Any, tuple[Status, str] | None]:
        """What the runner returns, or the status and reason of what it rejects."""
        self._programs.update(programs)
        try:
            return getattr(self._runner, call)(*arguments), None
        except RejectedError as error:
            return None, (error.status, error.message)

    def close(self) -> None:
        """Ends the worker process."""
        self._runner.close()


class ClusterRunner:
    """A runner whose candidates run on a machine of a Ray cluster.

    Args:
        address: The cluster's address; ``local`` starts one on this machine.
        job: What is tuned.
        device: The name of the device that it must be measured on.
        describe: What the worker needs to know of a choice.
        timeout: The seconds that one request may take.

    Raises:
        UnsupportedError: If Ray is not installed.
        GraphcError: If no machine of the cluster answers.
    """

    def __init__(
        self,
        address: str,
        job: Job,
        device: str,
        describe: Callable[[Choice], dict[str, Any]],
        timeout: float,
    ) -> None:
        self._ray = _ray(address)
        self._describe = describe
        remote = self._ray.remote(RemoteRunner)
        self._actor = remote.remote(job, device, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.kill(self._actor)

    def facts(self, choice: Choice) -> Facts:
        return self._ask("facts", choice)

    def prepare(self, choice: Choice) -> None:
        self._ask("prepare", choice)

    def measure(
        self, candidate: Choice, incumbent: Choice, rounds: int
    ) -> tuple[Times, Times]:
        return self._ask("measure", candidate, incumbent, rounds)

    def renew(self) -> None:
        self._ask("renew")

    def _ask(self, call: str, *arguments: Any) -> Any:
        choices = [each for each in arguments if isinstance(each, tuple)]
        programs = {choice: self._describe(choice) for choice in choices}
        try:
            found, rejected = self._ray.get(
                self._actor.answer.remote(call, programs, *arguments)
            )
        except self._ray.exceptions.RayError as error:
            raise GraphcError(
                "the cluster cannot measure candidates", received=str(error)[-500:]
            ) from error
        if rejected is not None:
            raise RejectedError(*rejected)
        return found


def _ray(address: str) -> Any:
    """Ray, connected to a cluster.

    Raises:
        UnsupportedError: If it is not installed.
        GraphcError: If there is no such cluster.
    """
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UnsupportedError(
            "a cluster needs Ray",
            received=str(error),
            hint="pip install 'graphc[cluster]'",
        ) from error
    if not ray.is_initialized():
        options: dict[str, Any] = {"address": address}
        if address == LOCAL:
            options |= {"num_cpus": 1, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, **options)
        except (ConnectionError, ValueError) as error:
            raise GraphcError(
                "there is no such cluster", received=str(error)[:200]
            ) from error
    return ray
