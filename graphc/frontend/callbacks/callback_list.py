"""Several callbacks as one: what the trainer calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graphc.frontend import trees
from graphc.frontend.callbacks.callback import Callback, Mode, overrides
from graphc.frontend.callbacks.history import History
from graphc.frontend.callbacks.logs import BatchLogs, to_floats
from graphc.frontend.callbacks.progbar_logger import ProgbarLogger
from graphc.frontend.progress import show_status

__all__ = ["CallbackList"]


class CallbackList(Callback):
    """Callbacks that are called in order, as one.

    Args:
        callbacks: A callback, or a nest of callbacks, or None.
        add_history: Whether to add a `History` unless there is one.
        add_progbar: Whether to add a `ProgbarLogger` unless there is one.
        model: The model to set.
        **params: The parameters to set: ``verbose``, ``epochs``, ``steps``.

    Raises:
        TypeError: If something is not a callback.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Callback] = []
        self._batch_callbacks: dict[Mode, list[Callback]] = {}
        self._batch_hooks: dict[str, list[Callable[..., Any]]] = {}
        for callback in trees.leaves(callbacks):
            parts = (
                callback.callbacks if isinstance(callback, CallbackList) else [callback]
            )
            for part in parts:
                self.append(part)
        if add_progbar and not self._has(ProgbarLogger):
            self.append(ProgbarLogger())
        if add_history and not self._has(History):
            self.append(History())
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        """Adds a callback that is called after the others.

        Raises:
            TypeError: If it is not a callback.
        """
        if inspect.isclass(callback) or not hasattr(callback, "on_train_batch_end"):
            raise TypeError(
                "Expected callbacks to be `Callback` objects. "
                f"Received: {callback!r}"
                + (", a class: call it" if inspect.isclass(callback) else "")
            )
        self.callbacks.append(callback)
        self._batch_callbacks.clear()
        self._batch_hooks.clear()

    def _has(self, kind: type[Callback]) -> bool:
        return any(isinstance(callback, kind) for callback in self.callbacks)

    @property
    def history(self) -> History:
        """The first `History` among the callbacks.

        Raises:
            LookupError: If there is none.
        """
        for callback in self.callbacks:
            if isinstance(callback, History):
                return callback
        raise LookupError("Expected a History callback. Received: none")

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def status(self, message: str) -> None:
        """Shows what takes time, such as compiling, until called with ``""``."""
        show_status(message if self.params.get("verbose") == 1 else "")

    def uses_batch_hooks(self, mode: Mode) -> bool:
        return bool(self._with_batch_hooks(mode))

    def needs_every_batch(self, mode: Mode) -> bool:
        """Whether batch hooks must be called for each step, not once per block of steps.

        Args:
            mode: ``"train"``, ``"test"`` or ``"predict"``.
        """
        return not all(
            isinstance(callback, Callback) and callback.once_per_block
            for callback in self._with_batch_hooks(mode)
        )

    def _with_batch_hooks(self, mode: Mode) -> list[Callback]:
        """The callbacks whose batch hooks do something; found out once."""
        if mode not in self._batch_callbacks:
            self._batch_callbacks[mode] = [
                callback
                for callback in self.callbacks
                # One made for Keras does not say.
                if not isinstance(callback, Callback) or callback.uses_batch_hooks(mode)
            ]
        return self._batch_callbacks[mode]

    def _call_batch_hook(
        self, mode: Mode, hook: str, batch: int, logs: Mapping[str, Any] | None
    ) -> None:
        functions = self._batch_hooks.get(hook)
        if functions is None:
            functions = self._batch_hooks[hook] = [
                getattr(callback, hook)
                for callback in self._with_batch_hooks(mode)
                if _has_hook(callback, hook)
            ]
        if functions:
            logs = BatchLogs(logs)
            for function in functions:
                function(batch, logs)

    def _call_hook(self, hook: str, *arguments: Any) -> None:
        *index, logs = arguments
        logs = to_floats(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*index, logs)

    def on_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.on_train_batch_begin(batch, logs)

    def on_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.on_train_batch_end(batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_epoch_end", epoch, logs)

    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("train", "on_train_batch_begin", batch, logs)

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("train", "on_train_batch_end", batch, logs)

    def on_test_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("test", "on_test_batch_begin", batch, logs)

    def on_test_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("test", "on_test_batch_end", batch, logs)

    def on_predict_batch_begin(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("predict", "on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(
        self, batch: int, logs: Mapping[str, Any] | None = None
    ) -> None:
        self._call_batch_hook("predict", "on_predict_batch_end", batch, logs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_train_begin", logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_train_end", logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_test_begin", logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_test_end", logs)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_predict_begin", logs)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._call_hook("on_predict_end", logs)


def _has_hook(callback: Callback, hook: str) -> bool:
    """Whether a callback's hook around batches does anything."""
    alias = hook.replace("on_train_batch", "on_batch")
    return overrides(callback, hook) or overrides(callback, alias)
