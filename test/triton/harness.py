"""
Drives a model.py as Triton would, without Triton: a stand-in for `triton_python_backend_utils`, and
a little scheduler with sequence slots, a queue, batches of the oldest, START flags, rescheduling and
cancellation. Reads a scenario as JSON from stdin, writes what clients got as JSON to stdout.
"""

from __future__ import annotations

import json
import random
import sys
import types
from collections import deque
from pathlib import Path

import numpy as np


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.text, self.code = message, code


class InferenceResponse:
    def __init__(
        self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None
    ):
        self.tensors = {tensor.name(): tensor.as_numpy() for tensor in output_tensors or []}
        self.error = error


def backend_utils() -> types.ModuleType:
    module = types.ModuleType("triton_python_backend_utils")
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
    module.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
    module.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    module.TRITONSERVER_REQUEST_RELEASE_ALL = 1
    module.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2
    module.Tensor, module.InferenceResponse, module.TritonError = (
        Tensor,
        InferenceResponse,
        TritonError,
    )

    module.Logger = types.SimpleNamespace(
        log_info=lambda message: None, log_warn=lambda message: None
    )

    def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
        return next((tensor for tensor in request.inputs() if tensor.name() == name), None)

    module.get_input_tensor_by_name = get_input_tensor_by_name
    return module


class Broken(RuntimeError):
    """What a scenario has the engine raise."""


class Client:
    """Who asked, and what came back."""

    def __init__(self, number: int, told: dict) -> None:
        self.number, self.told = number, told
        self.tokens: list[int] = []
        self.exits: list[int] = []
        self.error: str | None = None
        self.cancelled = False
        self.final = False

    @property
    def over(self) -> bool:
        return self.final or self.cancelled


class Sender:
    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, response: InferenceResponse | None, flags: int = 0) -> None:
        client = self._client
        assert not client.final, f"request {client.number} got a response behind its last one"
        if response is not None and response.error is not None:
            client.error = response.error.text
        elif response is not None:
            token, exit_loop = response.tensors["token"], response.tensors["exit_loop"]
            assert token.shape == (1, 1) and token.dtype == np.int64, (token.shape, token.dtype)
            assert exit_loop.shape == (1, 1) and exit_loop.dtype == np.int32
            client.tokens.append(int(token[0, 0]))
            client.exits.append(int(exit_loop[0, 0]))
        client.final = client.final or flags == 1

    def is_cancelled(self) -> bool:
        return self._client.cancelled


class Request:
    """What the Python backend hands over; the same one again after it was rescheduled."""

    def __init__(self, client: Client, sequence: int) -> None:
        self.client = client
        self._sequence, self._flags, self.release = sequence, 1, 1
        told = client.told
        self._inputs = [Tensor("input_ids", np.array([told["input_ids"]], np.int64))]

    def correlation_id(self) -> int:
        return self._sequence

    def flags(self) -> int:
        return self._flags

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def parameters(self) -> str:
        return json.dumps(self.client.told.get("parameters", {}))

    def get_response_sender(self) -> Sender:
        return Sender(self.client)

    def set_release_flags(self, flags: int) -> None:
        self.release = flags

    def rescheduled(self) -> None:
        self._flags, self.release = 0, 1


def break_at(engine, step: int | None) -> None:
    """Lets a step of the engine fail."""
    run, steps = engine.run, 0

    def counted(inputs, logits):
        nonlocal steps
        steps += 1
        if steps == step:
            raise Broken("the engine broke")
        return run(inputs, logits)

    engine.run = counted


def serve(model, scenario: dict) -> tuple[list[Client], list[int]]:
    """Runs all requests of a scenario; returns clients, and how many requests each execute had."""
    chance = random.Random(scenario["seed"])
    slots, largest = scenario["max_candidate_sequences"], scenario["max_batch_size"]
    clients = [Client(i, told) for i, told in enumerate(scenario["requests"])]
    coming = deque(sorted(clients, key=lambda client: client.told.get("arrives", 0)))
    backlog: deque[Client] = deque()
    queue: deque[Request] = deque()
    held, sequence, sizes = 0, 0, []

    def admit() -> None:
        nonlocal held, sequence
        while backlog and held < slots:
            client = backlog.popleft()
            if client.cancelled:
                continue
            held, sequence = held + 1, sequence + 1
            queue.append(Request(client, sequence))

    while coming or backlog or queue:
        while coming and coming[0].told.get("arrives", 0) <= len(sizes):
            backlog.append(coming.popleft())
        for client in clients:
            after = client.told.get("cancel_after")
            if after is not None and not client.final and len(client.tokens) >= after:
                client.cancelled = True
        # Triton throws cancelled requests out of its queues, and says nothing of it to the model.
        for request in [request for request in queue if request.client.cancelled]:
            queue.remove(request)
            held -= 1
        admit()
        some = chance.randint(1, largest) if scenario.get("ragged", True) else largest
        batch = [queue.popleft() for _ in range(min(some, len(queue)))]
        sizes.append(len(batch))
        assert len(sizes) < 100_000, "nothing comes to an end"
        if not batch:
            continue
        try:
            assert model.execute(batch) is None
        except Broken as error:
            # The Python backend answers a batch whose execute raised, and releases it.
            for request in batch:
                request.client.error, request.client.final = str(error), True
            held -= len(batch)
            continue
        for request in batch:
            if request.release == 2:
                assert not request.client.final, "rescheduled behind its last response"
                request.rescheduled()
                queue.append(request)
            else:
                assert request.client.over, "released without a last response"
                held -= 1
    return clients, sizes


def main() -> None:
    told = json.load(sys.stdin)
    version = Path(told["version_folder"])
    sys.modules["triton_python_backend_utils"] = backend_utils()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(version))
    stand_in = None
    if told.get("stand_in_tensorrt"):
        sys.path.insert(0, str(Path(__file__).parent))
        import stand_in_tensorrt as stand_in

        stand_in.install()
    import model as module
    from rtc_driver import onnx_engine

    def run(scenario: dict) -> dict:
        # What TensorRT asks for, tried on ONNX Runtime: no empty lists.
        onnx_engine.OnnxEngine.least = scenario.get("least", 0)
        model = module.TritonPythonModel()
        model.initialize(
            {
                "model_config": json.dumps(scenario["config"]),
                "model_repository": str(version.parent),
                "model_version": version.name,
                "model_instance_device_id": "0",
            }
        )
        break_at(model._scheduler.engine, scenario.get("break_at"))
        clients, sizes = serve(model, scenario)
        scheduler = model._scheduler
        left = scheduler.spans.used_pages
        model.finalize()
        told = [
            {name: getattr(client, name) for name in ("tokens", "exits", "error", "cancelled")}
            for client in clients
        ]
        counters = {"steps": scheduler.counters.steps, "rows": scheduler.counters.rows}
        if stand_in is not None:
            assert stand_in.allocations() == 0, "memory of the GPU was not freed"
            counters["launches"] = stand_in.launches()
        return {"clients": told, "batches": sizes, "used_pages": left, **counters}

    json.dump([run(scenario) for scenario in told["scenarios"]], sys.stdout)


if __name__ == "__main__":
    main()
