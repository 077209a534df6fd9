"""Sequences, and their tokens on their way through the loops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .facts import Facts
from .page_pool import SequencePages

#: What becomes of the keys and values of loops that a token skipped.
POLICIES = ("last-exited", "propagate", "complete")


@dataclass(frozen=True)
class Request:
    """One sequence to go on from."""

    #: Token ids, at least one.
    prompt: tuple[int, ...]
    #: At most this many new tokens.
    max_new_tokens: int
    #: A new token leaves behind the first exit that it is so sure at; 1 or more never leaves.
    threshold: float
    #: 0 is greedy.
    temperature: float = 0.0
    seed: int = 0
    #: Goes on past tokens that end a sequence.
    ignore_eos: bool = False


@dataclass(eq=False)
class Sequence:
    """A request that has not ended."""

    key: int
    #: Place in the order in which requests came.
    age: int
    request: Request
    #: Spans that are kept for it; 0 while it waits for some.
    reserved: int = 0
    pages: SequencePages | None = None
    tokens: list[int] = field(default_factory=list)
    #: Positions that passes were started for.
    started: int = 0
    #: Under way, the first tokens first; each is at a shallower depth than the one before it.
    passes: list[Pass] = field(default_factory=list)

    def next_length(self, chunk: int) -> int:
        """Tokens of the pass that starts next; 0 when the next token is not chosen yet."""
        prompt = len(self.request.prompt)
        if self.started >= prompt:
            return 1 if self.started < prompt + len(self.tokens) else 0
        # Chunks begin at multiples, so that nobody else can move where a prompt is cut.
        return min((self.started // chunk + 1) * chunk, prompt) - self.started

    def start_pass(self, facts: Facts, chunk: int) -> None:
        """Starts the next pass, for whose tokens there are pages."""
        prompt, position = self.request.prompt, self.started
        end = position + self.next_length(chunk)
        is_prompt = position < len(prompt)
        tokens = prompt[position:end] if is_prompt else (self.tokens[position - len(prompt)],)
        never = not facts.exits or not np.float32(self.request.threshold) < 1
        self.passes.append(
            Pass(
                sequence=self,
                position=position,
                tokens=tokens,
                chooses=end == len(prompt) + len(self.tokens),
                exit=facts.loops if is_prompt or never else None,
            )
        )
        self.started = end


@dataclass(eq=False)
class Pass:
    """Some tokens of a sequence on their way: a chunk of the prompt, or one token."""

    sequence: Sequence
    #: Of the first token.
    position: int
    tokens: tuple[int, ...]
    #: Whether the sequence's next token is chosen behind it.
    chooses: bool
    #: Loop, from 1, behind which it leaves; None while confidences decide.
    exit: int | None
    #: The next loop, from 0.
    depth: int = 0
    #: Whether it has left; what it runs then is for its cache entries.
    left: bool = False
    #: [tokens, hidden] behind the last loop; None before the first.
    hidden: np.ndarray | None = None

    def may_leave(self, facts: Facts) -> bool:
        """Whether the loop that comes next is one behind which it leaves, or may leave."""
        if self.left:
            return False
        loop = self.depth + 1
        if self.exit is not None:
            return loop == self.exit
        return loop == facts.loops or loop in facts.exits

    def is_ready(self, facts: Facts) -> bool:
        """
        Whether what it has to see at its depth is there: the pass before it is deeper. Tokens leave
        in their order, so that entries are written in the order of positions at every depth.
        """
        passes = self.sequence.passes
        place = passes.index(self)
        if place == 0:
            return True
        before = passes[place - 1]
        return before.depth > self.depth and (before.left or not self.may_leave(facts))
