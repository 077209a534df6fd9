"""
TensorRT, 10 or 11, with pages in the memory of the GPU. Written against the documented API of the
packages `tensorrt` and `cuda-python`; it has been run on stand-ins for both, and never on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt as trt

from .engine import Run, StepOutputs, page_counts
from .facts import Facts

try:
    from cuda.bindings import runtime as cudart
except ImportError:  # cuda-python before 12.6
    from cuda import cudart


#: Of outputs that are no hidden states or entries.
_ELEMENT_BYTES = {"logits": 4, "confidence": 4, "next_token": 8}


class CudaError(RuntimeError):
    """A call of the CUDA runtime that failed."""


def _check(result: tuple[Any, ...]) -> Any:
    """The values of a call, whose first is the error."""
    error, *values = result
    if error != cudart.cudaError_t.cudaSuccess:
        raise CudaError(f"CUDA: {error}")
    return values[0] if len(values) == 1 else tuple(values)


@dataclass
class _Memory:
    """Bytes on the GPU that grow when more are asked for; what was in them is lost then."""

    address: int = 0
    size: int = 0

    def hold(self, size: int) -> int:
        if size > self.size or self.address == 0:
            self.free()
            self.address = int(_check(cudart.cudaMalloc(max(size, 1))))
            self.size = size
        return self.address

    def free(self) -> None:
        if self.address:
            _check(cudart.cudaFree(self.address))
        self.address = self.size = 0


@dataclass(frozen=True)
class _Profile:
    """One optimization profile of a plan, with a context of its own."""

    context: Any
    #: Smallest, best and largest shape of each input.
    ranges: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]

    def distance(self, inputs: Mapping[str, tuple[int, ...]]) -> float:
        """How far inputs are from what the profile is tuned for; infinite where they do not fit."""
        total = 0
        for name, shape in inputs.items():
            low, best, high = self.ranges[name]
            if any(not a <= size <= b for a, size, b in zip(low, shape, high)):
                return float("inf")
            total += sum(abs(size - usual) for size, usual in zip(shape, best))
        return total


class _Graph:
    """A graph as one plan with several profiles, or as several plans."""

    def __init__(self, folder: Path, graph: str, facts: Facts, runtime: Any, stream: int) -> None:
        stem = graph.removesuffix(".onnx")
        plans = sorted(folder.glob(f"{stem}.*.plan"))
        if not plans:
            raise FileNotFoundError(f"there is no plan of {graph} in {folder}: build.sh makes them")
        self._stream = stream
        self._number = np.dtype(facts.numbers).itemsize
        self._engines, self._profiles = [], []
        for plan in plans:
            engine = runtime.deserialize_cuda_engine(plan.read_bytes())
            if engine is None:
                raise RuntimeError(
                    f"TensorRT {trt.__version__} does not load {plan.name}; a plan fits one version "
                    "and one kind of GPU, and rtc.json says which"
                )
            self._engines.append(engine)
            for index in range(engine.num_optimization_profiles):
                context = engine.create_execution_context()
                if context is None or not context.set_optimization_profile_async(index, stream):
                    raise RuntimeError(f"profile {index} of {plan.name} cannot be used")
                self._profiles.append(_Profile(context, _ranges(engine, index)))
        _check(cudart.cudaStreamSynchronize(stream))
        self._runtime = runtime
        self._outputs = _names(self._engines[0], trt.TensorIOMode.OUTPUT)
        self._memory: dict[str, _Memory] = {}

    def run(
        self, inputs: Mapping[str, np.ndarray], pages: Mapping[str, tuple[int, tuple[int, ...]]]
    ) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Address and shape of every output; `pages` has those of inputs that are on the GPU."""
        shapes = {name: value.shape for name, value in inputs.items()}
        shapes.update({name: shape for name, (_, shape) in pages.items()})
        profile = min(self._profiles, key=lambda candidate: candidate.distance(shapes))
        if profile.distance(shapes) == float("inf"):
            raise RuntimeError(f"no profile takes inputs of these sizes: {shapes}")
        context = profile.context
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise RuntimeError(f"TensorRT refuses {shape} for {name}")
        for name, value in inputs.items():
            # TensorRT reads what lies there; it must not be gone before the stream has come to it.
            contiguous = np.ascontiguousarray(value)
            address = self._hold(name, contiguous.nbytes)
            kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            _check(cudart.cudaMemcpy(address, contiguous.ctypes.data, contiguous.nbytes, kind))
            context.set_tensor_address(name, address)
        for name, (address, _) in pages.items():
            context.set_tensor_address(name, address)
        made = {}
        for name in self._outputs:
            shape = tuple(context.get_tensor_shape(name))
            size = _ELEMENT_BYTES.get(name, self._number)
            made[name] = (self._hold(name, prod(shape) * size), shape)
            context.set_tensor_address(name, made[name][0])
        if not context.execute_async_v3(self._stream):
            raise RuntimeError("TensorRT did not run the step; its log says why")
        _check(cudart.cudaStreamSynchronize(self._stream))
        return made

    def close(self) -> None:
        self._profiles.clear()
        self._engines.clear()
        for memory in self._memory.values():
            memory.free()

    def _hold(self, name: str, size: int) -> int:
        return self._memory.setdefault(name, _Memory()).hold(size)


