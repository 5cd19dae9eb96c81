"""ONNX Runtime: ``build MODEL FOLDER``, or ``load MODEL FOLDER``."""

import sys

import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

from benchmarks.loading import models


def build(name: str, path: str) -> None:
    """Writes the model; it takes channels last, and computes with channels first."""
    nodes, constants = [], []
    shape = list(models.inputs(name).shape)
    value = "x"

    def add(op: str, *arrays, **attributes) -> None:
        nonlocal value
        names = [f"c{len(constants) + i}" for i in range(len(arrays))]
        constants.extend(map(numpy_helper.from_array, arrays, names))
        nodes.append(
            helper.make_node(op, [value, *names], [f"v{len(nodes)}"], **attributes)
        )
        value = f"v{len(nodes) - 1}"

    if name != "mlp":
        add("Transpose", perm=[0, 3, 1, 2])
    for kind, weights in models.layers(name):
        if kind == "dense":
            add("Gemm", *weights)
        elif kind == "conv":
            kernel = weights[0].transpose(3, 2, 0, 1).copy()
            add("Conv", kernel, weights[1], pads=[1, 1, 1, 1])
        elif kind == "pool":
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        elif kind == "flatten":
            add("Transpose", perm=[0, 2, 3, 1])
            add("Flatten")
        else:
            add("Relu")
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [shape[0], 10])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def load(path: str):
    """The program."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x})[0]


command, name, folder = sys.argv[1:4]
path = f"{folder}/{name}.onnx"
if command == "build":
    build(name, path)
else:
    models.measure(lambda: load(path))
