"""The base of all layers: weights, building, calling and configuration.

A layer call does one of three things. On symbolic tensors it records itself for the
functional API. Inside a trace it runs `call`, whose ops become nodes. On arrays it runs
one cached compiled graph. In all three it first builds the layer if needed, checks the
inputs, casts them to the compute dtype, and passes `training` and masks on.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar

import numpy as np

from graphc.frontend import (
    constraints,
    dtype_policies,
    initializers,
    ops,
    regularizers,
    trees,
)
from graphc.frontend.dtypes import is_float
from graphc.frontend.keras_tensor import Operation, record, symbolic_leaves
from graphc.frontend.layers.building import scoped
from graphc.frontend.layers.call_spec import (
    CALL_CONTEXT,
    accepts,
    apply,
    as_arrays,
    bind,
    build_arguments,
    constructor_parameters,
    dtype_of,
    is_tensor_like,
    placeholder,
    shape_of,
    shown_arguments,
    signature_of,
    take_training,
)
from graphc.frontend.layers.constructor import constructor_config
from graphc.frontend.layers.eager import call_eagerly
from graphc.frontend.layers.input_spec import check_inputs
from graphc.frontend.naming import auto_name, snake_case
from graphc.frontend.random import SeedGenerator
from graphc.frontend.rematerialization import apply_in_scope, current_scope
from graphc.frontend.stateless import call_stateless
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import (
    current_path,
    current_trace,
    located_errors,
    name_scope,
    tensor,
    value,
)
from graphc.frontend.variables import Variable, autocast
from graphc.ir import Location


class Layer:
    """A function of tensors with weights.

    Subclasses create weights in `build` (or `__init__`) with `add_weight` and define
    `call`. Layers that are attributes of a layer (also inside lists and dicts) are
    part of it.

    Args:
        activity_regularizer: A regularizer of the layer's output.
        trainable: Whether the layer's weights are trained.
        dtype: The dtype or dtype policy; the default is the global policy.
        autocast: Whether float inputs are cast to the compute dtype.
        name: A name; unique names are made up for layers without one.

    Example:
        >>> import graphc
        >>> class Scale(graphc.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(shape=(input_shape[-1],),
        ...                                      initializer="ones")
        ...     def call(self, x):
        ...         return x * self.scale
        >>> Scale()([[1.0, 2.0]]).numpy()
        array([[1., 2.]], dtype=float32)
    """

    bookkeeping: ClassVar[frozenset[str]] = frozenset({"built"})
    """Attributes that do not change what a call computes."""
    examples_apart: ClassVar[bool] = False
    """Whether `call` computes each example of a batch without the others.

    It holds for the class that says so, and for subclasses with the same `call`.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Makes `build` work the same whoever calls it."""
        super().__init_subclass__(**keywords)
        if "build" in cls.__dict__:
            cls.build = scoped(cls.build)

    _constructed_with: tuple[tuple[Any, ...], dict[str, Any]]
    created_at: Location | None

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        """Notes the constructor's arguments, from which `get_config` works."""
        self = super().__new__(cls)
        object.__setattr__(self, "_constructed_with", (arguments, keywords))
        object.__setattr__(self, "created_at", Location.capture())
        return self

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        shape = keywords.pop("input_shape", None)
        dim = keywords.pop("input_dim", None)
        if keywords:
            known = constructor_parameters(type(self))
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}:"
                f" {keywords}. Expected some of:"
                f" {', '.join(known)}"
            )
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                "Expected `name` to be a string without the character '/'."
                f" Received: name={name!r}"
            )
        self.name = name or auto_name(snake_case(type(self).__name__))
        self.declared_input_shape = (dim,) if shape is None and dim else shape
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.dtype_policy = dtype_policies.get(dtype)
        self.autocast = autocast
        self.built = False
        self.input_spec: Any = None
        self.supports_masking = False
        self.remat_scope = current_scope()
        self._trainable = bool(trainable)
        self._own_trainable: list[Variable] = []
        self._own_non_trainable: list[Variable] = []
        self._own_losses: list[Any] = []
        self._programs: dict[Any, Any] = {}
        self._operations: list[Operation] = []

    # -- to be overridden --------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Creates the weights, given the shapes of the inputs."""
        self.built = True

    def build_scope(self) -> Any:
        """A context in which weights that are created get the layer's path."""
        return name_scope(self.name)

    def call(self, *arguments: Any, **keywords: Any) -> Any:
        """Computes the outputs from the inputs."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output, given the mask of the input."""
        return previous_mask

    # -- weights -------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Creates a weight of this layer.

        Args:
            shape: Its shape; a scalar by default.
            initializer: A name, an initializer, or a callable ``(shape, dtype)``; the
                default is ``glorot_uniform`` for floats and zeros for other dtypes.
            dtype: Its dtype; the layer's variable dtype by default.
            trainable: Whether it is trained.
            autocast: Whether it is read in the compute dtype of a mixed policy.
            regularizer: Adds a penalty on the weight to the loss.
            constraint: Projects the weight after each update.
            aggregation: Kept for Keras's signature.
            overwrite_with_gradient: Whether an update replaces it by its gradient.
            name: Its name.

        Returns:
            The variable.
        """
        wanted = dtype or self.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if is_float(wanted) else "zeros"
        inside = current_path().rpartition("/")[2] == self.name
        with nullcontext() if inside else name_scope(self.name):
            variable = Variable(
                initializers.get(initializer),
                shape=() if shape is None else shape,
                dtype=wanted,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name or "variable",
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._own(variable)
        if not self._trainable:
            variable.trainable = False
        return variable

    def _own(self, variable: Variable) -> None:
        # Kept by what a variable was created as: thawing a frozen layer does not make
        # its moving averages trainable.
        if not any(v is variable for v in self.own_variables()):
            kept = (
                self._own_trainable if variable.trainable else self._own_non_trainable
            )
            kept.append(variable)

    def __setattr__(self, name: str, given: Any) -> None:
        if isinstance(given, (Variable, Layer)):
            self.check_initialized()
        if isinstance(given, Variable):
            self._own(given)
        elif isinstance(given, SeedGenerator):
            given.adopt(f"{self.name}/{name}")
        object.__setattr__(self, name, given)
        if (
            self.__dict__.get("built")
            and name[0] != "_"
            and name not in self.bookkeeping
        ):
            _REVISION.number += 1

    def check_initialized(self) -> None:
        """Raises a RuntimeError if a subclass did not call the base's ``__init__``."""
        if "_own_trainable" not in self.__dict__:
            raise RuntimeError(
                f"In layer {type(self).__name__}, you forgot to call"
                " `super().__init__()` as the first statement of `__init__()`."
            )

    def sublayers(self) -> list[Layer]:
        """The layers that are attributes of this one, in the order they were set."""
        found = trees.collect(self.__dict__, Layer, _NOT_LAYERS)
        return [layer for layer in found if layer is not self]

    def _flatten_layers(self) -> Iterator[Layer]:
        """This layer and all layers inside it, each once."""
        seen: dict[int, Layer] = {}
        queue: list[Layer] = [self]
        while queue:
            layer = queue.pop()
            if id(layer) not in seen:
                seen[id(layer)] = layer
                yield layer
                queue.extend(reversed(layer.sublayers()))

    def own_variables(self) -> list[Variable]:
        """The variables that this layer itself holds, trainable ones first."""
        return [*self._own_trainable, *self._own_non_trainable]

    def seed_states(self) -> list[Variable]:
        """The states of the seed generators that this layer itself holds."""
        found = trees.collect(self.__dict__, SeedGenerator, _NOT_LAYERS)
        return [generator.state for generator in found]

    @property
    def variables(self) -> list[Variable]:
        """All variables of the layer and its sublayers, seed states included."""
        found = [
            variable
            for layer in self._flatten_layers()
            for variable in (*layer.own_variables(), *layer.seed_states())
        ]
        return list({id(v): v for v in found}.values())

    @property
    def weights(self) -> list[Variable]:
        """The weights of the layer and its sublayers, in Keras's order."""
        found = [v for layer in self._flatten_layers() for v in layer.own_variables()]
        return list({id(v): v for v in found}.values())

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that are trained."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that are not trained."""
        if not self.trainable:
            return self.variables
        return [v for v in self.variables if not v.trainable]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that are trained."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that are not trained."""
        if not self.trainable:
            return self.weights
        return [v for v in self.weights if not v.trainable]

    @property
    def trainable(self) -> bool:
        """Whether the layer is trained; setting it reaches all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        for layer in self._flatten_layers():
            layer._trainable = bool(trainable)
            for variable in layer._own_trainable:
                variable.trainable = trainable
        _REVISION.number += 1

    def count_params(self) -> int:
        """The number of scalars in the weights.

        Raises:
            ValueError: If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the"
                " layer isn't built. Build it with: `layer.build(input_shape)`."
            )
        return sum(int(np.prod(w.shape)) for w in self.weights)

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The weights as NumPy arrays, in the order of `weights`."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the weights.

        Raises:
            ValueError: If the number of arrays or a shape differs; then nothing has
                been changed.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a"
                f" weight list of length {len(weights)}, but the layer was expecting"
                f" {len(own)} weights."
            )
        for variable, given in zip(own, weights, strict=True):
            if variable.shape != np.shape(given):
                raise ValueError(
                    f"Layer '{self.name}': weight '{variable.path}' expects shape"
                    f" {variable.shape}. Received: shape={np.shape(given)}"
                )
        for variable, given in zip(own, weights, strict=True):
            variable.assign(given)

    # -- dtypes --------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self.dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that `call` computes in."""
        return self.dtype_policy.compute_dtype

    # -- losses --------------------------------------------------------------------------

    def add_loss(self, loss: Any) -> None:
        """Adds a scalar tensor, or several, to the loss of the model."""
        self._own_losses.extend(x for x in trees.leaves(loss) if x is not None)

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` and regularizers contribute to the loss."""
        found: list[Any] = []
        for layer in self._flatten_layers():
            found.extend(layer._own_losses)
        for variable in self.trainable_weights:
            if variable.regularizer is not None:
                found.append(variable.regularizer(variable))
        return found

    def clear_losses(self) -> None:
        """Forgets what `add_loss` collected."""
        for layer in self._flatten_layers():
            layer._own_losses = []

    @contextmanager
    def _losses_apart(self) -> Iterator[None]:
        """While open, added losses are those of a trace that nobody keeps."""
        kept = {layer: layer._own_losses for layer in self._flatten_layers()}
        self.clear_losses()
        try:
            yield
        finally:
            for layer in self._flatten_layers():
                layer._own_losses = kept.get(layer, [])

    # -- calling -------------------------------------------------------------------------

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Builds the layer if needed and computes its outputs."""
        self.check_initialized()
        arguments = tuple(as_arrays(x) for x in arguments)
        if symbolic_leaves((arguments, keywords)):
            return self._call_symbolically(arguments, keywords)
        if current_trace() is not None:
            return self._call_traced(arguments, keywords)
        return self._call_eagerly(arguments, keywords)

    def _call_symbolically(self, arguments: Any, keywords: Any) -> Any:
        self.ensure_built(bind(self, arguments, take_training(self, keywords)[0]))
        with self._losses_apart():
            outputs = record(self, arguments, keywords, self.name)
        for output in symbolic_leaves(outputs)[:1]:
            assert output.operation is not None
            self._operations.append(output.operation)
        return outputs

    def _call_traced(self, arguments: Any, keywords: Any) -> Any:
        keywords, training = take_training(self, keywords)
        bound = bind(self, arguments, keywords)
        if not self.built:
            self._check_inputs(bound)
            self.ensure_built(bound)
        if CALL_CONTEXT.depth == 0:
            self.clear_losses()
        if accepts(type(self).call, "training"):
            training = bound["training"] = _training(self, bound)
        elif training is None:
            training = CALL_CONTEXT.training
        masks = self._fill_masks(bound)
        self._check_inputs(bound)
        with name_scope(self.name), CALL_CONTEXT.entered(training), located_errors():
            cast = self._autocast(bound)
            with autocast(self._autocast_dtype()):
                outputs = apply_in_scope(
                    partial(apply, type(self).call, self), self, cast
                )
                outputs = self._with_masks(bound, outputs, masks)
                self._regularize(outputs)
        return outputs

    def _call_eagerly(self, arguments: Any, keywords: Any) -> Any:
        return call_eagerly(self, arguments, keywords, _REVISION.number)

    def _regularize(self, outputs: Any) -> None:
        """Adds the activity regularizer's loss, averaged over the batch."""
        if self.activity_regularizer is None:
            return
        for output in trees.leaves(outputs):
            loss = self.activity_regularizer(output)
            if output.shape:
                loss = loss / ops.cast(ops.shape(output)[0], loss.dtype)
            self.add_loss(loss)

    def ensure_built(self, bound: dict[str, Any]) -> None:
        """Calls `build` with the shapes of the bound arguments, unless that was done."""
        if self.built:
            return
        parameters = signature_of(type(self).build).parameters.values()
        shapes = build_arguments(self, bound)
        if not shapes and any(p.default is p.empty for p in parameters):
            if type(self).build is not Layer.build:
                raise ValueError(
                    f"Layer '{self.name}' is built from the shapes of its inputs."
                    " Expected a call with tensors."
                    f" Received: {shown_arguments(bound)}"
                )
        else:
            self.build(**shapes)
        self.built = True

    def ensure_built_for(self, input_shape: Any) -> None:
        """Calls `build` for a single input shape, unless the layer is built."""
        if not self.built:
            self.build(input_shape)

    def _check_inputs(self, bound: dict[str, Any]) -> None:
        if self.input_spec is not None and bound:
            first = trees.leaves(next(iter(bound.values())))
            given = [x for x in first if is_tensor_like(x)]
            if not (self.built or given):
                return  # `ensure_built` says so
            check_inputs(self.input_spec, given, self.name)

    def _autocast_dtype(self) -> str | None:
        mixed = self.compute_dtype != self.variable_dtype
        return self.compute_dtype if mixed and is_float(self.compute_dtype) else None

    def _autocast(self, bound: dict[str, Any]) -> dict[str, Any]:
        """The arguments as traced tensors, floats in the compute dtype."""
        wanted = self.compute_dtype if self.autocast else None

        def cast(leaf: Any) -> Any:
            if not is_tensor_like(leaf):
                return leaf
            mask = getattr(leaf, "_keras_mask", None)
            float_input = wanted is not None and is_float(dtype_of(leaf))
            made = tensor(value(leaf, wanted if float_input else None))
            if mask is not None:
                made._keras_mask = mask
            return made

        return trees.map_leaves(cast, bound)

    def _fill_masks(self, bound: dict[str, Any]) -> Any:
        """Passes the masks of tensor arguments on as ``mask`` or ``<name>_mask``."""
        first: Any = None
        tensors = [
            (name, argument)
            for name, argument in bound.items()
            if any(isinstance(x, Tensor) for x in trees.leaves(argument))
        ]
        for position, (name, argument) in enumerate(tensors):
            masks = trees.map_leaves(
                lambda x: getattr(x, "_keras_mask", None), argument
            )
            if not any(m is not None for m in trees.leaves(masks)):
                continue
            if position == 0:
                first = masks
            names = (f"{name}_mask", "mask") if position == 0 else (f"{name}_mask",)
            for wanted in names:
                if accepts(type(self).call, wanted) and bound.get(wanted) is None:
                    bound[wanted] = masks
                    break
        return first

    def _with_masks(self, bound: dict[str, Any], outputs: Any, masks: Any) -> Any:
        custom = type(self).compute_mask is not Layer.compute_mask
        if not (custom or (self.supports_masking and masks is not None)) or not bound:
            if masks is not None and not self.sublayers():
                warnings.warn(
                    f"Layer '{self.name}' (of type {type(self).__name__}) was passed an"
                    " input with a mask, which it drops: layers after it do not see"
                    " the mask. Set self.supports_masking = True to pass it on.",
                    stacklevel=2,
                )
            return outputs
        found = self.compute_mask(next(iter(bound.values())), masks)
        tensors, structure = trees.flatten(outputs)
        listed = (
            [found] if len(tensors) == 1 else trees.leaves(found, none_is_leaf=True)
        )
        marked: list[Any] = []
        for given, mask in zip(tensors, listed, strict=False):
            made = tensor(value(given)) if isinstance(given, Tensor) else given
            if mask is not None and isinstance(made, Tensor):
                made._keras_mask = mask
            marked.append(made)
        return trees.unflatten(structure, marked + tensors[len(marked) :])

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *arguments: Any,
        return_losses: bool = False,
        **keywords: Any,
    ) -> Any:
        """Calls the layer with given values of its variables, which keep their own.

        Args:
            trainable_variables: A value for each of `trainable_variables`.
            non_trainable_variables: A value for each of `non_trainable_variables`.
            *arguments: Positional arguments of the call.
            return_losses: Whether to return the added losses too.
            **keywords: Keyword arguments of the call.

        Returns:
            The outputs and the new values of `non_trainable_variables`; and the
            losses, if they are asked for.

        Raises:
            ValueError: If there is not one value for each variable.
        """
        variables = [*self.trainable_variables, *self.non_trainable_variables]
        values = [*trainable_variables, *non_trainable_variables]

        def call() -> Any:
            outputs = self(*arguments, **keywords)
            return outputs, self.losses if return_losses else None

        (outputs, losses), after = call_stateless(variables, values, call)
        after = after[len(self.trainable_variables) :]
        return (outputs, after, losses) if return_losses else (outputs, after)

    # -- shapes --------------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The symbolic input of the only call in a functional model.

        Raises:
            AttributeError: If there is none, or several.
        """
        operation = self._only_operation("input")
        tensors = operation.inputs or symbolic_leaves(operation.outputs)
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self) -> Any:
        """The symbolic output of the only call in a functional model.

        Raises:
            AttributeError: If there is none, or several.
        """
        return self._only_operation("output").outputs

    def _only_operation(self, what: str) -> Operation:
        if len(self._operations) == 1:
            return self._operations[0]
        times = "never" if not self._operations else f"{len(self._operations)} times"
        raise AttributeError(
            f"Layer '{self.name}' has no one {what}: it was {times} called on symbolic"
            " tensors."
        )

    def compute_output_spec(self, *arguments: Any, **keywords: Any) -> Any:
        """The outputs for symbolic inputs, as symbolic tensors."""
        return self._call_symbolically(arguments, keywords)

    def compute_output_shape(self, *shapes: Any, **named: Any) -> Any:
        """The output shape for an input shape; None stands for an unknown size."""
        given = [*shapes, *named.values()]
        inputs = [placeholder(shape, self.compute_dtype) for shape in given]
        outputs = self._call_symbolically(tuple(inputs), {})
        return trees.map_leaves(shape_of, outputs)

    # -- configuration -------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from: JSON values.

        Raises:
            NotImplementedError: If the layer has constructor arguments that are not
                JSON values and no `get_config` of its own.
        """
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(
                self.activity_regularizer
            )
        if type(self).get_config is Layer.get_config:
            config |= constructor_config(self)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


_NOT_LAYERS = {"_programs", "_constructed_with", "_own_losses", "_operations"}


class _Revision:
    """Counts the changes to built layers, after which calls are traced again."""

    number = 0


_REVISION = _Revision()


def _training(layer: Layer, bound: dict[str, Any]) -> Any:
    """Whether a call is for training: as it says, or the calls around it, or its default."""
    if bound.get("training") is not None:
        return bound["training"]
    if CALL_CONTEXT.training is not None:
        return CALL_CONTEXT.training
    default = signature_of(type(layer).call).parameters["training"].default
    return None if default is inspect.Parameter.empty else default
