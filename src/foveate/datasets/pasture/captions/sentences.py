"""Captions of a view: complete sentences in several forms, made of phrases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from foveate.datasets.pasture.captions import lexicon
from foveate.datasets.pasture.captions.phrases import Phrases, Place, Subject, Words, of, plain, with_article
from foveate.datasets.pasture.captions.view import Seen, View
from foveate.datasets.pasture.dice import Dice
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, GRASS, PERSON, ROAD, SKY, TREE, WATER
from foveate.records import Caption

_INTEREST = {PERSON: 1.6, COW: 1.5, BIRD: 0.7, FRISBEE: 0.45, TREE: 0.5}
_AGAIN = 0.65  # factor of the interest for each earlier caption about the same thing
_LIGHT = 0.17
_LONG = 13  # words; a second clause after as many is kept short
_PLACED = {*lexicon.GROWTH, lexicon.FLY}  # verbs that need a place
_ORDER = {"ground": 0, "air": 0, "beside": 1, "relation": 2, "position": 3}
_EXCLUDES = {"relation": "position", "position": "relation"}  # "next to a tree on the left" would be ambiguous


def captions_of(view: View, count: int) -> tuple[Caption, ...]:
    """`count` captions of a view, a function of the scene's seed."""
    mentioned: Counter[int] = Counter()
    captions = []
    for number in range(count):
        words = _Sentence(view, Dice(*view.scene.seed, number + 1), mentioned).words()
        captions.append(Caption(" ".join(word for word, _ in words), tuple(masks for _, masks in words)))
    return tuple(captions)


