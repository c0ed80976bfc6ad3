"""Scenes of the Pasture data set with questions about them, balanced so that the words alone do not give answers away.

Seven kinds: exists, count (0 to 3), colour, which (what flies, what has a colour), where (thirds of the image),
relation (of two things), attribute (what a thing does). Every answer is true of the visible content (see
`captions.view`), and asked only where that is plain to see.

**Balance.** Questions come in pairs: the same words about two scenes with different answers (as Goyal et al., "Making
the V in VQA Matter", 2017, collected them). An answer that depends on the words alone is right in at most one of the
two, so at most half of the time in each kind, whatever it has learned. A question waits until a later scene gives its
pair; the questions of a smaller set are all in a larger one.

Candidates are sampled from the seed (world, split, scene, STREAM); scenes and captions are as without questions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch

from foveate.datasets.pasture.captions.lexicon import PLURAL, color_word
from foveate.datasets.pasture.captions.view import Seen, View, view_of
from foveate.datasets.pasture.dataset import PastureDataset
from foveate.datasets.pasture.dice import Dice
from foveate.datasets.pasture.draw import render
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, PERSON, TREE
from foveate.deferred import tv_tensors
from foveate.pictures.shared import SharedTensors
from foveate.records import QuestionSample

KINDS = ("exists", "count", "colour", "which", "where", "relation", "attribute")
STREAM = 1 << 16  # of the dice of questions; captions have 1 to 100
EACH = 2  # candidates of a kind in a scene
NOUNS = ("tree", "bush", "cow", "person", "bird", "frisbee")
ACTIONS = {
    COW: {"grazing": "grazing", "standing": "standing", "walking": "walking", "resting": "lying down"},
    PERSON: {"standing": "standing", "walking": "walking", "running": "running", "sitting": "sitting"},
    BIRD: {"flying": "flying", "standing": "standing", "swimming": "swimming"},
    FRISBEE: {"flying": "flying", "lying": "lying on the ground"},
}
# Colours that are asked for; others, as olive and cream, are called differently by different people.
COLOURS = frozenset({
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "black and white",
})  # fmt: skip
MIN_SHARE = 1 / 500  # of the image: smaller things are not asked about, 7 x 7 pixels of 160 x 160
DIM = ("night", "dusk")  # lights in which colours are not asked for
MARGIN = 0.05  # of the image, from the border of two thirds
APART = 0.2  # of the image, between two things of which one is said to be left of or above the other
_SHOWN = 300  # scenes of train by which answers are counted


@dataclass(frozen=True)
class Candidate:
    """A question about a scene. masks: indices of the things that it is about, in the scene's view."""

    scene: int
    kind: str
    question: str
    answer: str
    masks: tuple[int, ...]


