"""Searches on simulated devices: what is chosen, what is recorded, what goes on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from graphc.files.lock import Line, agreement
from graphc.tuning.search import Budget, Outcome, Search
from graphc.tuning.space import Choice, Space
from graphc.tuning.statistics import GAIN, compare, comparison
from graphc.tuning.strategies import STRATEGIES, make_strategy
from graphc.tuning.trial import Facts, RejectedError, Trial
from tests.tuning.simulated import SimulatedRunner, drawn_costs, space_of

SPACE = space_of(2, 3, 2)


def searched(
    runner: SimulatedRunner, strategy: str = "exhaustive", space: Space = SPACE,
    trials: int = 64, seed: int = 0, **options: object,
) -> Outcome:  # fmt: skip
    found = make_strategy(strategy, space, seed)
    budget = Budget(trials)
    return Search(space, runner, found, budget, **options).run()  # type: ignore


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_propose_each_choice_once(strategy: str) -> None:
    made = make_strategy(strategy, SPACE, 3)
    proposed: list[Choice] = []
    while (choice := made.propose()) is not None:
        proposed.append(choice)
        made.tell(choice, float(len(proposed)))
    assert sorted([*proposed, SPACE.canonical]) == sorted(SPACE.choices())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_find_a_clear_optimum(strategy: str) -> None:
    space = space_of(3, 3, 3)
    best = ("v2", "v0", "v1")

    def seconds(choice: Choice) -> float:
        differing = sum(a != b for a, b in zip(choice, best, strict=True))
        return 1e-3 * 1.5**differing

    outcome = searched(SimulatedRunner(seconds), strategy, space, trials=24)
    assert outcome.choice == best
    assert 0.9 < outcome.ratio * 1.5**2 < 1.1


def test_strategies_repeat_themselves_with_the_same_seed() -> None:
    for name in STRATEGIES:
        first, second = (make_strategy(name, SPACE, 7) for _ in range(2))
        for _ in range(6):
            choice = first.propose()
            assert choice is not None
            assert second.propose() == choice
            first.tell(choice, 1.0)
            second.tell(choice, 1.0)


def test_ties_go_to_the_canonical_choice() -> None:
    outcome = searched(SimulatedRunner(lambda choice: 1e-3))
    assert outcome.choice == SPACE.canonical
    assert outcome.trials == SPACE.size


def test_what_does_not_help_is_put_back() -> None:
    def seconds(choice: Choice) -> float:
        return 0.5e-3 if choice[0] == "v1" else 1e-3

    for seed in range(3):
        outcome = searched(
            SimulatedRunner(seconds, seed), "random", trials=5, seed=seed
        )
        if outcome.choice != SPACE.canonical:  # five tries need not meet it
            assert outcome.choice == ("v1", "v0", "v0")


def test_two_runs_agree_on_a_noisy_device() -> None:
    lines: list[dict[tuple[str, str, str], Line]] = [{}, {}]
    better = 0
    for kernel in range(40):
        space = space_of(3, 3, 2)
        seconds = drawn_costs(space, kernel)
        for run, lock in enumerate(lines):
            runner = SimulatedRunner(seconds, seed=1000 * run + kernel)
            outcome = searched(runner, "exhaustive", space)
            line = Line(
                f"kernel:{kernel}", "static", "a device", space.text(outcome.choice),
                outcome.median, outcome.spread, outcome.trials, "tools 1",
            )  # fmt: skip
            lock[line.about] = line
            best = min(map(seconds, space.choices()))
            assert seconds(outcome.choice) <= best * (1 + 2 * GAIN)
            better += outcome.choice != space.canonical
    assert better > 40  # there was something to choose
    assert agreement(*lines) >= 0.95


def test_what_fails_is_recorded_and_never_chosen() -> None:
    failing = {("v1", "v0", "v0"): "wrong", ("v0", "v1", "v0"): "crashed"}
    recorded: list[Trial] = []
    runner = SimulatedRunner(
        lambda choice: 0.1e-3 if choice in failing else 1e-3,
        failing=failing,  # type: ignore[arg-type]
    )
    outcome = searched(runner, record=recorded.append)
    assert outcome.choice == SPACE.canonical
    found = {trial.choice: trial for trial in recorded}
    for choice, status in failing.items():
        assert found[choice].status == status
        assert found[choice].reason == "planted"


def test_a_canonical_choice_that_fails_ends_the_search() -> None:
    runner = SimulatedRunner(lambda _: 1e-3, failing={SPACE.canonical: "wrong"})
    with pytest.raises(RejectedError, match="planted"):
        searched(runner)


def test_equal_programs_are_measured_once() -> None:
    class Twins(SimulatedRunner):
        def facts(self, choice: Choice) -> Facts:
            return Facts(choice[0])

    runner = Twins(lambda choice: 1e-3)
    outcome = searched(runner)
    statuses = [trial.status for trial in outcome.tried]
    assert statuses.count("measured") == 2
    assert statuses.count("same") == SPACE.size - 2


def test_predictions_prune() -> None:
    class Predicted(SimulatedRunner):
        def facts(self, choice: Choice) -> Facts:
            slow = choice[0] == "v1"
            return Facts(" ".join(choice), 1.0 if slow else 0.1)

    runner = Predicted(lambda choice: 1e-3)
    pruned = [t for t in searched(runner).tried if t.status == "pruned"]
    assert len(pruned) == SPACE.size // 2
    assert pruned[0].reason == "the cost model expects 10.0 times the best's"
    assert not any(choice[0] == "v1" for choice in runner.prepared)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_search_goes_on(strategy: str, after: int) -> None:
    space = space_of(3, 3, 3)
    seconds = drawn_costs(space, 5)
    kept: dict[Choice, Trial] = {}

    def record(trial: Trial) -> None:
        kept[trial.choice] = trial
        if len(kept) == after:
            raise KeyboardInterrupt

    options = {"strategy": strategy, "space": space, "trials": 12}
    with pytest.raises(KeyboardInterrupt):
        searched(SimulatedRunner(seconds), record=record, **options)  # type: ignore
    runner = SimulatedRunner(seconds, noise=0.0)
    added: list[Trial] = []
    outcome = searched(runner, history=kept, record=added.append, **options)  # type: ignore
    assert not {trial.choice for trial in added} & set(kept)
    assert [trial.choice for trial in outcome.tried[:after]] == list(kept)
    assert outcome.trials == len(kept) + len(added) == 12


def test_a_budget_of_no_time_keeps_the_canonical_choice() -> None:
    strategy = make_strategy("random", SPACE)
    runner = SimulatedRunner(lambda choice: 1e-3)
    outcome = Search(SPACE, runner, strategy, Budget(seconds=0)).run()
    assert (outcome.choice, outcome.trials) == (SPACE.canonical, 1)


def test_more_rounds_are_run_until_the_rule_decides() -> None:
    clear = itertools.repeat(([1.0] * 10, [2.0] * 10))
    assert compare(lambda rounds: next(clear)).rounds == 10
    close = SimulatedRunner(lambda c: 0.97 if c == ("a",) else 1.0, noise=0.2)
    assert compare(lambda n: close.measure(("a",), ("b",), n)).rounds == 60


@pytest.mark.parametrize(
    ("ratio", "faster"), [(0.9, True), (0.96, True), (0.98, False), (1.2, False)]
)
def test_the_rule_without_noise(ratio: float, faster: bool) -> None:
    found = comparison([ratio] * 20, [1.0] * 20)
    assert (found.faster, found.decided) == (faster, True)


def test_noise_keeps_the_incumbent() -> None:
    mine, theirs = [0.5, 2.0] * 10, [1.0] * 20
    found = comparison(mine, theirs)
    assert not found.faster
    assert not replace(found, ratio=0.95).faster


def test_where_programs_lie_in_memory_does_not_choose() -> None:
    """Ties stay ties though each process makes some programs slower for good."""
    outcomes = [
        searched(SimulatedRunner(lambda choice: 1e-3, seed, misplaced=0.4), seed=seed)
        for seed in range(40)
    ]
    canonical = sum(outcome.choice == SPACE.canonical for outcome in outcomes)
    assert canonical >= 0.95 * len(outcomes)
