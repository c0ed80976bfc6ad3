"""`foveate claims`: what it prints, what it writes, and what it complains about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foveate import claims, cli
from foveate.registry import entries

QUICK = ["upconv_stamps_and_sums", "strides_shrink_the_output"]
KEYS = ["name", "section", "claim", "law", "measured", "effect", "seeds", "interval", "spread", "verdict", "seconds"]


def test_claims_are_printed_with_what_was_measured_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claims", *QUICK]) == 0
    told = capsys.readouterr()
    first, second, _ = told.out.split("\n\n") if told.out.endswith("\n\n") else (*told.out.split("\n\n"), "")
    name, claim, measured, spread, verdict = first.splitlines()
    assert name == "upconv_stamps_and_sums (Deconvolution)"
    assert claim.startswith("  claim     Each input value weights a copy of the filter")
    assert measured.startswith("  measured  1") and " over 3 seeds)" in measured
    assert re.fullmatch(r"  spread    not known: only \d threads? of .+", spread)
    assert verdict.startswith("  verdict   holds (law), in ")
    assert second.startswith("strides_shrink_the_output (Sliding Window Approach)\n")
    assert told.err == ""  # no terminal, no progress


def test_claims_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "deep" / "claims.json"
    assert cli.main(["claims", *QUICK, "--format", "json", "--json", str(file)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert json.loads(file.read_text()) == rows
    assert [row["name"] for row in rows] == QUICK
    for row in rows:
        assert list(row) == [*KEYS, "runs"]
        (run,) = row["runs"]
        assert len(run["figures"]) == 3 and row["effect"] == pytest.approx(sum(r[0] for r in run["figures"]) / 3)
        assert {"command", "commit", "clean", "packages", "cpu", "threads", "peak_memory_mib"} <= set(run)
        assert row["interval"][0] <= row["effect"] <= row["interval"][1]
        assert row["verdict"] == "holds" and row["seeds"] == [0, 1, 2]


def test_what_was_measured_is_kept_where_a_later_claim_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = claims.examine

    def examine(name: str, *others: Any) -> claims.Finding:
        if name == QUICK[1]:
            raise KeyboardInterrupt
        return measure(name, *others)

    monkeypatch.setattr(claims, "examine", examine)
    file = tmp_path / "claims.json"
    assert cli.main(["claims", *QUICK, "--json", str(file)]) != 0
    assert [row["name"] for row in json.loads(file.read_text())] == QUICK[:1]


def test_the_spread_over_threads_is_measured_and_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "claims.json"
    assert cli.main(["claims", QUICK[0], "--threads", "1,2", "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())
    assert [run["threads"] for run in row["runs"]] == [1, 2]
    assert f"  spread    {row['spread']:.3g} between 1 and 2 threads of " in capsys.readouterr().out


@pytest.mark.parametrize(("figures", "verdict"), [((2.0, 2.2), "undecided"), ((2.2, 2.3), "holds")])
def test_a_verdict_within_the_spread_is_printed_as_undecided(
    figures: tuple[float, float], verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def examine(name: str, claim: claims.Claim, threads: tuple[int, ...], progress: object) -> claims.Finding:
        runs = (claims.Run(((figure,) * 9,), 0.0, {"cpu": "Seed", "threads": 1}) for figure in figures)
        return claims.Finding(name, claim, tuple(runs))

    monkeypatch.setattr(claims, "examine", examine)
    assert cli.main(["claims", "baseline_steadies_reinforce"]) == 0
    assert f"  verdict   {verdict}, in 0 s\n" in capsys.readouterr().out


def test_without_a_name_all_but_the_long_ones_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        claims,
        "examine",
        lambda name, claim, threads, progress: claims.Finding(name, claim, (claims.Run(((claim.holds,) * 99,), 0.0),)),
    )
    ran = {}
    for flags in ([], ["--long"]):
        assert cli.main(["claims", *flags, "--format", "json"]) == 0
        ran[bool(flags)] = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert ran[True] == list(entries("claim"))
    assert set(ran[False]) == set(claims.choose([], long=False)) < set(ran[True])


def test_claims_are_listed_without_being_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims, "examine", lambda *_: pytest.fail("it was measured"))
    assert cli.main(["claims", "--list"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in told[::2]] == list(entries("claim"))
    assert told[::2].count("skips_improve_boundaries (--long)") == 1
    assert all(line.startswith("    ") and line.endswith(".") for line in told[1::2])
    assert cli.main(["claims", *QUICK, "--list", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["long"]) for row in rows] == [(name, False) for name in QUICK]


def test_a_wrong_command_is_one_line_that_helps(
    complaint: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complaint("claims", "upconv_is_the_backwards_pass") == (
        "unknown claim 'upconv_is_the_backwards_pass'; the nearest is 'upconv_is_the_backward_pass', and `foveate "
        "claims --list` lists all"
    )
    assert complaint("claims", "skips_improve_boundaries") == (
        "claim 'skips_improve_boundaries' takes minutes; add --long to run it"
    )
    for threads in ("0", "1,1", "two", "1,"):
        assert complaint("claims", "--threads", threads) == (
            f"--threads is '{threads}'; give different whole numbers of 1 or more, as in --threads 1,2"
        )
    assert complaint("claims", "--lng") == "unknown flag '--lng'; the nearest is '--long'"
    (tmp_path / "file").touch()
    monkeypatch.setattr(claims, "examine", lambda *_: pytest.fail("it was measured"))
    assert "cannot write" in complaint(
        "claims", QUICK[1], "--format", "json", "--json", str(tmp_path / "file" / "a.json")
    )
