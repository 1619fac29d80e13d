"""What is raised in place of an answer."""

from __future__ import annotations

__all__ = ["Refusal"]


class Refusal(Exception):  # noqa: N818 - not an error of ours: the answer, by its name in ENVELOPES
    """The request is answered by an error envelope."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
