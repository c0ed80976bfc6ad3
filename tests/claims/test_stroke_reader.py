"""The reader of pen movements: what it takes for a piece, and that it learns to tell strokes apart."""

from __future__ import annotations

import pytest
import torch

from foveate.claims import spelling, stroke_reader
from foveate.claims.stroke_reader import heard, train_reader
from foveate.errors import DataError
from foveate.records import HandwritingSample

TINY = {"hidden": 12, "speller": 24, "embed": 8, "attend": 12, "pyramid": 1}


def piece(text: str, points: int = 10) -> HandwritingSample:
    """'a' goes to the right, 'b' down with lifts; longer texts one after the other."""
    strokes = []
    for letter in text:
        own = torch.zeros(points, 3)
        own[:, 0 if letter == "a" else 1] = 1.0
        own[-1 if letter == "a" else slice(None, None, 2), 2] = 1.0
        strokes.append(own)
    return HandwritingSample(strokes=torch.cat(strokes), transcript=text, name=text)


def test_a_short_piece_is_followed_by_rest() -> None:
    given = piece("a", 3)
    found = heard(given, 8)
    assert found["audio"].is_features and found["transcript"] == "a"
    torch.testing.assert_close(found["audio"].values, torch.cat([given["strokes"], torch.zeros(5, 3)]))
    assert torch.equal(heard(piece("ab"), 8)["audio"].values, piece("ab")["strokes"])


def test_pieces_need_texts() -> None:
    with pytest.raises(DataError, match="nameless: no text; a reader is trained on pieces with their texts"):
        train_reader([piece("a"), piece("b") | {"transcript": "", "name": "nameless"}], 0, 1)


def test_it_learns_to_tell_strokes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stroke_reader, "BATCH", 4)
    monkeypatch.setattr(spelling, "PEAK_LR", 1e-2)
    pieces = [piece(text) for text in ("a", "b")]
    asked = []

    def noted(one: HandwritingSample) -> HandwritingSample:
        asked.append(one["name"])
        return one

    reader = train_reader(pieces, 0, 60, noted, **TINY)
    assert len(asked) == 60 * 4 and set(asked) == {"a", "b"}
    assert reader.read(pieces).cer == 0
    # Size does not matter, and what was not written is an error.
    larger = [one | {"strokes": one["strokes"] * torch.tensor([50.0, 50.0, 1.0])} for one in pieces]
    assert reader.read(larger).cer == 0
    exchanged = [one | {"transcript": {"a": "b", "b": "a"}[one["transcript"]]} for one in pieces]
    assert reader.read(exchanged).cer == 1
    assert reader.read([piece("a", 1)]).recordings == 1
