"""Model folders come back as they were, or say what is wrong with them; nothing that is read can run code."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import foveate
from foveate.errors import FoveateError, ModelError
from foveate.records import ClassTable, Preprocessing
from foveate.registry import create_model
from foveate.store import load_model, read_checkpoint, read_tensors, save_model

CLASSES = ClassTable(("cow", "grass", "sky"), ignore_index=17)


def small_model() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = create_model(
        "fcn16s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1, skip_channels=4
    )
    model.preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))  # type: ignore[assignment]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", small_model(), "fcn16s", {"classes": CLASSES}, "semantic")
    return tmp_path / "model"


UNSAFE = (
    "torch.load",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "joblib.load",
    "marshal.loads",
    "eval",
    "exec",
)


class Evil:
    """Unpickling this would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_model_comes_back_as_it_was(folder: Path) -> None:
    loaded, original = load_model(folder), small_model()
    assert (loaded.name, loaded.task, loaded.tables) == ("fcn16s", "semantic", {"classes": CLASSES})
    assert loaded.preprocessing == loaded.model.preprocessing == original.preprocessing
    assert loaded.model.config == original.config
    assert loaded.config["skip_channels"] == 4
    expected = original.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.model.state_dict().items())
    picture = torch.randn(1, 3, 40, 50)
    with torch.inference_mode():
        assert torch.equal(loaded.model.eval()(picture).logits, original.eval()(picture).logits)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_loaded_model_asks_for_no_weights_from_elsewhere(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["config"]["pretrained"] is False


def test_saving_again_replaces_all(folder: Path) -> None:
    other = small_model()
    with torch.no_grad():
        other.get_parameter("score.bias").fill_(5)
    save_model(folder, other, "fcn16s", {"classes": ClassTable(("a", "b", "c"))}, "semantic")
    loaded = load_model(folder)
    assert loaded.tables["classes"].names == ("a", "b", "c")
    assert (loaded.model.get_parameter("score.bias") == 5).all()


@pytest.mark.parametrize("name", ["optimizer.pt", "model.bin", "weights.PKL", "last.ckpt"])
def test_a_pickle_in_the_folder_is_refused_unread(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(ModelError, match=rf"model holds a pickle \({name}\), which can run code when read: refused"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"model is not a model folder: {missing} is missing"):
        load_model(folder)


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda about: {k: v for k, v in about.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"format": 99}, "has format 99; this version reads 2: update foveate"),
        (without("format"), "is damaged"),
        (without("tables"), "is damaged"),
        (lambda about: [about], "is damaged"),
        (lambda about: about | {"config": 5}, "is damaged"),
        (lambda about: about | {"tables": {"classes": {"names": ["a", "a"]}}}, "is damaged .*class names must differ"),
        (lambda about: about | {"tables": {"classes": {"names": ["a"], "colors": [["x", 0, 0]]}}}, "is damaged"),
        (lambda about: about | {"tables": [CLASSES.to_json()]}, "is damaged"),
        (lambda about: about | {"model": "fcn17s"}, "can be built: unknown model 'fcn17s'; the nearest is 'fcn1"),
        (lambda about: about | {"config": about["config"] | {"strides": 8}}, "unknown field of fcn16s 'strides'"),
        (
            lambda about: about | {"config": about["config"] | {"head_kernel": 2}},
            "can be built: .* head_kernel 2 odd",
        ),
    ],
)
def test_a_damaged_description_is_named(folder: Path, change: Callable[[Any], Any], message: str) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ModelError, match=rf"config\.json .*{message}"):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"null"])
def test_a_description_that_is_no_json_is_named(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json is damaged"):
        load_model(folder)


def test_damaged_weights_are_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for broken in (b"", whole[:4], whole[: len(whole) // 2], b"\xff" * 100):
        file.write_bytes(broken)
        with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
            load_model(folder)


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # within the last tensor
    file.write_bytes(content)
    with pytest.raises(
        ModelError, match=r"model\.safetensors is damaged \(its tensors are not those that were saved\)"
    ):
        load_model(folder)


def test_weights_without_a_checksum_are_read(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors")
    assert load_model(folder).model.state_dict().keys() == tensors.keys()


def test_loading_is_strict(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for changed in (
        {k: v for k, v in tensors.items() if k != "fc6.bias"},
        tensors | {"fc8.bias": torch.zeros(3)},
        tensors | {"fc6.bias": torch.zeros(3)},
    ):
        save_file(changed, file)
        with pytest.raises(ModelError, match=r"model\.safetensors does not fit its config\.json: .*fc[68]\.bias"):
            load_model(folder)


# Foreign files


@pytest.mark.parametrize("wrap", [None, "state_dict", "model_state_dict", "model"])
def test_tensors_are_read_from_any_usual_wrapping(tmp_path: Path, wrap: str | None) -> None:
    tensors = {"a.weight": torch.arange(3.0), "b": torch.ones(2, 2)}
    content = {**tensors, "epoch": 3} if wrap is None else {wrap: tensors, "epoch": 3}
    torch.save(content, tmp_path / "a.pth")
    found = read_tensors(tmp_path / "a.pth")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], v) for k, v in tensors.items())
    save_file(tensors, tmp_path / "a.safetensors")
    assert read_tensors(tmp_path / "a.safetensors").keys() == tensors.keys()


def test_code_in_a_weight_file_is_refused_and_not_run(tmp_path: Path) -> None:
    for read in (read_tensors, read_checkpoint):
        torch.save({"state_dict": {"a": torch.zeros(1)}, "more": Evil(tmp_path / "ran")}, tmp_path / "a.pth")
        with pytest.raises(ModelError, match=r"a\.pth is damaged, or holds more than tensors and is refused"):
            read(tmp_path / "a.pth")  # type: ignore[operator]
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 50, b"\x80\x02K\x01.", bytes(range(256)) * 9]
)
def test_files_that_are_no_weights_are_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"a\{suffix} (is damaged|holds)"):
        read_tensors(file)


