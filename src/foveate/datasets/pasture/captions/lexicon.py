"""The words of the captions: nouns, verbs, colours, light and weather, and their agreement."""

from __future__ import annotations

from typing import NamedTuple

from foveate.datasets.pasture.captions.view import View
from foveate.datasets.pasture.palette import FLOWERS
from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, GRASS, PERSON, ROAD, SKY, TREE, WATER, Land, Thing


class Verb(NamedTuple):
    """A verb in its forms for one thing and for several, and the word after it, as 'down' or 'grass'."""

    ing: str
    one: str
    many: str
    tail: str = ""


STAND = Verb("standing", "stands", "stand")
DRINK = Verb("drinking", "drinks", "drink")
WALK = Verb("walking", "walks", "walk")
FLY = Verb("flying", "flies", "fly")
VERBS: dict[tuple[int, str], tuple[Verb, ...]] = {
    (COW, "grazing"): (
        Verb("grazing", "grazes", "graze"),
        Verb("grazing", "grazes", "graze"),
        Verb("eating", "eats", "eat", "grass"),
    ),
    (COW, "standing"): (STAND,),
    (COW, "walking"): (WALK,),
    (COW, "resting"): (Verb("resting", "rests", "rest"), Verb("lying", "lies", "lie", "down")),
    (PERSON, "standing"): (STAND,),
    (PERSON, "walking"): (WALK,),
    (PERSON, "running"): (Verb("running", "runs", "run"),),
    (PERSON, "throwing"): (Verb("pointing", "points", "point"),),  # nothing is near the stretched arm
    (PERSON, "cheering"): (Verb("cheering", "cheers", "cheer"), Verb("waving", "waves", "wave")),
    (PERSON, "sitting"): (Verb("sitting", "sits", "sit"),),
    (BIRD, "flying"): (FLY,),
    (BIRD, "soaring"): (Verb("gliding", "glides", "glide"), FLY),
    (BIRD, "standing"): (STAND,),
    (BIRD, "swimming"): (Verb("swimming", "swims", "swim"),),
    (FRISBEE, "flying"): (FLY,),
    (FRISBEE, "caught"): (FLY,),
    (FRISBEE, "lying"): (Verb("lying", "lies", "lie"),),
}
GROWTH = (STAND, Verb("growing", "grows", "grow"))
# A person's verb for a frisbee that flies in front, and its largest distance in heights of the person.
PLAY: dict[str, tuple[Verb, float]] = {
    "throwing": (Verb("throwing", "throws", "throw"), 1.1),
    "cheering": (Verb("reaching", "reaches", "reach", "for"), 0.8),
    "running": (Verb("chasing", "chases", "chase"), 1.1),
    "standing": (Verb("watching", "watches", "watch"), 1.1),
    "sitting": (Verb("watching", "watches", "watch"), 1.1),
}
PLURAL = {
    "cow": "cows", "person": "people", "bird": "birds", "frisbee": "frisbees", "tree": "trees", "bush": "bushes",
}  # fmt: skip
# Every word that can name a thing, and the things that it can name.
THING_WORDS = {
    "cow": "cow", "cows": "cow", "cattle": "cow", "person": "person", "people": "person", "bird": "bird",
    "birds": "bird", "frisbee": "frisbee", "frisbees": "frisbee", "disc": "frisbee", "tree": "tree", "trees": "tree",
    "bush": "bush", "bushes": "bush", "shrub": "bush",
}  # fmt: skip
CLOTHES = {"dress": ("dress",), "shorts": ("shirt", "shorts"), "trousers": ("shirt",), "hat": ("shirt", "hat")}
GRASS_WORDS = ("grass", "field", "meadow", "pasture")
WOOD_WORDS = ("woods", "forest")
SKY_WORDS = ("sky", "clouds", "stars")
COLORS = {"dark green": "dark green", "sky blue": "light blue"}  # others have the palette's names
FLOWER_COLORS = ("yellow", "white", "red", "purple")  # of palette.FLOWERS, one by one
# Phrases for the light: (words, True if the sky must be visible, least and most clouds).
LIGHTS: dict[str, tuple[tuple[str, bool, float, float], ...]] = {
    "noon": (
        ("on a sunny day", False, 0.0, 1.0),
        ("on a bright day", False, 0.0, 1.0),
        ("under a blue sky", True, 0.0, 0.4),
    ),
    "overcast": (
        ("on a cloudy day", False, 0.0, 1.0),
        ("under a cloudy sky", True, 0.0, 1.0),
        ("under a grey sky", True, 0.0, 1.0),
    ),
    "golden": (("in the evening", False, 0.0, 1.0), ("in the evening sun", False, 0.0, 1.0)),
    "dusk": (("at dusk", False, 0.0, 1.0), ("at sunset", True, 0.0, 1.0)),
    "night": (
        ("at night", False, 0.0, 1.0),
        ("in the dark", False, 0.0, 1.0),
        ("under the stars", True, 0.0, 0.15),
    ),
    "mist": (("in the mist", False, 0.0, 1.0), ("on a misty day", False, 0.0, 1.0)),
    "storm": (("on a stormy day", False, 0.0, 1.0), ("under dark clouds", True, 0.75, 1.0)),
}
_SPOTS = 0.35
ROADS = {
    "asphalt": ("", ("road",)),
    "wet": ("wet", ("road",)),
    "gravel": ("gravel", ("road", "path")),
    "dirt": ("dirt", ("road", "path")),
    "clay": ("dirt", ("road", "path")),
}


