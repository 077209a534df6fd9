"""
A stand-in, for tests, for the packages `tensorrt` and `cuda-python`: what the driver's engine calls
of them, with the memory of this process as that of the GPU. Every address is checked against what
was allocated; a plan is a JSON file that names an .onnx file and profiles, and ONNX Runtime runs it.
"""

from __future__ import annotations

import ctypes
import enum
import json
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime

_NUMPY = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
}
_allocated: dict[int, ctypes.Array] = {}
#: Runs by profile, in the order in which plans were loaded.
_launches: list[int] = []


def _inside(address: int, size: int) -> None:
    for start, memory in _allocated.items():
        if start <= address and address + size <= start + len(memory):
            return
    raise AssertionError(f"{size} bytes at {address:#x} were never allocated")


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


_DONE = (cudaError_t.cudaSuccess,)


def _malloc(size: int) -> tuple:
    # What nobody has written to is not zero on a GPU.
    memory = (ctypes.c_char * size).from_buffer(bytearray(b"\xff" * size))
    address = ctypes.addressof(memory)
    _allocated[address] = memory
    return (*_DONE, address)


def _free(address: int) -> tuple:
    del _allocated[address]
    return _DONE


def _memset(address: int, value: int, size: int, stream: int = 0) -> tuple:
    _inside(address, size)
    ctypes.memset(address, value, size)
    return _DONE


def _memcpy(target: int, source: int, size: int, kind: cudaMemcpyKind) -> tuple:
    if size == 0:
        return _DONE
    if kind != cudaMemcpyKind.cudaMemcpyDeviceToHost:
        _inside(target, size)
    if kind != cudaMemcpyKind.cudaMemcpyHostToDevice:
        _inside(source, size)
    ctypes.memmove(target, source, size)
    return _DONE


def _memcpy_2d(
    target: int,
    target_pitch: int,
    source: int,
    source_pitch: int,
    width: int,
    height: int,
    kind,
    stream,
) -> tuple:
    assert width <= target_pitch and width <= source_pitch
    for line in range(height):
        _memcpy(target + line * target_pitch, source + line * source_pitch, width, kind)
    return _DONE


class Logger:
    WARNING = 2

    def __init__(self, severity: int) -> None:
        pass


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class _Context:
    def __init__(self, engine: Engine) -> None:
        self._engine, self._profile, self._number = engine, None, len(_launches)
        _launches.append(0)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._made: dict[str, np.ndarray] | None = None

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self._profile = self._engine.profiles[index]
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._made = None
        low, _, high = self._profile[name]
        self._shapes[name] = tuple(shape)
        return all(a <= size <= b for a, size, b in zip(low, shape, high))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        # Real shapes follow from those of inputs; here it has to be run, with the inputs there.
        if self._made is None:
            feeds = {}
            for value in self._engine.session.get_inputs():
                kind, shape = _NUMPY[value.type], self._shapes[value.name]
                size = int(np.prod(shape)) * np.dtype(kind).itemsize
                address = self._addresses[value.name]
                _inside(address, size)
                data = (ctypes.c_char * size).from_address(address)
                feeds[value.name] = np.frombuffer(data, kind).reshape(shape).copy()
            names = [value.name for value in self._engine.session.get_outputs()]
            self._made = dict(zip(names, self._engine.session.run(names, feeds)))
        return self._made[name].shape

    def execute_async_v3(self, stream: int) -> bool:
        for name, value in self._made.items():
            data = np.ascontiguousarray(value)
            _inside(self._addresses[name], data.nbytes)
            ctypes.memmove(self._addresses[name], data.ctypes.data, data.nbytes)
        self._made = None
        _launches[self._number] += 1
        return True


class Engine:
    def __init__(self, plan: dict) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(plan["onnx"], options)
        self._names = [value.name for value in self.session.get_inputs()]
        self._inputs = len(self._names)
        self._names += [value.name for value in self.session.get_outputs()]
        self.profiles = plan["profiles"]
        self.num_optimization_profiles = len(self.profiles)
        self.num_io_tensors = len(self._names)

    def create_execution_context(self) -> _Context:
        return _Context(self)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if self._names.index(name) < self._inputs else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile: int) -> list:
        return self.profiles[profile][name]


class Runtime:
    def __init__(self, logger: Logger) -> None:
        pass

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        plan = json.loads(data)
        return Engine(plan) if Path(plan["onnx"]).exists() else None


def install() -> None:
    """Makes `import tensorrt` and `from cuda.bindings import runtime` find the stand-ins."""
    trt = types.ModuleType("tensorrt")
    trt.__version__ = "stand-in"
    trt.Logger, trt.Runtime, trt.TensorIOMode = Logger, Runtime, TensorIOMode
    cuda, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
    runtime = types.ModuleType("cuda.bindings.runtime")
    runtime.cudaError_t, runtime.cudaMemcpyKind = cudaError_t, cudaMemcpyKind
    runtime.cudaMalloc, runtime.cudaFree = _malloc, _free
    runtime.cudaMemset = runtime.cudaMemsetAsync = _memset
    runtime.cudaMemcpy, runtime.cudaMemcpy2DAsync = _memcpy, _memcpy_2d
    runtime.cudaSetDevice = lambda device: _DONE
    runtime.cudaStreamCreate = lambda: (*_DONE, 7)
    runtime.cudaStreamSynchronize = runtime.cudaStreamDestroy = lambda stream: _DONE
    cuda.bindings, bindings.runtime = bindings, runtime
    for name, module in (("tensorrt", trt), ("cuda", cuda), ("cuda.bindings", bindings)):
        sys.modules[name] = module
    sys.modules["cuda.bindings.runtime"] = runtime


def launches() -> list[int]:
    """How often each profile ran since this was last asked; contexts of a model that was closed are forgotten."""
    counts = list(_launches)
    _launches.clear()
    return counts


def allocations() -> int:
    """How many pieces of memory nobody has freed."""
    return len(_allocated)
