"""The same model in Keras and in graphc: built twice, trained twice, compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc

F32 = np.float32


@dataclass
class Twins:
    """One model of each library, with equal weights.

    The graphc model runs on the evaluator, which needs no compile, unless `target` says
    otherwise.
    """

    theirs: Any
    ours: Any
    keras: Any
    target: str = "numpy"

    def compile(self, arguments: Callable[[Any], dict[str, Any]]) -> None:
        """Compiles both with the arguments made for each library."""
        self.theirs.compile(**arguments(self.keras))
        self.ours.compile(**arguments(graphc), target=self.target)

    def call(self, method: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
        """What a method returns on both: theirs, ours."""
        theirs = getattr(self.theirs, method)(*arguments, **options)
        return theirs, getattr(self.ours, method)(*arguments, **options)

    def check(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Fails unless a method returns the same on both; returns graphc's result."""
        theirs, ours = self.call(method, *arguments, **options)
        if method == "fit":
            theirs, ours = theirs.history, ours.history
        assert_close(ours, theirs)
        return ours

    def check_weights(self) -> None:
        """Fails unless the weights are the same, in order, name, shape and value."""
        assert [w.path for w in self.ours.weights] == [
            w.path for w in self.theirs.weights
        ]
        for w, theirs in zip(self.ours.weights, self.theirs.weights, strict=True):
            np.testing.assert_allclose(
                w.numpy(),
                np.asarray(theirs.value),
                rtol=1e-3,
                atol=2e-5,
                err_msg=w.path,
            )


@pytest.fixture
def twins(rng: np.random.Generator) -> Callable[..., Twins]:
    """Makes twins from a function of the library; `x` builds what needs inputs."""
    keras = pytest.importorskip("keras")

    def make(
        build: Callable[[Any], Any], x: Any = None, target: str = "numpy"
    ) -> Twins:
        keras.utils.clear_session()
        graphc.utils.clear_session()
        theirs, ours = build(keras), build(graphc)
        if x is not None:
            theirs(x)
            ours(x)
        shapes = [tuple(w.shape) for w in theirs.weights]
        assert [w.shape for w in ours.weights] == shapes
        assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
        weights = [rng.uniform(0.1, 0.9, shape).astype(F32) for shape in shapes]
        theirs.set_weights(weights)
        ours.set_weights(weights)
        return Twins(theirs, ours, keras, target)

    return make


def assert_close(ours: Any, theirs: Any) -> None:
    """Fails unless two nests of numbers and arrays are equal but for rounding."""
    if isinstance(theirs, dict):
        assert sorted(ours) == sorted(theirs)
        for key in theirs:
            assert_close(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_close(a, b)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
