"""Predictions as jobs: a body is read and decoded in one thread, answered and encoded in the other."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from foveate.errors import DataError, FoveateError, counted
from foveate.predictor import Predictor
from foveate.server.bodies import Asked, Chosen, choose, read_request
from foveate.server.metrics import Metrics
from foveate.server.problem import Problem, problem_of
from foveate.server.work import MAX_DECODED, AbandonedError, Item, Job
from foveate.tasks.replies import SVG, Media

log = logging.getLogger("foveate.server")
JSON = "application/json"


class Answer(NamedTuple):
    """A body that is ready to be sent."""

    body: bytes
    kind: str
    note: str = ""


@dataclass(eq=False)
class _Input:
    """One input on its way. samples: as it was opened, and as the model takes it."""

    name: str
    given: Mapping[str, Any]
    sample: Any = None
    prepared: Any = None
    error: FoveateError | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "run": 0.0, "encode": 0.0})


class PredictJob(Job):
    """A request to a model.

    model: the name that it is served under. body, content_type, query, accept: of the request. hugging_face: the
    request and the answer have Hugging Face's form.
    """

    def __init__(
        self,
        model: str,
        predictor: Predictor,
        body: bytes,
        content_type: str,
        query: bytes,
        accept: str,
        metrics: Metrics,
        max_pixels: int,
        hugging_face: bool = False,
    ) -> None:
        self.model, self.predictor, self.family = model, predictor, predictor.family
        self._raw: tuple[bytes, str, bytes] | None = (body, content_type, query)
        self.accept, self.metrics, self.max_pixels, self.hugging_face = accept, metrics, max_pixels, hugging_face
        self.asked, self.chosen = Asked(), Chosen(None, None)
        self.answers: list[Any] = []
        self.notes: list[str] = []

    def items(self) -> Iterator[Item]:
        """The inputs: small ones that a family answers together, others one by one."""
        assert self._raw is not None
        body, content_type, query = self._raw
        self._raw = None
        self.asked = read_request(body, content_type, query, self.family, self.hugging_face)
        del body
        if self.asked.several and self.hugging_face:
            raise Problem("bad-json", "several inputs came; this address takes one at a time")
        self.chosen = choose(self.asked.options, self.family)
        if not self.family.inputs:
            yield Item(0, lambda: [])
            return
        inputs = [_Input(name, given) for name, given in self.asked.inputs]
        self.asked.inputs = []
        for group in _groups(inputs, self.family.predict_size):
            sizes = [self._weigh(one) for one in group]
            yield Item(sum(sizes), functools.partial(self._load, group))

    def _weigh(self, one: _Input) -> int:
        """Bytes of an input once it is decoded, by its header."""
        try:
            inputs = self.family.inputs
            size = sum(kind.weigh(one.given[kind.name], one.name, self.max_pixels) for kind in inputs)
            if size > MAX_DECODED:
                raise DataError(
                    f"{one.name or f'the {self.family.noun()}'}: {size / 1e6:,.0f} MB once it is decoded; at most "
                    f"{MAX_DECODED / 1e6:,.0f} are taken: send a smaller one"
                )
            return size
        except FoveateError as error:
            self._fail(one, error)
            return 0

    def _fail(self, one: _Input, error: FoveateError) -> None:
        """Note an error of one of several inputs; of a single one it is the answer."""
        if not self.asked.several:
            raise error
        one.error = error

    def _load(self, group: list[_Input]) -> list[_Input]:
        for one in group:
            if one.error is not None:
                continue
            begin = time.perf_counter()
            try:
                given = dict(one.given) if len(one.given) > 1 else next(iter(one.given.values()))
                one.sample = self.predictor.sample(given, one.name, self.max_pixels)
                self.family.require_served(one.sample, self.chosen.options)
                one.prepared = self.family.prepare(one.sample)
            except FoveateError as error:
                self._fail(one, error)
            one.given = {}
            one.seconds["decode"] = time.perf_counter() - begin
        return group

    def run(self, loaded: list[_Input]) -> None:
        """Answer some inputs, and encode the answers."""
        if not self.family.inputs:
            self._generate()
            return
        for one, prediction in zip(loaded, self._answer(loaded), strict=True):
            begin = time.perf_counter()
            try:
                if one.error is not None:
                    raise one.error
                reply = self._reply(one, prediction)
            except FoveateError as error:
                self._fail(one, error)
                problem = problem_of(error).to_json("")
                del problem["request_id"]  # that of the whole answer
                reply = {"name": one.name, "problem": problem}
            one.seconds["encode"] += time.perf_counter() - begin
            if one.sample is not None:
                for kind in self.family.inputs:
                    kind.close(one.sample[kind.name])
            self._add(reply, one.seconds, one.error is None)

    def _answer(self, inputs: Sequence[_Input]) -> list[Any]:
        """The predictions of some inputs, None for one that failed."""
        good = [one for one in inputs if one.error is None]
        if not good:
            return [None] * len(inputs)
        begin = time.perf_counter()
        try:
            found = self.predictor.answer([one.prepared for one in good], self.chosen.options, self._progress)
        except FoveateError as error:
            if len(good) > 1:  # which of them it was
                return [self._answer([one])[0] for one in inputs]
            self._fail(good[0], error)
            found = [None]
        for one in good:
            one.seconds["run"] = (time.perf_counter() - begin) / len(good)
            one.prepared = None
        predictions = iter(found)
        return [None if one not in good else next(predictions) for one in inputs]

    def _progress(self, share: float) -> None:
        self.require_alive()

    def _reply(self, one: _Input, prediction: Any) -> Any:
        """The reply to an input."""
        if hasattr(prediction, "attach"):
            prediction.attach(self.family, self.predictor.runner, one.sample, self.chosen.options)
        note = self.predictor.note(one.sample)
        if self.hugging_face:
            return encoded(self._foreign(prediction))
        reply = dict(self.family.reply(prediction, one.sample, self.chosen.parts))
        if note:
            reply["note"] = "; ".join(filter(None, (reply.get("note", ""), note)))
        found: dict[str, Any] = {"model": self.model, "name": one.name}
        first = one.sample[self.family.inputs[0].name]
        if hasattr(first, "height") and hasattr(first, "width"):
            found |= {"height": int(first.height), "width": int(first.width)}
        found |= reply
        if (media := self._alone(reply)) is not None:
            return media, str(reply.get("note", ""))
        return encoded(found)

    def _foreign(self, prediction: Any) -> Any:
        found = self.family.hugging_face(prediction, self.chosen.parts)
        if found is None:
            raise Problem(
                "not-found",
                f"Hugging Face's interface has no form for {self.family.title}; ask /v1/models/{self.model}/predict",
            )
        return found

    def _generate(self) -> None:
        begin = time.perf_counter()
        made = self.predictor.generate(self.chosen.count, self.chosen.seed, self.chosen.options, self._progress)
        middle = time.perf_counter()
        if self.hugging_face:
            found: Any = encoded(self._foreign(made.predictions[0]))
        else:
            reply = dict(self.family.reply_to_all(made.predictions, self.chosen.parts))
            media = self._alone(reply)
            found = (media, "") if media is not None else encoded({"model": self.model, "name": "", **reply})
        seconds = {"decode": 0.0, "run": middle - begin, "encode": time.perf_counter() - middle}
        self._add(found, seconds, True)

    def _add(self, reply: Any, seconds: dict[str, float], good: bool) -> None:
        spent = time.monotonic() - self.submitted
        seconds["wait"] = max(0.0, spent - sum(seconds.values()))
        if good:
            self.metrics.count_input(self.model, seconds)
            if isinstance(reply, dict) and not self.hugging_face:
                reply["seconds"] = {stage: round(value, 6) for stage, value in seconds.items()}
        self.answers.append(reply)

    def _alone(self, reply: Mapping[str, Any]) -> Media | None:
        """The file in a reply that the client prefers to JSON; None for JSON. Raises Problem if it accepts neither."""
        if self.asked.several:
            return None
        files = [one for value in reply.values() for one in (value if isinstance(value, list) else [value])]
        media = [one for one in files if isinstance(one, Media)]
        kinds = [JSON, *dict.fromkeys(one.kind for one in media)]
        kind = preferred(self.accept, kinds)
        if kind is None:
            raise Problem("not-acceptable", f"the client accepts {self.accept[:100]}; there is {', '.join(kinds)}")
        if kind == JSON:
            return None
        found = [one for one in media if one.kind == kind]
        if len(found) > 1:
            raise Problem(
                "not-acceptable", f"{counted(len(found), 'file')} of {kind} make up this answer; accept {JSON}"
            )
        return found[0]

    def finish(self) -> Answer:
        """The answer to the request."""
        if not self.asked.several:
            (found,) = self.answers
            if isinstance(found, tuple):
                media, note = found
                return Answer(media.data, media.kind, note)
            return Answer(_dumped(found), JSON)
        return Answer(_dumped({"model": self.model, "results": self.answers}), JSON)


def _groups(inputs: list[_Input], size: int) -> Iterator[list[_Input]]:
    remaining = iter(inputs)
    while group := list(itertools.islice(remaining, size)):
        yield group


def preferred(accept: str, kinds: Sequence[str]) -> str | None:
    """The media type of `kinds` that an Accept header likes best, of equals the first; None if it likes none."""
    if not accept.strip():
        return kinds[0]
    best = (0.0, -1)
    chosen = None
    for kind in kinds:
        closeness, weight = max(_fit(part, kind) for part in accept.split(","))  # the closest entry counts
        if weight > 0 and (weight, closeness) > best:
            best, chosen = (weight, closeness), kind
    return chosen


def _fit(part: str, kind: str) -> tuple[int, float]:
    """The closeness with which an entry of an Accept header names a media type, -1 for not at all; and its weight."""
    pattern, *rest = (one.strip() for one in part.lower().split(";"))
    weight = 1.0
    for one in rest:
        if one.startswith("q="):
            try:
                weight = float(one[2:])
            except ValueError:
                weight = 0.0
    exact = {kind: 2, f"{kind.partition('/')[0]}/*": 1, "*/*": 0}
    return (exact[pattern], weight) if pattern in exact else (-1, 0.0)


def encoded(value: Any) -> Any:
    """A reply as JSON takes it: files as base64, SVG as text, numbers that are none as null."""
    if isinstance(value, Media):
        return value.data.decode() if value.kind == SVG else base64.b64encode(value.data).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): encoded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [encoded(one) for one in value]
    if isinstance(value, np.ndarray):
        return encoded(value.tolist())
    if isinstance(value, np.generic):
        return encoded(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def warm_up(predictor: Predictor, is_over: Callable[[], bool]) -> None:
    """Let a model answer a small made-up input, so that the first request finds it ready.

    A model that refuses the input in words is ready, too. Raises what else goes wrong.
    """
    family = predictor.family

    def progress(share: float) -> None:
        if is_over():
            raise AbandonedError

    try:
        if not family.inputs:
            predictor.generate(1, 0, None, progress)
            return
        given = {one.name: one.example(predictor.preprocessing) for one in family.inputs}
        if any(value is None for value in given.values()):
            return
        sample = predictor.sample(given if len(given) > 1 else next(iter(given.values())), "warm-up")
        predictor.answer([family.prepare(sample)], family.options, progress)
    except FoveateError as error:
        log.info("%s was not tried: %s", predictor.path, error)
