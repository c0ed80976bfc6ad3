"""The verdict follows from the figures alone, and what is written is what was found."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from pathlib import Path
from string import Formatter

import pytest
import torch

from foveate.claims import Claim, Finding, Run, cached, choose, examine
from foveate.errors import ConfigError
from foveate.registry import entries, find

ROOT = Path(__file__).parents[2]
NAMES = list(entries("claim"))


def claim(effect: str = "{:.1f} apples", **fields) -> Claim:
    given = {"section": "Orchards", "claim": "Trees bear.", "measure": lambda seed: (seed + 0.5,)}
    return Claim(**(given | {"effect": effect, "holds": 2.0, "partly": 1.0} | fields))


def finding(*runs: tuple[float, ...]) -> Finding:
    about = ({"cpu": "Seed", "threads": count} for count in (1, 2, 4))
    given = (Run(tuple((effect,) for effect in run), 1.26, next(about)) for run in runs)
    return Finding("apples", claim(), tuple(given))


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ((2.0, 2.0, 5.0), "holds"),
        ((1.999, 9.0, 9.0), "holds partly"),  # one seed short
        ((-3.0, 3.0, 3.0), "holds partly"),  # the mean is 1
        ((-3.0, 3.0, 2.999), "does not hold"),
        ((1.0,), "holds partly"),
        ((0.999,), "does not hold"),
        ((math.nan, 9.0, 9.0), "does not hold"),
        ((9.0, 9.0, math.nan), "does not hold"),
    ],
)
def test_the_verdict_at_its_edges(effects, verdict):
    assert finding(effects).verdict == verdict
    assert finding(effects, effects).verdict == verdict  # no spread


@pytest.mark.parametrize(
    ("runs", "spread", "verdict"),
    [
        (((2.0, 5.0), (2.5, 5.0)), 0.5, "undecided"),  # mean 2.25, which half a point less brings below 2
        (((2.2, 5.0), (2.3, 5.0)), 0.1, "holds"),
        (((2.5, 5.0), (2.5, 6.0)), 1.0, "undecided"),  # the spread of one seed is that of all
        (((1.9, 2.3), (2.1, 2.3)), 0.2, "undecided"),  # one run holds, the other partly
        (((1.0, 1.5), (1.1, 1.4)), 0.1, "holds partly"),
        (((0.9, 1.1), (1.1, 1.1)), 0.2, "undecided"),
        (((0.5, 0.5), (0.6, 0.4), (0.5, 0.7)), 0.3, "does not hold"),
        (((math.nan, 9.0), (9.0, 9.0)), math.nan, "undecided"),
    ],
)
def test_a_verdict_within_the_spread_is_undecided(runs, spread, verdict):
    assert finding(*runs).spread == pytest.approx(spread, nan_ok=True)
    assert finding(*runs).verdict == verdict


def test_what_is_written():
    found = finding((1.0, 2.0, 4.0), (1.0, 2.5, 4.0))
    assert found.settings == "1 and 2 threads of Seed"
    assert found.to_json() == {
        "name": "apples",
        "section": "Orchards",
        "claim": "Trees bear.",
        "law": False,
        "measured": "2.4 apples (effect 1 to 4 over 3 seeds)",
        "effect": pytest.approx(2.41667, abs=1e-5),
        "seeds": [0, 1, 2],
        "interval": [1.0, 4.0],
        "spread": 0.5,
        "verdict": "holds partly",
        "seconds": 2.5,
        "runs": [
            {"figures": [[1.0], [2.0], [4.0]], "seconds": 1.3, "cpu": "Seed", "threads": 1},
            {"figures": [[1.0], [2.5], [4.0]], "seconds": 1.3, "cpu": "Seed", "threads": 2},
        ],
    }
    assert finding((1.0, 2.0)).spread is None


def test_the_words_show_the_mean_of_every_figure_and_the_range_of_the_first():
    rows = ((1.0, 10.0, 7.0), (2.0, 30.0, 9.0))
    found = Finding("a", claim("{:+.1f} of {:.0f} and {:.0f}"), (Run(rows, 0.0),))
    assert found.measured == "+1.5 of 20 and 8 (effect 1 to 2 over 2 seeds)"
    twice = dataclasses.replace(found, runs=(Run(rows, 0.0), Run(((3.0, 10.0, 7.0), (5.0, 30.0, 9.0)), 0.0)))
    assert twice.measured == "+2.8 of 20 and 8 (effect 2 to 3.5 over 2 seeds)"


def test_each_seed_is_measured_once_and_said_before():
    said: list[tuple[int, int]] = []
    measured: list[tuple[int, int]] = []

    def measure(seed):
        measured.append((seed, torch.get_num_threads()))
        return (len(said) == len(measured),)

    before = torch.get_num_threads()
    found = examine("apples", claim(measure=measure, seeds=(3, 1, 4)), (1, 2), lambda *now: said.append(now))
    assert said == measured == [(seed, count) for count in (1, 2) for seed in (3, 1, 4)]
    assert torch.get_num_threads() == before
    assert found.effects == [True, True, True]
    assert found.seconds > 0
    about = [run.about for run in found.runs]
    assert [one["threads"] for one in about] == [1, 2]
    assert {"command", "commit", "clean", "python", "packages", "cpu", "instructions"} <= set(about[0])
    assert about[0]["peak_memory_mib"] > 0
    assert len(examine("apples", claim(measure=measure)).runs) == 1


def test_what_is_kept_is_kept_for_each_number_of_threads():
    calls = []

    @cached
    def train(seed, **fields):
        """Train."""
        calls.append((seed, fields, torch.get_num_threads()))
        return object()

    assert train.__doc__ == "Train."
    torch.set_num_threads(1)
    one = train(0, width=3)
    assert train(0, width=3) is one and train(1, width=3) is not one and train(0, width=4) is not one
    torch.set_num_threads(2)
    assert train(0, width=3) is not one
    torch.set_num_threads(1)
    assert train(0, width=3) is one and len(calls) == 4
    train.cache_clear()
    assert train(0, width=3) is not one


def test_the_long_ones_wait_to_be_asked_for():
    everything, short = choose([], long=True), choose([], long=False)
    assert list(everything) == NAMES
    assert {name for name, one in everything.items() if not one.long} == set(short)
    (name, *_) = set(everything) - set(short)
    with pytest.raises(ConfigError, match=f"claim '{name}' takes minutes; add --long to run it"):
        choose([name], long=False)
    assert list(choose([name], long=True)) == [name]


def test_an_unknown_claim_offers_the_nearest():
    with pytest.raises(
        ConfigError, match="unknown claim 'one_pass_is_each_patch'; the nearest is 'one_pass_is_every_patch'"
    ):
        choose(["one_pass_is_each_patch"], long=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_says_beforehand_what_would_confirm_it(name):
    entry = find("claim", name)
    first, second = (dataclasses.asdict(entry.load()()) for _ in range(2))
    for built in (first, second):
        del built["measure"]
    assert first == second
    assert first["partly"] <= first["holds"] < math.inf
    assert len(set(first["seeds"])) == len(first["seeds"]) >= 3
    assert first["effect"][0] in "{abcdefghijklmnopqrstuvwxyz" and first["claim"].endswith(".")
    assert entry.attribute == name and entry.summary


def test_every_claim_has_its_place_in_the_lecture():
    headings = {row["heading"] for row in tomllib.loads((ROOT / "docs/lecture.toml").read_text())["row"]}
    assert {one.section for one in choose([], long=True).values()} <= headings


RECORDED = ROOT / "results/claims"
RUN = {
    "figures", "seconds", "command", "seeds", "commit", "clean", "python", "packages", "cpu", "instructions", "threads",
    "peak_memory_mib",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_belongs_to_the_claim_as_it_stands(name):
    """Whoever changes the seeds afterwards, or drops a claim that does not hold, is found out."""
    record = json.loads((RECORDED / f"{name}.json").read_text())
    stands = find("claim", name).load()()
    assert record["name"] == name and record.keys() <= {"name", "runs", "earlier"}
    for run in record["runs"]:
        assert tuple(run["seeds"]) == stands.seeds
        if "figures" not in run:  # recorded in words
            assert len(record["runs"]) == 1 and len(run["seeds"]) == 3
            low, high = run["interval"]
            assert low - 1e-9 <= run["effect"] <= high + 1e-9  # a mean of equal numbers may be rounded
            continue
        assert set(run) == RUN and len(run["figures"]) == len(stands.seeds)
        assert {len(row) for row in run["figures"]} == {count_fields(stands.effect)}
        assert run["command"] == f"foveate claims {name}{' --long' * stands.long} --threads {run['threads']}"
    settings = [(run.get("cpu"), run.get("instructions"), run.get("threads")) for run in record["runs"]]
    assert len(set(settings)) == len(settings)
    if stands.seeds != (0, 1, 2):
        assert record["earlier"], "a claim with new seeds tells what it found with the old ones"
    for earlier in record.get("earlier", ()):
        assert set(earlier) == {"how", "seeds", "measured", "verdict"}
    assert {path.stem for path in RECORDED.glob("*.json")} == set(NAMES)


def count_fields(text: str) -> int:
    return sum(name is not None for _, name, _, _ in Formatter().parse(text))


def test_a_law_is_no_experiment():
    """Nothing is trained and nothing is timed for a law, and its bounds leave room for rounding alone or are counts."""
    laws = {name for name, one in choose([], long=True).items() if one.law}
    assert not [name for name in laws if find("claim", name).load()().timed or find("claim", name).load()().long]
    equalities = {
        "one_pass_is_every_patch", "fully_connected_is_convolutional", "shifts_give_every_pixel",
        "upconv_is_the_backward_pass", "upconv_stamps_and_sums", "attention_weights_are_shares",
        "reinforce_is_unbiased", "transformer_passes_gradients",
    }  # fmt: skip
    assert equalities < laws
    assert {"skips_improve_boundaries", "hard_attention_skips_work", "baseline_steadies_reinforce"}.isdisjoint(laws)
