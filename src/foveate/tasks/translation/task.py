"""Translation: batches of token sequences, translations, and their scores.

Shapes: B pairs; S source and T target tokens, the end of each among them; V target tokens in the table.

A translation model offers, beside `forward` and `loss`, what a search needs:

    encode(source (B, S)) -> memory                            once a sentence
    begin(memory) -> state
    step(memory, state, tokens (B,)) -> logits (B, V), state, attention (B, S) or None
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.translation import TranslationMetrics, require_sacrebleu
from foveate.ops.padding import pad
from foveate.records import (
    Table,
    TranslationBatch,
    TranslationDataset,
    TranslationPrediction,
    TranslationPreprocessing,
)
from foveate.registry import task
from foveate.tasks.base import Runner, Sample, Task, Writer
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.inputs import TextInput
from foveate.tasks.translation.alignment import alignment_png
from foveate.tasks.translation.decoding import END_WORD, Source, translate
from foveate.tasks.translation.export import graphs, open_runner
from foveate.tasks.translation.inspection import TranslationFindings
from foveate.tasks.translation.options import TranslationOptions
from foveate.tasks.translation.page import TranslationPage
from foveate.tasks.translation.reply import TranslationReplies
from foveate.tasks.translation.report import report
from foveate.text import END, PAD, UNKNOWN, TextTable, mostly_unspaced, split_words
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

DIGITS = 4  # of an alignment's numbers in predictions.json
UNFAMILIAR = 0.5  # share of a sentence's letters that the source's table must not know, to say so


@task("translation")
class TranslationTask(TranslationReplies, Task):
    """A sentence in one language for a sentence in another."""

    name = "translation"
    title = "translation"
    hub_tag = "translation"
    monitor = "bleu"  # of translations that the model wrote alone
    own_score = "chrf"
    headline = ("bleu", "chrf")
    inputs = (TextInput("sentence"),)
    Options = TranslationOptions
    Preprocessing = TranslationPreprocessing
    sizes: ClassVar = {"source_vocabulary": "source", "target_vocabulary": "target"}
    batch_size = 64
    predict_size = 64
    endings = ("_alignment.png",)

    def __init__(self, tables: Mapping[str, Table], preprocessing: Any) -> None:
        super().__init__(tables, preprocessing)
        self.source: Any = self.tables["source"]
        self.target: Any = self.tables["target"]
        self._characters: tuple[Any, bool] | None = None  # of the set that was scored last

    # Training

    @classmethod
    def learn_tables(cls, train_set: TranslationDataset, recipe: Any) -> dict[str, Table]:
        """The tables of the source and of the target, as the recipe's `text` builds them."""
        require_sacrebleu()  # now, and not after the first epoch
        if recipe.text is None:
            raise ConfigError(f"recipe '{recipe.name}' does not say how sentences become tokens; give its field text")
        pairs = [train_set[index] for index in range(len(train_set))]
        tables = recipe.text.learn([pair["sentence"] for pair in pairs], [pair["reference"] for pair in pairs])
        return dict(tables)

    @classmethod
    def learn_preprocessing(cls, preprocessing: Any, train_set: Any, window: str) -> Any:
        """The languages, and the length of the longest source sentence."""
        source, target = train_set.languages
        longest = max(len(train_set[index]["sentence"]) for index in range(len(train_set)))
        return TranslationPreprocessing(source, target, longest)

    def training_set(self, dataset: TranslationDataset) -> TokenPairs:
        """The set as pairs of token sequences."""
        longest = [self.options.longest(table) for table in (self.source, self.target)]
        return TokenPairs(dataset, self.source, self.target, longest[0], longest[1])

    def lengths(self, training_set: TokenPairs) -> Sequence[int]:
        """Tokens of the longer side of each pair."""
        return training_set.lengths

    def remark(self, training_set: TokenPairs) -> str:
        """The pairs that are left out."""
        return training_set.remark

    def collate(self, samples: Sequence[Any]) -> TranslationBatch:
        """Samples of `TokenPairs` -> one batch; shorter sentences are filled up with <pad>."""
        source, target = (pad([sample[side] for sample in samples], PAD) for side in ("source", "target"))
        return {"source_tokens": source, "target_tokens": target, "names": [sample["name"] for sample in samples]}

    def require_data(self, dataset: TranslationDataset, model: str) -> None:
        """Raise ConfigError for text in other languages than the model's."""
        own = (self.preprocessing.source, self.preprocessing.target)
        if all(own) and all(dataset.languages) and tuple(dataset.languages) != own:
            source, target = dataset.languages
            raise ConfigError(
                f"{model} translates from {own[0]} to {own[1]}, but the data is from {source} to {target}; give text "
                f"in these languages, such as test.{own[0]} and test.{own[1]}"
            )

    def suit(self, sample: Any, model: str = "") -> tuple[Any, str]:
        """The sample as it is; and a note on a sentence that is too long for its translation to be whole."""
        text = sample["sentence"]
        # A token has one byte or more, but for a blank ahead and the end.
        if len(text.encode("utf-8", "replace")) + 2 <= self.options.longest_whole:
            return sample, ""
        return sample, self._bound(Source.read(text, self.source), self.options)

    # Answering

    def require(self, options: TranslationOptions) -> None:
        """Raise ConfigError for more beams than the vocabulary has tokens."""
        options.require(self.target)

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: TranslationOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[TranslationPrediction]:
        """The translations of each sentence, best first, each word with its alignment."""
        if options.coverage_penalty and getattr(runner, "attention", "none") == "none":
            raise ConfigError("coverage_penalty needs a model with attention, and this one has none; leave it at 0")
        sources = [Source.read(sample["sentence"], self.source) for sample in samples]
        found = translate(runner, sources, self.target, options)
        return [
            TranslationPrediction(
                own,
                sample["sentence"],
                (*source.words, END_WORD),
                sample["name"],
                self._note(sample["sentence"], source, options),
                options.alignments,
            )
            for own, sample, source in zip(found, samples, sources, strict=True)
        ]

    @staticmethod
    def _bound(source: Source, options: TranslationOptions) -> str:
        """A remark on a sentence whose translation is bounded; '' for none."""
        if len(source.ids) <= options.longest_whole:
            return ""
        return (
            f"more than {options.longest_whole} tokens, whose translation ends after {options.most:,} at the latest; "
            "divide the text into sentences"
        )

    def _note(self, text: str, source: Source, options: TranslationOptions) -> str:
        """A remark on a sentence as an input of this model; '' for none."""
        if not source.tokens:
            return "an empty sentence, whose translation is empty"
        notes = []
        longest = self.preprocessing.longest if self.preprocessing is not None else 0
        if 0 < longest < len(text):
            notes.append(f"{counted(len(text), 'character')}, longer than any sentence of the training ({longest})")
        if bound := self._bound(source, options):
            notes.append(bound)
        unfamiliar = _unfamiliar(text, source, self.source)
        if unfamiliar > UNFAMILIAR:
            language = f", {self.preprocessing.source}" if self.preprocessing and self.preprocessing.source else ""
            notes.append(
                f"{unfamiliar:.0%} of its words are of letters, or are words, that the training text hardly had; give "
                f"a sentence in the source language{language}"
            )
        return "; ".join(notes)

    # Scoring

    def metrics(self, dataset: TranslationDataset, whole: bool = True) -> TranslationMetrics:
        """An empty counter of a set's scores. whole: TER, too."""
        if self._characters is None or self._characters[0] is not dataset:
            few = (dataset[index]["reference"] for index in range(min(len(dataset), 1000)))
            self._characters = (dataset, mostly_unspaced(word for text in few for word in split_words(text)))
        return TranslationMetrics(self.target.lower, self._characters[1], whole)

    def count(self, metrics: TranslationMetrics, index: int, sample: Any, prediction: TranslationPrediction) -> float:
        """Count the best translation of a sentence; returns its own chrF."""
        return metrics.update(prediction.text, sample["reference"], len(prediction.source_words) - 1)

    def outcome(self, sample: Any, prediction: TranslationPrediction) -> dict[str, Any]:
        """A sentence, its reference, and the model's best translation."""
        return {"sentence": sample["sentence"], "reference": sample["reference"], "predicted": prediction.text}

    # Keeping and showing

    def about(self) -> dict[str, Any]:
        """The languages, and the numbers of tokens."""
        languages = dataclasses.asdict(self.preprocessing) if self.preprocessing is not None else {}
        return {"languages": [languages.get("source", ""), languages.get("target", "")]} | {
            f"{side}_vocabulary": len(self.tables[side]) for side in ("source", "target")
        }

    def record(self, prediction: TranslationPrediction) -> dict[str, Any]:
        """The translation and its score, the alternatives, and each word with its probability and alignment."""
        best, *others = prediction.translations
        record: dict[str, Any] = {
            "translation": best.text,
            "score": round(best.score, 6),
            "alternatives": [{"translation": t.text, "score": round(t.score, 6)} for t in others],
            "source_words": list(prediction.source_words),
            "words": list(_words(prediction)),
        }
        return record | ({"note": prediction.note} if prediction.note else {})

    def files(self, prediction: TranslationPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The alignment matrix, if it was asked for; nothing of a model without attention, or an empty translation."""
        best = prediction.translations[0]
        if not prediction.drawn or best.attention is None or not best.words:
            return {}

        def write(path: Any) -> None:
            alignment_png(prediction).save(path, format="PNG")

        return {"alignment": ("_alignment.png", write)}

    def draw(self, prediction: TranslationPrediction, sample: Sample, **options: Any) -> Any:
        """The alignment matrix, whether or not it is written; None where there is none."""
        return super().draw(dataclasses.replace(prediction, drawn=True), sample, **options)

    def gallery(self, model: str) -> TranslationPage:
        """translations.html: every sentence with its translations and its alignment."""
        return TranslationPage(model)

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Scores by length, and examples with their alignments."""
        return report(evaluation)

    def preview(self, samples: Sequence[Any], training_set: Any) -> None:
        """None: text is not augmented; `foveate datasets inspect` shows what was read."""

    @classmethod
    def inspection(cls, path: str, recognised: str) -> TranslationFindings:
        """Words of each side, and pairs that may be none."""
        return TranslationFindings(path, recognised)

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """The best translation of each sentence, a line each; with alternatives each with its score below."""
        for _, record in records:
            yield record["translation"]
            for other in record["alternatives"]:
                yield f"  {other['score']:7.3f}  {other['translation']}"

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """Two graphs: the encoder, and one step of the decoder."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """The encoder's file and its step beside it, with the model's interface."""
        return open_runner(self, file)


def _unfamiliar(text: str, source: Source, table: TextTable) -> float:
    """The share of a sentence's words that the training text hardly had.

    A word counts if it has an unknown token; of byte pairs, if it has a letter that no token spells whole.
    """
    unfamiliar = 0
    for word, ids in zip(source.words, source.tokens, strict=True):
        if table.kind == "bpe":
            pieces = "".join(table.names[i] for i in ids)
            letters = sum(not character.isascii() for character in word)
            whole = sum(bool(table.decode([i]).strip()) and "\ufffd" not in table.decode([i]) for i in ids)
            unfamiliar += bool(letters) and bool(pieces) and whole == 0
        else:
            unfamiliar += UNKNOWN in ids
    return unfamiliar / max(len(source.words), 1)


def _words(prediction: TranslationPrediction) -> Iterator[dict[str, Any]]:
    """Each word with its probability and alignment (m,), and whether it was copied."""
    best = prediction.translations[0]
    for i, word in enumerate(best.words):
        record: dict[str, Any] = {"word": word, "probability": round(float(best.probabilities[i]), 6)}
        if best.attention is not None:
            record["attention"] = [round(float(a), DIGITS) for a in best.attention[i]]
        yield record | ({"copied": True} if i in best.copied else {})


class TokenPairs:
    """A set of pairs as token sequences, each closed by its end.

    longest_source, longest_target: pairs with a longer side are left out. lengths: tokens of the longer side of each
    pair, so that similar ones can be batched. `remark` says how many pairs are left out. Raises DataError if no pair is
    left.
    """

    def __init__(
        self,
        dataset: TranslationDataset,
        source: TextTable,
        target: TextTable,
        longest_source: int,
        longest_target: int,
    ) -> None:
        self.dataset = dataset
        self.pairs: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        long = unknown = 0
        for index in range(len(dataset)):
            sample = dataset[index]
            sides = [source.encode(sample["sentence"]), target.encode(sample["reference"])]
            if not all(set(ids) - {UNKNOWN} for ids in sides):
                unknown += 1
            elif len(sides[0]) >= longest_source or len(sides[1]) >= longest_target:
                long += 1
            else:
                self.pairs.append((index, *(torch.tensor([*ids, END]) for ids in sides)))  # type: ignore[arg-type]
        if not self.pairs:
            raise DataError(
                f"of {counted(len(dataset), 'pair')} none can be trained on: {unknown} have a side without known word, "
                f"{long} one of {min(longest_source, longest_target)} tokens or more; set --options.max_length higher"
            )
        self.lengths = [max(len(ids), len(other)) for _, ids, other in self.pairs]
        limits = " or ".join(map(str, sorted({longest_source, longest_target})))
        remarks = [f"{counted(long, 'pair')} with a side of more than {limits} tokens left out"] if long else []
        remarks += [f"{counted(unknown, 'pair')} with a side without a known word left out"] if unknown else []
        self.remark = "; ".join(remarks)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, pair: int) -> dict[str, Any]:
        index, source, target = self.pairs[pair]
        return {"source": source, "target": target, "name": self.dataset.name(index)}
