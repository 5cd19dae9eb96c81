"""Callbacks: what users add to the training loop."""

from graphc.frontend.callbacks.backup_and_restore import BackupAndRestore
from graphc.frontend.callbacks.callback import Callback
from graphc.frontend.callbacks.callback_list import CallbackList
from graphc.frontend.callbacks.csv_logger import CSVLogger
from graphc.frontend.callbacks.early_stopping import EarlyStopping
from graphc.frontend.callbacks.history import History
from graphc.frontend.callbacks.lambda_callback import LambdaCallback
from graphc.frontend.callbacks.learning_rate import (
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from graphc.frontend.callbacks.model_checkpoint import ModelCheckpoint
from graphc.frontend.callbacks.progbar_logger import ProgbarLogger
from graphc.frontend.callbacks.swap_ema_weights import SwapEMAWeights
from graphc.frontend.callbacks.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
]