class TensorrtEngine:
    """See `Engine`. Copies wait for the stream, which waits for nobody else: one step at a time."""

    #: No size of a profile is 0.
    least = 1

    def __init__(
        self, folder: Path, facts: Facts, block_pages: int, boundary_pages: int, device: int
    ) -> None:
        self._facts = facts
        _check(cudart.cudaSetDevice(device))
        self._stream = int(_check(cudart.cudaStreamCreate()))
        runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._step = _Graph(folder, facts.step, facts, runtime, self._stream)
        self._propagate: _Graph | None = None
        if facts.propagate and any(folder.glob("propagate.*.plan")):
            self._propagate = _Graph(folder, facts.propagate, facts, runtime, self._stream)
        self._entry = np.dtype(facts.numbers).itemsize * facts.head_dim
        self._page = self._entry * facts.page_size * facts.kv_heads
        self._memory: list[_Memory] = []
        self._pages: dict[str, tuple[int, tuple[int, ...]]] = {}
        for k, count in enumerate(page_counts(facts, block_pages, boundary_pages)):
            for kind in ("key", "value"):
                memory = _Memory()
                address = memory.hold(count * self._page)
                # Page 0 stays zero; others are wiped when somebody gets them.
                _check(cudart.cudaMemset(address, 0, self._page))
                self._memory.append(memory)
                shape = (count, facts.kv_heads, facts.page_size, facts.head_dim)
                self._pages[f"{kind}_pages.{k}"] = (address, shape)
        self._made: dict[str, tuple[int, tuple[int, ...]]] = {}
        #: Axis of tokens in new entries.
        self._has_tokens = True

    def run(self, inputs: Mapping[str, np.ndarray], logits: bool) -> StepOutputs:
        self._made = self._step.run(inputs, self._pages)
        self._has_tokens = True
        return StepOutputs(
            self._fetch("hidden.out", self._facts.numbers),
            self._fetch("confidence", np.float32),
            self._fetch("next_token", np.int64),
            self._fetch("logits", np.float32) if logits else None,
        )

    def propagate(self, inputs: Mapping[str, np.ndarray]) -> None:
        if self._propagate is None:
            raise RuntimeError("kv_policy is propagate, and propagate.onnx has no plan")
        self._made = self._propagate.run(inputs, {})
        self._has_tokens = False

    def write(self, part: str, runs: Sequence[Run]) -> None:
        heads, size = self._facts.kv_heads, self._facts.page_size
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        for k, layer in enumerate(self._facts.layers):
            if layer != part or not runs:
                continue
            for name in ("key", "value"):
                new, shape = self._made[f"new_{name}.{k}"]
                pages, _ = self._pages[f"{name}_pages.{k}"]
                tokens = shape[2] if self._has_tokens else 1
                for run in runs:
                    # A line for each head: some neighbouring entries of it.
                    source = new + (run.row * heads * tokens + run.token) * self._entry
                    target = pages + run.page * self._page + run.slot * self._entry
                    _check(
                        cudart.cudaMemcpy2DAsync(
                            target,
                            size * self._entry,
                            source,
                            tokens * self._entry,
                            run.count * self._entry,
                            heads,
                            kind,
                            self._stream,
                        )
                    )
        # Outputs are overwritten by the next run, of this graph or the other.
        _check(cudart.cudaStreamSynchronize(self._stream))

    def wipe(self, part: str, pages: Sequence[int]) -> None:
        for k, layer in enumerate(self._facts.layers):
            if layer != part:
                continue
            for name in ("key", "value"):
                start, _ = self._pages[f"{name}_pages.{k}"]
                for page in pages:
                    address = start + page * self._page
                    _check(cudart.cudaMemsetAsync(address, 0, self._page, self._stream))

    def close(self) -> None:
        self._step.close()
        if self._propagate is not None:
            self._propagate.close()
        for memory in self._memory:
            memory.free()
        _check(cudart.cudaStreamDestroy(self._stream))

    def _fetch(self, name: str, kind: type[np.generic]) -> np.ndarray:
        """An output, on the host."""
        address, shape = self._made[name]
        value = np.empty(shape, kind)
        direction = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        _check(cudart.cudaMemcpy(value.ctypes.data, address, value.nbytes, direction))
        return value


def _names(engine: Any, mode: Any) -> list[str]:
    """Inputs or outputs of an engine."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name) == mode]


def _ranges(
    engine: Any, profile: int
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    ranges = {}
    for name in _names(engine, trt.TensorIOMode.INPUT):
        low, best, high = engine.get_tensor_profile_shape(name, profile)
        ranges[name] = (tuple(low), tuple(best), tuple(high))
    return ranges
