from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def calls() -> Callable[[Callable[[], object]], int]:
    """Counts the calls of Python functions that something takes: a measure of work that no other program changes."""

    def count(work: Callable[[], object]) -> int:
        number = 0

        def listen(frame: Any, event: str, arg: Any) -> None:
            nonlocal number
            number += event == "call"

        before = sys.getprofile()
        sys.setprofile(listen)
        try:
            work()
        finally:
            sys.setprofile(before)
        return number

    return count
