"""ONNX Runtime: ``build MODEL FOLDER``, or ``load MODEL FOLDER``."""

import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

from benchmarks.loading import models


def build(name: str, path: str) -> None:
    """Writes the model; it takes channels last, and computes with channels first."""
    nodes, constants = [], []
    shape = list(models.inputs(name).shape)
    value = "x"

    def add(op: str, *operands, of: str | None = None, **attributes) -> str:
        """Adds a node that reads the latest value, or another, and arrays or values."""
        nonlocal value
        names = []
        for operand in operands:
            if not isinstance(operand, str):
                constants.append(numpy_helper.from_array(operand, f"c{len(constants)}"))
                operand = constants[-1].name
            names.append(operand)
        read, made = [of or value, *names], f"v{len(nodes)}"
        nodes.append(helper.make_node(op, read, [made], **attributes))
        value = made
        return made

    def attention(*projections) -> None:
        given, shape = value, np.array([0, 0, models.HEADS, -1])
        orders = [(0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)]
        turned = []
        for kernel, order in zip(projections[:3], orders, strict=True):
            add("MatMul", kernel, of=given)
            add("Reshape", shape)
            turned.append(add("Transpose", perm=order))
        add("MatMul", turned[1], of=turned[0])
        add("Mul", np.float32((models.WIDTH / models.HEADS) ** -0.5))
        add("Softmax")
        add("MatMul", turned[2])
        add("Transpose", perm=(0, 2, 1, 3))
        add("Reshape", np.array([0, 0, -1]))
        add("MatMul", projections[3])

    if name == "cnn":
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
        elif kind in ("attention", "feed forward"):
            before = value
            add("LayerNormalization", *weights[:2], epsilon=models.EPSILON)
            if kind == "attention":
                attention(*weights[2:])
            else:
                add("MatMul", weights[2])
                add("Add", weights[3])
                add("Relu")
                add("MatMul", weights[4])
                add("Add", weights[5])
            add("Add", before)
        elif kind == "mean":
            add("ReduceMean", axes=[1], keepdims=0)
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
