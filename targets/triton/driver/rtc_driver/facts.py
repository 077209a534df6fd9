"""What the compiler knew of the graph: driver.json, beside model.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: bfloat16 has no NumPy type; the driver only moves such numbers, so their bits will do.
NUMPY_TYPES: dict[str, type[np.generic]] = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}


@dataclass(frozen=True)
class Facts:
    """The step graph, as far as whoever drives it has to know."""

    #: Layers before the loops, of the shared block, and behind the loops.
    prelude: int
    block: int
    coda: int
    loops: int
    hidden_size: int
    vocabulary: int
    kv_heads: int
    head_dim: int
    #: Positions of a page.
    page_size: int
    #: Attention groups: 1, or as many page tables as the graph has.
    groups: int
    #: Element type of hidden states and pages: f32, f16 or bf16.
    dtype: str
    #: Part of every stored layer: prelude, block or coda.
    layers: tuple[str, ...]
    #: Loops, from 1, behind which a token may leave by its confidence.
    exits: tuple[int, ...]
    #: Threshold of requests that name none; 1 or more never leaves.
    threshold: float
    #: Tokens that end a sequence.
    end_tokens: frozenset[int]
    #: Positions that a sequence may have.
    max_positions: int
    #: Files, beside this one; propagate is None for a model of one loop.
    step: str
    propagate: str | None

    @property
    def numbers(self) -> type[np.generic]:
        """NumPy's type for hidden states and pages."""
        return NUMPY_TYPES[self.dtype]

    @property
    def boundary(self) -> bool:
        """Whether there are layers outside the loops, which have pages of their own."""
        return self.prelude + self.coda > 0


def read_facts(folder: Path) -> Facts:
    """Reads driver.json. Raises KeyError or OSError: then the repository is not whole."""
    told = json.loads((folder / "driver.json").read_text(encoding="utf-8"))
    told.pop("version")
    return Facts(
        **{
            **told,
            "layers": tuple(told["layers"]),
            "exits": tuple(told["exits"]),
            "end_tokens": frozenset(told["end_tokens"]),
        }
    )
