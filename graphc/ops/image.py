"""Functions of images, with Keras's names."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.ops import image, image_warping
from graphc.frontend.ops.image import *
from graphc.frontend.ops.image_warping import *

__all__: list[str] = []
__all__ += image.__all__
__all__ += image_warping.__all__

del image, image_warping

suggest_nearest(__name__)
