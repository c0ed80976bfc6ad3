"""The benchmarks' own arithmetic: turns, medians, ratios, and tables that are made and not typed."""

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from foveate.engine import run

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def common(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmarks_common", FOLDER / "common.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_contenders_take_turns_and_the_warm_up_is_left_out(common):
    order = []

    def contender(name, figures):
        source = iter(figures)
        return lambda: (order.append(name), next(source))[1]

    figures = common.interleave({"a": contender("a", [99, 1, 2]), "b": contender("b", [99, 3, 4])}, rounds=2, warmup=1)
    rounds = [order[i : i + 2] for i in (0, 2, 4)]
    assert all(sorted(both) == ["a", "b"] for both in rounds)
    assert ["a", "b"] in rounds and ["b", "a"] in rounds  # nobody always follows the same one
    assert figures == {"a": [1, 2], "b": [3, 4]}


def test_a_contender_without_a_figure_of_its_own_is_timed(common, monkeypatch):
    now, durations = [0.0], iter([9.0, 1.0, 2.0, 4.0])  # of a clock that the contender moves
    monkeypatch.setattr(common.time, "perf_counter", lambda: now[0])

    def run():
        now[0] += next(durations)

    assert common.interleave({"run": run}, rounds=3)["run"] == [1, 2, 4]


def test_ratios_are_taken_within_each_round(common):
    # Medians alone would say 4 / 2 = 2; round by round b takes 3, 2 and 0.1 times a.
    table = common.compare("t", "ms", {"a": [1.0, 2.0, 40.0], "b": [3.0, 4.0, 4.0]}, "a", scale=1000)
    assert table.row("a").relative == 1
    assert table.row("b").relative == 2
    assert table.row("b").relative_quartiles == (1.05, 2.5)
    assert table.row("b").median == 4000
    assert table.row("b").rounds == [3000, 4000, 4000]


@pytest.mark.parametrize(("higher", "winner"), [(False, "quick"), (True, "slow")])
def test_who_is_better_depends_on_the_unit(common, higher, winner):
    table = common.compare("t", "u", {"own": [2], "quick": [1], "slow": [3]}, "own", higher_is_better=higher)
    assert [row.name for row in table.rows if table.beats_reference(row)] == [winner]


def test_tables_come_from_the_results_with_losses_and_missed_targets(common, tmp_path, capsys):
    report = common.Report("speed", {"rounds": 2}, notes=["a note"])
    report.tables.append(common.compare("Title", "ms", {"own": [2, 2], "peer": [1, 1]}, "own"))
    report.targets.append(common.Target("own is no slower", 2.0, False))
    common.publish(report, tmp_path / "speed.json")
    assert "MISSED  own is no slower: 2" in capsys.readouterr().out
    written = json.loads((tmp_path / "speed.json").read_text())
    assert written["tables"] == json.loads(json.dumps([asdict(t) for t in report.tables]))
    about = written["machine"]
    assert {"cpu", "cores", "threads", "packages", "date", "commit", "clean", "command", "seed"} <= about.keys()
    assert about["minutes"] >= 0 and about["peak_memory_mib"] > 0

    page = "before\n<!-- speed -->\nold\n<!-- /speed -->\n<!-- other -->\n<!-- /other -->\nafter\n"
    filled = common.fill_tables(page, tmp_path)
    assert "| peer | 1.000 | 1.000 - 1.000 | 0.500 | 0.500 - 0.500 | better |" in filled
    assert "- own is no slower: 2, **missed**" in filled
    assert "A note." in filled
    assert "<!-- other -->\n\nNot measured yet.\n\n<!-- /other -->" in filled
    assert filled.startswith("before\n") and filled.endswith("after\n") and "old" not in filled
    assert common.fill_tables(filled, tmp_path) == filled


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"commit": "4a13207e9868 with changes"}, "commit 4a13207e9868, tree with changes; Python"),
        ({"commit": "4a13207e9868"}, "commit 4a13207e9868, clean sources; Python"),  # of src alone, as it was recorded
        ({"commit": None}, "commit not recorded, tree state not recorded; Python"),
        ({"commit": "4a13207e9868aaaa", "clean": True}, "commit 4a13207e9868, clean tree; Python"),
        ({"commit": "4a13207e9868aaaa", "clean": False}, "commit 4a13207e9868, tree with changes; Python"),
        ({"commit": "4a1", "minutes": 1.25, "peak_memory_mib": 1024}, "; 1.2 minutes, 1,024 MiB; today, commit"),
        ({"commit": "4a1"}, "command not recorded, seed not recorded; Seed, 2 cores, 1 threads, load 0.1 at the end;"),
        (
            {"commit": "4a1", "command": "python x", "seed": 0, "instructions": "AVX2"},
            "`python x`, seed 0; Seed, AVX2,",
        ),
    ],
)
def test_a_tables_origin_says_what_is_known_and_what_is_not(common, fields, said):
    about = {
        "cpu": "Seed", "cores": 2, "threads": 1, "load_average": 0.1, "date": "today", "python": "3.11",
        "packages": {"torch": "2"},
    }  # fmt: skip
    assert said in common.origin(about | fields)


@pytest.mark.parametrize(("package", "own", "clean"), [(True, True, True), (False, True, False), (True, False, False)])
def test_a_tree_is_clean_if_the_packages_and_the_benchmarks_files_are(common, package, own, clean, monkeypatch):
    about = run.environment() | {"clean": package}
    monkeypatch.setattr(run, "environment", lambda: about)
    monkeypatch.setattr(common, "_own_files_are_committed", lambda: own)
    assert common.machine()["clean"] is clean


def test_commands_hold_no_place_of_this_machine(common, monkeypatch):
    monkeypatch.setattr(common.sys, "argv", ["/a/b/speed.py", "--rounds", "3", "--coco", "/data/coco"])
    assert common._command() == "python benchmarks/speed.py --rounds 3 --coco coco"
    monkeypatch.setattr(common.sys, "argv", ["speed.py", "--recipes", "draw=/data/mnist,fcn8s,sds=/data/dsb2018"])
    assert common._command() == "python benchmarks/speed.py --recipes draw=mnist,fcn8s,sds=dsb2018"


def test_the_readme_is_what_the_results_say(common):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert common.fill_tables(text) == text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.stem)
def test_every_benchmark_compiles_and_is_in_the_readme(path):
    compile(path.read_text(encoding="utf-8"), path.name, "exec")
    assert path.name in (FOLDER / "README.md").read_text(encoding="utf-8")
