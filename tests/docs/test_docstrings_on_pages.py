"""Docstrings become lists on pages, and every model lists its departures from its paper."""

from __future__ import annotations

import pytest
from doc_pages import DOCS, ROOT, script

from foveate.registry import entries


def test_docstring_fields_become_lists():
    module = script("docstrings")
    assert module.as_list("What.\n\nlr: the rate,\n    in full; momentum: of sgd.\nRaises X: y.") == (
        "What.\n\n- `lr`: the rate,\n    in full; momentum: of sgd.\n\nRaises X: y."
    )


@pytest.fixture
def departures():
    return script("departures")


def test_every_model_lists_its_departures_and_its_page_has_the_list(departures):
    files = departures.model_files(ROOT)
    assert {entry.module.rpartition(".")[2] for entry in entries("model").values()} == set(files)
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))]
    marks = [name for text in pages for name in departures.MARK.findall(text)]
    assert sorted(marks) == sorted(files)  # each once
    for path in files.values():
        items = [line for line in departures.departures(path).split("\n") if line.startswith("- ")]
        assert items and all(item.endswith((".", ")")) for item in items), path


def test_a_list_of_departures_is_taken_from_the_docstring(departures, tmp_path, monkeypatch):
    monkeypatch.setattr(departures, "PAPERS", {"other": "b", "net32s": "a"})
    monkeypatch.setattr(departures, "bibtex", {"net32s": "@article{a, year = {2015}}"}.__getitem__)
    file = tmp_path / "net.py"
    file.write_text(
        '"""A net.\n\nWords.\n\nDepartures from the paper, `a` False\nundoes them:\n\n'
        "- One of\n  two lines.\n- Two.\n\n"
        'These always hold:\n\n- Three.\n\nMore words.\n\n- No departure.\n"""\n\n'
        '@model("net{stride}s", stride=(32, 8))\nclass Net: ...\n'
    )
    expected = (
        "Departures from the paper, `a` False undoes them:\n\n- One of two lines.\n- Two.\n\n"
        "These always hold:\n\n- Three."
    )
    assert departures.departures(file) == expected
    page = "# Page\n\n<!-- departures: net -->\nold\n<!-- /departures: net -->\nend\n"
    cited = "To cite it:\n\n```bibtex\n@article{a, year = {2015}}\n```"
    new = f"# Page\n\n<!-- departures: net -->\n\n{expected}\n\n{cited}\n\n<!-- /departures: net -->\nend\n"
    assert departures.filled(page, {"net": file}) == departures.filled(new, {"net": file}) == new
    with pytest.raises(ValueError, match="departures of 'net': no such file of a model; there are other"):
        departures.filled(page, {"other": file})
    monkeypatch.setattr(departures, "PAPERS", {"other": "b"})
    with pytest.raises(ValueError, match=r"no paper of net\{stride\}s in models/citations\.py"):
        departures.filled(page, {"net": file})
    file.write_text('"""A net as published."""\n')
    with pytest.raises(ValueError, match="no list that begins with 'Departures from'; every model says where"):
        departures.departures(file)
