"""Choosing a token: the same draws, to the bit, as `rtc run` and `rtc serve` make."""

from __future__ import annotations

import math

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_BLOCK = 256


def _fraction(i: int) -> float:
    product, root = 1.0, 2.0
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        root = math.sqrt(root)
        if i & bit:
            product *= root
    return product


#: 2^(i/256), as products of repeated square roots of 2, which are the same on every machine.
_FRACTIONS = np.array([_fraction(i) for i in range(256)])
#: 2^-i
_POWERS = np.array([2.0**-i for i in range(1075)])


def exponential(x: np.ndarray) -> np.ndarray:
    """e^x of float64 numbers of at most 0; 0 where it would be less than 1e-300."""
    live = x > -690
    safe = np.where(live, x, 0.0)
    steps = np.floor(safe * (256 / math.log(2))).astype(np.int64)
    rest = safe - steps * (math.log(2) / 256)
    series = 1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24))))
    return np.where(live, _FRACTIONS[steps & 255] * _POWERS[-(steps >> 8)] * series, 0.0)


def _scramble(state: int) -> int:
    bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)


def uniform(seed: int, draw: int) -> float:
    """Number `draw` (from 0) of the stream that `seed` names: splitmix64, addressed by position."""
    start = _scramble((seed & _MASK) ^ _GOLDEN)
    return (_scramble((start + _GOLDEN * (draw + 1)) & _MASK) >> 11) / 2**53


def draw_token(logits: np.ndarray, temperature: float, seed: int, step: int) -> int:
    """
    A token drawn from softmax(logits / temperature), logits [vocabulary]. The draw depends on the
    logits, the seed and `step`, how many tokens the sequence has already got, and on nothing else.
    """
    numbers = logits.astype(np.float64)
    weights = exponential((numbers - numbers.max()) / temperature)
    padded = np.zeros(-(-len(weights) // _BLOCK) * _BLOCK)
    padded[: len(weights)] = weights
    blocks = padded.reshape(-1, _BLOCK)
    # A running sum adds one by one, in the order in which rtc's runtime does.
    sums = np.cumsum(blocks, axis=1)[:, -1].tolist()
    total = 0.0
    for inside in sums:
        total += inside
    left = uniform(seed, step) * total
    first = 0
    while first < len(sums) - 1 and left >= sums[first]:
        left -= sums[first]
        first += 1
    end = min(len(weights), (first + 1) * _BLOCK)
    for token in range(first * _BLOCK, end):
        left -= float(weights[token])
        if left < 0:
            return token
    # Rounding may leave a sliver behind the last one.
    return end - 1
