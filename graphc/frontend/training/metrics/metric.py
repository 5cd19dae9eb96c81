"""The base of metrics: state that is updated batch by batch, and its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from graphc.frontend import dtype_policies, initializers
from graphc.frontend.dtypes import floatx
from graphc.frontend.naming import auto_name, snake_case
from graphc.frontend.registry import Registry
from graphc.frontend.stateless import call_stateless
from graphc.frontend.tracing import name_scope
from graphc.frontend.variables import Variable

REGISTRY = Registry("metric", "keras.metrics", snake_case)


class Metric:
    """Base of metrics.

    Subclasses create their state in ``__init__`` with `add_variable` and override
    `update_state` and `result`. Both become part of the graph of the training step, so
    they compute with `graphc.ops`.

    Args:
        dtype: The dtype (or dtype policy) of the state; ``config.floatx()`` by default.
        name: Its name; made up from the class's by default.

    Example:
        >>> import graphc
        >>> class Largest(graphc.metrics.Metric):
        ...     def __init__(self, name="largest"):
        ...         super().__init__(name=name)
        ...         self.largest = self.add_variable((), "zeros", name="largest")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         found = graphc.ops.max(y_pred)
        ...         self.largest.assign(graphc.ops.maximum(self.largest, found))
        ...     def result(self):
        ...         return self.largest
        >>> metric = Largest()
        >>> metric.update_state([0.0, 1.0], [0.5, 2.0])
        >>> float(metric.result())
        2.0
    """

    _direction: str | None = None
    """Whether higher (``"up"``) or lower (``"down"``) is better, where that is known."""

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(snake_case(type(self).__name__))
        self.dtype_policy = dtype_policies.get(dtype or floatx())
        self._own_variables: list[Variable] = []

    @property
    def dtype(self) -> str:
        """The dtype of the state, by its long name."""
        return self.dtype_policy.compute_dtype

    # -- to be overridden --------------------------------------------------------------

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Adds a batch to the state."""
        raise NotImplementedError(
            f"{type(self).__name__} must override `update_state`."
        )

    def result(self) -> Any:
        """The value for all batches since the last reset: a scalar, or a dict of them."""
        raise NotImplementedError(f"{type(self).__name__} must override `result`.")

    def reset_state(self) -> None:
        """Sets the state to zeros, as before the first batch."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    # -- state -------------------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """The state: variables of this metric, then those of metrics it holds."""
        held = [v for metric in self._metrics() for v in metric.variables]
        return list({id(v): v for v in [*self._own_variables, *held]}.values())

    def _metrics(self) -> Iterator[Metric]:
        """The metrics that are attributes of this one, in lists and dicts too."""
        for attribute in self.__dict__.values():
            yield from _metrics_in(attribute)

    def __setattr__(self, name: str, given: Any) -> None:
        own = self.__dict__.get("_own_variables")
        if isinstance(given, (Variable, Metric)) and own is None:
            raise RuntimeError(
                f"In metric {type(self).__name__}, call `super().__init__()` as the first "
                f"statement of `__init__()`. Received: {name}"
            )
        if isinstance(given, Variable) and not any(v is given for v in own or ()):
            self._own_variables.append(given)
        object.__setattr__(self, name, given)

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any,
        dtype: str | None = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Creates a variable of the state.

        Args:
            shape: Its shape.
            initializer: A name, an initializer, or a callable ``(shape, dtype)``.
            dtype: Its dtype; the metric's by default.
            aggregation: Kept for Keras's signature.
            name: Its name.
        """
        with name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=tuple(shape),
                dtype=dtype or self.dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._own_variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> Variable:
        """`add_variable` with a scalar of zeros by default."""
        return self.add_variable(shape, initializer or "zeros", dtype, name=name)

    # -- use ---------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Adds a batch to the state and returns the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        """`update_state` as a function of the values of the state.

        Args:
            metric_variables: The value of each of `variables`.
            *args: What `update_state` takes.
            **kwargs: What `update_state` takes.

        Returns:
            The new values.

        Raises:
            ValueError: If there is not one value per variable.
        """
        return call_stateless(
            self.variables, metric_variables, lambda: self.update_state(*args, **kwargs)
        )[1]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` as a function of the values of the state.

        Args:
            metric_variables: The value of each of `variables`.

        Raises:
            ValueError: If there is not one value per variable.
        """
        return call_stateless(self.variables, metric_variables, self.result)[0]

    def stateless_reset_state(self) -> list[Any]:
        """The values of the state before the first batch."""
        own = [variable.value for variable in self.variables]
        return call_stateless(self.variables, own, self.reset_state)[1]

    # -- configuration -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal metric from."""
        return {"name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The metric that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _metrics_in(attribute: Any) -> Iterator[Metric]:
    if isinstance(attribute, Metric):
        yield attribute
    elif isinstance(attribute, (list, tuple)):
        for item in attribute:
            yield from _metrics_in(item)
    elif isinstance(attribute, dict):
        for item in attribute.values():
            yield from _metrics_in(item)
