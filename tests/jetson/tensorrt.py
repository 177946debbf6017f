"""A strict stand-in of TensorRT 8.2's Python package, for the builder and for running engines.

It knows only what TensorRT 8.2 documents and refuses any other attribute, so that a call which JetPack 4.6 does not
have fails here too. Its "ONNX" is `onnx` and JSON (`model`), its engines really calculate (`weights`): on the memory of
the stand-in of CUDA's runtime (cudart.c), in a stream, when that is waited for. What the environment's
TENSORRT_STANDIN says (JSON) makes it misbehave. Python 3.6, as on the board.
"""

import ctypes
import hashlib
import json
import os
import time
from pathlib import Path

__version__ = "8.2.1.9"
float32, float16, int32 = "float32", "float16", "int32"
LAYERS = (
    ("stem", float16),
    ("fc", float32),
    ("fc_3", float32, float32),  # another layer that the parser makes of `fc`
    ("fc_4", int32),
    ("fc_bias", float16),
)
seen = {}  # what the builder was told last: flags, shapes, layers


def behaviour(name, default=None):
    return json.loads(os.environ.get("TENSORRT_STANDIN", "{}")).get(name, default)


def model(values=3, seed=1):
    """A file that this parser takes."""
    return b"onnx" + json.dumps({"values": values, "seed": seed}).encode()


def weights(values, inputs, seed):
    """(values, inputs): whole numbers, so that sums are the same in any order. cudart.c has the same formula."""
    import numpy as np  # the builder, a process of its own, starts faster without

    rows, columns = np.ogrid[:values, :inputs]
    return ((rows * 31 + columns * 7 + seed) % 13 - 6).astype(np.float32)


class Strict:
    """An object with only the attributes that its class names in `allowed`."""

    allowed = ()

    def __setattr__(self, name, value):
        if name not in self.allowed and not name.startswith("_"):
            raise AttributeError(f"TensorRT 8.2's {type(self).__name__} has no {name}")
        object.__setattr__(self, name, value)


class ILogger(Strict):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)
    allowed = ("error",)  # of the one subclass that there is
    _ready = False

    def __init__(self):
        self._ready = True


class Logger(ILogger):
    def __init__(self, severity):
        assert severity == ILogger.WARNING
        ILogger.__init__(self)

    def log(self, severity, msg):
        print("[TensorRT]", msg)


class Profile(Strict):
    def set_shape(self, input, min, opt, max):
        seen["shapes"][input] = (min, opt, max)


class Config(Strict):
    allowed = ("max_workspace_size", "profiling_verbosity")
    profiling_verbosity = "LAYER_NAMES_ONLY"

    def set_flag(self, flag):
        seen["flags"].append(flag)

    def add_optimization_profile(self, profile):
        assert isinstance(profile, Profile)
        return 0


class Tensor(Strict):
    allowed = ("name", "dtype")

    def __init__(self, name, dtype):
        self.name, self.dtype = name, dtype


class Layer(Strict):
    allowed = ("name", "precision", "dtypes", "set_types")

    def __init__(self, name, *dtypes):
        self.name, self.dtypes, self.precision, self.set_types = name, dtypes, "any", {}

    @property
    def num_outputs(self):
        return len(self.dtypes)

    def get_output(self, index):
        return Tensor("", self.dtypes[index])

    def set_output_type(self, index, dtype):
        assert 0 <= index < self.num_outputs
        self.set_types[index] = dtype


class Network(Strict):
    _model = None

    @property
    def num_layers(self):
        return len(seen["layers"])

    def get_layer(self, index):
        return seen["layers"][index]

    def get_input(self, index):
        assert index == 0
        return Tensor("input", float32)


class Builder(Strict):
    def __init__(self, logger):
        assert logger._ready
        self._logger = logger
        seen.clear()
        seen.update(flags=[], shapes={}, layers=[Layer(*layer) for layer in LAYERS])

    @property
    def platform_has_fast_fp16(self):
        return behaviour("fast_fp16", True)

    def create_network(self, flags):
        assert flags == 1, "TensorRT 8.2 parses ONNX only with an explicit batch"
        return Network()

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        assert config.max_workspace_size == 1 << 30
        self._logger.log(ILogger.WARNING, "Detected invalid timing cache, setup a local cache instead")
        if behaviour("log"):
            with Path(behaviour("log")).open("a") as stream:
                stream.write("built\n")
        while behaviour("waits_for") and not Path(behaviour("waits_for")).exists():
            time.sleep(0.01)
        if behaviour("build") == "crash":
            os.abort()
        if behaviour("build") == "refuse":
            return None
        half = "FP16" in seen["flags"] and behaviour("fast_fp16", True) and behaviour("uses_fp16", True)
        halves = [half and layer.precision == "any" and float16 in layer.dtypes for layer in seen["layers"]]
        plan = dict(network._model, halves=halves, shapes=seen["shapes"]["input"], told=config.profiling_verbosity)
        return serialized(plan)


