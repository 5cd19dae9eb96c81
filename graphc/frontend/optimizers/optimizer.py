"""The base of optimizers: hyperparameters, state, and the order of an update."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from graphc.frontend import initializers, ops
from graphc.frontend.dtypes import floatx
from graphc.frontend.naming import auto_name, snake_case
from graphc.frontend.optimizers.clipping import clip_by_global_norm, clip_by_norm
from graphc.frontend.registry import Registry
from graphc.frontend.stateless import call_stateless
from graphc.frontend.tracing import current_trace, here, name_scope, replay
from graphc.frontend.training import schedules
from graphc.frontend.training.schedules import LearningRateSchedule
from graphc.frontend.variables import Variable

REGISTRY = Registry("optimizer", "keras.optimizers", str.lower)


class Optimizer:
    """Base of optimizers: turns gradients into updates of variables.

    Everything it does becomes part of the graph of the training step. Subclasses
    create their state in `build` and define `update_step`.

    Args:
        learning_rate: A number, which becomes a variable that can be assigned between
            steps; a `LearningRateSchedule`; or a callable without arguments.
        weight_decay: The fraction of a variable, times the learning rate, that is
            subtracted from it before each update.
        clipnorm: The largest norm of a gradient. At most one of `clipnorm`, `clipvalue`
            and `global_clipnorm` can be given.
        clipvalue: The largest absolute value in a gradient.
        global_clipnorm: The largest norm of all gradients together.
        use_ema: Whether to keep an exponential moving average of the variables.
        ema_momentum: How much of the average is kept in each step.
        ema_overwrite_frequency: The number of steps after which variables are set to
            their averages, again and again; None to do so at the end of training.
        loss_scale_factor: What the loss is multiplied by before differentiation, and
            gradients are divided by.
        gradient_accumulation_steps: The number of steps, at least 2, whose mean
            gradient makes one update.
        name: Its name; made up from the class's by default.

    Raises:
        ValueError: For an argument out of its range, or one that is not known.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule | Callable[[], Any],
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("decay", None) is not None:
            warnings.warn(
                "Argument `decay` is no longer supported and will be ignored.",
                stacklevel=3,
            )
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        self.name = name or auto_name(snake_case(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_arguments()
        self.built = False
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._indices: dict[int, int] = {}
        self._averages: list[Variable] = []
        self._accumulators: list[Variable] = []
        self._excluded: set[int] = set()
        self._excluded_names: list[str] = []
        self._shared: dict[Hashable, Any] | None = None
        self._iterations = self._track(np.zeros((), np.int32), "iteration")
        self._learning_rate = self._checked_learning_rate(learning_rate)

    def _check_arguments(self) -> None:
        given = {
            name: getattr(self, name)
            for name in ("clipnorm", "clipvalue", "global_clipnorm")
        }
        if sum(value is not None for value in given.values()) > 1:
            received = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. "
                f"Received: {received}"
            )
        steps = self.gradient_accumulation_steps
        if steps is not None and (not isinstance(steps, int) or steps < 2):
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. "
                f"Received: gradient_accumulation_steps={steps}"
            )
        if not self.use_ema:
            return
        if not 0 <= self.ema_momentum <= 1:
            raise ValueError(
                "`ema_momentum` must be in the range [0, 1]. "
                f"Received: ema_momentum={self.ema_momentum}"
            )
        frequency = self.ema_overwrite_frequency
        if frequency is not None and (not isinstance(frequency, int) or frequency < 1):
            raise ValueError(
                "`ema_overwrite_frequency` must be an integer >= 1 or None. "
                f"Received: ema_overwrite_frequency={frequency}"
            )

    def _checked_learning_rate(self, given: Any) -> Any:
        if isinstance(given, (int, float, np.number)):
            return self._track(np.asarray(given, floatx()), "learning_rate")
        if isinstance(given, LearningRateSchedule) or callable(given):
            return given
        raise ValueError(
            "`learning_rate` must be a number, a LearningRateSchedule or a callable "
            f"without arguments. Received: learning_rate={given!r}"
        )

    # -- state -------------------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """The optimizer's own variables, in the order they are saved in."""
        return self._variables[:]

    @property
    def iterations(self) -> Any:
        """The number of updates made, an integer scalar."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    @property
    def learning_rate(self) -> Any:
        """The current learning rate; the variable itself unless it is computed.

        Setting it gives the variable a new value, which the next step uses, or puts a
        schedule in its place.
        """
        if isinstance(self._learning_rate, LearningRateSchedule):
            # Of all steps, accumulating ones included, as in Keras.
            return self._learning_rate(self._iterations)
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return self._learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        computed = isinstance(learning_rate, LearningRateSchedule) or (
            callable(learning_rate) and not isinstance(learning_rate, Variable)
        )
        if not isinstance(self._learning_rate, Variable):
            if not computed:
                raise TypeError(
                    "This optimizer was created with a `LearningRateSchedule` (or a "
                    "callable) as its learning rate, hence its learning rate is not "
                    "settable. Create it with a number to be able to set it. "
                    f"Received: learning_rate={learning_rate!r}"
                )
            self._learning_rate = learning_rate
        elif computed:
            variable = self._learning_rate
            self._variables = [v for v in self._variables if v is not variable]
            self._learning_rate = learning_rate
        else:
            self._learning_rate.assign(learning_rate)

    def _track(self, value: Any, name: str) -> Variable:
        with name_scope(self.name):
            variable = Variable(value, trainable=False, autocast=False, name=name)
        self._variables.append(variable)
        return variable

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: str | None = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Creates a variable of the optimizer.

        Args:
            shape: Its shape.
            initializer: A name, an initializer, or a callable ``(shape, dtype)``.
            dtype: Its dtype; None stands for `config.floatx()`.
            aggregation: Kept for Keras's signature.
            layout: Kept for Keras's signature.
            name: Its name.
        """
        with name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                autocast=False,
                aggregation=aggregation,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self,
        reference_variable: Variable,
        name: str | None = None,
        initializer: Any = "zeros",
    ) -> Variable:
        """Creates a variable of the shape and dtype of another one.

        Args:
            reference_variable: A variable of the model.
            name: What it is to the other one, such as ``"momentum"``.
            initializer: Where its first value comes from.
        """
        prefix = reference_variable.path.replace("/", "_")
        return self.add_variable(
            reference_variable.shape,
            initializer,
            reference_variable.dtype,
            name=f"{prefix}_{name or 'var'}",
        )

    def add_optimizer_variables(
        self,
        trainable_variables: Sequence[Variable],
        name: str | Sequence[str],
        initializer: Any = "zeros",
    ) -> Any:
        """Creates one variable, or several, for each variable of the model.

        Args:
            trainable_variables: The variables of the model.
            name: What the new variables are, such as ``"momentum"``; or several such
                names.
            initializer: Where their first values come from; for several names, one
                initializer for all or a list with one for each.

        Returns:
            A list with one variable per variable of the model; for several names, a
            tuple of such lists.
        """
        names = [name] if isinstance(name, str) else list(name)
        starts = initializer
        if not isinstance(initializer, (list, tuple)):
            starts = [initializer] * len(names)
        made: list[list[Variable]] = [[] for _ in names]
        for variable in trainable_variables:
            for wanted, start, found in zip(names, starts, made, strict=True):
                found.append(self.add_variable_from_reference(variable, wanted, start))
        return made[0] if isinstance(name, str) else tuple(made)

    def build(self, variables: Sequence[Variable]) -> None:
        """Creates the state for the variables to be updated; once.

        Subclasses extend it with the state of their own.
        """
        if self.built:
            return
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulators = self.add_optimizer_variables(
                variables, "gradient_accumulator"
            )
        self._trainable_variables = list(variables)
        self._indices = {id(v): i for i, v in enumerate(variables)}
        self.built = True

    def _get_variable_index(self, variable: Variable) -> int:
        """The position of a variable among those that the optimizer was built for."""
        return self._indices[id(variable)]

    # -- updating ----------------------------------------------------------------------

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        """Updates variables by their gradients.

        Args:
            grads: One gradient per variable; None for a variable that the loss does
                not depend on, which stays as it is.
            trainable_variables: The variables, those the optimizer was built for if
                left out. Those with ``trainable=False`` stay as they are.

        Raises:
            ValueError: If the optimizer is not built and no variables are given, the
                numbers of gradients and variables differ, a variable is not known, or
                all gradients are None.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._checked_variables(grads, trainable_variables)
        with name_scope(self.name):
            pairs = self._present_gradients(grads, variables)
            if pairs:
                self._apply([g for g, _ in pairs], [v for _, v in pairs])
            self._iterations.assign_add(1)

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, Variable]]
    ) -> Variable:
        """`apply` for pairs of a gradient and its variable; returns `iterations`."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(list(grads), list(variables))
        return self._iterations

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """`apply` as a function of the values of all variables.

        Args:
            optimizer_variables: The value of each of the optimizer's `variables`.
            grads: The gradients.
            trainable_variables: The value of each variable that it was built for.

        Returns:
            The new values of the trainable variables and of the optimizer's.

        Raises:
            ValueError: If the optimizer is not built, or a number of values is wrong.
        """
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {type(self).__name__} must be built (i.e. "
                "its variables must have been created). Call "
                "`optimizer.build(trainable_variables)` first."
            )
        count = len(self._trainable_variables)
        _, values = call_stateless(
            [*self._trainable_variables, *self.variables],
            [*trainable_variables, *optimizer_variables],
            lambda: self.apply(grads, self._trainable_variables),
        )
        return values[:count], values[count:]

    def _checked_variables(
        self, grads: list[Any], variables: Sequence[Variable] | None
    ) -> list[Variable]:
        if variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must "
                    "already be built on a list of variables. Call "
                    "`optimizer.build(trainable_variables)` first."
                )
            variables = self._trainable_variables
        if len(grads) != len(variables):
            raise ValueError(
                "The gradients must match the variables one to one. Received: "
                f"{len(grads)} gradients for {len(variables)} variables"
            )
        if not self.built:
            self.build(variables)
        for variable in variables:
            if id(variable) not in self._indices:
                raise ValueError(
                    f"Unknown variable: {variable!r}. This optimizer can only be called "
                    "for the variables it was originally built with. When working with "
                    "a new set of variables, you should recreate a new optimizer "
                    "instance."
                )
        return list(variables)

    def _present_gradients(
        self, grads: list[Any], variables: list[Variable]
    ) -> list[tuple[Any, Variable]]:
        """The gradients to apply; variables that gradients overwrite are done here."""
        missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
        if len(missing) == len(grads):
            raise ValueError(
                "No gradients provided for any variable. Expected a loss that depends on "
                f"one of them. Received: variables={missing}"
            )
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the "
                "loss. If using `model.compile()`, did you forget to provide a `loss` "
                "argument?",
                stacklevel=4,
            )
        pairs: list[tuple[Any, Variable]] = []
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is None or not variable.trainable:
                continue
            if variable.overwrite_with_gradient:
                variable.assign(ops.cast(gradient, variable.dtype))
                continue
            if self.loss_scale_factor is not None:
                gradient = gradient / self.loss_scale_factor
            pairs.append((gradient, variable))
        return pairs

    def _apply(self, grads: list[Any], variables: list[Variable]) -> None:
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._update(grads, variables)
        if self.use_ema:
            self._update_averages()
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def _accumulate(self, grads: list[Any], variables: list[Variable]) -> None:
        """Makes the update in every n-th step only, from the mean of the gradients."""
        steps = self.gradient_accumulation_steps
        due = ops.equal(ops.mod(self._iterations + 1, steps), 0)
        sums: list[Any] = []
        for gradient, variable in zip(grads, variables, strict=True):
            accumulator = self._accumulators[self._get_variable_index(variable)]
            sums.append(accumulator + gradient)
            accumulator.assign(ops.where(due, ops.zeros_like(sums[-1]), sums[-1]))
        kept = [*self._accumulators, self._iterations]
        self._assign_where(
            due,
            lambda: self._update([total / steps for total in sums], variables),
            [
                *variables,
                *(v for v in self._variables if all(v is not k for k in kept)),
            ],
        )

    def _assign_where(
        self, condition: Any, update: Callable[[], None], variables: Sequence[Variable]
    ) -> None:
        """Runs an update whose assignments count only where `condition` holds.

        Args:
            condition: A boolean scalar tensor.
            update: Assigns variables.
            variables: All variables that it may assign.
        """
        before = [variable.value for variable in variables]
        update()
        for variable, old in zip(variables, before, strict=True):
            variable.assign(ops.where(condition, variable.value, old))

    def _update(self, grads: list[Any], variables: list[Variable]) -> None:
        grads = self._clip_gradients(grads)
        self._apply_weight_decay(variables)
        learning_rate, place = self.learning_rate, here()
        self._shared = {}
        try:
            self.begin_update()
            for gradient, variable in zip(grads, variables, strict=True):
                replay(place, self.update_step, gradient, variable, learning_rate)
        finally:
            self._shared = None

    def begin_update(self) -> None:
        """Updates state that is not of one variable, before all `update_step`."""

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What `compute` returns, computed once in the update of all variables.

        For what follows from the number of the step, such as a rate, and would
        otherwise be in the graph once for each variable.

        Args:
            key: Tells it from what else is kept; holds the dtype, if that matters.
            compute: Computes it. Must not read what the update changes.
        """
        if self._shared is None:
            return compute()
        place = current_trace(), key  # a trace does not see what is inside another
        if place not in self._shared:
            self._shared[place] = compute()
        return self._shared[place]

    def update_step(
        self, gradient: Any, variable: Variable, learning_rate: Any
    ) -> None:
        """Updates one variable, and the optimizer's state for it.

        Args:
            gradient: Its gradient, of its shape.
            variable: The variable.
            learning_rate: The current learning rate, a scalar.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `update_step`.")

    def assign(self, variable: Variable, value: Any) -> None:
        """Gives a variable the value `value`, cast to its dtype."""
        variable.assign(ops.cast(value, variable.dtype))

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Adds `value`, cast to its dtype, to a variable."""
        variable.assign_add(ops.cast(value, variable.dtype))

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtracts `value`, cast to its dtype, from a variable."""
        variable.assign_sub(ops.cast(value, variable.dtype))

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        if self.clipnorm and self.clipnorm > 0:
            return [clip_by_norm(gradient, self.clipnorm) for gradient in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue and self.clipvalue > 0:
            limit = self.clipvalue
            return [ops.clip(gradient, -limit, limit) for gradient in grads]
        return grads

    # -- weight decay ------------------------------------------------------------------

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Exempts variables from weight decay; to be called before `build`.

        Args:
            var_list: Variables.
            var_names: Regular expressions that are searched for in variables' names
                and paths.

        Raises:
            ValueError: If the optimizer is built.
        """
        if self.built:
            raise ValueError(
                "`exclude_from_weight_decay()` can only be called before the optimizer "
                "is built."
            )
        self._excluded = {id(variable) for variable in var_list or ()}
        self._excluded_names = list(var_names or ())

    def _use_weight_decay(self, variable: Variable) -> bool:
        """Whether weight decay applies to a variable."""
        if id(variable) in self._excluded:
            return False
        texts = (variable.name, variable.path)
        return not any(
            re.search(name, text) for name in self._excluded_names for text in texts
        )

    def weight_decay_of(self, variable: Variable) -> float | None:
        """The weight decay of a variable that is not excluded from it, or None."""
        return self.weight_decay

    def _apply_weight_decay(self, variables: list[Variable]) -> None:
        decayed = [
            (variable, decay)
            for variable in variables
            if self._use_weight_decay(variable)
            and (decay := self.weight_decay_of(variable)) is not None
        ]
        if not decayed:
            return
        learning_rate = self.learning_rate
        for variable, decay in decayed:
            rate = ops.cast(learning_rate, variable.dtype)
            variable.assign(variable - variable * decay * rate)

    # -- moving averages ---------------------------------------------------------------

    def _update_averages(self) -> None:
        """Moves the averages, and every n-th step puts them in place."""
        iterations = self.iterations
        frequency = self.ema_overwrite_frequency
        overwrite = None
        if frequency is not None:
            overwrite = ops.equal(ops.mod(iterations + 1, frequency), 0)
        started = ops.not_equal(iterations, 0)
        for variable, average in zip(
            self._trainable_variables, self._averages, strict=True
        ):
            momentum = ops.cast(started, variable.dtype) * self.ema_momentum
            moved = momentum * average + (1.0 - momentum) * variable
            average.assign(moved)
            if overwrite is not None:
                variable.assign(ops.where(overwrite, moved, variable))

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Sets variables to their moving averages, if they are kept; ends training.

        Args:
            var_list: The variables.

        Raises:
            ValueError: If the optimizer was not built for one of them.
        """
        if not self.use_ema:
            return
        for variable in var_list:
            if id(variable) not in self._indices:
                raise ValueError(
                    f"{type(self).__name__} keeps no average of a variable it was not "
                    f"built for. Received: variable={variable!r}"
                )
            variable.assign(self._averages[self._get_variable_index(variable)])

    # -- loss scaling ------------------------------------------------------------------

    def scale_loss(self, loss: Any) -> Any:
        """`loss` as it is to be differentiated; `apply` undoes the scaling."""
        if self.loss_scale_factor is None:
            return loss
        return loss * self.loss_scale_factor

    # -- saving ------------------------------------------------------------------------

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Puts the variables into `store` under ``"0"``, ``"1"``, ..."""
        for index, variable in enumerate(self.variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the variables from what `save_own_variables` stored.

        A different number of variables is skipped with a warning.
        """
        if len(store) != len(self.variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self.variables)} variables whereas the saved optimizer has "
                f"{len(store)} variables.",
                stacklevel=2,
            )
            return
        for index, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(index)]))

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the variables by arrays, in the order of `variables`.

        Raises:
            ValueError: If a number or a shape differs; then nothing has been changed.
        """
        shapes = [variable.shape for variable in self.variables]
        received = [tuple(np.shape(weight)) for weight in weights]
        if shapes != received:
            raise ValueError(
                f"Optimizer '{self.name}' has variables of shapes {shapes}. "
                f"Received: weights of shapes {received}"
            )
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    # -- configuration -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The arguments that `from_config` makes an equal optimizer from."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(str(rate.numpy()))  # 0.001, not 0.0010000000474974513
        elif isinstance(rate, LearningRateSchedule):
            rate = schedules.serialize(rate)
        else:
            rate = REGISTRY.serialize(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """The optimizer that `get_config` described.

        Args:
            config: The arguments.
            custom_objects: Names to find a schedule of your own by.
        """
        if isinstance(config.get("learning_rate"), dict):
            rate = schedules.deserialize(config["learning_rate"], custom_objects)
            config = config | {"learning_rate": rate}
        return cls(**config)
