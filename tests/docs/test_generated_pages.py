"""The generated pages are current, and every figure on them is recorded."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, camvid, made_up, script, unmapped

from foveate.registry import create_recipe, entries, find


def test_generated_pages_are_current(generate, capsys):
    code = generate.main(["--check"])
    assert code == 0, capsys.readouterr().err


def test_check_names_the_stale_page_and_changes_nothing(generate, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "results", tmp_path / "results") if (ROOT / "results").exists() else None
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in ("lecture.toml", "lecture.md", "results.md", "claims.md", "catalogue.md"):
        shutil.copy(DOCS / name, tmp_path / "docs")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 0
    page = tmp_path / "docs/results.md"
    page.write_text(page.read_text() + "0.99\n")
    assert generate.main(["--check"]) == 1
    assert "docs/results.md is out of date" in capsys.readouterr().err
    assert page.read_text().endswith("0.99\n")
    assert generate.main([]) == 0
    assert page.read_text() == (DOCS / "results.md").read_text()


def test_without_results_the_pages_say_so(generate):
    assert "Nothing is recorded yet." in generate.results_page({})
    assert generate.readme_results({}) == "Nothing is recorded yet.\n"


def test_the_readme_has_the_first_score_of_each_recipe_on_public_data(generate):
    results = camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5)))
    one = next(iter(results.values()))
    results["words"] = one | {
        "recipe": "rnnsearch",
        "command": "foveate train rnnsearch --data WMT --seed 0 --threads 1",
        "scores": {"bleu": 39.884, "chrf": 60.0},
    }
    results["again"] = results["words"] | {"command": "foveate train rnnsearch --data WMT --seed 1", "seed": 1}
    results["longer"] = results["words"] | {"command": "foveate train rnnsearch --data WMT --epochs 99"}
    results["own"] = one | {"recipe": "fcn8s_pasture", "command": "foveate train fcn8s_pasture"}
    results["digits"] = one | {"recipe": "cnn_mnist_r", "command": "foveate train cnn_mnist_r --data MNIST"}
    lines = [line for line in generate.readme_results(results).splitlines() if line.startswith("| `")]
    assert len(lines) == 4 and lines[3].startswith("| `foveate train rnnsearch --data WMT` | 39.9 BLEU |")
    assert all("mean IoU" in line for line in lines[:3])


def test_attention_on_photographs_is_shown_once_all_folds_are_measured(generate, tmp_path):
    import photographs

    of = {"words": 40.0, "hit": 0.25, "chance": 0.05, "times": 5.0}
    total = {"folds": 5, "generated": of | {"words": 8.0}, "reference": of, "bleu4": 0.0312, "entropy_share": 0.831}
    fold = {"photographs": 32, "seed": 0, "command": "python benchmarks/coco_attention.py FOLDER", "commit": "0" * 40}
    kinds = {
        "soft": {"folds": {str(i): fold for i in range(5)}, "total": total},
        "hard": {"folds": {"0": fold}, "total": total | {"folds": 1}},
    }
    file = tmp_path / "photographs.json"
    file.write_text(json.dumps({"baseline": kinds}))
    found = photographs.read_photographs(file)
    assert photographs.ratios(found) == {"soft": 5.0}
    one = made_up("fcn8s_camvid", 0.3, (0.2, 0.4))
    page = generate.results_page({"fcn8s_camvid": one}, photographs.photographs_section(found))
    assert "on 160 photographs of COCO" in page
    assert "| soft | 8 | 25.0 % | 5.0 % | 5.00 | 40 | 25.0 % | 5.0 % | 5.00 | 0.031 | 0.83 |" in page
    assert photographs.photographs_section(photographs.read_photographs(tmp_path / "none.json")) == ""


def test_every_record_on_the_lecture_page_shows_a_score_of_its_family(generate):
    page = (DOCS / "lecture.md").read_text()
    assert "– mean IoU" not in page
    result = {"scores": {"bleu": 39.884, "chrf": 63.5}, "split": "val"}
    assert generate._headline([result]) == "39.9 BLEU on val"
    with pytest.raises(ValueError, match="no first score is known among other"):
        generate._headline([{"scores": {"other": 1.0}, "split": "val"}])


def test_skips_are_judged_in_one_place(generate):
    page = generate.results_page(camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5))))
    assert "boundary IoU goes 0.300, 0.350, 0.400" in page and "](claims.md#learnable-upsampling-skip-" in page
    assert "holds" not in page


def test_every_figure_on_the_results_page_is_recorded(generate):
    results = camvid((0.31, (0.21, 0.41), 0.61), (0.35, (0.3, 0.5), 0.64), (0.4, (0.36, 0.52), 0.66))
    page = generate.results_page(results)
    known = {f"{v:.3f}" for r in results.values() for v in numbers(r["scores"])} | {"+0.150", "+0.050"}
    printed = set(re.findall(r"[+-]?\d+\.\d{3}\b", page))
    assert printed == known - {f"{101:.3f}"}
    assert "larger at the contours" in page and "val run above scores on test" in page
    assert page.index("`fcn32s_camvid`") < page.index("`fcn16s_camvid`") < page.index("`fcn8s_camvid`")
    assert "| pole | – | – | – |" in page  # a class that nothing was recorded of
    assert page.count("- `foveate train fcn8s_camvid --data CAMVID`: CamVid; scored on 101 pictures") == 1
    record = (
        "| `fcn8s_camvid` | `foveate train fcn8s_camvid --data CAMVID` | 0 | 0123456789 | tree state not recorded |"
    )
    assert f"{record} not recorded | 2 | Seed | 20.5 | – |" in page


def numbers(value):
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers(one)]
    return [value] if isinstance(value, (int, float)) else []


def test_two_strides_alone_make_no_claim(generate):
    results = camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5)))
    del results["fcn16s_camvid"]
    assert "The lecture says" not in generate.results_page(results)


def test_a_measured_score_reaches_the_lecture_map(generate):
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    recipes = {name: create_recipe(name) for name in entries("recipe")}
    results = camvid((0.3, (0.2, 0.4), 0.61), (0.35, (0.3, 0.5), 0.64), (0.4, (0.35, 0.5), 0.66))
    page = generate.lecture_page(ROOT, lecture, recipes, results)
    assert "`fcn8s_camvid`: 0.660 mean IoU on val" in page


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"error_percent": 0.654, "top1": 0.99}, "0.65 % error on val"),
        ({"cider_d": 0.5712, "bleu4": 0.3}, "0.571 CIDEr-D on val"),
        ({"corloc": 0.974}, "0.974 CorLoc on val"),
        ({"mean_iou": 0.5}, "0.500 mean IoU on val"),
    ],
)
def test_each_family_has_a_headline_of_its_own(generate, scores, said):
    assert generate._headline([{"scores": scores, "split": "val"}]) == said


def test_the_lecture_map_shows_mean_and_range_over_seeds(generate):
    results = {
        f"fcn8s_camvid{end}": made_up("fcn8s_camvid", 0.3, (0.2, 0.4), mean_iou, seed)
        for end, mean_iou, seed in (("", 0.64, 0), ("_seed1", 0.58, 1), ("_seed2", 0.61, 2))
    }
    for result in results.values():
        result["command"] += f" --seed {result['seed']} --threads 1 --batch_size=8" if result["seed"] else ""
    other = made_up("fcn8s_camvid", 0.3, (0.2, 0.4), 0.99, 3)
    results["other"] = other | {"command": "foveate train fcn8s_camvid --data CAMVID --epochs 3"}  # another recipe
    results["split"] = made_up("fcn8s_camvid", 0.3, (0.2, 0.4), 0.98, 0) | {"split": "test"}
    whole, test = generate.same_but_seed(results, "fcn8s_camvid")
    assert generate._headline(whole) == "0.610 mean IoU (0.580 to 0.640, 3 seeds) on val"
    assert generate._headline(test) == "0.980 mean IoU on test"


def test_the_page_of_metrics_names_every_familys_ranking_score():
    page = (DOCS / "metrics.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("One score of each family ranks the epochs"))
    table = page[page.index("| Family | Scores |") : page.index("## Over all pixels")]
    for name in entries("task"):
        family = find("task", name).load()
        shown = {"semantic": "segmentation", "colocalisation": "co-localisation"}.get(name, name)
        assert f"| {shown} |" in table and shown in line and f"`{family.monitor}`" in line
        assert family.greater_is_better or f"{family.monitor}` ({shown}, " in line


def test_the_lecture_map_names_no_seed_that_was_the_best():
    """Each recipe with several seeds, computed here from the records."""
    page = (DOCS / "lecture.md").read_text()
    errors: dict[str, list[float]] = {}
    for path in sorted((ROOT / "results").glob("*_mnist_*.json")):
        result = json.loads(path.read_text())
        errors.setdefault(result["recipe"], []).append(result["scores"]["error_percent"])
    several = {name: values for name, values in errors.items() if len(values) > 1}
    assert several
    for name, values in several.items():
        mean, seeds = sum(values) / len(values), f"{min(values):.2f} to {max(values):.2f}, {len(values)} seeds"
        assert f"`{name}`: {mean:.2f} % error ({seeds}) on test" in page


def test_every_record_has_its_line(generate):
    """Command, seed, commit and tree of every file in results/, on the page of results."""
    page = (DOCS / "results.md").read_text()
    lines = page[page.index("## Records") :].splitlines()
    for path in [*sorted((ROOT / "results").glob("*.json")), *sorted((ROOT / "results/refinement").glob("*.json"))]:
        record = json.loads(path.read_text())
        name = path.stem if path.parent.name == "results" else f"refinement/{path.stem}"
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        tree = {True: "clean", False: "with changes"}.get(record.get("clean"), "tree state not recorded")
        assert cells[1] == (f"`{record['command']}`" if "command" in record else "not recorded")
        assert cells[2:5] == [str(record.get("seed", "not recorded")), record["commit"][:10], tree]
        assert (cells[5] == "not recorded") == ("packages" not in record)
        measured = "minutes" in record and "timing" not in record  # not beside other work
        assert cells[8] == (f"{record['minutes']:,.1f}" if measured else "–")
        memory = record.get("peak_memory_mib")
        assert cells[9] == ("–" if memory is None else f"{memory:,}")


def test_a_run_of_before_is_recorded_under_its_reading(example_run, extended, tmp_path):
    copy = Path(shutil.copytree(example_run, tmp_path / "copy"))
    recipe = json.loads((copy / "recipe.json").read_text())
    before = {"dataset": "distorted_mnist", "path": "", "kind": "p", "seed": 0, "interpolation": "mixed", "hand": 0.7}
    (copy / "recipe.json").write_text(json.dumps(recipe | {"name": "cnn_mnist_p", "data": before}))
    assert script("record_result").record(copy)["recipe"] == "cnn_mnist_p_hard"


def test_both_readings_of_distorted_digits_stand_in_columns_of_their_own():
    def digits(recipe, error, seed=0, **more):
        scores = {"error_percent": error, "images": 10000}
        return {"recipe": recipe, "seed": seed, "minutes": 10, "parameters": 400000, "hardware": "1 core",
                "scores": scores} | more  # fmt: skip

    results = {
        "st_cnn_affine_mnist_rts_hard": digits("st_cnn_affine_mnist_rts_hard", 0.58),
        "st_cnn_affine_mnist_rts": digits("st_cnn_affine_mnist_rts", 0.4),
        "st_cnn_affine_mnist_rts_seed1": digits(
            "st_cnn_affine_mnist_rts", 0.5, 1, minutes=90, timing="beside other work"
        ),
        "cnn_mnist_p": digits("cnn_mnist_p", 1.25),
    }
    page = script("family_tables").mnist_table(results)
    assert "| Recipe | R | RTS | RTS hard | P | P hard | E | clutter | addition |" in page
    affine = (
        "| – / 0.7 | **0.45** (0.40 to 0.50) / 0.5 | **0.58** / 0.5 | – / 0.8 | – / 0.8 | – / 1.2 | – / 1.7 | – / – |"
    )
    assert f"| `st_cnn_affine_mnist_*` {affine}" in page
    assert "| `cnn_mnist_*` | – / 1.2 | – / 0.8 | – / 0.8 | **1.25** / 1.5 | – / 1.5 |" in page
    assert "Training took 10 to 10 minutes" in page  # not those of a busy machine
    tables = script("family_tables")
    assert tables.minutes_of(results["cnn_mnist_p"]) == "10.0"
    assert tables.minutes_of(results["st_cnn_affine_mnist_rts_seed1"]) == "–"
    assert "beside other work" in tables.commands(
        {"a": digits("a", 1.0, command="foveate train a", data="digits", timing="beside other work")}
    )


def test_a_recorded_run_is_filed_under_its_recipe():
    for file in (ROOT / "results").glob("*_mnist_*.json"):
        result = json.loads(file.read_text())
        assert file.stem == result["recipe"] + (f"_seed{result['seed']}" if result["seed"] else "")
        assert result["recipe"] in entries("recipe")
        if result["data"].startswith("distorted MNIST"):
            kind = re.fullmatch(r"distorted MNIST, (\w+):.*", result["data"])[1]
            assert result["recipe"].endswith(f"_mnist_{kind}")


def test_the_lecture_map_follows_the_tree(generate):
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    page = (DOCS / "lecture.md").read_text()
    for row in lecture["row"]:
        built = generate.is_built(ROOT, row)
        assert built == (ROOT / "src/foveate" / row["file"]).is_file()
        assert (f"](../src/foveate/{row['file']})" in page) == built
    assert not unmapped(lecture["row"]), "a model has no row in docs/lecture.toml"


def test_every_departure_has_a_source_and_a_place_in_the_lecture():
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    for departure in lecture["departure"]:
        assert all(departure[key] for key in ("heading", "lecture", "papers", "source"))
        assert re.search(r"\b(19|20)\d\d\b", departure["source"]), departure["source"]


def recorded_rows(name):
    data = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    return data, {(table["title"].partition(" ")[0], row["name"], row.get("proposals")): row
                  for table in data["tables"] for row in table["rows"]}  # fmt: skip


def test_figures_that_are_typed_on_pages_are_those_of_the_benchmarks():
    """Sentences on pages that are written by hand, made again from the records."""
    page = (DOCS / "semantic.md").read_text()
    data, rows = recorded_rows("proposal_recall")
    coco, nuclei = data["tables"]
    found = [
        f"{100 * rows[title, name, count]['R@0.5']:.0f} %"
        for title, name in (("COCO", "selective search"), ("COCO", "regular grid"), ("nuclei", "selective search"))
        for count in ("1000", "all")
    ]
    assert data["settings"]["pictures"] == "all"
    for sentence in (
        f"Of {coco['pictures']} COCO pictures with {coco['objects']} objects, its best 1000 proposals overlap "
        f"{found[0]} of the objects by an IoU of 0.5 or more, all of them ({coco['proposals']:.0f} a picture) "
        f"{found[1]}; as many boxes of a regular grid {found[2]} and {found[3]}.",
        f"Of {nuclei['objects']} nuclei in the {nuclei['pictures']} validation pictures of DSB2018, {found[4]} and "
        f"{found[5]}.",
    ):
        assert sentence in page
    data, rows = recorded_rows("crf_speed")
    eleven, more = (rows["Dense", f"{count} classes", None]["median"] for count in (11, 21))
    assert data["machine"]["threads"] == 1
    assert (
        f"{eleven:.2f} s for a 480x360 picture in 11 classes, {more:.2f} s in 21 (one thread of an "
        f"{data['machine']['cpu']}, median of {data['settings']['rounds']}: `python benchmarks/crf_speed.py`)"
    ) in page
    _, rows = recorded_rows("studio_assist")
    nothing, fill, proposals = (
        rows["Scenes", name, None] for name in ("brush on nothing", "scribble-fill", "brush on pre-labels")
    )
    assert (
        f"on {fill['scenes']} road scenes of CamVid (`python benchmarks/studio_assist.py`): until 93 % of the pixels "
        f"are right, the brush alone takes {nothing['until 0.93']:.1f} strokes, scribble-fill "
        f"{fill['until 0.93']:.1f}, and the brush on the proposals of a model of 20 labelled pictures "
        f"{proposals['until 0.93']:.1f}."
    ) in (DOCS / "studio.md").read_text()
    _, rows = recorded_rows("feature_cache")
    (times,) = [row["relative"] for (_, name, _), row in rows.items() if name == "features kept"]
    assert f"{times:.1f} times as fast (`python benchmarks/feature_cache.py`)" in (DOCS / "captioning.md").read_text()
    reader, lite = (
        json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in ("draw_cluttered", "fcn8s_voc_lite")
    )
    assert (
        f"errs on {reader['scores']['error_percent']:.1f} %, and the last window is within 6 pixels of the digit in "
        f"{100 * reader['scores']['window_near']:.0f} %"
    ) in (DOCS / "draw.md").read_text()
    assert f"of the recipe's {create_recipe('draw_cluttered').epochs} epochs" in (DOCS / "draw.md").read_text()
    train, val = re.findall(r"(\d+) train, (\d+) val", lite["data"])[0]
    assert f"on {val} photographs of a part of VOC, trained on {train}," in (DOCS / "fcn.md").read_text()
