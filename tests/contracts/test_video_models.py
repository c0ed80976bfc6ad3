"""Promises of every video model. A new model adds a line to SMALL."""

import math

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.models.captioning.video_attention import State
from foveate.ops.frames import differences, time_code
from foveate.ops.search import beam_search
from foveate.records import VideoOutput
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.text import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary

TABLE = Vocabulary((*SPECIALS, "a", "cow", "walks", "left", "then"))
TINY = {
    "vocabulary": len(TABLE), "backbone": "plain", "stride": 8, "image_size": (24, 24), "frames": 8, "embed": 6,
    "hidden": 8, "attend": 5, "motion_size": 4, "init": 0.0, "gate_dropout": 0.0, "dropout": 0.0,
}  # fmt: skip
# what tells a model from others -> a config that runs in a fraction of a second
SMALL = {
    "frames": {},
    "difference": {
        "motion": "difference",
        "order": "time",
        "encoder": 7,
        "normalize": True,
        "pool": "max",
    },
    "convolution": {"motion": "convolution", "order": "lstm", "encoder": 4, "coverage": "share", "average": "words"},
    "features": {"features": 6, "motion": "difference", "order": "time", "normalize": True, "start_token": True},
    "mean": {"features": 6, "attention": "mean", "selector": False},
}
FRAMES = 6


def build(kind, **more):
    torch.manual_seed(0)
    return foveate.create("video_attention", **(TINY | SMALL[kind] | more))


def batch(model, count=3, length=5):
    generator = torch.Generator().manual_seed(1)
    features = model.config.features
    shape = (features,) if features else (3, 24, 24)
    clips = torch.randn(count, FRAMES, *shape, generator=generator)
    lengths = torch.tensor([FRAMES - 2 * i for i in range(count)]).clamp(min=1)
    tokens = torch.randint(len(SPECIALS), len(TABLE), (count, length), generator=generator)
    for i, own in enumerate(lengths.tolist()):
        clips[i, own:] = 0
        end = max(length - 1 - i, 0)
        tokens[i, end], tokens[i, end + 1 :] = END, PAD
    key = "features" if features else "clips"
    return {key: clips, "clip_lengths": lengths, "tokens": tokens, "names": ["x"] * count}


def clips_of(data):
    return data["features"] if "features" in data else data["clips"]


def test_every_model_is_here():
    assert [n for n, e in entries("model").items() if e.load().task == "video"] == ["video_attention"]


