"""The search for transcripts: its rules, the parts of long recordings, and the times of words, by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate.records import Sound
from foveate.tasks.speech import decoding
from foveate.tasks.speech.decoding import transcribe, word_times
from foveate.tasks.speech.language import ORDER, CharacterModel
from foveate.tasks.speech.options import SpeechOptions
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, CharacterTable

TABLE = CharacterTable((*SPECIALS, *"abc "))
MODEL: Any = SimpleNamespace(cell_step=0.1, cell_first=0.05, parameters=lambda: iter(()))


def hypothesis(tokens: list[int], score: float, cells: int) -> Any:
    """Tokens of probability 1 / 2 each, attention on the first cells."""
    count = len(tokens)
    attention = torch.eye(max(count, cells))[:count, :cells]
    log_probs = torch.full((count,), 0.5).log()
    return SimpleNamespace(tokens=torch.tensor(tokens), score=score, log_probs=log_probs, attention=attention)


def test_a_word_lasts_from_a_twentieth_of_its_attention_to_nineteen() -> None:
    """Of 0.04, 0.03, 0.5, 0.37, 0.03, 0.03 in cells of 0.1 s: from the second cell to the fifth, edge to edge."""
    weights = np.array([0.04, 0.03, 0.5, 0.37, 0.03, 0.03])
    np.testing.assert_allclose(word_times([weights], 0.1, 0.05), [[0.1, 0.5]])
    np.testing.assert_allclose(word_times([3 * weights], 0.1, 0.35), [[0.4, 0.8]])


def test_parts_are_joined_in_their_places_and_scores_count_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording in parts of 2.1 and 1.9 s beside a short one: three tokens of a mean of -1, and one of -4."""
    found = [hypothesis([4, 5, 6], -1.0, 21), hypothesis([4], -4.0, 19), hypothesis([5], -0.5, 10)]
    monkeypatch.setattr(decoding, "cuts_at_silence", lambda sound, seconds: [0, 16_800, 32_000])
    monkeypatch.setattr(decoding, "_search", lambda model, parts, *_: ([[one] for one in found], [21, 19, 10]))
    sounds = [Sound(torch.zeros(32_000), 8000), Sound(torch.zeros(8000), 8000)]
    long, short = transcribe(MODEL, sounds, ["a", "b"], TABLE, SpeechOptions(cut=3.0))
    assert long.cuts == (2.1,) and short.cuts == () and (long.name, short.name) == ("a", "b")
    assert long.text == "abc a" and long.transcripts[0].score == pytest.approx(-7 / 4)
    assert short.transcripts[0].score == -0.5
    np.testing.assert_allclose(long.centres, [0.05 + 0.1 * k for k in range(21)] + [2.15 + 0.1 * k for k in range(19)])
    np.testing.assert_allclose(long.transcripts[0].times, [[0.0, 0.3], [2.1, 2.2]], atol=1e-6)
    np.testing.assert_allclose(long.transcripts[0].probabilities, [1 / 8, 1 / 2])


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0])
def test_joined_parts_have_the_score_of_one_text_of_all_their_tokens(
    penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of -3 over three tokens and of -4 over one: -7 / 4^penalty."""
    found = [hypothesis([4, 5, 6], -3 / 3**penalty, 21), hypothesis([4], -4.0, 19)]
    monkeypatch.setattr(decoding, "cuts_at_silence", lambda sound, seconds: [0, 16_800, 32_000])
    monkeypatch.setattr(decoding, "_search", lambda model, parts, *_: ([[one] for one in found], [21, 19]))
    options = SpeechOptions(cut=3.0, length_penalty=penalty)
    (joined,) = transcribe(MODEL, [Sound(torch.zeros(32_000), 8000)], ["a"], TABLE, options)
    assert joined.transcripts[0].score == pytest.approx(-7 / 4**penalty)


def test_features_are_never_cut_and_sixteen_parts_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def search(model: Any, parts: Any, *_: Any) -> Any:
        read.append(len(parts))
        return [[hypothesis([4], 0.0, 3)] for _ in parts], [3] * len(parts)

    monkeypatch.setattr(decoding, "_search", search)
    frames = Sound(torch.zeros(4000, 5), 100)  # 40 s
    assert all(not one.cuts for one in transcribe(MODEL, [frames] * 20, ["a"] * 20, TABLE, SpeechOptions(cut=20.0)))
    assert read == [16, 4]


def test_the_rules_of_the_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Each recording has as many tokens as its own seconds allow: 40 a second, and two."""
    calls: list[dict[str, Any]] = []

    class Model:
        cell_step, cell_first = 0.1, 0.05

        def parameters(self) -> Any:
            return iter(())

        def begin(self, audio: torch.Tensor, lengths: torch.Tensor) -> Any:
            return SimpleNamespace(mask=torch.ones(len(audio), 3, dtype=torch.bool)), None

    def search(step: Any, memory: Any, state: Any, **rules: Any) -> Any:
        calls.append(rules)
        return [[hypothesis([4], 0.0, 3)]] * 2

    monkeypatch.setattr(decoding, "beam_search", search)
    (tmp_path / "text.txt").write_text("ab\nca\n")
    options = SpeechOptions(
        beams=5, n_best=2, length_penalty=0.7, language=str(tmp_path / "text.txt"), language_weight=0.3
    )
    sounds = [Sound(torch.zeros(8000), 8000), Sound(torch.zeros(24_000), 8000)]
    model: Any = Model()
    transcribe(model, sounds, ["a", "b"], TABLE, options)
    transcribe(model, sounds, ["a", "b"], TABLE, SpeechOptions(beams=3))
    fusion = calls[0].pop("fusion")
    assert fusion.weight == 0.3 and calls[1].pop("fusion") is None
    assert calls[0] == {
        "max_length": [42, 122], "start": START, "end": END, "beams": 5, "n_best": 2, "min_length": 2,
        "length_penalty": 0.7, "forbidden": calls[0]["forbidden"],
    }  # fmt: skip
    assert set(calls[0]["forbidden"]) == {PAD, START, UNKNOWN}
    assert (calls[1]["n_best"], calls[1]["length_penalty"]) == (3, 1.0)


def test_a_language_model_looks_at_five_characters_and_learns_the_end() -> None:
    """Its state in a search is the last characters, the newest last; a sentence begins after as many starts."""
    assert ORDER == 6
    model = CharacterModel(TABLE, ["abcab"])
    state = torch.full((1, 5), START)
    fusion = model.fusion(1, 1.0, torch.device("cpu"))
    assert torch.equal(fusion.state, state)
    for token, following in ((4, 5), (5, 6), (6, 4), (4, 5), (5, END)):
        state = torch.cat([state[:, 1:], torch.tensor([[token]])], 1)
        expected = model.log_probabilities(state)
        assert int(expected.argmax()) == following
        log_p, after, _ = fusion.step(None, torch.cat([torch.tensor([[0]]), state[:, :-1]], 1), torch.tensor([token]))
        assert torch.equal(after, state) and torch.equal(log_p, expected)