def test_other_contents_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weight file at .*gone\.pth"):
        read_tensors(tmp_path / "gone.pth")
    for content in ({"epoch": 3}, [torch.zeros(1)], torch.zeros(2)):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ModelError, match=r"a\.pth holds no named tensors; expected a state dict"):
            read_tensors(tmp_path / "a.pth")
    with pytest.raises(ModelError, match="holds Tensor, not a checkpoint"):
        read_checkpoint(tmp_path / "a.pth")


def test_files_are_unpickled_in_one_place_as_tensors_only() -> None:
    """`torch.load` stands once in the source, with weights_only=True, and nothing else that can run what it reads."""
    found = []
    for path in Path(foveate.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            words = ast.unparse(node.func)
            unsafe = (
                "torch.load",
                "pickle.load",
                "pickle.loads",
                "joblib.load",
                "eval",
                "exec",
                "torch.jit.load",
                "marshal.loads",
            )
            if words in unsafe or words.endswith(("load_from_checkpoint", "torch_load", "hub.load")):
                found.append((path.name, words, {k.arg: ast.unparse(k.value) for k in node.keywords}))
            assert "allow_pickle" not in {k.arg for k in node.keywords}, path
    assert [(name, words) for name, words, _ in found] == [("store.py", "torch.load")]
    assert found[0][2]["weights_only"] == "True"
    for path in Path(foveate.__file__).parent.rglob("*.py"):
        assert "from torch import load" not in path.read_text(encoding="utf-8"), path


def test_errors_are_foveates_own(tmp_path: Path) -> None:
    with pytest.raises(FoveateError):
        foveate.load(tmp_path)


def test_a_table_of_another_length_is_told_apart(folder: Path) -> None:
    file = folder / "config.json"
    about = json.loads(file.read_text())
    about["config"]["num_classes"] += 1
    file.write_text(json.dumps(about))
    with pytest.raises(
        ModelError, match=r"config\.json has 3 entries in its table 'classes' for a model with num_classes = 4; take"
    ):
        load_model(folder)


def test_a_run_without_a_finished_epoch_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").touch()
    with pytest.raises(ModelError, match=r"run folder .*run has no last/ yet; train it for at least one epoch first"):
        load_model(tmp_path / "run" / "last")
    with pytest.raises(ModelError, match="gone does not exist; give a run folder or a model folder"):
        load_model(tmp_path / "gone")
