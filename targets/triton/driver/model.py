"""
A recursive transformer behind Triton, batched by depth. Triton calls `execute` with whoever is in
flight; each gets one step of its current loop (or `steps_per_execute`), rows of all depths together,
and is rescheduled until its last token is out. Written by `rtc compile --target triton`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from rtc_driver.engine import open_engine
from rtc_driver.facts import read_facts
from rtc_driver.page_pool import Spans
from rtc_driver.scheduler import Scheduler, TokenEvent
from rtc_driver.sequence import POLICIES, Request

#: Executes that a sequence may be missing from before somebody asks whether it was cancelled.
_ABSENCE = 8


@dataclass
class _Client:
    """Who a sequence is for."""

    sender: Any
    #: Execute and time that it was last part of.
    seen: int
    time: float


class TritonPythonModel:
    """What Triton's Python backend drives."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        told = {name: value["string_value"] for name, value in config["parameters"].items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        facts = read_facts(folder)
        policy = told["kv_policy"]
        if policy not in POLICIES:
            raise ValueError(f'kv_policy is "{policy}"; one of {", ".join(POLICIES)} was expected')
        spans = Spans(facts, int(told["spans"]))
        engine = open_engine(
            told["engine"],
            folder,
            facts,
            spans.block_page_count,
            spans.boundary_page_count,
            int(told["threads"]),
            int(args.get("model_instance_device_id") or 0),
        )
        self._scheduler = Scheduler(
            facts,
            engine,
            spans,
            policy,
            int(told["max_rows"]),
            int(told["prefill_rows"]),
            int(told["prefill_chunk"]),
        )
        self._new_tokens = int(told["max_new_tokens"])
        self._steps = int(told["steps_per_execute"])
        idle = config["sequence_batching"].get("max_sequence_idle_microseconds") or 1_000_000
        self._idle_seconds = int(idle) / 1e6
        self._clients: dict[int, _Client] = {}
        self._executes = 0

    def execute(self, requests: list[Any]) -> None:
        started = time.monotonic()
        self._executes += 1
        present: dict[int, Any] = {}
        for request in requests:
            key = request.correlation_id()
            if self._take(key, request):
                present[key] = request
        self._forget_absent()
        try:
            self._run_steps(list(present))
        except Exception:
            # Triton answers them all with the error, and does not come back with them.
            for key in present:
                self._drop(key)
            raise
        for key, request in present.items():
            if key in self._scheduler:
                request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            else:
                del self._clients[key]
        seconds = time.monotonic() - started
        if seconds > self._idle_seconds / 2:
            pb_utils.Logger.log_warn(
                f"an execute took {seconds:.1f} s, and Triton drops sequences after {self._idle_seconds:.1f} s "
                "without a word to their clients: raise max_sequence_idle_microseconds"
            )

    def finalize(self) -> None:
        ran = self._scheduler.counters
        pb_utils.Logger.log_info(f"{self._executes} executes, {ran.steps} steps, {ran.rows} rows")
        for key in self._scheduler.keys():
            self._scheduler.drop(key)
        self._scheduler.engine.close()

    def _run_steps(self, keys: list[int]) -> None:
        for _ in range(self._steps):
            going = [key for key in keys if key in self._scheduler]
            if not going:
                break
            for event in self._scheduler.step(going):
                self._send(event)

    def _take(self, key: int, request: Any) -> bool:
        """Whether a request has a step to run: a new one that is sound, or one that was rescheduled."""
        sender = request.get_response_sender()
        if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            # Whoever had the number before has ended without our being told.
            self._drop(key)
            try:
                wanted = self._read(request)
                problem = self._scheduler.problem(wanted)
            except (TypeError, ValueError) as error:
                problem = str(error)
            if problem is not None:
                _refuse(sender, problem)
                return False
            self._scheduler.add(key, wanted)
        elif key not in self._scheduler:
            _refuse(
                sender, f"sequence {key} has no request under way; leave sequence ids to Triton"
            )
            return False
        self._clients[key] = _Client(sender, self._executes, time.monotonic())
        return True

    def _read(self, request: Any) -> Request:
        given = json.loads(request.parameters() or "{}")
        ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy()
        return Request(
            prompt=tuple(ids.reshape(-1).tolist()),
            max_new_tokens=_whole(given, "max_new_tokens", self._new_tokens),
            threshold=_number(given, "exit_threshold", self._scheduler.facts.threshold),
            temperature=_number(given, "temperature", 0.0),
            seed=_whole(given, "seed", 0),
            ignore_eos=bool(_whole(given, "ignore_eos", False)),
        )

    def _send(self, event: TokenEvent) -> None:
        tensors = [
            pb_utils.Tensor("token", np.array([[event.token]], np.int64)),
            pb_utils.Tensor("exit_loop", np.array([[event.exit_loop]], np.int32)),
        ]
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if event.last else 0
        response = pb_utils.InferenceResponse(output_tensors=tensors)
        self._clients[event.key].sender.send(response, flags=flags)

    def _forget_absent(self) -> None:
        """
        Frees the pages of requests that were cancelled. Triton ends them between two executes without
        a word, so whoever has been missing for some time is asked for; and whoever has been missing
        for longer than Triton lets a sequence idle is over in any case.
        """
        now = time.monotonic()
        for key, client in list(self._clients.items()):
            if self._executes - client.seen < _ABSENCE:
                continue
            if now - client.time > self._idle_seconds or client.sender.is_cancelled():
                self._drop(key)
            else:
                client.seen = self._executes

    def _drop(self, key: int) -> None:
        self._scheduler.drop(key)
        self._clients.pop(key, None)


def _number(given: dict[str, Any], name: str, default: float) -> float:
    """A parameter of a request; clients without numbers for parameters may write them as text."""
    value = given.get(name, default)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; a number was expected") from None


def _whole(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    try:
        whole = int(value)
        if isinstance(value, str) or whole == value:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} is {value!r}; a whole number was expected")


def _refuse(sender: Any, problem: str) -> None:
    error = pb_utils.TritonError(problem, pb_utils.TritonError.INVALID_ARG)
    response = pb_utils.InferenceResponse(error=error)
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
