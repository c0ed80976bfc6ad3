"""Models on the Hugging Face hub: a model folder with a card. No file that can run code is put there or taken."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from foveate.cli.inputs import predict_line
from foveate.disk import put_in_place, unfinished_folder
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, ModelError, OutputError, counted
from foveate.models.citations import bibtex
from foveate.predictor import example_options, find_model_folder, peek_family
from foveate.remote import quiet_hub
from foveate.store import load_model
from foveate.version import __version__

MODEL_FILES = ("config.json", "model.safetensors")
CARD, SCORES, REPORT = "README.md", "evaluation.json", "report.html"
PATIENCE = 10  # seconds for the first answer
INSTALL = "https://foveate.readthedocs.io"
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# A path from the root, or --flag=path.
_ABSOLUTE = re.compile(r"(--[\w.-]+=|)(?:[A-Za-z]:)?[/\\](?:.*[/\\])?([^/\\]+)[/\\]?", re.DOTALL)


def require_name(repo: str) -> None:
    """Raise ConfigError for a name that is none of the hub's."""
    if not _NAME.fullmatch(repo):
        raise ConfigError(f"'{repo}' names no repository; give NAMESPACE/NAME, as in your-name/cows")


def push(path: Path, repo: str, private: bool = False, report: bool = False) -> str:
    """Put a run's best model, its scores and a card on the hub; returns the address.

    report: report.html, too, which embeds images of the data. Raises ModelError, and OutputError for what the hub
    refuses.
    """
    folder = find_model_folder(path)
    load_model(folder)  # what cannot be loaded here helps nobody there
    card = model_card(path, repo)
    scores = path / SCORES
    if report and not (path / REPORT).is_file():
        raise ConfigError(f"{path} has no {REPORT}; write it with foveate evaluate {path}")
    with _hub(repo) as api:
        from huggingface_hub import CommitOperationAdd

        api.create_repo(repo, private=private, exist_ok=True)
        files: list[tuple[str, Any]] = [(name, folder / name) for name in MODEL_FILES]
        files += [(CARD, card.encode())]
        files += [(SCORES, scores)] if scores.is_file() else []
        files += [(REPORT, path / REPORT)] if report else []
        operations = [CommitOperationAdd(name, data) for name, data in files]
        api.create_commit(repo, operations, commit_message=f"Model of Foveate {__version__}")
        return f"{api.endpoint}/{repo}"


def pull(repo: str, folder: Path, revision: str | None = None) -> str:
    """Get a model into a new folder, and load it once; returns a line about it.

    Raises OutputError for a folder that is not empty, and for what the hub refuses, ModelError for a repository without
    a model of Foveate. Nothing is left behind then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists already and is not empty; choose another --out")
    unfinished = unfinished_folder(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with _hub(repo) as api:
            there = api.list_repo_files(repo, revision=revision)
            if missing := [name for name in MODEL_FILES if name not in there]:
                raise ModelError(
                    f"{repo} holds no {' and no '.join(missing)}, so it is no model of Foveate; foveate "
                    "push puts one there"
                )
            for name in (*MODEL_FILES, CARD, SCORES):
                if name in there:
                    api.hf_hub_download(repo, name, revision=revision, local_dir=unfinished)
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)
        loaded = load_model(unfinished)
        put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return f"{loaded.name}, {loaded.task}"


@contextlib.contextmanager
def _hub(repo: str) -> Iterator[Any]:
    """The hub's client. Its complaints, and a network that is not there, become one line."""
    from huggingface_hub import HfApi, get_session
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="foveate", library_version=__version__)
    network: tuple[type[Exception], ...] = (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError)
    network += _transport_errors()
    try:
        with quiet_hub():
            get_session().head(api.endpoint, timeout=PATIENCE)  # the client itself would try for half a minute
            yield api
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        remedy = {
            401: "log in with `hf auth login`, or set HF_TOKEN; check the name",
            403: "your token does not allow this: create one with write access",
            404: "check the name, and log in if the repository is private",
        }.get(status, "try again later")
        raise OutputError(f"{repo}: the hub answers {status or 'with an error'}; {remedy}") from error
    except network as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise OutputError(
            f"{repo}: {api.endpoint} cannot be reached ({reason}); check the network, or copy the model folder yourself"
        ) from error


