"""Reading a pattern from left to right: what the syntaxes of RE2 and JavaScript have in common.

Before it a pattern's source; after it `re2` and `javascript`, which know what their own atoms and groups are.
"""

from __future__ import annotations

from typing import Final

from reconciler.plan.patterns.tree import Beyond, Choice, Node, Repeat

_DEEPEST: Final = 100  # groups within groups


class Scanner:
    """A source and the place in it that is read next."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.depth = 0

    def peek(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def sequence(self) -> Node:
        raise NotImplementedError  # pragma: no cover

    def bounds(self) -> tuple[int, int | None] | None:
        """Goes past `{n}`, `{n,}` or `{n,m}`; None: here stands none."""
        raise NotImplementedError  # pragma: no cover

    def choice(self) -> Node:
        ways = [self.sequence()]
        while self.take("|"):
            ways.append(self.sequence())
        return ways[0] if len(ways) == 1 else Choice(tuple(ways))

    def repeated(self, node: Node) -> Node:
        """The node, or the repeat of it that follows."""
        least: int
        most: int | None
        if self.take("*"):
            least, most = 0, None
        elif self.take("+"):
            least, most = 1, None
        elif self.take("?"):
            least, most = 0, 1
        elif (bounds := self.bounds()) is not None:
            least, most = bounds
        else:
            return node
        self.take("?")
        return Repeat(node, least, most)

    def inner(self) -> Node:
        """What stands in a group, up to its parenthesis."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Beyond(f"its groups are more than {_DEEPEST} deep")
        node = self.choice()
        self.depth -= 1
        return node