class PastureQuestionsDataset:
    """Questions about scenes, in the order of the scenes: a QuestionDataset.

    Questions about one scene have one image, the same object, while any of them is held. The scene drawn last is kept.

    All scenes are drawn once when the set is opened, since answers depend on what is visible.

    first: take this number of scenes alone; 0: all.
    """

    channels = 3

    def __init__(self, scenes: PastureDataset, first: int = 0) -> None:
        self.scenes = scenes
        self._last: tuple[int, tv_tensors.Image, View] | None = None
        self._images = SharedTensors()
        found = paired(self._candidates(range(min(first or len(scenes), len(scenes)))))
        self.asked = sorted(found, key=lambda one: one.scene)

    def _candidates(self, scenes: Sequence[int]) -> Iterator[Candidate]:
        for index in scenes:
            _, view = self._drawn(index)
            yield from candidates(index, view)

    def __len__(self) -> int:
        return len(self.asked)

    def __getitem__(self, index: int) -> QuestionSample:
        one = self.asked[index]
        image, view = self._drawn(one.scene)
        mask = view.masks[list(one.masks)].any(0)
        return QuestionSample(
            image=image,
            question=one.question,
            answers=(one.answer,),
            question_kind=one.kind,
            asked=tv_tensors.Mask(torch.from_numpy(mask)),
            name=self.name(index),
        )

    def name(self, index: int) -> str:
        """'pasture/train/000123', of the scene."""
        return self.scenes.name(self.asked[index].scene)

    def question(self, index: int) -> str:
        """A question, without drawing its scene."""
        return self.asked[index].question

    def answers(self, index: int) -> tuple[str, ...]:
        """Its answer, without drawing its scene."""
        return (self.asked[index].answer,)

    def question_kind(self, index: int) -> str:
        """One of KINDS, without drawing its scene."""
        return self.asked[index].kind

    def training(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Questions and answers of the first scenes of train."""
        train = PastureDataset(self.scenes.source, "train")
        few = PastureQuestionsDataset(train, _SHOWN).asked if len(train) else []
        return ((one.question, (one.answer,)) for one in few)

    def _drawn(self, index: int) -> tuple[tv_tensors.Image, View]:
        if self._last is None or self._last[0] != index:
            scene, source = self.scenes.scene(index), self.scenes.source
            image, ids = render(scene, source.height, source.width)
            shared = self._images.setdefault(index, tv_tensors.Image(torch.from_numpy(image.copy())))
            self._last = index, shared, view_of(scene, ids)
        return self._last[1:]


def paired(found: Iterator[Candidate]) -> Iterator[Candidate]:
    """Pairs of candidates with the same question and different answers, in the order in which they are complete.

    Of several answers that wait for a pair, the one that waits most often is taken.
    """
    waiting: dict[str, dict[str, deque[Candidate]]] = {}
    for one in found:
        queues = waiting.setdefault(one.question, {})
        others = [answer for answer, queue in queues.items() if answer != one.answer and queue]
        if others:
            yield queues[min(others, key=lambda answer: (-len(queues[answer]), answer))].popleft()
            yield one
        else:
            queues.setdefault(one.answer, deque()).append(one)


def candidates(scene: int, view: View) -> Iterator[Candidate]:
    """Up to EACH questions of each kind about a view, a function of the scene's seed."""
    dice = Dice(*view.scene.seed, STREAM)
    for kind, find in _FINDERS.items():
        possible = sorted(set(find(view)))
        for _ in range(min(EACH, len(possible))):
            # The answer first, so that rare ones are asked for as often as frequent ones.
            answer = dice.pick(sorted({answer for _, answer, _ in possible}))
            question, answer, masks = dice.pick([one for one in possible if one[1] == answer])
            possible = [one for one in possible if one[0] != question]
            yield Candidate(scene, kind, question, answer, masks)
            if not possible:
                break


_Found = Iterator[tuple[str, str, tuple[int, ...]]]  # (question, answer, masks)


def _masks(things: Sequence[Seen]) -> tuple[int, ...]:
    return tuple(seen.mask for seen in things)


def _plain(seen: Seen) -> bool:
    """True for a thing that is plain to see."""
    return seen.clear and seen.share >= MIN_SHARE


def _colour_of(seen: Seen) -> str:
    """The word for a thing's colour; '' if it is not asked for."""
    word = color_word(seen.thing)
    return word if word in COLOURS else ""


def _is_between(seen: Seen) -> bool:
    """True for a thing of a colour that some people call by the name of another one."""
    return bool(color_word(seen.thing)) and not _colour_of(seen)


def _absent(view: View, noun: str) -> bool:
    """True if nothing of a noun can be seen, not even the corner of one, nor woods for trees."""
    kinds = ("tree", "bush") if noun in ("tree", "bush") else (noun,)
    return not any(seen.noun in kinds for seen in view.things) and not (noun == "tree" and TREE in view.stuff)


def _singles(view: View) -> Iterator[Seen]:
    """Things that are the only ones of their noun, and plain to see."""
    for noun in NOUNS:
        alike = [seen for seen in view.things if seen.noun == noun]
        if len(alike) == 1 and _plain(alike[0]):
            yield alike[0]


def _exists(view: View) -> _Found:
    for noun in NOUNS:
        alike = [seen for seen in view.things if seen.noun == noun]
        if any(map(_plain, alike)):
            alike = list(filter(_plain, alike))
            yield f"is there a {noun}", "yes", _masks(alike)
        elif _absent(view, noun):
            yield f"is there a {noun}", "no", ()


def _count(view: View) -> _Found:
    for noun in NOUNS:
        alike = [seen for seen in view.things if seen.noun == noun]
        if len(alike) <= 3 and all(map(_plain, alike)) and (alike or _absent(view, noun)):
            yield f"how many {PLURAL[noun]} are there", str(len(alike)), _masks(alike)


def _colour(view: View) -> _Found:
    if view.scene.light.name in DIM:
        return
    for seen in _singles(view):
        color = _colour_of(seen)
        if color and seen.distinct:
            worn = seen.noun == "person"
            yield "what colour does the person wear" if worn else f"what colour is the {seen.noun}", color, (seen.mask,)


def _which(view: View) -> _Found:
    flying = [seen for seen in view.things if seen.flies]
    if flying and len({seen.noun for seen in flying}) == 1 and all(map(_plain, flying)):
        yield "what is flying", flying[0].noun, _masks(flying)
    if view.scene.light.name in DIM or any(seen.clear and _is_between(seen) for seen in view.things):
        return
    for color in sorted({_colour_of(seen) for seen in view.things} - {""}):
        own = [seen for seen in view.things if color in color_word(seen.thing)]
        plain = all(_plain(seen) and seen.distinct for seen in own)
        if plain and len({seen.noun for seen in own}) == 1 and own[0].noun != "person":
            yield f"what is {color}", own[0].noun, _masks(own)


def _where(view: View) -> _Found:
    for seen in _singles(view):
        x, y = seen.center[0], seen.center[1] / view.scene.aspect
        for value, words in ((x, ("left", "right")), (y, ("top", "bottom"))):
            question = f"is the {seen.noun} at the {words[0]}, in the middle or at the {words[1]}"
            if all(abs(value - border) >= MARGIN for border in (1 / 3, 2 / 3)):
                yield question, (words[0], "middle", words[1])[min(int(3 * value), 2)], (seen.mask,)


def _relation(view: View) -> _Found:
    for a, b in permutations(_singles(view), 2):
        for axis, words in ((0, ("left of", "right of")), (1, ("above", "below"))):
            ahead = b.center[axis] - a.center[axis]
            if abs(ahead) >= APART:
                for sign, word in zip((1, -1), words, strict=True):
                    answer = "yes" if ahead * sign > 0 else "no"
                    yield f"is the {a.noun} {word} the {b.noun}", answer, (a.mask, b.mask)


def _attribute(view: View) -> _Found:
    for seen in _singles(view):
        known = ACTIONS.get(seen.thing.category, {})
        if seen.distinct and seen.action in known:
            for action, words in known.items():
                yield f"is the {seen.noun} {words}", "yes" if action == seen.action else "no", (seen.mask,)


_FINDERS = {
    "exists": _exists, "count": _count, "colour": _colour, "which": _which, "where": _where, "relation": _relation,
    "attribute": _attribute,
}  # fmt: skip
