"""Figures of a cow, a person, a bird, a frisbee and a tree, made of limbs.

Angles are in degrees, 0 ahead (right) and 90 down. `p` is the thing's pose: uniform numbers in 0..1, each spent on one
angle or proportion, so that the same pose always gives the same figure.
"""

from __future__ import annotations

import numpy as np

from foveate.datasets.pasture.scene import BIRD, COW, FRISBEE, PERSON, TREE, Thing
from foveate.datasets.pasture.shapes import Body, Paint, step

# Least radius of a leg, neck or wing, in image widths: two pixels across at 128.
_THIN = 0.0085


def figure(thing: Thing) -> np.ndarray:
    """(P, 24) float32: the parts of a thing, in image widths, far parts first."""
    body = Body(thing, _THIN)
    _BUILDERS[thing.category](body, thing)
    return body.placed(fit=thing.category in (BIRD, FRISBEE))


def _mix(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _cow(body: Body, cow: Thing) -> None:
    p, (main, patch, face) = cow.pose, cow.colors
    coat = Paint(main, patch, cow.pose[8] * 0.6 if cow.kind == "patched" else -1.0, "blotch", 0.7, 14.0, 0.24)
    hide = coat._replace(cover=-1.0) if p[11] < 0.6 else coat
    horn, nose, udder = Paint((216, 200, 168)), Paint((206, 160, 148)), Paint((224, 166, 158))
    half = _mix(0.24, 0.34, p[0])  # a shorter body is one seen at an angle
    lying = cow.action == "resting"
    hip = 0.24 if lying else 0.56
    front, rear = (half, -hip - 0.02), (-half, -hip)
    near_legs, far_legs = (half + 0.03, -half - 0.02), (half - 0.09, -half + 0.1)
    for i, x in enumerate(far_legs if not lying else ()):
        _leg(body, (x, -hip + 0.1), _mix(-10, 10, p[3 + i]), hide.darker(0.72), cow.action == "walking")
    tail = step((-half - 0.19, -hip - 0.1), _mix(85, 125, p[5]), 0.3)
    body.limb((-half - 0.16, -hip - 0.12), tail, 0.03, 0.022, hide.darker(0.85))
    body.ball(tail, 0.045, 0.035, hide.darker(0.5), 90)
    if not lying and p[6] < 0.6:
        body.ball((-half + 0.07, -hip + 0.2), 0.09, 0.075, udder)
    body.limb(rear, front, 0.215, 0.225, coat)
    body.ball((0.0, -hip + 0.06), half + 0.1, 0.2, coat)
    body.ball((half + 0.02, -hip - 0.02), 0.2, 0.22, coat)
    for i, x in enumerate(near_legs if not lying else ()):
        _leg(body, (x, -hip + 0.06), _mix(-10, 10, p[1 + i]), hide, cow.action == "walking")
    if lying:
        body.limb((half - 0.05, -0.09), (half + 0.22, -0.06), 0.07, 0.05, hide)
        body.limb((-half - 0.02, -0.1), (-half + 0.22, -0.06), 0.09, 0.055, hide)
    _cow_head(body, cow, front, Paint(face, shade=0.24), coat, horn, nose)


def _leg(body: Body, hip: tuple[float, float], swing: float, paint: Paint, walking: bool) -> None:
    swing *= 2.2 if walking else 0.7
    knee = step(hip, 90 - swing, -hip[1] * 0.5)
    hoof = (step(knee, 90 + swing * 0.6, -knee[1])[0], -0.03)
    body.limb(hip, knee, 0.09, 0.056, paint)
    body.limb(knee, hoof, 0.054, 0.048, paint)
    body.limb((hoof[0], -0.04), (hoof[0] + 0.02, -0.015), 0.05, 0.05, paint.darker(0.35))


def _cow_head(
    body: Body, cow: Thing, front: tuple[float, float], face: Paint, coat: Paint, horn: Paint, nose: Paint
) -> None:
    p = cow.pose
    lift = _mix(42, 62, p[7]) if cow.action == "grazing" else _mix(-58, -20, p[7])
    drop = _mix(70, 88, p[9]) if cow.action == "grazing" else _mix(15, 48, p[9])
    poll = step((front[0] + 0.1, front[1] - 0.04), lift, 0.34)
    muzzle = step(poll, drop, 0.24)
    body.limb((front[0] + 0.04, front[1] + 0.0), poll, 0.18, 0.1, coat)
    far, near = step(poll, drop - 150, 0.14), step(poll, drop - 205, 0.17)
    body.limb(poll, step(poll, drop - 115, 0.17), 0.035, 0.02, horn)
    body.limb(poll, far, 0.04, 0.03, face.darker(0.7))
    body.limb(poll, muzzle, 0.115, 0.075, face)
    body.ball(step(muzzle, drop, 0.03), 0.065, 0.06, nose, drop + 90)
    body.limb(step(poll, drop - 90, 0.05), near, 0.04, 0.045, face.darker(0.75))
    body.limb(step(poll, drop - 90, 0.07), step(poll, drop - 100, 0.2), 0.035, 0.02, horn)
    body.ball(step(step(poll, drop, 0.06), drop - 90, 0.035), 0.022, 0.018, Paint((20, 16, 14), shade=0.0))


def _person(body: Body, man: Thing) -> None:
    p, (skin, hair, top, second, trousers, shoes) = man.pose, man.colors
    pattern = ("stripe", "check", "blotch")[int(p[10] * 3)]
    shirt = Paint(top, second, 0.45 if p[9] < 0.35 else -1.0, pattern, _mix(0.8, 2.0, p[8]), 9.0, 0.32)
    pants, flesh = Paint(trousers, shade=0.32), Paint(skin, shade=0.3)
    broad = _mix(0.035, 0.095, p[0])  # seen from the side ... from the front
    bent = man.action == "sitting"
    hip, neck = (0.0, -0.27 if bent else -0.5), (_mix(-0.02, 0.06, p[1]), -0.6 if bent else -0.8)
    stride = {"running": 38.0, "walking": 24.0, "throwing": 20.0}.get(man.action, 7.0) * _mix(0.5, 1.0, p[2])
    arms = _arms(man)
    shoulder = (neck[0], neck[1] + 0.05)
    far, near = (shoulder[0] + broad, shoulder[1]), (shoulder[0] - broad, shoulder[1])
    _arm(body, far, arms[0], shirt.darker(0.72), flesh.darker(0.78), p[3] < 0.5)
    for side, paint in ((1, pants.darker(0.78)), (-1, pants)):
        start = (hip[0] + side * broad * 0.62, hip[1])
        _lower(body, start, side * stride, bent, paint, flesh, Paint(shoes), man)
    if man.kind == "dress":
        body.limb((hip[0], hip[1] - 0.08), (hip[0], hip[1] + _mix(0.12, 0.24, p[11])), 0.085, 0.15, shirt)
    chest, waist = (shoulder[0], shoulder[1] + 0.03), (hip[0], hip[1] - 0.02)
    body.limb(chest, waist, 0.09 + broad * 0.6, 0.082 + broad * 0.42, shirt)
    body.limb(neck, (neck[0] + 0.01, neck[1] - 0.05), 0.035, 0.035, flesh.darker(0.85))
    head = (neck[0] + 0.012, neck[1] - 0.1)
    body.ball((head[0] - 0.014, head[1] - 0.012), 0.1, 0.092, Paint(hair), 90)
    if man.kind == "dress" or p[5] < 0.25:
        body.limb((head[0] - 0.035, head[1]), (neck[0] - 0.045, neck[1] + 0.06), 0.06, 0.045, Paint(hair))
    body.ball((head[0] + 0.012, head[1] + 0.01), 0.084, 0.07, flesh, 90)
    if man.kind == "hat":
        body.limb((head[0] - 0.11, head[1] - 0.05), (head[0] + 0.13, head[1] - 0.045), 0.022, 0.022, Paint(second))
        body.ball((head[0], head[1] - 0.07), 0.08, 0.055, Paint(second))
    _arm(body, near, arms[1], shirt, flesh, p[3] < 0.5)


def _arms(man: Thing) -> tuple[tuple[float, float], tuple[float, float]]:
    """(upper, lower) directions of the far and the near arm."""
    p = man.pose
    hanging = (_mix(70, 115, p[4]), _mix(45, 95, p[6])), (_mix(70, 115, p[6]), _mix(40, 90, p[4]))
    if man.action == "throwing":
        return hanging[0], (_mix(-40, 25, p[7]), _mix(-50, 20, p[4]))
    if man.action == "cheering":
        return (_mix(-70, -30, p[4]), _mix(-100, -50, p[7])), (_mix(210, 250, p[6]), _mix(240, 285, p[7]))
    if man.action == "running":
        return (_mix(30, 60, p[4]), _mix(-30, 10, p[6])), (_mix(120, 150, p[4]), _mix(60, 100, p[6]))
    return hanging


def _arm(
    body: Body, shoulder: tuple[float, float], angles: tuple[float, float], sleeve: Paint, skin: Paint, bare: bool
) -> None:
    elbow = step(shoulder, angles[0], 0.17)
    hand = step(elbow, angles[1], 0.16)
    body.limb(shoulder, elbow, 0.055, 0.046, sleeve)
    body.limb(elbow, hand, 0.043, 0.036, skin if bare else sleeve)
    body.ball(hand, 0.045, 0.041, skin)


def _lower(
    body: Body,
    hip: tuple[float, float],
    swing: float,
    bent: bool,
    pants: Paint,
    flesh: Paint,
    shoes: Paint,
    man: Thing,
) -> None:
    """One leg, from the hip to the shoe."""
    short = man.kind in ("shorts", "dress")
    if bent:
        knee = step(hip, 5 + swing, 0.24)
        foot = (knee[0] + 0.02, -0.03)
    else:
        knee = step(hip, 90 - swing, 0.235)
        foot = step(knee, 90 + abs(swing) * 0.55 - swing * 0.25, 0.235)
        foot = (foot[0], min(foot[1], -0.02))
    shin = flesh if short else pants
    body.limb(hip, knee, 0.08, 0.06, pants)
    body.limb(knee, foot, 0.057, 0.045, shin)
    body.limb((foot[0] - 0.01, foot[1] - 0.002), (foot[0] + 0.06, foot[1] + 0.004), 0.037, 0.028, shoes)


def _bird(body: Body, bird: Thing) -> None:
    if bird.action == "soaring":
        _soaring(body, bird)
        return
    p, (main, second, beak) = bird.pose, bird.colors
    plumage = Paint(main, shade=0.35)
    wing = Paint(second, shade=0.3)
    flying = bird.action == "flying"
    tilt = _mix(-16, 12, p[0]) if flying or bird.action == "swimming" else _mix(-58, -28, p[0])
    chest, tail = step((0, 0), tilt, 0.2), step((0, 0), tilt + 180, 0.22)
    head = step(chest, tilt - _mix(20, 45, p[1]) if flying else _mix(-85, -55, p[1]), 0.22)
    if flying:
        _wing(body, (0.06, -0.03), _mix(-105, -60, p[2]), _mix(0.5, 0.62, p[3]), wing.darker(0.72))
    elif bird.action == "standing":
        for x in (-0.05, 0.1):
            body.limb((x, 0.1), (x + 0.02, 0.42), 0.035, 0.03, Paint(beak).darker(0.8))
    body.limb(tail, step(tail, tilt + 180 + _mix(-12, 12, p[4]), 0.2), 0.12, 0.1, wing.darker(0.85), 1.2)
    body.limb(tail, chest, 0.17, 0.25, plumage)
    body.limb(chest, head, 0.19, 0.16, plumage)
    body.limb(step(head, tilt * 0.4, 0.1), step(head, tilt * 0.4 + 6, 0.25), 0.07, 0.03, Paint(beak))
    body.ball(head, 0.165, 0.155, plumage)
    body.ball((head[0] + 0.05, head[1] - 0.03), 0.028, 0.028, Paint((12, 12, 12), shade=0.0))
    if flying:
        beat = _mix(-130, -90, p[2]) if p[6] < 0.65 else _mix(80, 125, p[2])
        _wing(body, (0.0, 0.0), beat, _mix(0.5, 0.64, p[3]), wing)
    else:
        body.limb(step((0, 0), tilt, 0.1), step(tail, tilt + 180, 0.05), 0.14, 0.06, wing, 1.15)


def _wing(body: Body, root: tuple[float, float], angle: float, length: float, paint: Paint) -> None:
    wrist = step(root, angle, length * 0.55)
    tip = step(wrist, angle - 35, length * 0.7)
    body.limb(wrist, tip, 0.18, 0.05, paint.darker(0.8))
    body.limb(step(root, 180, 0.08), step(wrist, angle - 80, length * 0.35), 0.18, 0.1, paint.darker(0.88))
    body.limb(root, wrist, 0.2, 0.17, paint)


def _soaring(body: Body, bird: Thing) -> None:
    """Seen from the front or below: two wings in a shallow M, head between them, tail behind."""
    p, (main, second, beak) = bird.pose, bird.colors
    plumage, wing = Paint(main), Paint(second)
    roll, raised = _mix(-18, 18, p[0]), _mix(8, 46, p[1])
    for side in (1, -1):
        base = roll if side > 0 else 180 + roll
        wrist = step((0, 0), base - side * raised, 0.24)
        tip = step(wrist, base + side * _mix(14, 55, p[2]), 0.2)
        body.limb(wrist, tip, 0.12, 0.035, wing.darker(0.8))
        body.limb(step((0, 0), roll + 90, 0.08), step(wrist, base + side * 70, 0.11), 0.16, 0.07, wing.darker(0.88))
        body.limb((0, 0), wrist, 0.14, 0.12, wing)
    body.limb((0, 0), step((0, 0), roll + 90, 0.27), 0.07, 0.13, plumage.darker(0.8))
    body.ball((0, 0), 0.18, 0.14, plumage, roll + 90)
    head = step((0, 0), roll - 90, 0.18)
    body.ball(head, 0.105, 0.1, plumage)
    body.limb(head, step(head, roll - 90, 0.13), 0.05, 0.02, Paint(beak))


def _frisbee(body: Body, disc: Thing) -> None:
    p, (main, rim, mark) = disc.pose, disc.colors
    tilt = _mix(0.5, 0.65, p[0]) if disc.action == "lying" else _mix(0.65, 1.0, p[0])
    turn = _mix(-12, 12, p[1]) if disc.action == "lying" else _mix(-35, 35, p[1])
    down = step((0, 0), turn + 90, 0.1 * (1.05 - tilt) + 0.02)
    body.ball(down, 0.5, 0.5 * tilt, Paint(rim, shade=0.2).darker(0.45), turn)
    body.ball((0, 0), 0.5, 0.5 * tilt, Paint(rim, shade=0.2), turn)
    body.ball((0, 0), 0.37, 0.37 * tilt, Paint(main, shade=0.25), turn)
    body.ball((0, 0), 0.17, 0.17 * tilt, Paint(mark, shade=0.2), turn)


def _tree(body: Body, tree: Thing) -> None:
    _FORMS[tree.kind](body, tree, Paint(tree.colors[2], tree.colors[3], 0.4, "ripple", 1.1, 2.0, 0.45))


def _leaves(tree: Thing, light: float = 1.0) -> Paint:
    return Paint(tree.colors[0], tree.colors[1], 0.5, "leaf", 0.8, 2.2, 0.42, 0.025).darker(light)


def _roots(body: Body, radius: float, bark: Paint) -> None:
    for side in (-1, 1):
        body.limb((side * radius * 0.3, -radius * 1.4), (side * radius * 1.5, -0.008), radius * 0.6, radius * 0.2, bark)


def _broad(body: Body, tree: Thing, bark: Paint) -> None:
    p = tree.pose
    fork, wide = _mix(0.3, 0.45, p[0]), _mix(0.2, 0.34, p[1])
    lean = _mix(-0.05, 0.05, p[2])
    _roots(body, 0.055, bark)
    body.limb((0, -0.03), (lean, -fork - 0.15), 0.055, 0.034, bark)
    for side in (-1, 1):
        body.limb((lean * 0.7, -fork + 0.05), (lean + side * wide * 0.6, -fork - 0.2), 0.03, 0.018, bark)
    high = 0.97 - fork
    for i in range(11):
        u, v = p[i % 12], p[(i * 5 + 3) % 12]
        ring = (-1.0, 1.0, -0.55, 0.55, 0.0, -0.75, 0.75, 0.0, -0.35, 0.35, 0.1)[i]
        level = (0.3, 0.34, 0.08, 0.1, 0.25, 0.62, 0.6, 0.84, 0.5, 0.55, 0.35)[i]
        at = (lean + ring * wide * 0.72 + (u - 0.5) * 0.06, -fork - high * (0.08 + level * 0.82) + (v - 0.5) * 0.05)
        body.ball(at, wide * _mix(0.4, 0.5, u), high * _mix(0.19, 0.26, v), _leaves(tree, _mix(0.7, 1.12, level)))


def _conifer(body: Body, tree: Thing, bark: Paint) -> None:
    p = tree.pose
    wide, foot = _mix(0.15, 0.24, p[0]), _mix(0.06, 0.16, p[1])
    _roots(body, 0.04, bark)
    body.limb((0, -0.02), (0, -0.6), 0.04, 0.02, bark)
    for i in range(6):
        low = foot + (0.93 - foot) * i / 6
        spread = wide * (1 - i / 6.6)
        body.limb((0, -low - spread * 0.25), (0, -min(low + 0.25, 0.97)), spread, 0.012, _leaves(tree, 0.72 + 0.07 * i))


def _poplar(body: Body, tree: Thing, bark: Paint) -> None:
    p = tree.pose
    wide = _mix(0.09, 0.15, p[0])
    _roots(body, 0.035, bark)
    body.limb((0, -0.02), (0, -0.5), 0.035, 0.02, bark)
    for i in range(7):
        level = 0.2 + 0.105 * i
        spread = wide * (0.72, 0.95, 1.0, 0.95, 0.82, 0.66, 0.45)[i]
        body.ball((_mix(-0.02, 0.02, p[i]), -level), spread, 0.12, _leaves(tree, 0.75 + 0.06 * i))


def _bare(body: Body, tree: Thing, bark: Paint) -> None:
    """A leafless tree: a trunk that forks three times."""
    p = tree.pose
    _roots(body, 0.065, bark)
    ends = [((0.0, -0.03), -90.0, 0.31, 0.065)]
    for level in range(4):
        grown = []
        for i, (start, angle, length, radius) in enumerate(ends):
            tip = step(start, angle, length)
            body.limb(start, tip, radius, radius * 0.68, bark)
            for side in (-1, 1):
                turn = side * _mix(16, 38, p[(i * 3 + level * 5 + side) % 12])
                shorter = length * _mix(0.62, 0.8, p[(i + level) % 12])
                grown.append((tip, angle * 0.9 - 9 + turn, shorter, radius * 0.66))
        ends = grown if level < 3 else []


def _bush(body: Body, tree: Thing, bark: Paint) -> None:
    p = tree.pose
    for i in range(9):
        x = (-0.5, 0.5, -0.25, 0.25, 0.0, -0.35, 0.35, 0.0, 0.1)[i] + (p[i] - 0.5) * 0.1
        level = (0.22, 0.24, 0.3, 0.28, 0.34, 0.55, 0.52, 0.7, 0.45)[i]
        wide, high = _mix(0.24, 0.32, p[i]), _mix(0.2, 0.27, p[(i + 4) % 12])
        body.ball((x, -level), wide, high, _leaves(tree, 0.65 + 0.5 * level))


_FORMS = {"broad": _broad, "conifer": _conifer, "poplar": _poplar, "bare": _bare, "bush": _bush}
_BUILDERS = {COW: _cow, PERSON: _person, BIRD: _bird, FRISBEE: _frisbee, TREE: _tree}
