"""Tuning a graph for a target: its pipeline, or the kernels it is lowered to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE
from graphc.files.lock import Key, Line, Lock, target_of
from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes import run
from graphc.passes.cost_model import Rates
from graphc.passes.inline import kernel_graphs
from graphc.runtime.calibration import read_rates
from graphc.runtime.targets import find_target
from graphc.runtime.triton_schedules import INTERPRETER, kernel_subject
from graphc.tuning.kernels import kernel_space
from graphc.tuning.locked import choice_of, graph_subject
from graphc.tuning.machine import conditions, device_name, versions
from graphc.tuning.pipelines import pipeline_space, relevant
from graphc.tuning.runner import TIMEOUT, Job, WorkerRunner
from graphc.tuning.search import Budget, Outcome, Runner, Search
from graphc.tuning.space import Choice, Space
from graphc.tuning.store import MeasurementStore, Subject
from graphc.tuning.strategies import make_strategy
from graphc.tuning.trial import Trial


@dataclass(frozen=True, slots=True)
class Settings:
    """How a search is done.

    Attributes:
        strategy: The name of the search strategy.
        budget: When it ends.
        seed: What it draws from.
        timeout: The seconds that a candidate may take to compile or be measured.
        memory: The bytes that a candidate may need; None for any number.
        clock: ``wall`` or ``cpu``.
        again: Whether what was measured before is measured again.
        load: Modules of the user's that register passes and ops.
    """

    strategy: str = "evolutionary"
    budget: Budget = field(default_factory=lambda: Budget(64))
    seed: int = 0
    timeout: float = TIMEOUT
    memory: int | None = None
    clock: str = "wall"
    again: bool = False
    load: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One kernel or graph to be tuned.

    Attributes:
        subject: What it is, on what device.
        space: What to choose from.
        job: What a worker measures.
        describe: What a worker needs to know of a choice.
    """

    subject: Subject
    space: Space
    job: Job
    describe: Callable[[Choice], dict[str, Any]]

    @property
    def about(self) -> Key:
        """What its line of a lock is about."""
        return self.subject.key, self.subject.shape, self.subject.device


class Open(Protocol):
    """Opens what measures the choices of a task."""

    def __call__(self, task: Task, timeout: float) -> AbstractContextManager[Runner]:
        """A runner, to be closed afterwards."""
        ...


def open_worker(task: Task, timeout: float) -> WorkerRunner:
    """A runner that measures in a process on this machine."""
    return WorkerRunner(task.job, task.describe, timeout)


def tasks_of(
    graphs: Mapping[int, Graph],
    target: str,
    sizes: Mapping[str, int],
    settings: Settings = Settings(),
    pipeline: str | None = None,
    precisions: Sequence[str] = ("float32",),
) -> list[Task]:
    """What there is to tune about a graph on a target.

    For Triton that is each of its kernels that has several schedules; for other targets
    the pipeline.

    Args:
        graphs: The graph for each number of steps per dispatch, without symbols.
        target: The target.
        sizes: What the symbols were bound to.
        settings: How it is measured.
        pipeline: The pipeline to vary; the target's own unless given.
        precisions: The policies that results may be computed by.

    Raises:
        TargetError: If the target is not available.
        PassError: If the pipeline is none.
    """
    found = find_target(target)
    graph = graphs[min(graphs)]
    text = found.pipeline if pipeline is None else pipeline
    if found.backend == "triton":
        return _kernel_tasks(run(graph, text), target, settings)
    whole = pipeline_space(text, precisions, sorted(graphs))
    job = Job(
        kind="pipeline",
        graphs=graphs,
        target=target,
        clock=settings.clock,
        memory=settings.memory,
        rates=_rates(target),
        load=settings.load,
        reference=str(whole.pipeline),
    )
    space = relevant(whole, graph)
    about = graph_subject(graph, target, sizes, precisions[0])
    subject = Subject(*about, versions(target))
    return [Task(subject, space.space, job, space.program_of)]


def _kernel_tasks(lowered: Graph, target: str, settings: Settings) -> list[Task]:
    tasks: dict[Key, Task] = {}
    device, tools = device_name(target), versions(target)
    architecture = target_of(device).partition(":")[2]
    if architecture == INTERPRETER:
        architecture = DEFAULT_ARCHITECTURE
    for graph in kernel_graphs(lowered):
        subject = Subject(*kernel_subject(graph, device), tools)
        about = subject.key, subject.shape, subject.device
        if about in tasks:
            continue
        alone = graph.copy()
        kernels = kernel_space(alone, architecture)
        if kernels.space.size > 1:
            job = Job(
                "kernel",
                {1: alone},
                target,
                memory=settings.memory,
                load=settings.load,
            )
            tasks[about] = Task(subject, kernels.space, job, kernels.program_of)
    return list(tasks.values())


def _rates(target: str) -> Rates | None:
    """The speed of a target, if it was measured."""
    try:
        return read_rates(target)
    except GraphcError:
        return None


def tune_task(
    task: Task,
    store: MeasurementStore,
    settings: Settings = Settings(),
    open_runner: Open = open_worker,
    show: Callable[[Trial, Trial], object] = lambda trial, best: None,
) -> Outcome:
    """Searches; what the store has of the same run already is not measured again.

    Raises:
        RejectedError: If the canonical choice itself fails.
        LoadError: If the store is damaged.
    """
    run_number = store.begin(task.subject, settings.again)
    with open_runner(task, settings.timeout) as runner:
        search = Search(
            space=task.space,
            runner=runner,
            strategy=make_strategy(settings.strategy, task.space, settings.seed),
            budget=settings.budget,
            history=store.history(task.subject, run_number, task.space),
            record=lambda t: store.add(task.subject, run_number, task.space, t),
            show=show,
            conditions=conditions,
        )
        return search.run()


def line_of(task: Task, outcome: Outcome) -> Line:
    """The line of a lock for what a search found."""
    return Line(
        *task.about,
        task.space.text(outcome.choice),
        outcome.median,
        outcome.spread,
        outcome.trials,
        task.subject.tools,
    )


def known_line(task: Task, lock: Lock) -> Line | None:
    """The line of a lock about a task, if there is one.

    Raises:
        LoadError: If its choice is none of the task's space.
    """
    line = lock.get(task.about)
    if line is not None:
        choice_of(line, task.space)
    return line


def missing(tasks: Sequence[Task], lock: Lock) -> Iterator[Task]:
    """The tasks that a lock has no line about.

    Raises:
        LoadError: If a choice is none of its space.
    """
    for task in tasks:
        if known_line(task, lock) is None:
            yield task