def serialized(plan):
    """An engine: JSON, and a hash by which a damaged one is known."""
    content = json.dumps(plan, sort_keys=True).encode()
    return hashlib.sha256(content).digest() + content


class OnnxParser(Strict):
    def __init__(self, network, logger):
        assert logger._ready
        self._network, self._errors = network, []

    def parse(self, content):
        try:
            assert content[:4] == b"onnx"
            self._network._model = json.loads(content[4:].decode())
        except (AssertionError, ValueError):
            self._errors.append("Failed to parse ONNX model")
        return not self._errors

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class Runtime(Strict):
    def __init__(self, logger):
        assert logger._ready, "ILogger.__init__ was not called"
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        digest, content = serialized_engine[:32], serialized_engine[32:]
        if hashlib.sha256(content).digest() != digest or behaviour("loads") == "never":
            self._logger.log(ILogger.ERROR, "4: [runtime.cpp::deserialize]\n Serialization assertion failed.")
            return None
        return Engine(json.loads(content.decode()), self._logger)


class Engine(Strict):
    num_bindings = 2

    def __init__(self, plan, logger):
        self._plan, self._logger = plan, logger
        # The order of bindings is nobody's promise.
        self._input = 1 if behaviour("output_first") else 0

    @property
    def num_layers(self):
        return len(self._plan["halves"])

    def binding_is_input(self, index):
        return index == self._input

    def get_binding_shape(self, index):
        return (-1, *(self._plan["shapes"][0][1:] if index == self._input else [self._plan["values"]]))

    def get_binding_dtype(self, index):
        return behaviour("binding_dtype", float32)

    def get_profile_shape(self, profile_index, binding):
        assert profile_index == 0
        assert binding == self._input
        return [tuple(shape) for shape in self._plan["shapes"]]

    def create_execution_context(self):
        return None if behaviour("context") == "none" else Context(self)

    def create_engine_inspector(self):
        return Inspector(self)


class Inspector(Strict):
    allowed = ("execution_context",)
    execution_context = None

    def __init__(self, engine):
        self._engine = engine

    def get_layer_information(self, layer_index, format):
        assert format == LayerInformationFormat.JSON
        plan, context = self._engine._plan, self.execution_context
        name = f"layer {layer_index} (FP16?)"
        if plan["told"] != ProfilingVerbosity.DETAILED:
            return json.dumps(name)
        kind = "FP16" if plan["halves"][layer_index] else "FP32"
        outputs = {"Name": name, "Dimensions": [-1, 8]}
        if context is not None and context._shape:
            outputs["Format/Datatype"] = f"Two wide channel vectorized row major {kind} format"
        return json.dumps({"Name": name, "Outputs": [outputs]})


class Context(Strict):
    def __init__(self, engine):
        self._engine, self._shape = engine, None

    def set_binding_shape(self, binding, shape):
        least, _, most = self._engine._plan["shapes"]
        fits = (
            binding == self._engine._input and tuple(shape[1:]) == tuple(least[1:]) and least[0] <= shape[0] <= most[0]
        )
        self._shape = tuple(shape) if fits else None
        return fits

    def execute_async_v2(self, bindings, stream_handle):
        assert all(type(number) is int for number in [*bindings, stream_handle]), "addresses are whole numbers"
        assert len(bindings) == 2
        if self._shape is None or behaviour("run") == "refuse":
            self._engine._logger.log(ILogger.ERROR, "3: [executionContext.cpp::enqueueInternal] Parameter check failed")
            return False
        plan, source = self._engine._plan, self._engine._input
        inputs = self._shape[1] * self._shape[2] * self._shape[3]
        library = ctypes.CDLL(os.environ["CUDART_STANDIN"])
        linear = library.standin_linear
        linear.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int] * 4
        addresses = [stream_handle, bindings[source], bindings[1 - source]]
        return linear(*addresses, self._shape[0], inputs, plan["values"], plan["seed"]) == 0


class NetworkDefinitionCreationFlag:
    EXPLICIT_BATCH = 0


class BuilderFlag:
    FP16, OBEY_PRECISION_CONSTRAINTS = "FP16", "OBEY"


class ProfilingVerbosity:
    LAYER_NAMES_ONLY, DETAILED, NONE = "LAYER_NAMES_ONLY", "DETAILED", "NONE"


class LayerInformationFormat:
    ONELINE, JSON = range(2)
