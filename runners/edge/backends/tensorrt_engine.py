"""TensorRT 8.2 on a Jetson TX2: the engine of an exported model, on the GPU. Python 3.6, as JetPack 4.6 has it."""

from typing import Any, Dict, Tuple

import tensorrt as trt

from runners.contract import engine_recipe
from runners.edge.backends import engine_cache
from runners.edge.backends.batch import check
from runners.edge.backends.cuda_memory import Cuda
from runners.edge.backends.engine_runner import EngineRunner
from runners.edge.backends.unusable import Unusable, in_one_line

VERSION = "8.2."
CAPABILITY = (6, 2)  # of Tegra Parker, whose arithmetic the re-test bounds; TensorRT 8.2 knows other GPUs too


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps TensorRT's last error. It prints nothing, and raises nothing, which would end the process."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.error = "it gives no reason"

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT."""
        if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
            self.error = in_one_line(msg)


class Backend:
    """The model and the recipe in a folder, for up to `most` regions of `size` pixels, four at most.

    Its engine is built on first use, which takes minutes, and kept in `cache`.
    """

    at_once = 1

    def __init__(self, folder: str, size: int, device: str, _threads: int, most: int, cache: str) -> None:
        if device not in ("", "GPU"):
            raise Unusable("TensorRT calculates on the GPU alone, not on {}".format(device))
        if not trt.__version__.startswith(VERSION):
            raise Unusable("TensorRT {} is here, and the model is for {}x".format(trt.__version__, VERSION))
        self._most, self._size, self._log = min(most, engine_recipe.REGIONS[-1]), size, Log()
        cuda = Cuda()
        name, capability = cuda.device()
        self._device = "{} (compute capability {}.{})".format(name, *capability)
        if capability != CAPABILITY:
            raise Unusable("{}: the model was tested for {}.{}, a Jetson TX2".format(self._device, *CAPABILITY))
        engine, self._built = self._load(folder, cache)
        self._layers = engine.num_layers
        self._runner = EngineRunner(engine, cuda, size)
        try:
            self._half = self._runner.half_layers()
            if self._built["recipe"]["half"] and not self._half:
                raise Unusable("{}: the recipe asks for FP16, and no layer of the engine has it".format(folder))
        except Exception:
            self._runner.close()
            raise

    def infer(self, batch: Any) -> Any:
        """The output (n, values) in float32 for `batch` (n, 3, size, size), n at most `most`."""
        check(batch, self._most, self._size)
        try:
            return self._runner.run(batch)
        except Unusable as error:
            raise Unusable("{}; TensorRT's last error: {}".format(error, self._log.error)) from error

    def facts(self) -> Dict[str, Any]:
        """The runtime, the device, how many layers calculate in FP16, and what the engine was built from."""
        return {
            "runtime": "TensorRT {}".format(trt.__version__),
            "device": self._device,
            "computes": ["GPU"],
            "precision": "f16" if self._half else "f32",
            "layers": self._layers,
            "half_layers": self._half,
            "engine": self._built,
        }

    def close(self) -> None:
        """Let go of the engine and of the GPU's memory."""
        self._runner.close()

    def _load(self, folder: str, cache: str) -> Tuple[Any, Dict[str, Any]]:
        """The engine for this board; one that was kept and does not load is built anew, once."""
        self._runtime = trt.Runtime(self._log)
        for anew in (False, True):
            content, built = engine_cache.engine(folder, cache, trt.__version__, anew)
            engine = self._runtime.deserialize_cuda_engine(content)
            if engine is not None:
                return engine, built
        raise Unusable("{}: TensorRT does not load the engine that it built: {}".format(folder, self._log.error))