def color_word(thing: Thing) -> str:
    """The word or words for a thing's main colour; '' if it has none."""
    if spotted(thing) and thing.color in ("black", "white"):
        return "black and white"
    return "" if thing.kind == "bare" else COLORS.get(thing.color, thing.color)


def spotted(thing: Thing) -> bool:
    """True for a cow with large patches, by the number of its pose that covers the coat (see `figures`)."""
    return thing.category == COW and thing.kind == "patched" and thing.pose[8] > _SPOTS


def water_words(land: Land) -> tuple[str, ...]:
    """Nouns for its water, the most general first."""
    if land.shore is not None:
        return ("water", "sea")
    return ("water", "lake", "pond") if land.lakes else ("water", "river")


def road_words(land: Land) -> tuple[str, tuple[str, ...]]:
    """(adjective or '', nouns) that fit every road of the land."""
    roads = [ROADS[b.kind] for b in land.bands if b.category == ROAD]
    adjectives = {adjective for adjective, _ in roads}
    nouns = ("road", "path") if all("path" in names for _, names in roads) else ("road",)
    return (adjectives.pop() if len(adjectives) == 1 else ""), nouns


def article(word: str) -> str:
    """'a' or 'an', by the first letter of the next word."""
    return "an" if word[0] in "aeiou" else "a"


def flowers(land: Land) -> str:
    """The colour of the meadow's flowers; '' if it has none."""
    return "" if land.flowers is None else FLOWER_COLORS[FLOWERS.index(land.flowers)]


def nouns(view: View) -> dict[str, tuple[int, ...]]:
    """Every noun that can name something in a view -> the masks of all things that it could mean."""
    named: dict[str, list[int]] = {}

    def add(word: str, mask: int) -> None:
        named.setdefault(word, []).append(mask)

    for seen in view.things:
        for word, noun in THING_WORDS.items():
            if noun == seen.noun:
                add(word, seen.mask)
        for word in _special(seen.thing):
            add(word, seen.mask)
    stuff = {SKY: SKY_WORDS, GRASS: GRASS_WORDS, WATER: water_words(view.scene.land), TREE: (*WOOD_WORDS, "trees")}
    stuff[ROAD] = road_words(view.scene.land)[1]
    if flowers(view.scene.land):
        stuff[GRASS] = (*GRASS_WORDS, "flowers")
    for category, (mask, _) in view.stuff.items():
        for word in stuff[category]:
            add(word, mask)
    return {word: tuple(masks) for word, masks in named.items()}


def _special(thing: Thing) -> tuple[str, ...]:
    """Nouns that name only some of a category."""
    if thing.category == TREE:
        return ("pine",) if thing.kind == "conifer" else ()
    if thing.category != PERSON:
        return ()
    extra = ("woman",) if thing.kind == "dress" else ()
    return (*CLOTHES[thing.kind], *extra, *(("runner",) if thing.action == "running" else ()))
