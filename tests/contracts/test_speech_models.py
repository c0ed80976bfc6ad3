"""Promises of every speech model. A new model adds a line to SMALL."""

import math

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.ops.search import beam_search
from foveate.records import SpeechOutput
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.text import END, PAD, SPECIALS, START, CharacterTable

TABLE = CharacterTable((*SPECIALS, *"abcd "))
TINY = {"rate": 8000, "mels": 12, "hidden": 5, "pyramid": 2, "speller": 7, "embed": 4, "attend": 6,
        "vocabulary": len(TABLE)}  # fmt: skip
# name, and what tells it from others of that name -> a config that runs in a fraction of a second
SMALL = {
    ("listen_attend_spell", "sound"): {},
    ("listen_attend_spell", "features"): {"features": 3, "rate": 100, "speller_layers": 1, "ctc": 0.3},
}
NAMES = [n for n, e in entries("model").items() if e.module.startswith("foveate.models.speech")]


def build(kind, **more):
    torch.manual_seed(0)
    return foveate.create(kind[0], **(TINY | SMALL[kind] | more))


def batch(model, count=3, length=6):
    generator = torch.Generator().manual_seed(1)
    features = model.preprocessing.features
    longest = 60 if features else 4000
    shape = (count, longest, features) if features else (count, longest)
    audio = torch.randn(shape, generator=generator)
    lengths = torch.tensor([longest - i * longest // 5 for i in range(count)])
    tokens = torch.randint(len(SPECIALS), len(TABLE), (count, length), generator=generator)
    for i, own in enumerate(lengths.tolist()):
        audio[i, own:] = 0
        end = max(length - 1 - i, 0)
        tokens[i, end] = END
        tokens[i, end + 1 :] = PAD
    return {"audio": audio, "audio_lengths": lengths, "tokens": tokens, "names": ["x"] * count}


def test_every_model_is_here():
    assert {name for name, _ in SMALL} == set(NAMES)


@pytest.mark.parametrize("kind", SMALL, ids="-".join)
class TestContract:
    def test_scores_for_every_character_and_attention_that_sums_to_one(self, kind):
        model = build(kind).eval()
        data = batch(model)
        with torch.no_grad():
            out = model(data["audio"], data["tokens"], data["audio_lengths"])
            memory, _ = model.begin(data["audio"], data["audio_lengths"])
        assert isinstance(out, SpeechOutput)
        assert out.logits.shape == (3, 6, len(TABLE)) and out.logits.isfinite().all()
        torch.testing.assert_close(out.attention.sum(2), torch.ones(3, 6))
        assert not out.attention.masked_select(~memory.mask[:, None].expand_as(out.attention)).any()

    def test_step_by_step_it_writes_as_at_once(self, kind):
        model = build(kind).double().eval()
        data = batch(model)
        audio = data["audio"].double()
        with torch.no_grad():
            out = model(audio, data["tokens"], data["audio_lengths"])
            memory, state = model.begin(audio, data["audio_lengths"])
            last = torch.full((3,), START)
            for t in range(6):
                logits, state, attention = model.step(memory, state, last)
                torch.testing.assert_close(logits, out.logits[:, t], rtol=0, atol=1e-10)
                torch.testing.assert_close(attention, out.attention[:, t], rtol=0, atol=1e-6)
                last = data["tokens"][:, t]

    def test_padding_changes_nothing(self, kind):
        model = build(kind).double().eval()
        data = batch(model)
        audio, lengths = data["audio"].double(), data["audio_lengths"]
        with torch.no_grad():
            together = model(audio, data["tokens"], lengths)
            for i, own in enumerate(lengths.tolist()):
                alone = model(audio[i : i + 1, :own], data["tokens"][i : i + 1])
                cells = alone.attention.shape[2]
                torch.testing.assert_close(alone.logits[0], together.logits[i], rtol=0, atol=1e-9)
                torch.testing.assert_close(alone.attention[0], together.attention[i, :, :cells], rtol=0, atol=1e-6)
            loud = audio.clone()
            for i, own in enumerate(lengths.tolist()):
                loud[i, own:] = 3.0
            noisy = model(loud, data["tokens"], lengths)
        torch.testing.assert_close(noisy.logits, together.logits, rtol=0, atol=1e-9)

    def test_every_parameter_learns(self, kind):
        model = build(kind)
        model.loss(batch(model))["loss"].backward()
        dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]

        assert not dead, dead

    def test_the_loss_counts_characters_without_padding(self, kind):
        model = build(kind).eval()
        data = batch(model)
        with torch.no_grad():
            logits = model(data["audio"], data["tokens"], data["audio_lengths"]).logits.log_softmax(2)
            total = count = 0
            for row, tokens in zip(logits, data["tokens"], strict=True):
                for t, token in enumerate(tokens.tolist()):
                    if token != PAD:
                        total, count = total - float(row[t, token]), count + 1
            losses = model.loss(data)
        share = model.config.ctc
        spelled = float(losses["loss"]) - share * float(losses.get("ctc", 0.0))
        assert spelled == pytest.approx((1 - share) * total / count, rel=1e-5)
        assert float(losses["characters"]) == pytest.approx(total / count, rel=1e-5)

    def test_four_recordings_are_learned_by_heart(self, kind):
        model = build(kind, hidden=24, speller=32, embed=8, attend=16, init=0.0, sampling=0.0)
        data = batch(model, count=4)
        first = float(model.loss(data)["loss"].detach())
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(100):
            optimizer.zero_grad()
            loss = model.loss(data)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        assert float(loss.detach()) < 0.05 * first
        memory, state = model.eval().begin(data["audio"], data["audio_lengths"])
        found = beam_search(model.step, memory, state, start=START, end=END, beams=3, max_length=8)
        for (best,), tokens in zip(found, data["tokens"], strict=True):
            assert best.tokens.tolist() == tokens[tokens != PAD].tolist()

    def test_it_is_saved_and_loaded_as_it_is(self, kind, tmp_path):
        model = build(kind).eval()
        save_model(tmp_path, model, kind[0], {"text": TABLE}, "speech")
        loaded = load_model(tmp_path)
        assert loaded.preprocessing == model.preprocessing
        data = batch(model)
        with torch.no_grad():
            a, b = (
                m(data["audio"], data["tokens"], data["audio_lengths"]).logits for m in (model, loaded.model.eval())
            )
        assert torch.equal(a, b)


class TestListenAttendSpell:
    def test_without_sampling_training_is_teacher_forcing(self):
        model = build(("listen_attend_spell", "sound"), sampling=0.0)
        data = batch(model)
        a = model.train()(data["audio"], data["tokens"], data["audio_lengths"]).logits
        b = model.eval()(data["audio"], data["tokens"], data["audio_lengths"]).logits
        assert torch.equal(a, b)

    def test_sampling_reads_its_own_characters_at_their_share(self):
        model = build(("listen_attend_spell", "sound"), sampling=1.0).train()
        data = batch(model)
        other = {**data, "tokens": data["tokens"].roll(1, 1)}
        torch.manual_seed(3)
        a = model(data["audio"], data["tokens"], data["audio_lengths"]).logits
        torch.manual_seed(3)
        b = model(data["audio"], other["tokens"], data["audio_lengths"]).logits
        assert torch.equal(a, b)  # the true characters are never read

    def test_a_louder_recording_reads_the_same(self):
        model = build(("listen_attend_spell", "sound")).eval()
        data = batch(model, count=1)
        with torch.no_grad():
            a = model(0.3 * data["audio"], data["tokens"]).logits
            b = model(0.9 * data["audio"], data["tokens"]).logits
        torch.testing.assert_close(a, b, rtol=0, atol=1e-3)

    def test_the_paper_s_sizes(self):
        with torch.device("meta"):
            model = foveate.create("listen_attend_spell")
        assert model.listener.onward.weight_hh_l0.shape == (4 * 256, 256)
        assert len(model.pyramid) == 3 and model.pyramid[0].rnn.onward.input_size == 2 * 512
        assert [cell.hidden_size for cell in model.speller] == [512, 512]
        assert model.config.sampling == 0.1 and model.config.init == 0.1

    def test_the_middle_of_a_cell_is_the_middle_of_its_frames(self):
        model = build(("listen_attend_spell", "sound"))  # two halvings: a cell is 4 frames of 25 ms, 10 ms apart
        assert model.cell_step == pytest.approx(0.04)
        starts = [0.0, 0.01, 0.02, 0.03]
        assert model.cell_first == pytest.approx(sum(s + 0.0125 for s in starts) / 4)

    def test_the_context_is_a_mean_of_cells_not_of_their_keys(self):
        model = build(("listen_attend_spell", "sound"), init=1.0).eval()
        data = batch(model, count=1)
        with torch.no_grad():
            memory, state = model.begin(data["audio"])
            _, state, alpha = model.step(memory, state, torch.tensor([START]))
            below = state.h[-1]
            e = model.phi(below) @ model.psi(memory.cells)[0].T
        torch.testing.assert_close(alpha, e.softmax(1))
        assert alpha.max() > 1.5 / alpha.shape[1]  # not the plain mean
        torch.testing.assert_close(state.context, (alpha[:, None] @ memory.cells)[:, 0])

    def test_label_smoothing_is_the_mean_over_all_characters(self):
        model = build(("listen_attend_spell", "sound"), label_smoothing=0.2, sampling=0.0).train()
        data = batch(model)
        losses = model.loss(data)
        log_p = model(data["audio"], data["tokens"], data["audio_lengths"]).logits.log_softmax(2)
        spread = -log_p.mean(2)[data["tokens"] != PAD].mean()
        expected = 0.8 * float(losses["characters"]) + 0.2 * float(spread.detach())
        assert float(losses["loss"].detach()) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("hidden", 0, "hidden is 0; expected 1 or more"),
            ("sampling", 1.5, "sampling is 1.5; expected 0..1"),
            ("warp", 0.6, r"warp is 0.6; expected 0..0.5"),
            ("vocabulary", 4, "vocabulary 4 must be at least 5"),
            ("rate", 0, "rate is 0"),
            ("rate", 8000.5, "a waveform has a whole number of samples"),
        ],
    )
    def test_errors(self, field, value, message):
        with pytest.raises(ConfigError, match=message):
            foveate.create("listen_attend_spell", **(TINY | {field: value}))

    def test_the_shortest_recording_fills_eight_frames(self):
        model = build(("listen_attend_spell", "sound"))
        assert model.preprocessing.shortest == 200 + 7 * 80
        with torch.no_grad():
            h, _ = model.listen(torch.randn(1, model.preprocessing.shortest))
        assert h.shape[1] == 2 and math.isfinite(float(h.sum()))
