"""Pages by number, and what sequences hold of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .facts import Facts


class PagePool:
    """Pages to hand out. Page 0 is never handed out: it stays zero, and padding points at it."""

    def __init__(self, count: int) -> None:
        self.total = max(0, count - 1)
        # Low numbers go first, so that memory that was never needed is never touched.
        self._free = list(range(self.total, 0, -1))

    @property
    def free(self) -> int:
        return len(self._free)

    def take(self) -> int:
        return self._free.pop()

    def give(self, pages: list[int]) -> None:
        self._free.extend(reversed(pages))


@dataclass
class SequencePages:
    """Pages of a sequence: a list for every depth, and one for the layers outside the loops."""

    block: list[list[int]]
    boundary: list[int] = field(default_factory=list)

    @property
    def held(self) -> int:
        return len(self.block[0])


class Spans:
    """
    Pages are counted by the span: as many positions as a page has, a page of every depth and one
    of the boundary layers. A sequence is let in when all spans that it may ever need are free, so
    that nobody gets stuck half way; it takes them as it comes to them.
    """

    def __init__(self, facts: Facts, total: int) -> None:
        self.total = total
        self.page_size = facts.page_size
        self._loops = facts.loops
        self._boundary = facts.boundary
        self._block_pages = PagePool(self.block_page_count)
        self._boundary_pages = PagePool(self.boundary_page_count)
        self._reserved = 0

    @property
    def block_page_count(self) -> int:
        """Pages of the block's layers, page 0 included."""
        return self.total * self._loops + 1

    @property
    def boundary_page_count(self) -> int:
        """Pages of prelude and coda, page 0 included; 0 for a model without."""
        return self.total + 1 if self._boundary else 0

    @property
    def unreserved(self) -> int:
        return self.total - self._reserved

    @property
    def used_pages(self) -> int:
        block, boundary = self._block_pages, self._boundary_pages
        return block.total - block.free + boundary.total - boundary.free

    def of(self, positions: int) -> int:
        """Spans that so many positions take."""
        return -(-positions // self.page_size)

    def reserve(self, spans: int) -> bool:
        """Keeps spans for a sequence; False when there are too few."""
        if spans > self.unreserved:
            return False
        self._reserved += spans
        return True

    def none(self) -> SequencePages:
        return SequencePages([[] for _ in range(self._loops)])

    def grow(self, pages: SequencePages, spans: int) -> tuple[list[int], list[int]]:
        """Takes what is missing to so many spans; returns the new pages: block's, boundary's."""
        block: list[int] = []
        boundary: list[int] = []
        while pages.held < spans:
            for depth in pages.block:
                depth.append(self._block_pages.take())
                block.append(depth[-1])
            if self._boundary:
                pages.boundary.append(self._boundary_pages.take())
                boundary.append(pages.boundary[-1])
        return block, boundary

    def release(self, pages: SequencePages, reserved: int) -> None:
        """Gives back everything of a sequence."""
        for depth in pages.block:
            self._block_pages.give(depth)
        self._boundary_pages.give(pages.boundary)
        self._reserved -= reserved
