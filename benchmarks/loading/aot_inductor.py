"""PyTorch's AOTInductor: ``build MODEL FOLDER``, or ``load MODEL FOLDER``."""

import sys

import torch

from benchmarks.loading import models

torch.set_num_threads(1)


class Model(torch.nn.Module):
    """The model; it takes channels last, and computes with channels first."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.kinds = [kind for kind, _ in models.layers(name)]
        self.image = name == "cnn"
        self.kept = torch.nn.ParameterList()
        for kind, weights in models.layers(name):
            for array in weights:
                axes = (3, 2, 0, 1) if kind == "conv" and array.ndim == 4 else None
                moved = array.transpose(axes).copy() if axes else array
                self.kept.append(torch.from_numpy(moved))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores."""
        if self.image:
            x = x.permute(0, 3, 1, 2)
        weights = iter(self.kept)
        for kind in self.kinds:
            if kind == "dense":
                x = x @ next(weights) + next(weights)
            elif kind == "conv":
                kernel, bias = next(weights), next(weights)
                x = torch.nn.functional.conv2d(x, kernel, bias, padding=1)
            elif kind == "pool":
                x = torch.nn.functional.max_pool2d(x, 2)
            elif kind == "flatten":
                x = x.permute(0, 2, 3, 1).flatten(1)
            elif kind == "attention":
                y = normalized(x, next(weights), next(weights))
                heads = (*x.shape[:2], models.HEADS, -1)
                q, k, v = ((y @ next(weights)).reshape(heads) for _ in range(3))
                turned = (each.transpose(1, 2) for each in (q, k, v))
                y = torch.nn.functional.scaled_dot_product_attention(*turned)
                x = x + y.transpose(1, 2).reshape(x.shape) @ next(weights)
            elif kind == "feed forward":
                y = normalized(x, next(weights), next(weights))
                y = (y @ next(weights) + next(weights)).relu()
                x = x + y @ next(weights) + next(weights)
            elif kind == "mean":
                x = x.mean(1)
            else:
                x = x.relu()
        return x


def normalized(x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor):
    """Each token with a mean of 0 and a variance of 1, then scaled."""
    size = (models.WIDTH,)
    return torch.nn.functional.layer_norm(x, size, scale, offset, models.EPSILON)


def load(path: str):
    """The program."""
    program = torch._inductor.aoti_load_package(path)

    def run(x):
        with torch.inference_mode():
            return program(torch.from_numpy(x)).numpy()

    return run


command, name, folder = sys.argv[1:4]
path = f"{folder}/{name}.pt2"
if command == "build":
    example = (torch.from_numpy(models.inputs(name)),)
    with torch.inference_mode():
        exported = torch.export.export(Model(name).eval(), example)
        torch._inductor.aoti_compile_and_package(exported, package_path=path)
else:
    models.measure(lambda: load(path))
