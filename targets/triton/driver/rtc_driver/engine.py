"""What runs the graphs and keeps the pages, whichever runtime that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .facts import Facts


@dataclass(frozen=True)
class Run:
    """
    New entries that go to neighbouring places: of `row` of the graph's outputs, `count` tokens from
    `token` on, into `page` from `slot` on.
    """

    row: int
    token: int
    count: int
    page: int
    slot: int


@dataclass(frozen=True)
class StepOutputs:
    """What a step gave; arrays are valid until the next one."""

    #: [rows, tokens, hidden]
    hidden: np.ndarray
    #: [heads]
    confidence: np.ndarray
    #: [heads]: the likeliest token of each.
    next_token: np.ndarray
    #: [heads, vocabulary], or None if nobody asked for them.
    logits: np.ndarray | None


class Engine(Protocol):
    """A step graph with its pages. New keys and values stay inside, until `write` puts them into pages."""

    #: Fewest rows that a list of rows, or a page table, may have. With 1, rows that idle fill up.
    least: int

    def run(self, inputs: Mapping[str, np.ndarray], logits: bool) -> StepOutputs:
        """Runs the block once; `inputs` are all but the pages."""

    def propagate(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Makes the entries of skipped depths: hidden [n, hidden], depth [n], position_ids [n]."""

    def write(self, part: str, runs: Sequence[Run]) -> None:
        """Puts new entries of the last `run` or `propagate` into the pages of a part's layers."""

    def wipe(self, part: str, pages: Sequence[int]) -> None:
        """
        Makes pages zero before somebody fills them: what lies behind a sequence's last entry is
        masked, but 0 · NaN is NaN.
        """

    def close(self) -> None:
        """Frees what the engine holds."""


def page_counts(facts: Facts, block_pages: int, boundary_pages: int) -> list[int]:
    """Pages of each stored layer, page 0 included."""
    return [block_pages if part == "block" else boundary_pages for part in facts.layers]


def open_engine(
    kind: str,
    folder: Path,
    facts: Facts,
    block_pages: int,
    boundary_pages: int,
    threads: int = 0,
    device: int = 0,
) -> Engine:
    """
    Opens `onnxruntime` or `tensorrt`, whose plans lie beside the graphs. Raises ValueError for other
    words, and whatever the runtime raises.
    """
    if kind == "onnxruntime":
        from .onnx_engine import OnnxEngine

        return OnnxEngine(folder, facts, block_pages, boundary_pages, threads)
    if kind == "tensorrt":
        from .tensorrt_engine import TensorrtEngine

        return TensorrtEngine(folder, facts, block_pages, boundary_pages, device)
    raise ValueError(f'engine is "{kind}"; onnxruntime or tensorrt was expected')
