"""Phrases about the visible things: subject, action and place; each word with the masks that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from foveate.datasets.pasture.captions import lexicon
from foveate.datasets.pasture.captions.lexicon import CLOTHES, PLAY, PLURAL, VERBS, Verb, article, color_word
from foveate.datasets.pasture.captions.view import Seen, View, above, ahead, in_front_of, left_of, next_to
from foveate.datasets.pasture.dice import Dice
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, GRASS, PERSON, ROAD, SKY, TREE, WATER

Words = list[tuple[str, tuple[int, ...]]]

# Probability that a colour is mentioned, and its factor in dim light.
_COLOR = {TREE: 0.7, COW: 0.9, PERSON: 0.85, BIRD: 0.85, FRISBEE: 0.9}
_DIM = 0.6
# Sizes from which things are large, and up to which they are small, in square images.
_LARGE = {"cow": 0.57, "tree": 0.95, "bush": 0.5, "bird": 0.094}
_SMALL = {"cow": 0.43, "bush": 0.38, "bird": 0.06}
_NUMBERS = {2: ("two",) * 6 + ("a pair of", "a couple of"), 3: ("three",) * 4 + ("several",)}


class Action(NamedTuple):
    """An action: a verb, and the words after it, such as 'a red frisbee'."""

    verb: Verb
    tail: Words


class Subject(NamedTuple):
    """The subject of a clause.

    bound: True if the number is right only together with the action. detail: the difference of two, as 'one grazing and
    one resting'.
    """

    words: Words
    who: tuple[Seen, ...]
    action: Action | None
    bound: bool = False
    detail: Words = []  # noqa: RUF012  (never changed in place)

    @property
    def masks(self) -> tuple[int, ...]:
        """Masks of all things in it."""
        return tuple(seen.mask for seen in self.who)

    @property
    def plural(self) -> bool:
        """True if its verb is in the plural."""
        return len(self.who) > 1


class Place(NamedTuple):
    """A place of a subject. kind: 'ground', 'air', 'beside', 'relation' or 'position'; a clause has one of a kind."""

    kind: str
    weight: float
    words: Words
    nouns: tuple[str, ...] = ()
    stuff: tuple[int, ...] = ()


def plain(text: str) -> Words:
    """Words that are about no mask."""
    return [(word, ()) for word in text.split()]


def of(text: str, masks: Sequence[int]) -> Words:
    """Words that are all about the same masks; 'and' between them is about none."""
    return [(word, () if word == "and" else tuple(masks)) for word in text.split()]


def with_article(words: Words) -> Words:
    """The words with 'a' or 'an' before them."""
    return [(article(words[0][0]), ()), *words]


class Phrases:
    """Generates phrases for one caption, and keeps the nouns in use, so that nothing is named twice."""

    def __init__(self, view: View, dice: Dice) -> None:
        self.view, self.dice = view, dice
        self.nouns: set[str] = set()
        self.stuff: set[int] = set()
        self.dim = view.scene.light.name in ("dusk", "night")
        self.unit = min(1.0, view.scene.aspect)

    # Subjects

    def one(self, seen: Seen, color: bool | None = None) -> Words:
        """'a large brown cow'. color: True mentions it; None leaves it to the dice."""
        thing, dice = seen.thing, self.dice
        share = _COLOR[thing.category] * (_DIM if self.dim else 1.0)
        colored = bool(color_word(thing)) and (dice.chance(share) if color is None else color)
        if thing.category == PERSON:
            return self._person(seen, colored)
        text = [self._size_word(seen)] if seen.distinct and dice.chance(0.3) else []
        if thing.kind == "bare":
            text.append("bare" if dice.chance(0.8) else "")
        elif colored:
            text.append(self._colors(seen))
        text.append(self._noun(seen))
        return with_article(of(" ".join(filter(None, text)), (seen.mask,)))

    def _person(self, seen: Seen, colored: bool) -> Words:
        thing, dice, masks = seen.thing, self.dice, (seen.mask,)
        noun = "person"
        if thing.kind == "dress" and dice.chance(0.6):
            noun = "woman"
        elif thing.action == "running" and seen.distinct and dice.chance(0.25):
            noun = "runner"
        words = with_article(of(noun, masks))
        if colored:
            clothes = CLOTHES[thing.kind]
            words += plain("in" if dice.chance(0.7) else "wearing")
            words += with_article(of(f"{color_word(thing)} {clothes[0]}", masks))
            if len(clothes) > 1 and seen.distinct and dice.chance(0.4):
                words += plain("and a" if clothes[1] == "hat" else "and") + of(clothes[1], masks)
        elif thing.kind == "hat" and seen.distinct and dice.chance(0.5):
            words += plain("with a" if dice.chance(0.5) else "in a") + of("hat", masks)
        return words

    def _size_word(self, seen: Seen) -> str:
        size = seen.thing.size / (self.unit if seen.noun in ("cow", "tree", "bush") else 1.0)
        if size >= _LARGE.get(seen.noun, 9.0):
            return "tall" if seen.noun == "tree" else ("large" if self.dice.chance(0.5) else "big")
        return "small" if size <= _SMALL.get(seen.noun, 0.0) else ""

    def _colors(self, seen: Seen) -> str:
        color = color_word(seen.thing)
        plain_to_see = lexicon.spotted(seen.thing) and " and " not in color
        return f"spotted {color}" if plain_to_see and self.dice.chance(0.3) else color

    def _noun(self, seen: Seen) -> str:
        if seen.thing.kind == "conifer" and self.dice.chance(0.4):
            return "pine"
        other = {"bush": "shrub", "frisbee": "disc"}.get(seen.noun, "")
        return other if other and self.dice.chance(0.15) else seen.noun

    def subject(self, seen: Seen) -> Subject:
        """A thing, or all things of its noun, which this caption does not name again."""
        self.nouns.add(seen.noun)
        mates = [s for s in self.view.alike(seen.noun) if s.clear]
        if len(mates) > 1 and self.dice.chance(0.55):
            return self._group(seen, mates)
        words = self.one(seen)
        return Subject(words, (seen,), self._action(seen))

    def _group(self, seen: Seen, mates: list[Seen]) -> Subject:
        """'two brown cows'. Of several with different actions, perhaps those with the same."""
        doing = [s for s in mates if s.distinct and s.action == seen.action]
        all_distinct = all(s.distinct for s in self.view.alike(seen.noun))
        bound = len(doing) < len(mates)
        if bound and (len(doing) < 2 or not all_distinct):
            doing, bound = mates, False
        who = doing if bound else mates
        exact = self.view.countable(seen.noun)
        masks = tuple(s.mask for s in who)
        number = self.dice.pick(_NUMBERS[len(who)]) if exact and len(who) in _NUMBERS else "some"
        noun = PLURAL[seen.noun]
        if seen.noun == "cow" and (number == "some" or self.dice.chance(0.12)):
            number, noun = "some", "cattle"
        words = plain(number)
        colors = {color_word(s.thing) for s in who}
        if seen.noun != "person" and len(colors) == 1 and "" not in colors and self.dice.chance(_COLOR[COW]):
            words += of(colors.pop(), masks)
        same = all(s.distinct and s.action == seen.action for s in who)
        if same and seen.action == "grazing":  # one may graze, and one drink
            same = len({(s.surface, s.head_in_picture) for s in who}) == 1
        action = self._verb(seen) if same and seen.thing.category != TREE else None
        if action is not None and len({s.thing.action for s in who}) > 1:
            action = Action(lexicon.FLY, [])
        detail = []
        if len(who) == 2:
            detail = self._difference(who) if action is None else self._two_colors(*who)
        return Subject(words + of(noun, masks), tuple(who), action, bound, detail)

    def _difference(self, who: list[Seen]) -> Words:
        """'one grazing and one resting', or 'one brown and one white'."""
        one, other = who
        if one.thing.category == TREE or not (one.distinct and other.distinct):
            return self._two_colors(one, other)
        if one.action == other.action or self.dice.chance(0.3):
            return self._two_colors(one, other)
        second = "and the other" if self.dice.chance(0.4) else "and one"
        verbs = [action.verb.ing for action in map(self._verb, who) if action is not None and not action.tail]
        if len(set(verbs)) < 2:
            return []
        halves = [of(verb, (s.mask,)) for verb, s in zip(verbs, who, strict=True)]
        return [*plain("one"), *halves[0], *plain(second), *halves[1]]

    def _two_colors(self, one: Seen, other: Seen) -> Words:
        colors = [color_word(s.thing) for s in (one, other)]
        if "" in colors or colors[0] == colors[1]:
            return []
        way = "one in" if one.noun == "person" else "one"
        first = plain(way) + of(colors[0], (one.mask,))
        return first + plain(f"and {way}") + of(colors[1], (other.mask,))

    def _action(self, seen: Seen) -> Action | None:
        if not seen.distinct:
            return None
        if seen.noun == "person" and seen.thing.action in PLAY and "frisbee" not in self.nouns:
            verb, reach = PLAY[seen.thing.action]
            discs = [s for s in self.view.alike("frisbee") if s.clear and ahead(seen, s, reach)]
            if discs and self.dice.chance(0.85):
                self.nouns.add("frisbee")
                return Action(verb, (plain(verb.tail) if verb.tail else []) + self.one(discs[0]))
        return self._verb(seen)

    def _verb(self, seen: Seen) -> Action | None:
        if seen.thing.category == TREE:
            return Action(self.dice.pick(lexicon.GROWTH), []) if self.dice.chance(0.5) else None
        if seen.thing.action == "grazing" and not (seen.head_in_picture and seen.surface == GRASS):
            drinks = seen.head_in_picture and seen.surface == WATER
            return Action(lexicon.DRINK if drinks else lexicon.STAND, [])
        verb = self.dice.pick(VERBS[seen.thing.category, seen.thing.action])
        if verb.tail != "grass":
            return Action(verb, plain(verb.tail))
        self.stuff.add(GRASS)
        return Action(verb, of("grass", self.mask_of(GRASS)))

    # Places

    def mask_of(self, category: int) -> tuple[int, ...]:
        """The mask of a stuff."""
        return (self.view.stuff[category][0],) if category in self.view.stuff else ()

    def thing_of(self, category: int, noun: str = "") -> Words:
        """A stuff with its adjective, or none: 'green meadow', 'dirt path', 'river'."""
        dice, land = self.dice, self.view.scene.land
        adjective = ""
        if category == GRASS:
            noun = noun or dice.pick(("field", "field", "meadow", "grass"))
            adjective = self.view.grass_word() if dice.chance(0.35) else ""
        elif category == ROAD:
            kind, nouns = lexicon.road_words(land)
            noun = noun or (nouns[0] if dice.chance(0.7) else nouns[-1])
            adjective = kind if dice.chance(0.4) else ""
        elif category == WATER:
            nouns = lexicon.water_words(land)
            noun = noun or dice.pick(nouns)
        return of(f"{adjective} {noun}".strip(), self.mask_of(category))

    def places(self, subject: Subject) -> list[Place]:
        """Every place of a subject that can be mentioned."""
        found = [*self._grounds(subject), *self._beside(subject), *self._positions(subject)]
        if not subject.plural:
            found += self._relations(subject.who[0])
        return found

    def _grounds(self, subject: Subject) -> Iterator[Place]:
        surfaces = {seen.surface for seen in subject.who}
        flying = {seen.flies for seen in subject.who}
        surface = next(iter(surfaces))
        if len(surfaces) > 1 or len(flying) > 1 or surface is None or surface in self.stuff:
            return
        if not self.view.shows(surface):
            return
        if flying == {True}:
            if surface == SKY:
                yield Place("air", 2.0, plain("in the") + of("sky", self.mask_of(SKY)), stuff=(SKY,))
            elif surface != TREE:
                way = self.dice.pick(("over the", "above the"))
                yield Place("air", 2.0, plain(way) + self.thing_of(surface), stuff=(surface,))
            return
        yield from self._on(subject, surface)

    def _on(self, subject: Subject, surface: int) -> Iterator[Place]:
        dice, verb = self.dice, subject.action.verb.ing if subject.action else ""
        category = subject.who[0].thing.category
        if surface == GRASS:
            noun = dice.pick(("grass", "grass", "field", "meadow", "pasture" if category == COW else "field"))
            noun = "field" if category == TREE and noun == "grass" else noun
            thing = self.thing_of(GRASS, noun)
            if noun == "grass":
                words = plain("on the") + thing
            else:
                words = plain("in") + (plain("the") + thing if dice.chance(0.4) else with_article(thing))
            yield Place("ground", 1.0, words, stuff=(GRASS,))
        elif surface == ROAD:
            way = "along" if verb in ("walking", "running") and dice.chance(0.6) else "on"
            thing = self.thing_of(ROAD)
            words = plain(way) + (plain("the") + thing if dice.chance(0.6) else with_article(thing))
            yield Place("ground", 2.6, words, stuff=(ROAD,))
        elif surface == WATER and category != TREE:
            way = "on the" if category == FRISBEE or (category == BIRD and dice.chance(0.6)) else "in the"
            yield Place("ground", 2.6, plain(way) + self.thing_of(WATER), stuff=(WATER,))

    def _beside(self, subject: Subject) -> Iterator[Place]:
        sea = self.view.scene.land.shore is not None
        for category in (ROAD, WATER):
            if category in self.stuff or not self.view.shows(category):
                continue
            if all(category in seen.beside for seen in subject.who):
                way = self.dice.pick(("next to the", "by the", "near the"))
                yield Place("beside", 2.0, plain(way) + self.thing_of(category), stuff=(category,))
            elif category == WATER and sea and all(seen.surface == GRASS and not seen.flies for seen in subject.who):
                yield Place("beside", 1.0, plain("by the") + self.thing_of(WATER, "sea"), stuff=(WATER,))

    def _positions(self, subject: Subject) -> Iterator[Place]:
        across = [seen.center[0] for seen in subject.who]
        if max(across) < 0.34:
            yield Place("position", 0.7, plain("on the left"))
        elif min(across) > 0.66:
            yield Place("position", 0.7, plain("on the right"))
        elif not subject.plural and 0.44 < across[0] < 0.56:
            yield Place("position", 0.4, plain("in the middle"))
        standing = [s for s in self.view.things if s.clear and not s.flies and s.thing.category != FRISBEE]
        others = [s.thing.depth for s in standing if s not in subject.who]
        if any(s not in standing for s in subject.who) or not others:
            return
        depths = [s.thing.depth for s in subject.who]
        if max(depths) < 0.3 and max(others) > max(depths) + 0.3:
            yield Place("position", 0.5, plain("in the background"))
        elif min(depths) > 0.7 and min(others) < min(depths) - 0.3:
            yield Place("position", 0.5, plain("in the foreground"))

    def _relations(self, seen: Seen) -> Iterator[Place]:
        dice = self.dice
        for other in self.view.things:
            if other is seen or not other.clear or (other.noun in self.nouns and other.noun != seen.noun):
                continue
            if above(seen, other):
                way, exact = dice.pick(("above", "over")), True
            elif in_front_of(seen, other):
                way, exact = "in front of", True
            elif in_front_of(other, seen):
                way, exact = "behind", True
            elif next_to(seen, other):
                way, exact = dice.pick(("next to", "next to", "beside", "near")), False
            elif left_of(seen, other):
                way, exact = "to the left of", True
            elif left_of(other, seen):
                way, exact = "to the right of", True
            else:
                continue
            words = self._other(seen, other, exact)
            if words:
                weight = 0.5 if way.startswith("to the") else 1.6
                if other.share < seen.share / 8:  # 'a cow behind a bird' is rare
                    weight *= 0.15
                yield Place("relation", weight, plain(way) + words, (other.noun,))

    def _other(self, seen: Seen, other: Seen, exact: bool) -> Words:
        """The second thing of a relation; [] if it must be identified and several are alike."""
        alike = [s for s in self.view.alike(other.noun) if s is not other]
        if other.noun == seen.noun:
            return [] if exact and len(alike) > 1 else plain("another") + of(other.noun, (other.mask,))
        if not exact or not alike:
            return self.one(other)
        color = color_word(other.thing)
        return self.one(other, color=True) if color and color not in [color_word(s.thing) for s in alike] else []