def _transport_errors() -> tuple[type[Exception], ...]:
    """Errors that the client lets through where the network fails: those of its HTTP library."""
    found: list[type[Exception]] = []
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(name).HTTPError)
    return tuple(found)


def model_card(path: Path, repo: str) -> str:
    """README.md of a model: what it is, what it was trained on and reached, how to use it, what to cite."""
    config = json.loads((find_model_folder(path) / "config.json").read_text(encoding="utf-8"))
    family, name = peek_family(path), str(config["model"])
    run = RunFolder(path)
    known = run.recipe_file.is_file()
    scores = run.read_json(SCORES) if (path / SCORES).is_file() else {}
    head: dict[str, Any] = {"library_name": "foveate"} | ({"pipeline_tag": family.hub_tag} if family.hub_tag else {})
    head["tags"] = ["foveate", name, family.title.replace(" ", "-")]
    lines = [
        f"# {repo.partition('/')[2]}",
        "",
        f"A model for {family.title}, `{name}`, trained with Foveate {__version__}.",
    ]
    if known:
        data, environment = run.read_json("data.json"), run.read_json("environment.json")
        recipe = run.read_json("recipe.json")
        lines += ["", "## Training", "", f"- Data: {_without_paths(data['source'])}"]
        lines += [f"- Recipe: `{recipe['name']}`, {counted(recipe['epochs'], 'epoch')}, seed {recipe['seed']}"]
        lines += [f"- Command: `{_command(environment['command'])}`"]
        if environment.get("commit"):
            lines += [f"- Commit of Foveate: {environment['commit'][:12]}"]
    if scores:
        rows = [(k, scores[k]) for k in family.headline if isinstance(scores.get(k), int | float)]
        lines += ["", "## Scores", "", f"On {scores['samples']} {family.noun(2)} of the split {scores['split']}:", ""]
        lines += ["| Score | Value |", "| --- | --- |", *(f"| {k} | {v:.4f} |" for k, v in rows)]
        if known and scores["split"] == "val":
            lines += ["", "The model was chosen on this split, so the scores are slightly optimistic."]
    tables = {k: t["names"] for k, t in (config.get("tables") or {}).items() if "names" in t}
    if classes := tables.get("classes"):
        lines += ["", "## Classes", "", ", ".join(classes)]
    predict = predict_line(repo.partition("/")[2], family, example_options(path), "predictions")
    lines += ["", "## Use", "", f"With [Foveate]({INSTALL}) installed:", ""]
    lines += [f"```sh\nfoveate pull {repo}\n{predict}\n```"]
    if entry := bibtex(name):
        lines += ["", "## Paper", "", f"```bibtex\n{entry}\n```"]
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n" + "\n".join(lines) + "\n"


def _command(line: str) -> str:
    """A command without the folders of the machine that it was given on, in names with blanks, too."""
    if "\\" in line and "'" not in line:  # of Windows, by a version that did not quote
        return _without_paths(line)
    try:
        words = shlex.split(line)
    except ValueError:  # of a version that did not quote
        return _without_paths(line)
    return shlex.join(m[1] + m[2] if (m := _ABSOLUTE.fullmatch(word)) else word for word in words)


def _without_paths(text: str) -> str:
    """A line without the folders of the machine that it was written on: '/home/me/cows' becomes 'cows'."""
    return re.sub(r"(?<![\w.])(?:[A-Za-z]:)?[/\\][^\s,;()'\"]*[/\\]([^\s,;()'\"/\\]+)", r"\1", text)
