"""The same model in Keras and in graphc: built twice, trained twice, compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc
from tests.closeness import assert_close
from tests.frontend.recorded import Recorded

F32 = np.float32


@dataclass
class Twins:
    """One model of each library, with equal weights.

    The Keras model is there only while its results are recorded. The graphc model runs
    on the evaluator, which needs no compile, unless `target` says otherwise.
    """

    ours: Any
    theirs: Any
    keras: Any
    recorded: Recorded
    target: str = "numpy"

    def each(self, function: Callable[[Any, Any], None]) -> None:
        """Calls a function of a model and its library for both."""
        function(self.ours, graphc)
        if self.recorded.live:
            function(self.theirs, self.keras)

    def compile(self, arguments: Callable[[Any], dict[str, Any]]) -> None:
        """Compiles both with the arguments made for each library."""
        self.ours.compile(**arguments(graphc), target=self.target)
        if self.recorded.live:
            self.theirs.compile(**arguments(self.keras))

    def check(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Fails unless a method returns the same on both; returns graphc's result."""

        def call(model: Any) -> Any:
            found = getattr(model, method)(*arguments, **options)
            return found.history if method == "fit" else found

        ours = call(self.ours)
        assert_close(ours, self.recorded(lambda: call(self.theirs)))
        return ours

    def check_weights(self) -> None:
        """Fails unless the weights are the same, in order, path, shape and value."""
        wanted = self.recorded(
            lambda: [(w.path, np.asarray(w.value)) for w in self.theirs.weights]
        )
        for ours, (path, value) in zip(self.ours.weights, wanted, strict=True):
            assert ours.path == path
            assert_close(ours.numpy(), value)


@pytest.fixture
def twins(
    rng: np.random.Generator, recorded: Recorded, keras: Any
) -> Callable[..., Twins]:
    """Makes twins from a function of the library; `x` builds what needs inputs."""

    def make(
        build: Callable[[Any], Any], x: Any = None, target: str = "numpy"
    ) -> Twins:
        graphc.utils.clear_session()
        pair = Twins(build(graphc), None, keras, recorded, target)
        if recorded.live:
            keras.utils.clear_session()
            pair.theirs = build(keras)
        if x is not None:
            pair.each(lambda model, _: model(x))
        wanted = recorded(
            lambda: [(w.path, list(w.shape)) for w in pair.theirs.weights]
        )
        assert [(w.path, list(w.shape)) for w in pair.ours.weights] == wanted
        weights = [rng.uniform(0.1, 0.9, shape).astype(F32) for _, shape in wanted]
        pair.each(lambda model, _: model.set_weights(weights))
        return pair

    return make
