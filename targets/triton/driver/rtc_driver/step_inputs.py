"""The inputs of a step but for the pages, and where in its outputs the rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .facts import Facts
from .sequence import Pass

#: What a softmax sums stands in the same vector lanes whatever the longest row is, when rows of
#: several tokens are padded to a multiple of this: a row's numbers do not depend on the others.
_LANES = 16


def padded_tokens(longest: int) -> int:
    """Tokens of every row of a step whose longest row has so many."""
    return 1 if longest <= 1 else -(-longest // _LANES) * _LANES


@dataclass(frozen=True)
class StepInputs:
    """Feeds for the graph, and the way back from its outputs to passes."""

    feeds: dict[str, np.ndarray]
    #: Place of each pass in hidden.out and in the block's new entries.
    places: list[int]
    #: Place of each pass among the rows that run the prelude, or the coda; -1 for others.
    entering: list[int]
    leaving: list[int]
    #: Place of each pass among the heads; -1 for others.
    heads: list[int]


def step_inputs(facts: Facts, passes: Sequence[Pass], least: int, chunk: int) -> StepInputs:
    """
    Makes inputs out of passes. `least` is the fewest entries that lists of rows and page tables may
    have. Where it is 1, lists that would be empty name a row of which nothing is read; those who enter
    a row that idles, at depth 0 and without a past, as the states of those who do are overwritten. And
    rows are padded to a whole chunk at most, which is what profiles end with. What pads rows is zero:
    it is computed with, and 0 · NaN would be NaN.
    """
    widths = [-(-p.position // facts.page_size) for p in passes]
    # As wide as the longest row is each group's page table, so rows of like length go together.
    order = list(range(len(passes)))
    if facts.groups > 1:
        order.sort(key=lambda i: widths[i])
    rows = max(len(passes), least * facts.groups)
    enters = facts.prelude == 0 or any(p.depth == 0 for p in passes)
    if least and rows == len(passes) and not enters:
        rows += 1
    idle = [*range(len(passes), rows)]
    places = [0] * len(passes)
    for place, i in enumerate(order):
        places[i] = place

    tokens = padded_tokens(max(len(p.tokens) for p in passes))
    if least:
        tokens = min(tokens, max(1, chunk))
    input_ids = np.zeros((rows, tokens), np.int64)
    position_ids = np.zeros((rows, tokens), np.int64)
    hidden = np.zeros((rows, tokens, facts.hidden_size), facts.numbers)
    depth = np.zeros(rows, np.int64)
    past_length = np.zeros(rows, np.int64)
    entering, leaving, heads = ([-1] * len(passes) for _ in range(3))
    entering_rows: list[int] = []
    leaving_rows: list[int] = []
    head_rows: list[int] = []
    for i, p in enumerate(passes):
        place, count = places[i], len(p.tokens)
        input_ids[place, :count] = p.tokens
        position_ids[place, :count] = np.arange(p.position, p.position + count)
        depth[place] = p.depth
        past_length[place] = p.position
        if p.hidden is not None:
            hidden[place, :count] = p.hidden
        if p.depth == 0:
            entering[i] = len(entering_rows)
            entering_rows.append(place)
        if p.may_leave(facts):
            leaving[i] = len(leaving_rows)
            leaving_rows.append(place)
            if p.chooses:
                heads[i] = len(head_rows)
                head_rows.append(place * tokens + count - 1)
    spare = idle[-1] if idle else 0
    for rows_of in (entering_rows, leaving_rows):
        if len(rows_of) < least:
            rows_of.append(spare)
    if len(head_rows) < least:
        head_rows.append(leaving_rows[0] * tokens if facts.coda else spare * tokens)

    feeds = {
        "input_ids": input_ids,
        "hidden": hidden,
        "depth": depth,
        "position_ids": position_ids,
        "past_length": past_length,
    }
    all_rows = [*order, *idle]
    each, over = divmod(rows, facts.groups)
    for g in range(facts.groups):
        first = g * each + min(g, over)
        members = all_rows[first : first + each + (g < over)]
        name = "page_table" if facts.groups == 1 else f"page_table.{g}"
        feeds[name] = _page_table(members, passes, widths, least, boundary=False)
    if facts.boundary:
        table = _page_table(all_rows, passes, widths, least, boundary=True)
        feeds["boundary_page_table"] = table
    if facts.prelude > 0:
        feeds["entering_rows"] = np.array(entering_rows, np.int64)
    if facts.coda > 0:
        feeds["leaving_rows"] = np.array(leaving_rows, np.int64)
    feeds["head_rows"] = np.array(head_rows, np.int64)
    return StepInputs(feeds, places, entering, leaving, heads)


def _page_table(
    rows: Sequence[int], passes: Sequence[Pass], widths: Sequence[int], least: int, boundary: bool
) -> np.ndarray:
    """[rows, pages of the longest], padded with page 0; rows past the passes idle."""
    real = [i for i in rows if i < len(passes)]
    table = np.zeros((len(rows), max([least, *(widths[i] for i in real)])), np.int64)
    for place, i in enumerate(rows):
        if i < len(passes):
            pages = passes[i].sequence.pages
            assert pages is not None
            own = pages.boundary if boundary else pages.block[passes[i].depth]
            table[place, : widths[i]] = own[: widths[i]]
    return table
