"""A language model of characters, counted in a text of the user's, as the second model of the search.

    p(y | h) = (c(h y) + t(h) p(y | h')) / (c(h) + t(h))

where h are the last characters, h' the same without the first, c a count, and t(h) the number of different characters
that follow h: interpolation by Witten and Bell (1991), method C. Below single characters p is the same for all.

Shapes: N rows, V tokens, order - 1 last tokens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveate.errors import DataError
from foveate.ops.search import Fusion
from foveate.text import END, START, UNKNOWN, TextTable

ORDER = 6  # characters that are looked at together, the one that is written included


class CharacterModel:
    """An n-gram model of the tokens of a table, learned from sentences.

    Raises DataError for sentences without a known character.
    """

    def __init__(self, table: TextTable, sentences: Iterable[str], order: int = ORDER) -> None:
        self.size, self.order = len(table), order
        self.followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        self.known = 0
        for sentence in sentences:
            ids = table.encode(sentence)
            if not set(ids) - {UNKNOWN}:
                continue
            self.known += 1
            padded = [START] * (order - 1) + ids + [END]
            for i in range(order - 1, len(padded)):
                for length in range(order):
                    self.followers[tuple(padded[i - length : i])][padded[i]] += 1
        if not self.known:
            raise DataError("no sentence has a character that the model writes; give a text in its script and case")
        self._distribution = lru_cache(maxsize=100_000)(self._compute)

    def _compute(self, history: tuple[int, ...]) -> Tensor:
        """p(. | history), (V,) float64."""
        below = torch.full((self.size,), 1 / self.size, dtype=torch.float64)
        for length in range(len(history) + 1):
            counts = self.followers.get(history[len(history) - length :])
            if not counts:
                break
            kinds = len(counts)
            found = kinds * below
            found[list(counts)] += torch.tensor(list(counts.values()), dtype=torch.float64)
            below = found / (counts.total() + kinds)
        return below

    def log_probabilities(self, history: Tensor) -> Tensor:
        """log p of every next token (N, V) after the last tokens (N, order - 1)."""
        rows = [self._distribution(tuple(row)) for row in history.tolist()]
        return torch.stack(rows).log().float().to(history.device)

    def fusion(self, inputs: int, weight: float, device: torch.device) -> Fusion:
        """The model as the second one of a search over so many inputs."""
        history = torch.full((inputs, self.order - 1), START, device=device)

        def step(memory: Any, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, None]:
            after = torch.cat([state[:, 1:], tokens[:, None]], 1)
            return self.log_probabilities(after), after, None

        return Fusion(step, None, history, weight)


def read_language_model(path: str, table: TextTable) -> CharacterModel:
    """The model of a text file, a sentence a line; counted once for each state of the file.

    Raises DataError, naming the file.
    """
    changed = Path(path).stat().st_mtime_ns if Path(path).is_file() else 0
    return _read(path, changed, table)


@lru_cache(maxsize=4)
def _read(path: str, changed: int, table: TextTable) -> CharacterModel:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a text that can be read ({error}); give UTF-8, a sentence a line") from None
    try:
        return CharacterModel(table, text.splitlines())
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