@pytest.mark.parametrize("kind", SMALL)
class TestContract:
    def test_scores_for_every_word_and_attention_that_sums_to_one_over_the_clip(self, kind):
        model = build(kind).eval()
        data = batch(model)
        with torch.no_grad():
            out = model(clips_of(data), data["tokens"], data["clip_lengths"])
        assert isinstance(out, VideoOutput)
        assert out.logits.shape == (3, 5, len(TABLE)) and out.logits.isfinite().all()
        torch.testing.assert_close(out.attention.sum(2), torch.ones(3, 5))
        for row, length in zip(out.attention, data["clip_lengths"].tolist(), strict=True):
            assert not row[:, length:].any() and row[:, :length].all()

    def test_step_by_step_it_writes_as_at_once(self, kind):
        model = build(kind).double().eval()
        data = batch(model)
        clips, lengths = clips_of(data).double(), data["clip_lengths"]
        with torch.no_grad():
            out = model(clips, data["tokens"], lengths)
            memory, state = model.begin(clips if model.config.features else model.encode(clips, lengths), lengths)
            last = torch.full((3,), START)
            for t in range(5):
                logits, state, attention = model.step(memory, state, last)
                torch.testing.assert_close(logits, out.logits[:, t], rtol=0, atol=1e-10)
                torch.testing.assert_close(attention, out.attention[:, t], rtol=0, atol=1e-6)
                last = data["tokens"][:, t]

    def test_padding_changes_nothing(self, kind):
        model = build(kind).double().eval()
        data = batch(model)
        clips, lengths = clips_of(data).double(), data["clip_lengths"]
        loud = clips.clone()
        for i, own in enumerate(lengths.tolist()):
            loud[i, own:] = 3.0
        with torch.no_grad():
            together, noisy = (model(x, data["tokens"], lengths) for x in (clips, loud))
            for i, own in enumerate(lengths.tolist()):
                alone = model(clips[i : i + 1, :own], data["tokens"][i : i + 1])
                torch.testing.assert_close(alone.logits[0], together.logits[i], rtol=0, atol=1e-9)
                torch.testing.assert_close(alone.attention[0], together.attention[i, :, :own], rtol=0, atol=1e-6)
        torch.testing.assert_close(noisy.logits, together.logits, rtol=0, atol=1e-9)

    def test_padding_changes_no_loss_in_training_either(self, kind):
        model = build(kind).double()
        data = batch(model)
        key = "features" if model.config.features else "clips"
        data[key] = data[key].double()
        longer = data | {key: torch.cat([data[key], torch.full_like(data[key][:, :2], 5.0)], 1)}
        losses = [float(build(kind).double().train().loss(one)["loss"].detach()) for one in (data, longer)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)

    def test_captions_of_one_clip_share_it(self, kind):
        """The loss and its gradients are those of a clip that is repeated for every caption."""
        model = build(kind).double().eval()
        data = batch(model)
        clip_of = torch.tensor([1, 0, 1])
        name = "features" if "features" in data else "clips"
        few = data | {name: data[name][:2].double(), "clip_lengths": data["clip_lengths"][:2]}
        repeated = few | {key: few[key][clip_of] for key in (name, "clip_lengths")}
        losses, gradients = [], []
        for given in (few | {"clip_of": clip_of}, repeated):
            model.zero_grad()
            losses.append(model.loss(given)["loss"])
            losses[-1].backward()
            gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-10)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-9)
        assert not torch.isclose(model.loss(few | {"clip_of": 1 - clip_of})["loss"], losses[0], rtol=1e-9)

    def test_every_parameter_learns(self, kind):
        model = build(kind)
        model.loss(batch(model))["loss"].backward()
        unused = {"score.W.weight", "score.U.weight", "score.U.bias", "score.v.weight"} if kind == "mean" else set()
        dead = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        # A softmax ignores a constant; batch norm the bias before it.
        assert dead <= unused | {"score.U.bias"}, dead

    def test_four_clips_are_learned_by_heart(self, kind):
        if kind == "mean":
            pytest.skip("learned with attention")
        model = build(kind, hidden=24, embed=8, attend=16, doubly_stochastic=0.1)
        data = batch(model, count=4)
        first = float(model.loss(data)["words"])
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            losses = model.loss(data)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        assert float(losses["words"]) < 0.1 * first

    def test_it_is_saved_and_loaded_as_it_is(self, kind, tmp_path):
        model = build(kind).eval()
        save_model(tmp_path, model, "video_attention", {"text": TABLE}, "video")
        loaded = load_model(tmp_path)
        assert loaded.preprocessing == model.preprocessing
        data = batch(model)
        with torch.no_grad():
            a, b = (
                m(clips_of(data), data["tokens"], data["clip_lengths"]).logits for m in (model, loaded.model.eval())
            )
        assert torch.equal(a, b)


