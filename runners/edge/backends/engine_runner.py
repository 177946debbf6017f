"""Running a TensorRT engine of one input and one output on regions in ordinary memory. NumPy and TensorRT 8.2 only."""

import re
from contextlib import ExitStack
from typing import Any

import numpy as np
import tensorrt as trt

from runners.contract import engine_recipe
from runners.edge.backends.cuda_memory import Cuda
from runners.edge.backends.unusable import Unusable

FLOAT_BYTES = 4
# How a layer of FP16 shows in what TensorRT 8.2 tells of it: by the format of a tensor, or the type of its weights.
HALF = re.compile(r'"Format/Datatype":\s*"[^"]*FP16|"Type":\s*"Half"')


class EngineRunner:
    """An engine (`ICudaEngine`) with a context, a stream, and memory on the GPU for the most regions.

    Raises:
        Unusable: the engine is not for regions of `size` pixels, or the GPU has not the memory.
    """

    def __init__(self, engine: Any, cuda: Cuda, size: int) -> None:
        self._engine, self._cuda, self._shape = engine, cuda, (3, size, size)
        self._check()
        self.values = int(np.prod(engine.get_binding_shape(1 - self._input)[1:]))
        most = engine_recipe.REGIONS[-1]
        with ExitStack() as stack:
            # Undone from the last to the first: the context goes before what it works with.
            self._stream = cuda.new_stream()
            stack.callback(cuda.end_stream, self._stream)
            self._addresses = [0, 0]
            for binding, floats in ((self._input, 3 * size * size), (1 - self._input, self.values)):
                self._addresses[binding] = cuda.allocate(most * floats * FLOAT_BYTES)
                stack.callback(cuda.free, self._addresses[binding])
            self._context = engine.create_execution_context()
            stack.callback(self._forget)
            if self._context is None:
                raise Unusable("TensorRT has not the memory to run the engine")
            self._owned = stack.pop_all()

    def run(self, batch: Any) -> Any:
        """The output (n, values) in float32 for `batch` (n, 3, size, size) in float32, n at most 4."""
        batch = np.ascontiguousarray(batch)  # a view is copied as it lies in memory
        answers = np.empty((len(batch), self.values), np.float32)
        self._set_regions(len(batch))
        self._cuda.to_device(self._addresses[self._input], batch, self._stream)
        if not self._context.execute_async_v2(bindings=self._addresses, stream_handle=self._stream):
            raise Unusable("TensorRT did not run the engine")
        self._cuda.to_host(answers, self._addresses[1 - self._input], self._stream)
        self._cuda.wait(self._stream)
        return answers

    def half_layers(self) -> int:
        """How many layers of the engine have something in FP16."""
        self._set_regions(engine_recipe.REGIONS[-1])  # formats are only told where all shapes are known
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        layers = range(self._engine.num_layers)
        told = [inspector.get_layer_information(layer, trt.LayerInformationFormat.JSON) for layer in layers]
        return sum(bool(HALF.search(text)) for text in told)

    def close(self) -> None:
        """Give the memory back."""
        self._owned.close()

    def _forget(self) -> None:
        del self._context, self._engine

    def _set_regions(self, count: int) -> None:
        if not self._context.set_binding_shape(self._input, (count, *self._shape)):
            raise Unusable("TensorRT's engine does not take {} regions of {}".format(count, self._shape))

    def _check(self) -> None:
        engine = self._engine
        inputs = [index for index in range(engine.num_bindings) if engine.binding_is_input(index)]
        if engine.num_bindings != 2 or len(inputs) != 1:
            raise Unusable("TensorRT's engine has {} inputs and outputs, not one each".format(engine.num_bindings))
        [self._input] = inputs
        wanted = [(count, *self._shape) for count in engine_recipe.REGIONS]
        taken = [tuple(shape) for shape in engine.get_profile_shape(0, self._input)]
        types = [engine.get_binding_dtype(index) for index in range(2)]
        if taken != wanted or types != [trt.float32] * 2:
            found = "{} in {}".format(taken, " and ".join(map(str, types)))
            raise Unusable("TensorRT's engine wants {}, not {} in float32".format(found, wanted))
