"""Draws tokens as the driver does: cases as JSON from stdin, tokens to stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "targets/triton/driver"))
from rtc_driver.sampling import draw_token  # noqa: E402

json.dump(
    [
        draw_token(
            np.array(case["logits"], np.float32), case["temperature"], case["seed"], case["step"]
        )
        for case in json.load(sys.stdin)
    ],
    sys.stdout,
)
