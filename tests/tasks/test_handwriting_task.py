"""The handwriting family: points between files and models, what is scored, and what is written of a text."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.datasets.handwriting.letters import ALPHABET, Hand
from foveate.datasets.handwriting.letters import write as write_letters
from foveate.errors import ConfigError, DataError
from foveate.metrics.handwriting import HandwritingMetrics
from foveate.models.spatial.handwriting import Config, Handwriting
from foveate.records import HandwritingPreprocessing
from foveate.tasks.handwriting import figures, strokes, writing
from foveate.tasks.handwriting.style import read_style
from foveate.tasks.handwriting.task import HandwritingOptions, HandwritingTask
from foveate.text.characters import Characters
from foveate.transforms.handwriting import HandwritingAugment

TABLE = Characters(least=1).learn(["ab ba", "cab"])
WITHOUT_BLANK = Characters(least=1).learn(["ab", "cab"])
PLAIN = HandwritingPreprocessing(std=(2.0, 3.0), pace=4.0, longest=5)


def made(table=TABLE, preprocessing=PLAIN, **fields):
    torch.manual_seed(0)
    model = Handwriting(
        Config(vocabulary=len(table), units=8, layers=2, gaussians=2, components=2, **fields)
    ).eval().requires_grad_(False)  # fmt: skip
    model.preprocessing = preprocessing
    model.begin_at(preprocessing.pace)
    return model, HandwritingTask({"characters": table}, preprocessing)


def piece(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(-9, 10, (count, 3), generator=generator).float()
    points[0, :2], points[:, 2] = 0, 0
    points[count // 2, 2] = points[-1, 2] = 1
    return points


def sample(text="ab", seed=0, count=12):
    return {"strokes": piece(count, seed), "transcript": text, "name": f"{text}{seed}"}


def test_thinning_keeps_every_third_point_and_the_ends_of_strokes():
    whole = piece()
    found = strokes.thin(whole, 3)
    kept = [0, 3, 6, 7, 9, 11]  # the pen is lifted after 6 and 11, so a stroke begins at 7
    torch.testing.assert_close(strokes.places(found), strokes.places(whole)[kept])
    assert strokes.thin(whole, 1) is whole


def test_training_sees_other_points_of_a_piece_than_those_that_are_scored():
    _, task = made(preprocessing=HandwritingPreprocessing(keep=3))
    whole = sample(count=40)
    suited, _ = task.suit(whole)
    assert suited["strokes"] is whole["strokes"]  # so that an augmentation may leave out points at the beginning
    scored = task.prepare(suited)
    torch.testing.assert_close(scored["strokes"], strokes.thin(whole["strokes"], 3))
    assert task.prepare(scored) is scored
    for skip in range(3):
        later = {**whole, "strokes": whole["strokes"][skip:]}
        found = task.collate([later])["strokes"][0]
        torch.testing.assert_close(found, strokes.normalise(strokes.thin(later["strokes"], 3), task.preprocessing))


def test_augmentation_leaves_out_points_of_the_first_stroke_only():
    torch.manual_seed(0)
    change = HandwritingAugment(shear=0, scale=0, skip=5).build({}, None)
    whole = sample(count=9)  # the pen is lifted after point 4
    lengths = {len(change(whole)["strokes"]) for _ in range(100)}
    assert lengths == {9, 8, 7, 6, 5}
    found = change(whole)["strokes"]
    torch.testing.assert_close(found, whole["strokes"][-len(found) :])
    short = {**whole, "strokes": whole["strokes"][:2]}
    assert all(len(change(short)["strokes"]) == 2 for _ in range(10))
    with pytest.raises(ConfigError, match="skip -1 must be 0 or more"):
        HandwritingAugment(skip=-1)


def test_augmentation_slants_and_scales_each_axis_by_its_own_share():
    """x becomes (x + a y) w and y becomes y h; three draws in -1..1 of the shares. Lifted pens stay."""
    whole = sample(count=9)
    x, y, lifted = whole["strokes"].unbind(1)
    both = torch.stack([x, y], 1).double()
    found = []
    for seed in range(200):
        torch.manual_seed(seed)
        out = HandwritingAugment(shear=0.2, scale=0.1).build({}, None)(whole)["strokes"]
        assert torch.equal(out[:, 2], lifted)
        # (x', y') = (x, y) M with M = [[w, 0], [a w, h]]
        (w, zero), (shear, h) = torch.linalg.lstsq(both, out[:, :2].double()).solution.tolist()
        assert zero == pytest.approx(0, abs=1e-5)
        found.append((shear / w / 0.2, (w - 1) / 0.1, (h - 1) / 0.1))
    for drawn in torch.tensor(found).unbind(1):
        assert -1.0001 <= drawn.min() < -0.95 and 0.95 < drawn.max() <= 1.0001
        assert abs(drawn.mean()) < 0.15  # deviation of the mean: 0.04
    assert torch.corrcoef(torch.tensor(found).T).triu(1).abs().max() < 0.25  # drawn apart


def test_normalising_is_undone_and_the_first_point_is_null():
    preprocessing = HandwritingPreprocessing(mean=(1.0, -2.0), std=(2.0, 3.0))
    whole = piece()
    scaled = strokes.normalise(whole, preprocessing)
    assert scaled[0].tolist() == [0, 0, 0]
    torch.testing.assert_close(scaled[1:, 0], (whole[1:, 0] - 1) / 2)
    torch.testing.assert_close(strokes.restore(scaled, preprocessing)[1:], whole[1:])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([6, 12, 0, -18], 6.0), ([4, 6], 2.0), ([0.5, 1.5, -1.0], 0.5), ([0.1, 0.37, 0.24], 0.0), ([0, 0], 0.0)],
)
def test_the_spacing_of_a_grid(values, expected):
    assert strokes.spacing(np.array(values, float)) == pytest.approx(expected)
    if expected == 6:  # one slip in thousands changes nothing
        assert strokes.spacing(np.array([*values * 2000, 7.0])) == 6


def test_what_the_training_set_decides():
    pieces = [(piece(12, s), "ab" if s else "cab") for s in range(3)]
    found = strokes.learn(HandwritingPreprocessing(), pieces)
    offsets = torch.cat([p[:, :2] for p, _ in pieces]).double()
    torch.testing.assert_close(torch.tensor(found.std).double(), offsets.std(0, unbiased=False))
    torch.testing.assert_close(torch.tensor(found.mean).double(), offsets.mean(0))
    assert found.pace == pytest.approx(36 / 7) and found.longest == 3 and found.grid == (1.0, 1.0)
    assert HandwritingPreprocessing.from_json(json.loads(json.dumps(found.to_json()))) == found
    flat = piece()
    flat[:, 1] = 0
    with pytest.raises(DataError, match="lie on one line along an axis"):
        strokes.learn(HandwritingPreprocessing(), [(flat, "ab")])


def test_scores_are_means_over_points_and_do_not_depend_on_the_batch():
    model, task = made()
    data = [sample("ab", 0), sample("cab", 1, 20), sample("b", 2, 7)]
    own = {}
    for size in (1, 3):
        task.batch_size = size
        metrics = task.metrics(None, whole=False)
        own[size] = dict(task.score(model, data, range(3), metrics))
        scores = metrics.compute()
        assert scores.points == 11 + 19 + 6 and np.isnan(scores.stop_percent)
        total = own[size][0] * 11 + own[size][1] * 19 + own[size][2] * 6
        assert scores.nats_per_point == pytest.approx(total / 36, rel=1e-5)
        assert scores.nats_per_piece == pytest.approx(total / 3, rel=1e-5)
    assert own[1] == pytest.approx(own[3], rel=1e-5)


def test_scored_points_are_spread_over_the_grid_by_the_piece_alone():
    _, task = made(preprocessing=HandwritingPreprocessing(std=(2.0, 4.0), grid=(1.0, 2.0)))
    first, second = (task.prepare(sample())["scored"] for _ in range(2))
    assert torch.equal(first, second)
    noise = (first - strokes.normalise(piece(), task.preprocessing)) * torch.tensor([2.0, 4.0, 1.0])
    assert noise[:, 0].abs().max() <= 0.5 and noise[:, 1].abs().max() <= 1.0 and not noise[:, 2].any()
    assert noise[:, :2].abs().min() > 0


def test_counters_of_several_processes_add_up():
    total = HandwritingMetrics(written=5)
    for nats, finished in (([1.0, 2.0], 1), ([6.0], 2)):
        part = HandwritingMetrics()
        part.add(torch.tensor(nats), torch.tensor(nats) * 2)
        part.add_written(finished, 2)
        total.merge(part.state())
    scores = total.compute()
    assert (scores.nats_per_point, scores.nats_per_piece, scores.sse) == (3.0, 4.5, 6.0)
    assert scores.stop_percent == 75.0 and total.left == 1
    with pytest.raises(DataError, match="no handwriting was scored"):
        HandwritingMetrics().compute()


class Clock(torch.nn.Module):
    """A runner that writes steps to the right and reads one character more in every `pace` points."""

    def __init__(self, pace, log_std=-50.0):
        super().__init__()
        self.pace, self.log_std = pace, log_std

    def begin(self, rows):
        return torch.zeros(rows)

    def step(self, point, text, characters, state):
        places = torch.arange(1.0, text.shape[1] + 2)
        window = -((state[:, None] / self.pace + 0.5 - places) ** 2)
        mixture = torch.zeros(len(point), 7)
        mixture[:, 0], mixture[:, 2], mixture[:, 4:6] = 50.0, 1.0, self.log_std  # the pen stays down
        return mixture, window.exp(), state + 1


def test_writing_ends_when_the_window_leaves_the_text():
    generators = [torch.Generator().manual_seed(s) for s in range(2)]
    short, long = writing.write(Clock(4), [[4, 5], [4, 5, 6, 4]], PLAIN, generators)
    assert short.finished and long.finished
    assert (len(short.strokes), len(long.strokes)) == (1 + 9, 1 + 17)  # beyond u + 1/2 the next place weighs more
    assert short.strokes[0].tolist() == [0, 0, 0] and short.strokes[-1].tolist() == pytest.approx([2, 0, 1])
    assert short.window.shape == (9, 3) and long.window.shape == (17, 5)


def test_a_bias_takes_the_variety_away():
    drawn = [
        writing.write(Clock(4, 0.0), [[4, 5]], PLAIN, [torch.Generator().manual_seed(s)], bias)[0].strokes[1:, :2]
        for bias in (0.0, 20.0)
        for s in range(2)
    ]
    assert not np.allclose(drawn[0], drawn[1], atol=0.1)
    np.testing.assert_allclose(drawn[2], drawn[3], atol=1e-4)
    np.testing.assert_allclose(drawn[2], [[2, 0]] * len(drawn[2]), atol=1e-4)


def test_writing_that_does_not_end_is_cut_and_says_so():
    (one,) = writing.write(Clock(1e9), [[4, 5]], PLAIN, [torch.Generator()])
    assert not one.finished
    assert len(one.strokes) == 1 + round(writing.SLOWEST * 4 * 3) + writing.SPARE


def test_a_piece_does_not_depend_on_those_beside_it():
    model, task = made()
    many = task.generate(model, 3, 5, HandwritingOptions(text="ab ba cab")).predictions
    one = task.generate(model, 1, 5, HandwritingOptions(text="ab ba cab")).predictions
    np.testing.assert_allclose(one[0].strokes, many[0].strokes, atol=1e-3)
    assert many[0].strokes.shape != many[1].strokes.shape or not np.allclose(many[0].strokes, many[1].strokes)
    assert all(one.text == "ab ba cab" for one in many)


@pytest.mark.parametrize("others", [[[4, 5, 4, 5, 4, 4]], [[5, 4]] * 70])
def test_a_piece_does_not_depend_on_the_length_or_number_of_others(others):
    def drawn(texts):
        generators = [torch.Generator().manual_seed(number) for number in range(len(texts))]
        return writing.write(Clock(4, 0.0), texts, PLAIN, generators)[0].strokes

    np.testing.assert_array_equal(drawn([[4, 5]]), drawn([[4, 5], *others]))


def test_words_are_joined_up_to_the_longest_training_text_or_written_one_by_one():
    assert writing.parts_of(["ab", "ba", "cab"], TABLE, 5) == ["ab ba", "cab"]
    assert writing.parts_of(["ab", "ba"], TABLE, 4) == ["ab", "ba"]
    assert writing.parts_of(["ab", "ba"], WITHOUT_BLANK, 50) == ["ab", "ba"]
    model, task = made(WITHOUT_BLANK)
    assert task.generate(model, 1, 0, HandwritingOptions(text=" ab  ba ")).predictions[0].text == "ab ba"


def test_pieces_are_laid_out_in_lines():
    box = np.array([[0, 0, 0], [10, 0, 0], [0, 6, 0], [-10, 0, 1]], np.float32)
    found = figures.absolute(writing.lay_out([box] * 3, ["ab", "ba", "ab"], 5))
    lefts, tops = (found.reshape(3, 4, 3)[:, :, axis].min(1) for axis in (0, 1))
    assert lefts.tolist() == pytest.approx([0, 10 + 5, 0])  # a mean character is 5 wide
    assert tops.tolist() == pytest.approx([0, 0, writing.LINE_HEIGHT * 6])
    one_line = figures.absolute(writing.lay_out([box] * 3, ["ab", "ba", "ab"], 99))
    assert one_line[:, 1].max() == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no text to write; give one"),
        ("aXb", "the character 'X' is in none of the training texts, so the model cannot write it; it writes abc"),
        ("aXbé", "the characters 'X', 'é' are in none of the training texts, so the model cannot write them"),
    ],
)
def test_texts_that_cannot_be_written_are_refused(text, message):
    model, task = made()
    with pytest.raises(ConfigError, match=message):
        task.generate(model, 1, 0, HandwritingOptions(text=text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bias": -0.5}, "--bias is -0.5; give 0 or more"),
        ({"bias": float("nan")}, "--bias is nan; give 0 or more"),
        ({"width": 0}, "--width is 0; give 1 character or more"),
        ({"points": 0}, "--points is 0; give 1 to 10000"),
        ({"text": "a" * 5001}, "the text has 5,001 characters; give 5,000 or fewer"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        HandwritingOptions(**options)


def test_the_prediction_network_writes_without_a_text():
    model, task = made(text=False)
    (one,) = task.generate(model, 1, 0, HandwritingOptions(points=30)).predictions
    assert len(one.strokes) == 31 and one.finished and one.text == ""
    with pytest.raises(ConfigError, match=r"^this model writes strokes without a text; leave --text out$"):
        task.generate(model, 1, 0, HandwritingOptions(text="ab"))


def style(tmp_path, **changed):
    points = figures.absolute(piece(40).numpy()).tolist()
    entry = {"text": "ab", "points": points} | changed
    path = tmp_path / "style.json"
    path.write_text(json.dumps([entry]))
    return str(path)


def test_a_style_is_read_before_the_text_is_written(tmp_path):
    model, task = made()
    model.begin_at(40.0)  # the window must not have left the text when the style ends
    path = style(tmp_path)
    plain = task.generate(model, 1, 0, HandwritingOptions(text="cab")).predictions[0]
    primed = task.generate(model, 1, 0, HandwritingOptions(text="cab", style=path)).predictions[0]
    assert plain.strokes.shape != primed.strokes.shape or not np.allclose(plain.strokes, primed.strokes)
    found = read_style(path, TABLE, PLAIN)
    torch.testing.assert_close(found.strokes[1:, :2], piece(40)[1:, :2] / torch.tensor([2.0, 3.0]))
    # By hand: the strokes are read with the whole text, then the first point is drawn from the mixture after them.
    text = torch.tensor([TABLE.encode("ab cab")])
    output = model(found.strokes[None], text, torch.tensor([6]))
    generator = torch.Generator().manual_seed(writing_seed())
    limit = round(writing.SLOWEST * 4.0 * (6 - 2 + 1)) + writing.SPARE
    uniform, normal = (draw(limit, 2, generator=generator) for draw in (torch.rand, torch.randn))
    first = writing.sample(writing.mixture_of(output.mixture[:, -1]), uniform[:1], normal[:1])
    torch.testing.assert_close(
        torch.from_numpy(primed.strokes[1, :2]), first[0, :2] * torch.tensor([2.0, 3.0]), rtol=1e-3, atol=1e-3
    )


def writing_seed():
    from foveate.tasks.handwriting.task import _mixed

    return _mixed(0, 0, 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points": [[0, 0, 0], [1, 1, 0], [2, 2, 1]]}, "a style of 3 points; give 20 or more"),
        ({"points": [[0, 0, 0]] * 30 + [[float("nan"), 0, 0]]}, "points with values that are not finite"),
        ({"points": [[0, 0, 2]] * 30}, "a pen bit other than 0 and 1"),
        ({"points": [[i, 0, 1] for i in range(30)]}, "is 1 where it is lifted after a point, not where it is down"),
        ({"points": "none"}, "the points are none; expected"),
        (
            {"points": [[1000 * i, i % 2, 0] for i in range(30)]},
            r"its steps are \d+ times as long as those of the train",
        ),
        ({"points": [[i / 1000, 0, 0] for i in range(30)]}, r"deviation is 2 and 3; scale the style to the same units"),
        ({"points": [[4, 4, 0]] * 30}, "its steps are 0 times as long"),
        ({"text": "  "}, "the text of the style is empty"),
        ({"text": "aX"}, "the character 'X' is in none of the training texts"),
        ({"text": 3}, 'expected {"text": ..., "points"'),
    ],
)
def test_styles_that_cannot_be_used_are_refused(tmp_path, changed, message):
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        read_style(style(tmp_path, **changed), TABLE, PLAIN)
    assert "style.json" in str(caught.value)


def test_written_files_hold_the_strokes(tmp_path):
    model, task = made()
    (one,) = task.generate(model, 1, 0, HandwritingOptions(text="cab")).predictions
    for _, (ending, write) in task.files(one, {"name": "x"}).items():
        write(tmp_path / f"x{ending}")
    (entry,) = json.loads((tmp_path / "x.json").read_text())
    np.testing.assert_allclose(np.array(entry["points"]), figures.absolute(one.strokes), atol=0.006)
    lines = ElementTree.parse(tmp_path / "x.svg").getroot().findall("{*}polyline")
    assert len(lines) == int(one.strokes[:, 2].sum())
    assert np.asarray(Image.open(tmp_path / "x.png").convert("L")).min() < 120
    with Image.open(tmp_path / "x.gif") as clip:
        assert clip.n_frames > 10


def test_the_package_writes_every_letter_of_its_own():
    hand = Hand.drawn(np.random.default_rng(0))
    for letter in ALPHABET:
        points = write_letters(letter, hand, np.random.default_rng(1))
        assert np.isfinite(points).all() and points[-1, 2] == 1 and len(points) >= 2
    wide = write_letters("ab", hand, np.random.default_rng(1))
    wider = write_letters("a b", hand, np.random.default_rng(1))
    assert np.ptp(wider[:, 0]) > np.ptp(wide[:, 0])
