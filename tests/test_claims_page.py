"""The page of claims says what the records hold, and records are made of measurements alone."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from statistics import fmean

import pytest

from foveate.claims import Claim
from foveate.engine.run import environment
from foveate.errors import ConfigError
from foveate.registry import entries, find

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ORDER = [{"heading": "Iterative Refinement"}, {"heading": "Deconvolution"}]


def script(name: str):
    if str(DOCS) not in sys.path:  # as where the script is run
        sys.path.insert(0, str(DOCS))
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclasses
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return script("claims_page")


@pytest.fixture(scope="module")
def recorder():
    return script("record_claims")


def run(figures, threads=1, seeds=(0, 1, 2), **fields):
    return {
        "figures": figures, "seconds": 90.0, "command": "foveate claims x", "seeds": list(seeds), "commit": "f" * 40,
        "clean": True, "python": "3.11", "packages": {"torch": "2.14"}, "cpu": "Seed", "instructions": "AVX2",
        "threads": threads, "peak_memory_mib": 700,
    } | fields  # fmt: skip


def write(root, name, runs, **fields):
    folder = root / "results/claims"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"name": name, "runs": runs} | fields))


def lines_of(page, name):
    return [line for line in page.splitlines() if f"`{name}`" in line]


# The page that stands


def test_the_page_says_what_the_records_hold():
    """Effect, spread, verdict and bounds of every claim, computed here from its file."""
    page = (DOCS / "claims.md").read_text()
    for name in entries("claim"):
        record = json.loads((ROOT / "results/claims" / f"{name}.json").read_text())
        claim: Claim = find("claim", name).load()()
        (line,) = [line for line in lines_of(page, name) if line.startswith(f"| {claim.claim} |")]
        law = " (law)" if claim.law else ""
        assert line.split(" | ")[2:4] == [f"{claim.holds:g}", f"{claim.partly:g}"]
        if not record["runs"]:
            assert line.endswith(f"**not measured**{law} |")
        elif "figures" not in record["runs"][0]:
            (only,) = record["runs"]
            low = only["interval"][0]
            partly = "holds partly" if only["effect"] >= claim.partly else "does not hold"
            assert only["measured"] in line and f"`{name}`, spread not measured |" in line
            assert line.endswith(f"**{'holds' if low >= claim.holds else partly}**{law or ' (one run)'} |")
        else:
            runs = [one["figures"] for one in record["runs"]]
            columns = zip(*(row for rows in runs for row in rows), strict=True)
            assert claim.effect.format(*(fmean(column) for column in columns)) in line
            each = [[row[0] for row in rows] for rows in runs]  # a run a row, a seed a column
            spread = max(max(seed) - min(seed) for seed in zip(*each, strict=True)) if len(runs) > 1 else None
            said = "not measured" if spread is None else f"{spread:.2g}"
            assert f"`{name}`, spread {said} (" in line
            means = [fmean(seed) for seed in zip(*each, strict=True)]
            likely = {claim.judge([mean + (spread or 0) * sign for mean in means]) for sign in (-1, 0, 1)}
            likely |= {claim.judge(effects) for effects in each}
            kind = law or (" (one run)" if spread is None else "")
            assert line.endswith(f"**{likely.pop() if len(likely) == 1 else 'undecided'}**{kind} |")
        for earlier in record.get("earlier", ()):
            told = [line for line in lines_of(page, name) if f"earlier, {earlier['how']} (seeds" in line]
            assert len(told) == 1 and f": **{earlier['verdict']}**. " in told[0]
            assert earlier["measured"][1:] in told[0]


def test_every_run_has_its_line_of_origin():
    page = (DOCS / "claims.md").read_text()
    origins = page[page.index("## Records") :]
    for name in entries("claim"):
        record = json.loads((ROOT / "results/claims" / f"{name}.json").read_text())
        found = lines_of(origins, name)
        assert len(found) == len(record["runs"])
        for one in record["runs"]:
            if "figures" not in one:
                assert "tree state not recorded" in found[0]
                continue
            tree = "clean" if one["clean"] else "with changes"
            seeds = ", ".join(map(str, one["seeds"]))
            start = f"| `{name}` | `{one['command']}` | {seeds} | {one['commit'][:10]} | {tree} |"
            (line,) = [line for line in found if line.startswith(start)]
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert cells[6] == str(one["threads"]) and cells[7] == f"{one['cpu']}, {one['instructions']}"
            assert cells[8] == f"{one['seconds'] / 60:,.1f}" and cells[9] == f"{one['peak_memory_mib']:,}"
            versions = ", ".join(f"{package} {version}" for package, version in one["packages"].items())
            assert f"- {cells[5]}: Python {one['python']}, {versions}\n" in origins


# How it is made


def test_claims_stand_in_the_lectures_order_with_verdicts_and_counts(pages, tmp_path):
    assert "Nothing is recorded yet." in pages.claims_page(tmp_path, ORDER, {})
    write(tmp_path, "upconv_is_no_inverse", [run([[60.0, 1e-13]] * 3, seconds=30.0)])
    rows = [[3.0, 20, 40, 60]] * 3
    write(
        tmp_path, "iterating_widens_the_view",
        [run(rows, 1, (3, 4, 5)), run([[3.0, 20, 40, 60], [2.75, 20, 40, 55], [3.0, 20, 40, 60]], 2, (3, 4, 5))],
        earlier=[{"how": "with a lens", "seeds": [0, 1], "measured": "it was 1 px", "verdict": "does not hold"}],
    )  # fmt: skip
    write(tmp_path, "iterating_improves_labels", [run([[1.0, 2, 3, 4]] * 3)])  # of seeds that are not the claim's
    page = pages.claims_page(tmp_path, ORDER, {})
    assert "Of 3 claims 1 are laws. Of the 2 experiments 1 hold, 0 partly, 0 not, and 0 are undecided, 1 are" in page
    assert "the spread of 1 is known.\n" in page
    assert page.index("## Iterative Refinement") < page.index("## Deconvolution") < page.index("## Records")
    (line, earlier, *records) = lines_of(page, "iterating_widens_the_view")
    assert "20, 40 and 59 px after one, two and three (effect 2.88 to 3 over 3 seeds)<br>" in line
    assert "`iterating_widens_the_view`, spread 0.25 (1 and 2 threads of Seed, AVX2) | 1.5 | 1.1 | **holds** |" in line
    assert earlier.endswith("earlier, with a lens (seeds 0, 1): **does not hold**. It was 1 px.")
    assert [[line.split(" | ")[i] for i in (6, 8)] for line in records] == [["1", "1.5"], ["2", "1.5"]]  # of 90 s
    assert "`upconv_is_no_inverse`, spread not measured (1 thread of Seed, AVX2) | 10 | 1 | **holds** (law) |" in page
    assert "not measured yet with seeds 3, 4, 5<br>`iterating_improves_labels`, spread not measured" in page
    assert page.count("](assets/receptive_field.png)") == 1


def test_a_record_in_words_is_judged_by_its_interval(pages, tmp_path):
    old = {"measured": "in words", "effect": 2.0, "interval": [1.0, 3.0], "seeds": [0, 1, 2], "seconds": 60.0}
    for interval, effect, verdict in (
        ([2.0, 3.0], 2.4, "holds"),
        ([1.9, 3.0], 2.4, "holds partly"),
        ([0, 1], 0.5, "no"),
    ):
        write(tmp_path, "baseline_steadies_reinforce", [old | {"interval": interval, "effect": effect}])
        found = pages.recorded(tmp_path / "results/claims/baseline_steadies_reinforce.json")
        assert found.verdict.replace("does not hold", "no") == verdict and found.spread == "not measured"
    page = pages.claims_page(tmp_path, [{"heading": found.claim.section}], {})
    assert "and to be measured again: `baseline_steadies_reinforce`.\n" in page and "tree state not recorded" in page


def refined(**rows):
    names = ("boundary_iou", "mean_iou")
    return {
        "scores": {},
        "refinement": {
            "rows": [
                {"flags": flags.replace("_", "--", 1).replace("_", " "), "images": 26}
                | dict(zip(names, scores, strict=True))
                for flags, scores in rows.items()
            ]
        },
    }


def test_remarks_follow_the_recorded_results_whichever_way_they_point():
    remarks = script("claim_remarks")
    results = {
        "a_camvid": refined(**{"": (0.5, 0.6), "_superpixels_tree": (0.51, 0.57), "_superpixels_slic": (0.4, 0.5)}),
        "b_camvid": refined(**{"": (0.4, 0.5), "_superpixels_tree": (0.42, 0.51)}),
        "c_pasture": refined(**{"": (0.4, 0.5), "_superpixels_tree": (0.1, 0.1)}),
        "d_camvid": {"scores": {}},
    }
    claim = find("claim", "segmentation_trees_refine_boundaries").load()()
    said = remarks.REMARKS["segmentation_trees_refine_boundaries"](claim, results)
    assert "on 26 validation images of CamVid, `--superpixels tree` changes boundary IoU by +1.0 to +2.0" in said
    assert "mean IoU by -3.0 to +1.0 points, and helps 1 of 2 systems" in said
    assert said.endswith("by the bounds above it **does not hold**.")  # -3 and +1: the mean is below 0.1
    assert remarks.REMARKS["scales_help_testing"](claim, results) == ""
    scales = remarks.refinement("--superpixels tree", boundaries=False)(claim, {"b_camvid": results["b_camvid"]})
    assert "helps 1 of 1 systems" in scales and scales.endswith("**holds**.")

    strides = {
        f"fcn{s}s_camvid": {"scores": {"boundary_iou": b, "mean_iou": m}}
        for s, b, m in ((32, 0.4, 0.6), (8, 0.6, 0.63))
    }
    claim = find("claim", "skips_improve_boundaries").load()()
    assert remarks.skips(claim, strides) == (
        "on CamVid, FCN-8s gains +20.0 points of boundary IoU and +3.0 of mean IoU over FCN-32s (one seed); by the "
        "bounds above it **holds partly**."
    )
    assert remarks.skips(claim, {}) == ""

    digits = {
        f"{name}_{i}": {"recipe": name, "scores": {"error_percent": error}}
        for i, (name, error) in enumerate(
            [("cnn_mnist_r", 1.5), ("st_cnn_affine_mnist_r", 0.5), ("st_cnn_affine_mnist_r", 0.7), ("mlp_mnist_r", 9.0),
             ("cnn_mnist_clutter", 1.0), ("st_cnn_affine_mnist_clutter", 1.3), ("cnn_mnist_e", 1.0)]
        )
    }  # fmt: skip
    claim = find("claim", "transformer_helps_a_classifier").load()()
    said = remarks.distorted_digits(claim, digits)
    assert "takes away -0.30 on clutter, +0.90 on r points" in said and said.endswith("**holds partly**.")

    claim = find("claim", "attention_falls_on_what_is_named").load()()
    scores = {"attention_hit": 0.28, "attention_chance": 0.07}
    found = {"show_attend_tell_pasture": {"scores": scores}}
    assert "4.0 times with soft attention (one seed" in remarks.named_objects(claim, found)
    assert remarks.named_objects(claim, {"show_attend_tell_pasture": {"scores": {"cider_d": 0.5}}}) == ""
    claim = find("claim", "many_looks_beat_one").load()()
    found |= {"show_and_tell_pasture": {"scores": {"cider_d": 0.5}}}
    found["show_attend_tell_pasture"] = {"scores": {"cider_d": 0.4}}
    assert "0.80 times the CIDEr-D" in remarks.many_looks(claim, found)
    assert remarks.many_looks(claim, found).endswith("**does not hold**.")


def test_a_pair_of_inception_networks_is_compared_where_both_were_recorded():
    remarks = script("claim_remarks")
    claim = find("claim", "residual_inception_ends_equal").load()()
    errors = {
        "inception_v4_characters": (9.0, 11.0), "inception_resnet_v2_characters": (12.0,), "inception_v4_alone": (1.0,),
    }  # fmt: skip
    results = {
        f"{name}{i}": {"recipe": name, "scores": {"error_percent": error}}
        for name, found in errors.items()
        for i, error in enumerate(found)
    }
    said = remarks.inception_pairs(claim, results)
    assert "by data set, characters: 10.0 and 12.0 % (" in said and said.endswith("**holds**.")
    results["inception_resnet_v2_characters0"]["scores"]["error_percent"] = 17.0
    assert remarks.inception_pairs(claim, results).endswith("**does not hold**.")
    results["inception_resnet_v2_characters0"]["scores"]["error_percent"] = 3.0  # whichever is the better one
    assert remarks.inception_pairs(claim, results).endswith("**does not hold**.")
    assert remarks.inception_pairs(claim, {}) == ""


def test_camvid_stands_wherever_it_was_measured():
    page = (DOCS / "claims.md").read_text()
    for name in ("scales_help_testing", "superpixels_refine_boundaries", "segmentation_trees_refine_boundaries",
                 "skips_improve_boundaries"):  # fmt: skip
        (line,) = [line for line in page.splitlines() if line.startswith(f"- `{name}`, elsewhere: ")]
        assert "CamVid" in line


def test_what_the_page_on_segmentation_says_of_camvid_is_in_the_records():
    assert "superpixels lower both for most, and the tree lowers both for all" in (DOCS / "semantic.md").read_text()
    gains: dict[str, list[tuple[float, float]]] = {}
    for path in (ROOT / "results/refinement").glob("*_camvid.json"):
        rows = {row["flags"]: row for row in json.loads(path.read_text())["rows"]}
        for flags, row in rows.items():
            pair = row["mean_iou"] - rows[""]["mean_iou"], row["boundary_iou"] - rows[""]["boundary_iou"]
            gains.setdefault(flags, []).append(pair)
    assert all(max(pair) < 0 for pair in gains["--superpixels tree"])
    for flags, up in (("--superpixels felzenszwalb", False), ("--superpixels slic", False), ("--crf", True),
                      ("--scales 0.75,1,1.25", True)):  # fmt: skip
        agreeing = sum(min(pair) > 0 if up else max(pair) < 0 for pair in gains[flags])
        assert 2 * agreeing > len(gains[flags]), (flags, gains[flags])


def test_versions_and_letters():
    provenance = script("provenance")
    one = run([[1.0]])
    text = provenance.origins([("a", one), ("b", one | {"python": "3.12"}), ("c", one | {"packages": None})])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:5]]
    assert [row[5] for row in cells] == ["A", "B", "not recorded"]
    assert text.endswith("Versions:\n\n- A: Python 3.11, torch 2.14\n- B: Python 3.12, torch 2.14\n")
    assert [provenance._letters(i) for i in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
    assert provenance.processor({"hardware": "Tesla T4"}) == "Tesla T4"
    assert provenance.processor({"hardware": "2 cores of Seed", "instructions": "AVX2"}) == "Seed, AVX2"
    assert provenance.tree({"clean": None}) == "tree state not recorded"


# Recording


def finding(name="baseline_steadies_reinforce", seeds=(0, 1, 2), **runs):
    made = [run([[1.0] * 6] * 3, int(threads[1:])) | fields for threads, fields in runs.items()]
    for one in made:
        del one["command"], one["seeds"]
    return {"name": name, "seeds": list(seeds), "runs": made}


def test_runs_replace_those_of_the_same_setting(recorder, tmp_path):
    name = "baseline_steadies_reinforce"
    old = {"measured": "in words", "effect": 2.0, "interval": [1.0, 3.0], "seeds": [0, 1, 2], "seconds": 60.0}
    (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, "runs": [old], "earlier": ["kept"]}))
    recorder.merge([finding(t2={}, t1={"platform": "secret", "command": "foveate claims --json /a"})], tmp_path)
    record = recorder.read(tmp_path, name)
    assert [one["threads"] for one in record["runs"]] == [1, 2] and record["earlier"] == ["kept"]
    assert record["runs"][0]["command"] == f"foveate claims {name} --threads 1"
    assert "secret" not in (tmp_path / f"{name}.json").read_text()
    recorder.merge([finding(t2={"seconds": 7.0}), finding(t1={"cpu": "Other"})], tmp_path)
    runs = recorder.read(tmp_path, name)["runs"]
    assert [(one["cpu"], one["threads"], one["seconds"]) for one in runs] == [
        ("Other", 1, 90.0), ("Seed", 1, 90.0), ("Seed", 2, 7.0)
    ]  # fmt: skip
    assert runs[0]["figures"] == [[1.0] * 6] * 3
    recorder.merge([finding(seeds=(7, 8, 9), t1={})], tmp_path)
    assert [one["seeds"] for one in recorder.read(tmp_path, name)["runs"]] == [[7, 8, 9]]


def test_what_is_due(recorder):
    claim = find("claim", "baseline_steadies_reinforce").load()()
    here = {key: environment()[key] for key in ("cpu", "instructions")}
    both = [run([], 1, **here), run([], 2, **here)]
    assert recorder.due(claim, {"runs": both}) == ""
    assert recorder.due(claim, {"runs": []}) == "not measured with these seeds"
    assert recorder.due(claim, {"runs": [run([], 1, (3, 4, 5), **here)]}) == "not measured with these seeds"
    assert recorder.due(claim, {"runs": [run([], 1), run([], 2)]}).startswith("not measured on ")
    for second in ([], [run([], 2, **here, clean=False)], [run([], 2, **here, clean=None)]):
        assert recorder.due(claim, {"runs": both[:1] + second}) == "not measured with 2 threads and a clean tree"


def test_wall_times_are_measured_on_an_idle_machine_or_not_at_all(recorder, tmp_path, monkeypatch):
    names = ["patches_are_expensive", "iterating_removes_noise", "iterating_improves_labels"]
    claims = {name: find("claim", name).load()() for name in names}
    commands = []
    monkeypatch.setattr(recorder.os, "getloadavg", lambda: (1.25, 0, 0))
    with pytest.raises(
        ConfigError, match=r"patches_are_expensive: .* the machine's load is 1\.25; wait until it is below"
    ):
        recorder.measure(claims, False, tmp_path)

    def fake(command):
        commands.append(command[3:-1])
        Path(command[-1]).write_text("[]")
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(recorder.subprocess, "run", fake)
    recorder.measure(claims, True, tmp_path)
    shared = ["claims", *names[1:], "--long", "--threads", "1,2", "--json"]
    assert commands == [shared]
    monkeypatch.setattr(recorder.os, "getloadavg", lambda: (0.1, 0, 0))
    recorder.measure(claims, False, tmp_path)
    assert commands[1:] == [["claims", names[0], "--long", "--threads", "1,2", "--json"], shared]
    commands.clear()
    assert recorder.main([names[0], "--threads", "2"], tmp_path) == 0
    assert commands == [["claims", names[0], "--long", "--threads", "2", "--json"]]


def test_what_was_found_before_a_failure_is_recorded(recorder, tmp_path, monkeypatch):
    name = "iterating_removes_noise"
    finding = {"name": name, "seeds": [0, 1, 2], "runs": [run([[1.5], [2.5], [3.5]])]}

    def fake(command):
        Path(command[-1]).write_text(json.dumps([finding]))
        return type("Done", (), {"returncode": 1})

    monkeypatch.setattr(recorder.subprocess, "run", fake)
    with pytest.raises(ConfigError, match=f"foveate claims {name} .* failed; its message is above"):
        recorder.measure({name: find("claim", name).load()()}, True, tmp_path)
    assert recorder.read(tmp_path, name)["runs"][0]["figures"] == [[1.5], [2.5], [3.5]]


def test_the_list_names_what_is_due_and_why(recorder, tmp_path, capsys):
    assert recorder.main(["patches_are_expensive", "upconv_is_no_inverse", "--list"], tmp_path) == 0
    said = "not measured with these seeds"
    assert capsys.readouterr().out == f"patches_are_expensive: {said}\nupconv_is_no_inverse: {said}\n"
    assert recorder.main(["upconv_is_no_invers"], tmp_path) == 1
    assert "the nearest is 'upconv_is_no_inverse'" in capsys.readouterr().err


def test_figures_are_written_a_row_a_line(recorder):
    text = recorder.dumps({"name": "x", "runs": [run([[1.5, 2], [3, 4]])]})
    assert "    [1.5, 2],\n    [3, 4]\n" in re.sub(r" +\[", "    [", text)
    assert json.loads(text)["runs"][0]["figures"] == [[1.5, 2], [3, 4]]
