"""compile, fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from graphc.files.lock import read_locked
from graphc.frontend import optimizers, trees
from graphc.frontend.arguments import integer, positive_integer
from graphc.frontend.callbacks import CallbackList, History
from graphc.frontend.callbacks.logs import to_floats
from graphc.frontend.execution import NAN, CompileOptions, find_target
from graphc.frontend.program import Program
from graphc.frontend.training.blocks import Blocks
from graphc.frontend.training.compile_utils import CompileLoss, CompileMetrics
from graphc.frontend.training.data import (
    Batches,
    convert_batch,
    unpack_x_y_sample_weight,
)
from graphc.frontend.training.freezing import TrainableLayers
from graphc.frontend.training.loops import (
    as_validation,
    flat_logs,
    joined,
    naming_batch,
    refuse_unknown,
    verbosity,
    writable,
)
from graphc.frontend.training.metrics import Mean
from graphc.frontend.training.objective import Objective
from graphc.frontend.training.state_steps import call_step, takes_state
from graphc.frontend.training.steps import Step, run_abstractly
from graphc.frontend.transforms import value_and_grad
from graphc.ir.location import Location
from graphc.ir.nonfinite import NonFinite, find_nonfinite

HALF = ("mixed_float16", "float16")
"""The precisions in which gradients vanish unless the loss is scaled."""


class Trainer(Objective):
    """What makes a layer a model: training, evaluation and inference loops."""

    def __init__(self) -> None:
        Objective.__init__(self)
        self.compiled = False
        self.stop_training = False
        self.optimizer: Any = None
        self.loss: Any = None
        self._options = CompileOptions()
        self._run_eagerly = False
        self.steps_per_execution = 1
        self.history: History | None = None
        self._compile_config: dict[str, Any] | None = None
        self._trainable_layers: TrainableLayers | None = None
        self.reset_programs()

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run node by node on the NumPy evaluator; may be set."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, run_eagerly: bool) -> None:
        self._run_eagerly = bool(run_eagerly)
        self.reset_programs()

    @property
    def compile_options(self) -> CompileOptions:
        """What the compiles of steps are asked for."""
        if self._run_eagerly:
            return replace(self._options, target="numpy")
        return self._options

    @property
    def target(self) -> str:
        """The target that steps run on."""
        return self.compile_options.target

    def reset_programs(self) -> None:
        """Forgets traced steps, as `compile` does; they are traced again when used."""
        self._steps = {
            "train_step": Step(self, "train_step", self._traced_train_step),
            "eval_step": Step(self, "eval_step", self._traced_test_step),
            "predict": Step(self, "predict", self._traced_predict_step),
        }

    def step(self, kind: str) -> Step:
        """The step called `kind`: ``train_step``, ``eval_step`` or ``predict``."""
        return self._steps[kind]

    def steps(self) -> list[list[Program]]:
        """The programs traced so far, by step."""
        return [
            [*step.programs.values(), *step.blocks.values()]
            for step in self._steps.values()
        ]

    def known_batches(self) -> list[Any]:
        """The types of the batches that steps were traced for, in their structure."""
        keys = [key for step in self._steps.values() for key in step.programs]
        return [trees.unflatten(structure, types) for structure, types in keys]

    # -- compile -------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        target: str | None = None,
        precision: str = "float32",
        check: str | None = None,
        memory_budget: int | str | None = None,
        lock: str | PathLike[str] | None = None,
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: A name or an optimizer.
            loss: A name, a function, a `Loss`, or a list or dict of these by output.
            loss_weights: Weights of the outputs' losses.
            metrics: Metrics by name or object, or lists or dicts of these by output.
            weighted_metrics: Metrics that sample weights apply to.
            run_eagerly: Whether to run steps node by node on the NumPy evaluator.
            steps_per_execution: How many steps of `fit` and `evaluate` run in one
                dispatch, on batches that are stacked before. It is one step while a
                callback has batch hooks and is not ``once_per_block``.
            jit_compile: Kept for Keras's signature; steps are always compiled.
            auto_scale_loss: Whether to scale the loss with a `LossScaleOptimizer` if
                the model is ``mixed_float16``, or `precision` that or ``float16``.
            target: The target to run on: ``"xla"`` (the default), ``"xla:cpu"``, ...
            precision: How steps compute float32: ``"float32"``, ``"mixed_bfloat16"``,
                ``"mixed_float16"``, ``"bfloat16"`` or ``"float16"``. Variables and
                what layers return keep their dtypes; dtype policies change these.
            check: ``"nan"`` makes a step whose results are not finite raise a
                `NonFiniteError` that names the node, the layer and the batch; the model
                stays as it was before that step, and steps run one at a time.
                ``"numerics"`` compares what is compiled with the evaluator on samples.
            memory_budget: The bytes that a step may need by prediction, as a number or
                as text such as ``"20GiB"``: values are computed again for the backward
                part, and the batch is cut into parts, until it fits.
            lock: A lock file of ``graphc tune``, as in `graphc.compile`.

        Raises:
            ValueError: For an unknown optimizer, loss or metric, naming the nearest.
            TargetError: For an unknown or unavailable target.
            PassError: For an unknown precision.
            LoadError: If the lock file cannot be read, or is damaged.

        Example:
            >>> import graphc
            >>> model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(1)])
            >>> optimizer = graphc.optimizers.Adam(learning_rate=0.01)
            >>> model.compile(optimizer, loss="mse", metrics=["mae"])
        """
        self.check_initialized()  # type: ignore[attr-defined]
        self._compile_location = Location.capture()
        steps_per_execution = positive_integer(
            "steps_per_execution", steps_per_execution
        )
        if target is not None:
            find_target(target)
        options = CompileOptions(
            target or "xla",
            precision=precision,
            memory_budget=memory_budget,
            check=check,
            lock=None if lock is None else read_locked(lock),
        )
        self._compile_config = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "auto_scale_loss": auto_scale_loss,
            "precision": precision,
        }
        self.optimizer = optimizers.get(optimizer)
        policy = self.dtype_policy.name  # type: ignore[attr-defined]
        in_half = policy == "mixed_float16" or precision in HALF
        scaled = isinstance(self.optimizer, optimizers.LossScaleOptimizer)
        if auto_scale_loss and in_half and not scaled:
            self.optimizer = optimizers.LossScaleOptimizer(self.optimizer)
        self.loss = loss
        self._options = options
        self._run_eagerly = run_eagerly
        self.steps_per_execution = steps_per_execution
        names = getattr(self, "output_names", None) or None
        self._compile_loss = None
        if loss is not None:
            self._compile_loss = CompileLoss(loss, loss_weights, output_names=names)
        self._compile_metrics = None
        if metrics is not None or weighted_metrics is not None:
            self._compile_metrics = CompileMetrics(
                metrics, weighted_metrics, output_names=names
            )
        self._loss_tracker = Mean(name="loss")
        self._trainable_layers = TrainableLayers(self)
        self.compiled = True
        self.stop_training = False
        self.reset_programs()

    def compile_arguments(self) -> dict[str, Any] | None:
        """The arguments that `compile` was called with, or None."""
        return self._compile_config

    def _require_compiled(self, what: str) -> None:
        self.check_initialized()  # type: ignore[attr-defined]
        if not self.compiled:
            raise ValueError(
                f"You must call `compile()` before calling `{what}()`, for example"
                " model.compile(optimizer='adam', loss='mse')."
            )

    # -- what a step computes; may be overridden -------------------------------------------

    def train_step(self, data: Any) -> dict[str, Any]:
        """One training step on a batch: traced whole into one graph.

        Args:
            data: A tuple of x, and y and sample weights where there are any.

        Returns:
            The logs: scalar tensors by name.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)

        def loss() -> Any:
            y_pred = self(x, training=True)  # type: ignore[operator]
            total = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            return self._scaled(total), (total, y_pred)

        variables = self.trainable_variables  # type: ignore[attr-defined]
        if variables:
            differentiated = value_and_grad(loss, has_aux=True, variables=variables)
            (_, (total, y_pred)), gradients = differentiated()
            self.optimizer.apply(gradients, variables)
        else:  # frozen, or without weights: there is a loss to report all the same
            _, (total, y_pred) = loss()
        self._track_loss(total, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _scaled(self, loss: Any) -> Any:
        scale = getattr(self.optimizer, "scale_loss", None)
        return scale(loss) if scale is not None else loss

    def test_step(self, data: Any) -> dict[str, Any]:
        """One evaluation step on a batch; returns the logs."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)  # type: ignore[operator]

    # -- tracing -------------------------------------------------------------------------

    def prepare(self, kind: str, types: Sequence[Any], structure: Any) -> None:
        """Builds the model and the optimizer before a step is traced for these types."""
        if not self.built and self.has_call():  # type: ignore[attr-defined]

            def forward(batch: Any) -> Any:
                x = unpack_x_y_sample_weight(batch)[0]
                return self(x, training=False)  # type: ignore[operator]

            try:
                run_abstractly(forward, types, structure)
            except BaseException:
                # The layers inside may not be built: the next try starts over.
                self.built = False
                raise
        if kind == "train_step" and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]
        steps = {"train_step": self.train_step, "eval_step": self.test_step}
        if kind in steps and takes_state(steps[kind]):
            # The state has a place for each variable before the step runs.
            run_abstractly(self._build_metrics, types, structure)

    def _build_metrics(self, batch: Any) -> None:
        x, y, _ = unpack_x_y_sample_weight(batch)
        y_pred = self(x, training=False)  # type: ignore[operator]
        for part in (self._compile_loss, self._compile_metrics):
            if part is not None and not part.built:
                part.build(y, y_pred)

    def forget_traced_losses(self) -> None:
        """Drops what layers collected with `add_loss` while a step was traced."""
        self.clear_losses()  # type: ignore[attr-defined]

    def _traced_train_step(self, batch: Any) -> Any:
        return flat_logs(call_step(self.train_step, self, batch, "train_step"))

    def _traced_test_step(self, batch: Any) -> Any:
        return flat_logs(call_step(self.test_step, self, batch, "eval_step"))

    def _traced_predict_step(self, batch: Any) -> Any:
        return call_step(self.predict_step, self, batch, "predict")

    # -- loops ---------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Trains the model.

        Args:
            x: Inputs: arrays, a list or dict of arrays, or an iterable of batches.
            y: Targets, where `x` is arrays.
            batch_size: Samples per step; 32 by default.
            epochs: The number of epochs, those before `initial_epoch` included.
            verbose: 0 for silence, 1 (``"auto"``) for a progress bar, 2 for a line per
                epoch.
            callbacks: `Callback`s.
            validation_split: The fraction at the end of the data to validate on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)`` or an iterable.
            shuffle: Whether to shuffle arrays before each epoch.
            class_weight: A weight for each class.
            sample_weight: A weight for each sample.
            initial_epoch: The epoch to start at.
            steps_per_epoch: Steps that make an epoch.
            validation_steps: Steps that make a validation run.
            validation_batch_size: Samples per validation step.
            validation_freq: Epochs between validation runs.

        Returns:
            The `History`, whose ``history`` has a list of numbers, one per epoch, for
            the loss, each metric, and with ``val_`` in front those of validation.

        Raises:
            ValueError: For data that do not fit each other or the model, a model that
                is not compiled, or data without a batch.
            NonFiniteError: With ``compile(check="nan")``, if a step makes a NaN.

        Example:
            >>> import numpy as np, graphc
            >>> x = np.random.default_rng(0).normal(size=(64, 4))
            >>> model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(1)])
            >>> model.compile("adam", "mse", metrics=["mae"])
            >>> history = model.fit(x, x.sum(axis=1, keepdims=True), epochs=2, verbose=0)
            >>> {name: len(numbers) for name, numbers in history.history.items()}
            {'loss': 2, 'mae': 2}
        """
        self._require_compiled("fit")
        epochs = integer("epochs", epochs)
        initial_epoch = integer("initial_epoch", initial_epoch)
        if self._trainable_layers is not None:
            self._trainable_layers.warn_if_changed(self)
        batches = Batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            validation_split=validation_split,
        )
        validation: Any = None
        if validation_data is not None:
            validation = as_validation(
                validation_data, validation_batch_size or batch_size, validation_steps
            )
        elif validation_split:
            validation = batches.validation(validation_batch_size, validation_steps)
        bar = verbosity(verbose)
        listed = CallbackList(
            callbacks,
            add_history=True,
            add_progbar=bar != 0,
            verbose=bar,
            epochs=epochs,
            steps=batches.num_batches,
            model=self,
        )
        step = self._steps["train_step"]
        step.status = listed.status
        self.stop_training = False
        self.first_epoch = initial_epoch  # which callbacks may move on
        listed.on_train_begin()
        logs: dict[str, Any] = {}
        try:
            for epoch in range(self.first_epoch, epochs):
                logs = self._fit_epoch(epoch, batches, step, listed)
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    found = self._evaluate(validation, listed)
                    logs |= {f"val_{name}": v for name, v in sorted(found.items())}
                listed.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            step.status = None
            listed.status("")
            batches.close()
        trained = self.trainable_variables  # type: ignore[attr-defined]
        self.optimizer.finalize_variable_values(trained)
        listed.on_train_end(logs)
        self.history = listed.history
        return listed.history

    def _fit_epoch(
        self, epoch: int, batches: Any, step: Step, listed: CallbackList
    ) -> dict[str, float]:
        self.reset_metrics()
        listed.on_epoch_begin(epoch)
        logs: Any = {}
        seen = False
        blocks = self._blocks(step, listed, "train", batches)
        for index, group in blocks.groups(batches.epoch(epoch)):
            seen = True
            listed.on_train_batch_begin(index)
            with naming_batch(index, epoch):
                logs = blocks(group)
            listed.on_train_batch_end(index + len(group) - 1, logs)
            if self.stop_training:
                break
        if not seen and not batches.exhausted:
            raise ValueError(
                "The data is empty. Expected at least one batch in each epoch."
                f" Received: no batch in epoch {epoch + 1}"
            )
        self.stop_training |= batches.exhausted
        return dict(sorted(to_floats(logs).items()))

    def _blocks(
        self, step: Step, listed: CallbackList, mode: Any, batches: Batches
    ) -> Blocks:
        """A step in blocks of as many batches as may run between batch hooks."""
        if listed.needs_every_batch(mode) or self.compile_options.check == NAN:
            return Blocks(step, 1)
        size = self.steps_per_execution
        return Blocks(step, min(size, batches.num_batches or size))

    def _listed(self, callbacks: Any, batches: Batches, verbose: Any) -> CallbackList:
        """The callbacks of one pass over batches, with a progress bar if wanted."""
        bar = verbosity(verbose)
        return CallbackList(
            callbacks,
            add_history=False,
            add_progbar=bar != 0,
            verbose=bar,
            epochs=1,
            steps=batches.num_batches,
            model=self,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **keywords: Any,
    ) -> Any:
        """The loss and the metrics on data.

        Args:
            x: Inputs, as for `fit`.
            y: Targets, where `x` is arrays.
            batch_size: Samples per step; 32 by default.
            verbose: 0, 1 (``"auto"``) or 2.
            sample_weight: A weight for each sample.
            steps: Steps to run.
            callbacks: `Callback`s.
            return_dict: Whether to return a dict instead of a list.
            **keywords: None are known; given ones are refused by name.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict by name.

        Raises:
            ValueError: As for `fit`.
        """
        refuse_unknown("evaluate", keywords)
        self._require_compiled("evaluate")
        batches = Batches(
            x, y, sample_weight, batch_size=batch_size, steps=steps, shuffle=False
        )
        listed = self._listed(callbacks, batches, verbose)
        logs = self._evaluate(batches, listed)
        return self._steps["eval_step"].report(logs, return_dict)

    def _evaluate(self, batches: Any, listed: CallbackList) -> dict[str, float]:
        step = self._steps["eval_step"]
        step.status = listed.status
        self.reset_metrics()
        listed.on_test_begin()
        logs: Any = {}
        seen = False
        try:
            blocks = self._blocks(step, listed, "test", batches)
            for index, group in blocks.groups(batches.epoch(0)):
                seen = True
                listed.on_test_batch_begin(index)
                with naming_batch(index):
                    logs = blocks(group)
                listed.on_test_batch_end(index + len(group) - 1, logs)
        finally:
            step.status = None
            listed.status("")
            batches.close()
        if not seen:
            raise ValueError("The data is empty. Expected at least one batch.")
        found = to_floats(logs)
        listed.on_test_end(found)
        return found

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as NumPy arrays.

        Args:
            x: Inputs, as for `fit`.
            batch_size: Samples per step; 32 by default.
            verbose: 0, 1 (``"auto"``) or 2.
            steps: Steps to run.
            callbacks: `Callback`s.

        Returns:
            The outputs of all batches joined, in the structure of the model's outputs.

        Raises:
            ValueError: For data that do not fit the model.

        Example:
            >>> import numpy as np, graphc
            >>> model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(3)])
            >>> model.predict(np.ones((10, 4)), verbose=0).shape
            (10, 3)
        """
        batches = Batches(x, batch_size=batch_size, steps=steps, shuffle=False)
        listed = self._listed(callbacks, batches, verbose)
        step = self._steps["predict"]
        step.status = listed.status
        listed.on_predict_begin()
        parts: list[Any] = []
        try:
            for index, batch in enumerate(batches.epoch(0)):
                listed.on_predict_batch_begin(index)
                with naming_batch(index):
                    outputs = step(batch)
                parts.append(outputs)
                listed.on_predict_batch_end(index, {"outputs": outputs})
        finally:
            step.status = None
            listed.status("")
            batches.close()
        listed.on_predict_end()
        if not parts:
            raise ValueError("The data is empty. Expected at least one batch.")
        return trees.map_leaves(joined, *parts)

    # -- single batches --------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch and returns the loss and the metrics for it.

        Args:
            x: Inputs: an array, or a list or dict of arrays.
            y: Targets.
            sample_weight: A weight for each sample.
            class_weight: A weight for each class.
            return_dict: Whether to return a dict instead of a list.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict by name.

        Raises:
            ValueError: If the model is not compiled or the data do not fit it.
        """
        self._require_compiled("train_on_batch")
        batch = convert_batch(x, y, sample_weight, class_weight)
        step = self._steps["train_step"]
        step.reset_metrics()
        return step.report(to_floats(step(batch)), return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics for one batch, as `train_on_batch` returns them."""
        self._require_compiled("test_on_batch")
        batch = convert_batch(x, y, sample_weight)
        step = self._steps["eval_step"]
        step.reset_metrics()
        return step.report(to_floats(step(batch)), return_dict)

    def find_nonfinite(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> NonFinite | None:
        """Where a training step on a batch first makes a NaN or an infinity.

        The step runs node by node on the evaluator; the model does not change.

        Args:
            x: Inputs, as for `train_on_batch`.
            y: Targets.
            sample_weight: A weight for each sample.

        Returns:
            The op, its layer and the user's line; None if everything is finite.

        Raises:
            ValueError: If the model is not compiled or the data do not fit it.

        Example:
            >>> import numpy as np
            >>> import graphc
            >>> x = graphc.Input((2,))
            >>> model = graphc.Model(x, graphc.ops.log(graphc.layers.Dense(1)(x)))
            >>> model.set_weights([np.full((2, 1), -1.0), np.zeros(1)])
            >>> model.compile("sgd", "mse")
            >>> model.find_nonfinite(np.ones((4, 2)), np.ones((4, 1))).op
            'log'
        """
        self._require_compiled("find_nonfinite")
        batch = convert_batch(x, y, sample_weight)
        graph, arrays = self._steps["train_step"].graph_and_arrays(batch)
        return find_nonfinite(graph, arrays)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        outputs = self._steps["predict"](convert_batch(x))
        if not isinstance(outputs, (tuple, list, dict)):
            return writable(outputs)
        return trees.map_leaves(writable, outputs)
