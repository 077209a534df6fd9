"""ONNX Runtime on the processor, with pages in NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from .engine import Run, StepOutputs, page_counts
from .facts import Facts


class OnnxEngine:
    """See `Engine`. The pages are passed as they lie; ONNX Runtime copies no inputs on the processor."""

    least = 0

    def __init__(
        self, folder: Path, facts: Facts, block_pages: int, boundary_pages: int, threads: int
    ) -> None:
        if facts.dtype == "bf16":
            raise ValueError("ONNX Runtime does not compute in bfloat16 on the processor")
        self._layers = facts.layers
        self._step = _session(folder / facts.step, threads)
        # A second pool of threads would fight the first one.
        self._propagate: onnxruntime.InferenceSession | None = None
        if facts.propagate is not None:
            self._propagate = _session(folder / facts.propagate, 1)
        self._outputs = [output.name for output in self._step.get_outputs()]
        self._made: dict[str, np.ndarray] = {}
        self._pages: dict[str, np.ndarray] = {}
        for k, count in enumerate(page_counts(facts, block_pages, boundary_pages)):
            for kind in ("key", "value"):
                shape = (count, facts.kv_heads, facts.page_size, facts.head_dim)
                self._pages[f"{kind}_pages.{k}"] = np.zeros(shape, facts.numbers)

    def run(self, inputs: Mapping[str, np.ndarray], logits: bool) -> StepOutputs:
        names = [name for name in self._outputs if logits or name != "logits"]
        values = self._step.run(names, {**inputs, **self._pages})
        self._made = dict(zip(names, values))
        made = self._made
        return StepOutputs(
            made["hidden.out"], made["confidence"], made["next_token"], made.get("logits")
        )

    def propagate(self, inputs: Mapping[str, np.ndarray]) -> None:
        assert self._propagate is not None, "a model of one loop has no depths to skip"
        names = [output.name for output in self._propagate.get_outputs()]
        made = zip(names, self._propagate.run(names, dict(inputs)))
        # One token each: an axis for tokens, as the step's entries have it.
        self._made = {name: value[:, :, np.newaxis] for name, value in made}

    def write(self, part: str, runs: Sequence[Run]) -> None:
        if not runs:
            return
        single = all(run.count == 1 for run in runs)
        if single:
            row, token, page, slot = (
                np.array(column)
                for column in zip(*((run.row, run.token, run.page, run.slot) for run in runs))
            )
        for k, layer in enumerate(self._layers):
            if layer != part:
                continue
            for kind in ("key", "value"):
                new, pages = self._made[f"new_{kind}.{k}"], self._pages[f"{kind}_pages.{k}"]
                if single:
                    pages[page, :, slot] = new[row, :, token]
                    continue
                for run in runs:
                    entries = new[run.row, :, run.token : run.token + run.count]
                    pages[run.page, :, run.slot : run.slot + run.count] = entries

    def wipe(self, part: str, pages: Sequence[int]) -> None:
        for k, layer in enumerate(self._layers):
            if layer == part:
                for kind in ("key", "value"):
                    self._pages[f"{kind}_pages.{k}"][list(pages)] = 0

    def close(self) -> None:
        self._pages.clear()
        self._made.clear()


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