class _Sentence:
    """Generates one caption. mentioned: mask -> number of captions with it as subject; this one is added."""

    def __init__(self, view: View, dice: Dice, mentioned: Counter[int]) -> None:
        self.view, self.dice, self.mentioned = view, dice, mentioned
        self.phrases = Phrases(view, dice)

    def words(self) -> Words:
        """The finished sentence."""
        forms: tuple[tuple[Callable[[], Words], float], ...] = (
            (self._fragment, 0.2), (self._is, 0.17), (self._present, 0.12), (self._there, 0.12), (self._two, 0.16),
            (self._fronted, 0.06), (self._list, 0.07), (self._scene, 0.1),
        )  # fmt: skip
        clear = any(seen.clear for seen in self.view.things)
        make = forms[self.dice.weighted([weight for _, weight in forms])][0] if clear else self._scene
        words = make()
        (first, about), (last, last_about) = words[0], words[-1]
        words[0] = first[0].upper() + first[1:], about
        words[-1] = (last if len(words) > 1 else words[0][0]) + ".", last_about
        return words

    # Forms of a sentence

    def _fragment(self) -> Words:
        subject = self._subject()
        words = subject.words + self._predicate(subject, "ing")
        return self._ended(words + self._where(subject, least=0 if subject.action else 1), subject)

    def _is(self) -> Words:
        subject = self._subject()
        return self._ended(self._clause(subject, "is"), subject)

    def _present(self) -> Words:
        subject = self._subject()
        return self._ended(self._clause(subject, "present"), subject)

    def _there(self) -> Words:
        subject = self._subject()
        words = plain("there are" if subject.plural else "there is") + subject.words
        if subject.bound or self.dice.chance(0.5):
            words += self._predicate(subject, "ing")
        return self._ended(words + self._where(subject, least=1), subject)

    def _two(self) -> Words:
        """'A cow is grazing while two birds fly in the sky.'"""
        form = "is" if self.dice.chance(0.6) else "present"
        words = self._clause(self._subject(), form, most=1)
        if self._left():
            words += plain("while" if self.dice.chance(0.4) else "and")
            words += self._clause(self._subject(), form, most=int(len(words) < _LONG))
        return words

    def _fronted(self) -> Words:
        """'At dusk, a cow is grazing.'"""
        light = self._light(1.0)
        words = self._clause(self._subject(), "is" if self.dice.chance(0.6) else "present")
        return _comma(light) + words if light else words

    def _list(self) -> Words:
        """'A cow, a tree and two birds in the evening.'"""
        subjects = [self._subject()]
        while self._left() and len(subjects) < self.dice.integer(2, 3):
            subjects.append(self._subject())
        if len(subjects) == 1 or any(s.bound for s in subjects):
            first = subjects[0]
            return self._ended(first.words + self._predicate(first, "ing") + self._where(first, least=1), first)
        words = _listed([subject.words for subject in subjects])
        return words + (self._shared(subjects) or self._light(0.7))

    def _scene(self) -> Words:
        """'A dirt road runs through a green meadow with a cow on the left.'"""
        heads = [head for head in (self._road(), self._water(), self._meadow(), self._woods()) if head is not None]
        if not heads:
            return self._fragment() if self._left() else self._light(1.0) or plain("a view of the ground")
        head = heads[self.dice.weighted([head.weight for head in heads])]
        self.phrases.stuff.update(head.stuff)
        words = head.words
        if self._left() and self.dice.chance(0.85):
            subject = self._subject()
            if subject.bound:
                words += plain("with") + subject.words + self._predicate(subject, "ing")
            else:
                words += plain("with") + subject.words + (self._where(subject, most=1) if self._few(words) else [])
        return words + self._light(1.0 if len(words) < 5 else 0.45 if self._few(words) else 0.2)

    def _ended(self, words: Words, subject: Subject) -> Words:
        """Words with an end: the difference of two subjects, or the light."""
        if subject.detail and self.dice.chance(0.6 if subject.action else 0.85):
            return _comma(words) + subject.detail
        return words + self._light(_LIGHT if len(words) > 5 else 1.0 if len(words) < 4 else 0.5)

    # Parts

    def _left(self) -> list[Seen]:
        """Things that this caption has not named yet."""
        return [s for s in self.view.things if s.clear and s.noun not in self.phrases.nouns]

    def _subject(self) -> Subject:
        left = self._left()
        chosen = left[self.dice.weighted([self._salience(seen) for seen in left])]
        subject = self.phrases.subject(chosen)
        self.mentioned.update(subject.masks)
        return subject

    def _salience(self, seen: Seen) -> float:
        x, y = seen.center
        aside = abs(x - 0.5) + abs(y - 0.5 * self.view.scene.aspect)
        size = min(1.0, math.sqrt(seen.share / (0.05 if seen.thing.category in (TREE, COW, PERSON) else 0.003)))
        return (
            _INTEREST[seen.thing.category]
            * (0.1 + size)
            * (1.3 - min(aside, 1.0))
            * _AGAIN ** self.mentioned[seen.mask]
        )

    def _clause(self, subject: Subject, form: str, most: int = 2) -> Words:
        """A whole clause; about a subject without an action, its place."""
        if subject.action is None:
            be, where = plain("are" if subject.plural else "is"), self._where(subject, 1, most)
            return subject.words + be + where if where else plain("there") + be + subject.words
        words = subject.words + self._predicate(subject, form)
        if subject.action.tail and most == 1:
            return words
        return words + self._where(subject, min(most, int(subject.action.verb in _PLACED)), most)

    def _predicate(self, subject: Subject, form: str) -> Words:
        if subject.action is None:
            return []
        verb, tail = subject.action
        be = plain("are" if subject.plural else "is") if form == "is" else []
        verb_form = verb.ing if form in ("is", "ing") else (verb.many if subject.plural else verb.one)
        return be + of(verb_form, subject.masks) + tail

    def _where(self, subject: Subject, least: int = 0, most: int = 2) -> Words:
        """Places of a subject, `least` to `most` if there are as many, in the order of a sentence."""
        count = min(max((0, 1, 1, 1, 2, 2)[self.dice.integer(0, 5)], least), most)
        places = self.phrases.places(subject)
        chosen: list[Place] = []
        while places and len(chosen) < count:
            place = places[self.dice.weighted([p.weight for p in places])]
            chosen.append(place)
            places = [p for p in places if p.kind not in (place.kind, _EXCLUDES.get(place.kind))]
            places = [p for p in places if not set(p.stuff) & set(place.stuff)]
        for place in chosen:
            self.phrases.nouns.update(place.nouns)
            self.phrases.stuff.update(place.stuff)
        return [w for place in sorted(chosen, key=lambda p: _ORDER[p.kind]) for w in place.words]

    def _shared(self, subjects: list[Subject]) -> Words:
        """The field that all subjects are in."""
        who = [seen for subject in subjects for seen in subject.who]
        if self.view.shows(GRASS) and all(s.surface == GRASS and not s.flies for s in who) and self.dice.chance(0.7):
            return plain("in") + with_article(self.phrases.thing_of(GRASS, self.dice.pick(("field", "meadow"))))
        return []

    def _light(self, probability: float) -> Words:
        if not self.dice.chance(probability) or SKY in self.phrases.stuff:
            return []
        light = self.view.scene.light
        fits = [
            text
            for text, sky, low, high in lexicon.LIGHTS[light.name]
            if not sky or (self.view.shows(SKY) and low <= light.clouds <= high)
        ]
        self.phrases.stuff.add(SKY)
        sky = set(lexicon.SKY_WORDS)
        return [(w, self.phrases.mask_of(SKY) if w in sky else ()) for w in self.dice.pick(fits).split()]

    @staticmethod
    def _few(words: Words) -> bool:
        return len(words) < 9

    # Scenes

    def _field(self) -> Words:
        return with_article(self.phrases.thing_of(GRASS, self.dice.pick(("field", "meadow"))))

    def _meadow(self) -> Place | None:
        if not self.view.shows(GRASS):
            return None
        words = self._field()
        bloom = lexicon.flowers(self.view.scene.land)
        if bloom and not self.phrases.dim and self.dice.chance(0.5):
            words += plain("of") + of(f"{bloom} flowers", self.phrases.mask_of(GRASS))
        return Place("scene", 0.5, words, stuff=(GRASS,))

    def _road(self) -> Place | None:
        roads = [band for band in self.view.scene.land.bands if band.category == ROAD]
        if len(roads) != 1 or not self.view.shows(ROAD) or not self.view.shows(GRASS):
            return None
        words = with_article(self.phrases.thing_of(ROAD))
        if roads[0].across:
            words += of("crosses", self.phrases.mask_of(ROAD))
        else:
            words += of(self.dice.pick(("runs", "leads")), self.phrases.mask_of(ROAD)) + plain("through")
        return Place("scene", 1.0, words + self._field(), stuff=(ROAD, GRASS))

    def _water(self) -> Place | None:
        land = self.view.scene.land
        if not self.view.shows(WATER) or not self.view.shows(GRASS) or len(land.lakes) > 1:
            return None
        water = self.phrases.mask_of(WATER)
        if land.shore is not None:
            words = plain("the") + of("sea", water) + plain("behind")
        elif land.lakes:
            words = plain("a") + of(self.dice.pick(("lake", "pond")), water) + plain("in")
        else:
            words = plain("a") + of("river", water) + of(self.dice.pick(("runs", "flows")), water) + plain("through")
        return Place("scene", 1.5, words + self._field(), stuff=(WATER, GRASS))

    def _woods(self) -> Place | None:
        if not self.view.shows(TREE) or not self.view.shows(GRASS):
            return None
        woods = of(self.dice.pick(lexicon.WOOD_WORDS), self.phrases.mask_of(TREE))
        return Place("scene", 0.6, self._field() + plain("in front of the") + woods, stuff=(GRASS, TREE))


def _comma(words: Words) -> Words:
    return [*words[:-1], (words[-1][0] + ",", words[-1][1])]


def _listed(parts: list[Words]) -> Words:
    """'a, b and c'."""
    words: Words = []
    for part in parts[:-2]:
        words += _comma(part)
    return words + (parts[-2] + plain("and") if len(parts) > 1 else []) + parts[-1]
