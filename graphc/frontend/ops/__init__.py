"""Functions of tensors: `keras.ops` for eager arrays, traces and symbolic inputs."""

# Each module lists its public functions in `__all__`.

from graphc.frontend.ops import (
    activation,
    arrangement,
    attention,
    control_flow,
    convolution,
    core,
    creation,
    crossentropy,
    ctc,
    data_dependent,
    decompositions,
    directional,
    elementwise,
    given_gradients,
    indexing,
    linalg,
    logic,
    nan_reductions,
    normalization,
    prefix_scans,
    printing,
    reduction,
    signals,
    special_arithmetic,
    statistics,
    subscripts,
    vectorization,
    windows,
)
from graphc.frontend.ops.activation import *
from graphc.frontend.ops.arrangement import *
from graphc.frontend.ops.attention import *
from graphc.frontend.ops.control_flow import *
from graphc.frontend.ops.convolution import *
from graphc.frontend.ops.core import *
from graphc.frontend.ops.creation import *
from graphc.frontend.ops.crossentropy import *
from graphc.frontend.ops.ctc import *
from graphc.frontend.ops.data_dependent import *
from graphc.frontend.ops.decompositions import *
from graphc.frontend.ops.directional import *
from graphc.frontend.ops.elementwise import *
from graphc.frontend.ops.given_gradients import *
from graphc.frontend.ops.indexing import *
from graphc.frontend.ops.linalg import *
from graphc.frontend.ops.logic import *
from graphc.frontend.ops.nan_reductions import *
from graphc.frontend.ops.normalization import *
from graphc.frontend.ops.prefix_scans import *
from graphc.frontend.ops.printing import *
from graphc.frontend.ops.reduction import *
from graphc.frontend.ops.signals import *
from graphc.frontend.ops.special_arithmetic import *
from graphc.frontend.ops.statistics import *
from graphc.frontend.ops.subscripts import *
from graphc.frontend.ops.vectorization import *
from graphc.frontend.ops.windows import *
from graphc.frontend.tensor import OPERATORS

__all__: list[str] = []
__all__ += activation.__all__
__all__ += arrangement.__all__
__all__ += attention.__all__
__all__ += control_flow.__all__
__all__ += convolution.__all__
__all__ += core.__all__
__all__ += creation.__all__
__all__ += crossentropy.__all__
__all__ += ctc.__all__
__all__ += data_dependent.__all__
__all__ += decompositions.__all__
__all__ += directional.__all__
__all__ += elementwise.__all__
__all__ += given_gradients.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += logic.__all__
__all__ += nan_reductions.__all__
__all__ += normalization.__all__
__all__ += prefix_scans.__all__
__all__ += printing.__all__
__all__ += reduction.__all__
__all__ += signals.__all__
__all__ += special_arithmetic.__all__
__all__ += statistics.__all__
__all__ += subscripts.__all__
__all__ += vectorization.__all__
__all__ += windows.__all__

OPERATORS.update(
    absolute=elementwise.absolute,
    add=elementwise.add,
    cast=core.cast,
    equal=logic.equal,
    floor_divide=elementwise.floor_divide,
    get_item=indexing.get_item,
    greater=logic.greater,
    greater_equal=logic.greater_equal,
    less=logic.less,
    less_equal=logic.less_equal,
    logical_and=logic.logical_and,
    logical_not=logic.logical_not,
    logical_or=logic.logical_or,
    logical_xor=logic.logical_xor,
    matmul=linalg.matmul,
    mod=elementwise.mod,
    multiply=elementwise.multiply,
    negative=elementwise.negative,
    not_equal=logic.not_equal,
    power=elementwise.power,
    reshape=arrangement.reshape,
    subtract=elementwise.subtract,
    transpose=arrangement.transpose,
    true_divide=elementwise.true_divide,
)
