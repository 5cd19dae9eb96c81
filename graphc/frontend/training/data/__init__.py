"""Data of any kind as batches of NumPy arrays, in an order that a seed decides."""

from graphc.frontend.training.data.batch import (
    convert_batch,
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)
from graphc.frontend.training.data.batches import Batches
from graphc.frontend.training.data.py_dataset import PyDataset
from graphc.frontend.training.data.time_series import timeseries_dataset_from_array

__all__ = [
    "Batches",
    "PyDataset",
    "convert_batch",
    "pack_x_y_sample_weight",
    "timeseries_dataset_from_array",
    "unpack_x_y_sample_weight",
]
