"""Rows of any depth in one step: who runs, what comes of it, and whose pages are whose."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence as Rows
from dataclasses import dataclass

import numpy as np

from .engine import Engine, Run, StepOutputs
from .facts import Facts
from .page_pool import Spans
from .sampling import draw_token
from .sequence import Pass, Request, Sequence
from .step_inputs import StepInputs, padded_tokens, step_inputs


@dataclass(frozen=True)
class TokenEvent:
    """A token as it comes."""

    key: int
    token: int
    #: Loop behind which it was chosen, from 1.
    exit_loop: int
    #: Whether it is the last of its sequence.
    last: bool


@dataclass
class Counters:
    """What has run so far, for logs and tests."""

    steps: int = 0
    rows: int = 0


class Scheduler:
    """
    Runs one loop of the shared block for each of many sequences at a time. What a sequence gets
    depends on its request alone, not on who shares its steps.
    """

    def __init__(
        self,
        facts: Facts,
        engine: Engine,
        spans: Spans,
        policy: str,
        max_rows: int,
        prefill_rows: int,
        prefill_chunk: int,
    ) -> None:
        self.facts = facts
        self.engine = engine
        self.spans = spans
        self.counters = Counters()
        self._policy = policy
        self._max_rows = max_rows
        self._prefill_rows = prefill_rows
        self._chunk = prefill_chunk
        self._sequences: dict[int, Sequence] = {}
        self._age = 0

    def __contains__(self, key: int) -> bool:
        return key in self._sequences

    def keys(self) -> list[int]:
        """Everybody that has not ended, the oldest first."""
        return list(self._sequences)

    def problem(self, request: Request) -> str | None:
        """What is wrong with a request that no waiting would mend."""
        prompt, facts = request.prompt, self.facts
        if not prompt:
            return "input_ids has no tokens; a model needs at least one to go on from"
        strange = [token for token in prompt if not 0 <= token < facts.vocabulary]
        if strange:
            return f"input_ids has the token {strange[0]}; the vocabulary goes from 0 to {facts.vocabulary - 1}"
        if request.max_new_tokens < 1:
            return f"max_new_tokens is {request.max_new_tokens}; at least 1 was expected"
        positions = min(facts.max_positions, self.spans.total * facts.page_size)
        # The last token is never read, so it needs no position.
        if len(prompt) + request.max_new_tokens - 1 > positions:
            return (
                f"{len(prompt)} tokens in input_ids and {request.max_new_tokens} new ones need more "
                f"than {positions} positions"
            )
        if not request.temperature >= 0 or request.temperature == float("inf"):
            return f"temperature is {request.temperature}; 0 or a number above it was expected"
        if request.threshold != request.threshold:
            return "exit_threshold is not a number"
        return None

    def add(self, key: int, request: Request) -> None:
        """Takes a request that has no problem. It runs once there are pages for all of it."""
        self._sequences[key] = Sequence(key, self._age, request)
        self._age += 1

    def drop(self, key: int) -> None:
        """Ends a sequence, whatever it has under way, and frees its pages; unknown keys are ignored."""
        sequence = self._sequences.pop(key, None)
        if sequence is not None and sequence.pages is not None:
            self.spans.release(sequence.pages, sequence.reserved)

    def step(self, keys: Collection[int]) -> list[TokenEvent]:
        """
        One depth step for the sequences named: those that decode in one call of the graph, chunks of
        prompts in another, as neither should be padded to the other's size.
        """
        self._admit()
        there = [s for s in self._sequences.values() if s.key in keys and s.pages is not None]
        for sequence in there:
            self._start_passes(sequence)
        ready = [p for s in there for p in s.passes if p.is_ready(self.facts)]
        decode = [p for p in ready if len(p.tokens) == 1][: self._max_rows]
        prefill = self._chunks(p for p in ready if len(p.tokens) > 1)[: self._prefill_rows]
        return [event for rows in (decode, prefill) if rows for event in self._run(rows)]

    def _admit(self) -> None:
        """Lets sequences in, in the order in which they came, while there are pages for them."""
        for sequence in self._sequences.values():
            if sequence.pages is not None:
                continue
            request = sequence.request
            wanted = self.spans.of(len(request.prompt) + request.max_new_tokens - 1)
            if not self.spans.reserve(wanted):
                return
            sequence.reserved = wanted
            sequence.pages = self.spans.none()

    def _start_passes(self, sequence: Sequence) -> None:
        assert sequence.pages is not None
        length = sequence.next_length(self._chunk)
        if length == 0 or (sequence.passes and sequence.passes[-1].depth == 0):
            return
        spans = self.spans.of(sequence.started + length)
        block, boundary = self.spans.grow(sequence.pages, spans)
        if block:
            self.engine.wipe("block", block)
        if boundary:
            self.engine.wipe("prelude", boundary)
            self.engine.wipe("coda", boundary)
        sequence.start_pass(self.facts, self._chunk)

    def _chunks(self, ready: Iterable[Pass]) -> list[Pass]:
        """Chunks that, padding included, have no more tokens than one whole chunk."""
        rows: list[Pass] = []
        longest = 0
        for p in ready:
            padded = max(longest, padded_tokens(len(p.tokens)))
            if rows and (len(rows) + 1) * padded > self._chunk:
                continue
            rows.append(p)
            longest = padded
        return rows

    def _run(self, passes: Rows[Pass]) -> list[TokenEvent]:
        facts = self.facts
        inputs = step_inputs(facts, passes, self.engine.least, self._chunk)
        drawn = [
            p
            for p in passes
            if p.chooses and p.may_leave(facts) and p.sequence.request.temperature > 0
        ]
        outputs = self.engine.run(inputs.feeds, logits=bool(drawn))
        self.counters.steps += 1
        self.counters.rows += len(passes)
        hidden = [
            np.array(outputs.hidden[place, : len(p.tokens)])
            for p, place in zip(passes, inputs.places)
        ]
        events: list[TokenEvent] = []
        runs: dict[str, list[Run]] = {"block": [], "prelude": [], "coda": []}
        skipped: list[tuple[Pass, np.ndarray, int]] = []
        for i, p in enumerate(passes):
            leaves = p.may_leave(facts) and self._leaves(p, inputs.heads[i], outputs)
            was_left = p.left
            if leaves:
                p.left = True
                if p.chooses:
                    events.append(self._choose(p, inputs.heads[i], outputs))
            ended = p.sequence.key not in self._sequences
            if not ended:
                self._collect(runs, i, p, leaves, inputs)
                if leaves and self._policy == "propagate":
                    skipped += [(p, hidden[i], depth) for depth in range(p.depth + 1, facts.loops)]
            p.depth += 1
            p.hidden = hidden[i]
            over = p.depth == facts.loops or ((leaves or was_left) and self._policy != "complete")
            if over:
                p.sequence.passes.remove(p)
        for part, some in runs.items():
            self.engine.write(part, some)
        if skipped:
            self._propagate(skipped)
        return events

    def _leaves(self, p: Pass, head: int, outputs: StepOutputs) -> bool:
        """Whether a pass that may leave behind the loop that was run does."""
        if p.exit is not None or p.depth + 1 == self.facts.loops:
            return True
        # Thresholds are f32, as in the form `loop`.
        limit = np.float32(p.sequence.request.threshold)
        return bool(limit < 1 and outputs.confidence[head] >= limit)

    def _choose(self, p: Pass, head: int, outputs: StepOutputs) -> TokenEvent:
        sequence, request = p.sequence, p.sequence.request
        if request.temperature > 0:
            assert outputs.logits is not None
            place = len(sequence.tokens)
            token = draw_token(outputs.logits[head], request.temperature, request.seed, place)
        else:
            token = int(outputs.next_token[head])
        sequence.tokens.append(token)
        stops = token in self.facts.end_tokens and not request.ignore_eos
        last = stops or len(sequence.tokens) == request.max_new_tokens
        if last:
            self.drop(sequence.key)
        return TokenEvent(sequence.key, token, p.depth + 1, last)

    def _collect(
        self, runs: dict[str, list[Run]], i: int, p: Pass, leaves: bool, inputs: StepInputs
    ) -> None:
        """Where the entries go that a pass made, and, when it leaves, those of loops that it skips."""
        pages = p.sequence.pages
        assert pages is not None
        runs["block"] += self._places(inputs.places[i], p, pages.block[p.depth])
        if inputs.entering[i] >= 0 and self.facts.prelude > 0:
            runs["prelude"] += self._places(inputs.entering[i], p, pages.boundary)
        if leaves and self.facts.coda > 0:
            runs["coda"] += self._places(inputs.leaving[i], p, pages.boundary)
        if leaves and self._policy == "last-exited":
            for deeper in pages.block[p.depth + 1 :]:
                runs["block"] += self._places(inputs.places[i], p, deeper)

    def _places(self, row: int, p: Pass, pages: list[int]) -> list[Run]:
        """The places of a pass's entries in pages, cut where pages end."""
        size, runs, done = self.facts.page_size, [], 0
        while done < len(p.tokens):
            page, slot = divmod(p.position + done, size)
            count = min(size - slot, len(p.tokens) - done)
            runs.append(Run(row, done, count, pages[page], slot))
            done += count
        return runs

    def _propagate(self, skipped: Rows[tuple[Pass, np.ndarray, int]]) -> None:
        """Makes the entries of skipped depths from the states that tokens left with."""
        states = [
            (p, hidden[t], depth, p.position + t)
            for p, hidden, depth in skipped
            for t in range(len(hidden))
        ]
        self.engine.propagate(
            {
                "hidden": np.stack([hidden for _, hidden, _, _ in states]),
                "depth": np.array([depth for _, _, depth, _ in states], np.int64),
                "position_ids": np.array([position for _, _, _, position in states], np.int64),
            }
        )
        runs = []
        for row, (p, _, depth, position) in enumerate(states):
            pages = p.sequence.pages
            assert pages is not None
            page, slot = divmod(position, self.facts.page_size)
            runs.append(Run(row, 0, 1, pages.block[depth][page], slot))
        self.engine.write("block", runs)