class TestLaws:
    def forward(self, model, clips, tokens, lengths=None):
        with torch.no_grad():
            return model(clips, tokens, lengths)

    @pytest.mark.parametrize(("order", "changes"), [("none", False), ("time", True), ("lstm", True)])
    def test_the_order_of_frames_counts_only_if_it_is_told(self, order, changes):
        model = build("frames", order=order, encoder=6).double().eval()
        data = batch(model, count=2)
        clips = data["clips"].double()
        clips[1] = clips[0]
        shuffled = clips.clone()
        shuffled[:, :FRAMES] = clips[:, torch.tensor([3, 0, 5, 1, 4, 2])]
        a, b = (self.forward(model, x, data["tokens"]).logits for x in (clips, shuffled))
        assert (float((a - b).abs().max()) > 1e-4) is changes

    def test_doubling_every_frame_halves_each_weight_and_changes_no_word(self):
        model = build("frames").double().eval()
        data = batch(model, count=1)
        clips = data["clips"].double()
        one, two = (self.forward(model, x, data["tokens"]) for x in (clips, clips.repeat_interleave(2, 1)))
        torch.testing.assert_close(one.logits, two.logits, rtol=0, atol=1e-10)
        torch.testing.assert_close(one.attention / 2, two.attention[:, :, ::2], rtol=0, atol=1e-7)

    def test_mean_attention_is_even_and_reads_the_mean(self):
        model = build("mean").eval()
        data = batch(model)
        out = self.forward(model, data["features"], data["tokens"], data["clip_lengths"])
        assert out.attention[0].allclose(torch.tensor(1 / 6)) and out.attention[2, :, :2].allclose(torch.tensor(0.5))
        mean = torch.stack([x[:n].mean(0) for x, n in zip(data["features"], data["clip_lengths"], strict=True)])
        still = self.forward(model, mean[:, None], data["tokens"])
        torch.testing.assert_close(out.logits, still.logits)

    def test_it_is_show_attend_and_tell_on_frames_in_place_of_locations(self):
        """The decoder of 2015's captioner with the same weights, its grid of one row holding the frames."""
        video = build("features", features=32, motion="none", order="none", normalize=False, start_token=False,
                      doubly_stochastic=0.7 * FRAMES).double().eval()  # fmt: skip
        image = foveate.create(
            "show_attend_tell", vocabulary=len(TABLE), backbone="plain", strides=(4,), embed=6, hidden=8, attend=5,
            normalize=False, start_token=False, dropout=0.0, doubly_stochastic=0.7, average="sentences",
        ).double().eval()  # fmt: skip
        own = video.state_dict()
        for name, tensor in image.state_dict().items():
            name = name.replace("L_o.", "output.")
            if name in own and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
        assert video.start.weight.equal(image.start.weight)
        shared = {n.replace("L_o.", "output.") for n in image.state_dict() if not n.startswith("backbone.")}
        assert set(own) == shared - {"mean_log_prob", "batches"}
        data = batch(video)
        frames = data["features"].double()
        captions = {"features": frames.mT[:, :, None], "tokens": data["tokens"], "names": data["names"]}
        # the code's penalty is over K, that of the other a sum
        ours = video.loss({**data, "features": frames, "clip_lengths": torch.full((3,), FRAMES)})
        theirs = image.loss(captions)
        for name in ("loss", "words", "penalty"):
            assert float(ours[name].detach()) == pytest.approx(float(theirs[name].detach()), rel=1e-9)

    def test_dropout_in_the_gates_spares_the_candidate(self):
        model = build("features", gate_dropout=1.0).double().train()
        state = model.begin(torch.randn(1, 3, 6).double())[1]
        x = torch.randn(1, model.lstm.input_size).double()
        after = model._lstm(x, state)
        cell = model.lstm
        pre = x @ cell.weight_ih.T + cell.bias_ih + state.h @ cell.weight_hh.T + cell.bias_hh
        c = 0.5 * state.c + 0.5 * torch.tanh(pre[:, 16:24])  # all other gates are sigmoid(0)
        torch.testing.assert_close(after.c, c)
        torch.testing.assert_close(after.h, 0.5 * torch.tanh(c))
        plain = build("features").double().train()
        plain.load_state_dict(model.state_dict())
        model.eval()
        torch.testing.assert_close(model._lstm(x, state).h, plain._lstm(x, state).h)

    @pytest.mark.parametrize("order", ["none", "lstm"])
    def test_dropout_of_frames_of_the_state_and_of_the_last_layer_in_training_alone(self, order):
        """Of everything dropped, what is left are the biases of what follows."""
        model = build("features", order=order, encoder=6, dropout=1.0, init=0.3).double()
        torch.nn.init.normal_(model.output.bias)
        plain = build("features", order=order, encoder=6).double().eval()
        plain.load_state_dict(model.state_dict())
        features, tokens = torch.randn(2, 4, 6).double(), torch.tensor([[5, 6], [7, END]])
        states = []
        model.L_h.register_forward_pre_hook(lambda _, given: states.append(given[0]))
        with torch.no_grad():
            assert torch.equal(model.eval()(features, tokens).logits, plain(features, tokens).logits)
            assert states.pop().any()
            logits = model.train()(features, tokens).logits
            assert not model.begin(features)[0].frames.any() and not states.pop().any()
        torch.testing.assert_close(logits, model.output.bias.expand(2, 2, -1))
        assert build("features", dropout=0.3, gate_dropout=0.7).dropout.p == 0.3

    def test_gates_drop_their_share_and_keep_their_mean(self):
        """With a half, a gate is sigmoid(0) or sigmoid of twice its pre-activation, whatever the other gates do."""
        model = build("features", gate_dropout=0.5, dropout=0.1).double().train()
        count, cell = 4000, model.lstm
        state = model.begin(torch.randn(1, 3, 6).double())[1]
        x = torch.randn(1, cell.input_size).double()
        with torch.no_grad():
            pre = x @ cell.weight_ih.T + cell.bias_ih + state.h @ cell.weight_hh.T + cell.bias_hh
            found = model._lstm(x.expand(count, -1), State(*(part.expand(count, -1) for part in state))).c
        i, f, candidate, _ = pre[0].chunk(4)
        for unit in range(2):
            values = [
                torch.sigmoid(b * f[unit]) * state.c[0, unit] + torch.sigmoid(a * i[unit]) * torch.tanh(candidate[unit])
                for a in (0, 2) for b in (0, 2)
            ]  # fmt: skip
            shares = [float((found[:, unit] - value).abs().lt(1e-9).double().mean()) for value in values]
            assert shares == pytest.approx([0.25] * 4, abs=0.03)  # deviation 0.007

    def test_the_code_s_initialisation(self):
        """Orthogonal recurrent weights a gate, normal others, biases of 0, padding of 0; CNNs as they were."""
        size = {"features": 0, "motion": "convolution", "order": "none", "encoder": 0, "hidden": 40, "embed": 50}
        drawn, plain = build("convolution", **size, init=0.02), build("convolution", **size)
        for gate in drawn.lstm.weight_hh.detach().chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(40), rtol=0, atol=1e-5)
        for weight in (drawn.lstm.weight_ih, drawn.start.weight, drawn.score.W.weight, drawn.output.weight):
            assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert not drawn.embed.weight[PAD].any() and drawn.embed.weight[5].any()
        assert not any(p.any() for n, p in drawn.named_parameters() if n.endswith("bias") and n.startswith("L_"))
        for name in ("backbone", "motion"):
            one, other = (getattr(model, name).state_dict() for model in (drawn, plain))
            assert all(torch.equal(one[key], other[key]) for key in one)

    def test_frames_are_pooled_stretched_and_read_up_to_their_number(self):
        for pool in ("mean", "max"):
            model = build("frames", pool=pool, frames=5, image_size=(24, 40)).eval()
            image = model.preprocessing.image
            assert (image.size, image.crop, image.stretch, model.preprocessing.frames) == ((24, 40), 1.0, True, 5)
            clips = torch.randn(1, 2, 3, 24, 40)
            with torch.no_grad():
                maps = model.backbone(clips[0]).flatten(2)
                expected = maps.mean(2) if pool == "mean" else maps.max(2).values
                torch.testing.assert_close(model.encode(clips)[0], expected)
        assert len(build("difference").preprocessing.image.mean) == 3  # of a backbone that reads six channels
        assert build("frames").score.W.out_features == 5 and build("frames", attend=0).score.W.out_features == 64

    def test_an_unknown_word_is_read_but_not_learned(self):
        model = build("mean", average="words", doubly_stochastic=0.0).eval()
        tokens = torch.tensor([[5, UNKNOWN, END], [6, END, PAD]])
        features = torch.randn(2, 3, 6)
        data = {"features": features, "clip_lengths": torch.tensor([3, 3]), "tokens": tokens, "names": []}
        with torch.no_grad():
            log_p = model(features, tokens).logits.log_softmax(2)
            words = float(model.loss(data)["words"])
        own = [log_p[0, 0, 5], log_p[0, 2, END], log_p[1, 0, 6], log_p[1, 1, END]]
        assert words == pytest.approx(-float(sum(own)) / 4, rel=1e-5)

    def test_differences_stand_beside_what_they_are_differences_of(self):
        model = build("features", order="none", normalize=False).eval()
        features = torch.randn(2, 4, 6)
        before = torch.cat([features[:, :1], features[:, :-1]], 1)
        with torch.no_grad():
            assert torch.equal(model.begin(features)[0].frames, torch.cat([features, features - before], 2))
        model = build("difference").eval()
        read = []
        model.backbone.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        clips = torch.randn(1, 3, 3, 24, 24)
        with torch.no_grad():
            model.encode(clips)
        before = torch.cat([clips[:, :1], clips[:, :-1]], 1)
        assert torch.equal(read[0], torch.cat([clips, clips - before], 2)[0])

    def test_the_penalty_by_hand(self):
        model = build("mean", doubly_stochastic=2.0, average="sentences").eval()
        tokens = torch.tensor([[5, 6, END], [5, END, PAD]])
        data = {"features": torch.randn(2, 4, 6), "clip_lengths": torch.tensor([4, 2]), "tokens": tokens, "names": []}
        with torch.no_grad():
            penalty = float(model.loss(data)["penalty"])
        # 3 words at 1/4 each: (1 - 3/4)^2 at each of 4 frames; 2 words at 1/2: (1 - 1)^2
        assert penalty == pytest.approx(2.0 * ((1 / 4) ** 2 + 0.0) / 2)
        share = build("mean", doubly_stochastic=2.0, coverage="share").eval()
        with torch.no_grad():
            assert float(share.loss(data)["penalty"]) == pytest.approx(0.0, abs=1e-12)

    def test_time_code_and_differences_by_hand(self):
        mask = torch.tensor([[True, True, False]])
        code = time_code(mask, torch.float64)
        assert code.shape == (1, 3, 8)
        expected = [math.sin(math.pi * 0.25), math.sin(math.pi * 0.75)]
        assert code[0, :2, 0].tolist() == pytest.approx(expected) and float(code[0, 0, 5]) == pytest.approx(
            math.cos(2 * math.pi * 0.25), abs=1e-6
        )
        assert differences(torch.tensor([[[1.0], [4.0], [9.0]]])).flatten().tolist() == [0.0, 3.0, 5.0]

    def test_the_motion_network_sees_three_frames_on_either_side(self):
        motion = build("convolution").motion.double()
        clips = torch.randn(1, 9, 3, 24, 24).double()
        mask = torch.ones(1, 9, dtype=torch.bool)
        other = clips.clone()
        other[:, 0] += 1
        with torch.no_grad():
            changed = (motion(clips, mask) - motion(other, mask)).abs().sum((0, 2)) > 1e-12
        assert changed.tolist() == [True] * 4 + [False] * 5

    def test_beam_search_ends(self):
        model = build("difference").eval()
        data = batch(model)
        with torch.no_grad():
            memory, state = model.begin(model.encode(data["clips"], data["clip_lengths"]), data["clip_lengths"])
            found = beam_search(model.step, memory, state, start=START, end=END, beams=3, max_length=6)
        assert len(found) == 3 and all(len(own[0].tokens) <= 6 for own in found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden": 0}, "hidden is 0; expected 1 or more"),
        ({"dropout": 1.5}, "dropout is 1.5; expected 0..1"),
        ({"vocabulary": 4}, "vocabulary 4 must be at least 5"),
        ({"order": "lstm"}, "order is 'lstm', whose number of units is encoder, which is 0"),
        ({"features": 4, "motion": "convolution"}, "motion is 'convolution', which reads frames"),
        ({"attention": "hard"}, "attention"),
    ],
)
def test_errors(given, message):
    with pytest.raises(ConfigError, match=message):
        foveate.create("video_attention", **(TINY | given))


def test_the_paper_is_the_default():
    from foveate.models.captioning.video_attention import Config

    paper = Config()
    assert (paper.frames, paper.backbone, paper.embed, paper.hidden) == (28, "googlenet", 468, 3518)
    assert (paper.selector, paper.order, paper.motion, paper.doubly_stochastic / 64) == (True, "none", "none", 0.70602)
