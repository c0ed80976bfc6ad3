"""Sentence scores: by hand, against sacrebleu and plain reimplementations, sums over processes, errors."""

import json
import math
import random

import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.metrics.captioning import CaptioningMetrics, References
from foveate.metrics.captioning.sentences import longest_common

WORDS = [f"w{i}" for i in range(30)]


def corpus(pictures=40, seed=0, longest=5):
    """Sentences that share words and n-grams with their references, and the references, of unlike numbers."""
    g = random.Random(seed)
    captions, references = [], []
    for _ in range(pictures):
        base = g.choices(WORDS, [1 / (i + 1) for i in range(len(WORDS))], k=g.randint(5, 12))

        def varied(words=base):
            kept = [w if g.random() < 0.7 else g.choice(WORDS) for w in words if g.random() < 0.9]
            return " ".join(kept or ["w0"])

        references.append([varied() for _ in range(g.randint(1, longest))])
        captions.append(varied())
    return captions, references


def scored(captions, references):
    metrics = CaptioningMetrics(references)
    for index, text in enumerate(captions):
        metrics.update(index, text)
    return metrics


# The corpus definitions, written out slowly from their sources.


def grams(text, n):
    words = text.split()
    found = {}
    for i in range(len(words) - n + 1):
        key = " ".join(words[i : i + n])
        found[key] = found.get(key, 0) + 1
    return found


def plain_bleu(captions, references):
    """coco-caption's BLEU over a corpus, with its two small constants."""
    tiny, small = 1e-15, 1e-9
    scores, product = [], 1.0
    length = sum(len(text.split()) for text in captions)
    wanted = 0
    for text, own in zip(captions, references, strict=True):
        lengths = sorted(len(other.split()) for other in own)
        wanted += min(lengths, key=lambda n: abs(n - len(text.split())))  # of equals the first, which is shorter
    for n in (1, 2, 3, 4):
        right = possible = 0
        for text, own in zip(captions, references, strict=True):
            for key, count in grams(text, n).items():
                possible += count
                right += min(count, max(grams(other, n).get(key, 0) for other in own))
        product *= (right + tiny) / (possible + small)
        scores.append(product ** (1 / n))
    ratio = (length + tiny) / (wanted + small)
    return [s * (math.exp(1 - 1 / ratio) if ratio < 1 else 1) for s in scores]


def plain_lcs(left, right):
    if not left or not right:
        return 0
    if left[-1] == right[-1]:
        return 1 + plain_lcs(left[:-1], right[:-1])
    return max(plain_lcs(left[:-1], right), plain_lcs(left, right[:-1]))


def table_lcs(left, right):
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def plain_rouge(captions, references):
    total = 0.0
    for text, own in zip(captions, references, strict=True):
        pairs = [(table_lcs(text.split(), other.split()), len(other.split())) for other in own]
        p = max(common / len(text.split()) for common, _ in pairs)
        r = max(common / n for common, n in pairs)
        total += (1 + 1.2**2) * p * r / (r + 1.2**2 * p) if p else 0
    return total / len(captions)


def plain_cider_d(captions, references):
    """Vedantam et al. (2015), section 7 and equation 1 with plain counts for term frequencies, over all n-grams."""
    total = 0.0
    for n in (1, 2, 3, 4):
        counted = [[grams(other, n) for other in own] for own in references]
        every = {key for own in counted for h in own for key in h}
        every |= {key for text in captions for key in grams(text, n)}
        df = {key: sum(any(key in h for h in own) for own in counted) for key in every}

        def g(h, df=df):
            return {key: h.get(key, 0) * math.log(len(references) / max(1, df[key])) for key in df}

        for text, own, texts in zip(captions, counted, references, strict=True):
            c = g(grams(text, n))
            for h, other in zip(own, texts, strict=True):
                s = g(h)
                norms = math.sqrt(sum(v * v for v in c.values())) * math.sqrt(sum(v * v for v in s.values()))
                if norms:
                    apart = len(text.split()) - len(other.split())
                    dot = sum(min(c[key], s[key]) * s[key] for key in df)
                    total += 10 / len(own) * math.exp(-(apart**2) / (2 * 6**2)) * dot / norms / 4
    return total / len(captions)


def test_bleu_against_sacrebleu():
    from sacrebleu.metrics import BLEU

    captions, references = corpus(60)
    scores = scored(captions, references).compute()
    # sacrebleu takes the first references of all images, then the second; None where there are fewer.
    streams = [[own[i] if i < len(own) else None for own in references] for i in range(5)]
    for n in (1, 2, 3, 4):
        sacrebleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=n)
        theirs = sacrebleu.corpus_score(captions, streams).score / 100
        assert theirs > 0.1  # a comparison of zeros would say nothing
        assert getattr(scores, f"bleu{n}") == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_against_plain_reimplementations(seed):
    captions, references = corpus(20, seed)
    scores = scored(captions, references).compute()
    found = [scores.bleu1, scores.bleu2, scores.bleu3, scores.bleu4]
    assert found == pytest.approx(plain_bleu(captions, references), rel=1e-9)
    assert scores.rouge_l == pytest.approx(plain_rouge(captions, references), rel=1e-9)
    assert scores.cider_d == pytest.approx(plain_cider_d(captions, references), rel=1e-9)
    assert scores.cider_d > 0.1


def test_bleu_where_nothing_matches_is_coco_captions_nearly_nothing():
    captions, references = ["a b", "c"], [["x y z v"], ["x y z"]]
    scores = scored(captions, references).compute()
    assert [scores.bleu1, scores.bleu4] == pytest.approx([plain_bleu(captions, references)[i] for i in (0, 3)])
    assert 0 < scores.bleu1 < 1e-12


def test_bleu_by_hand():
    # "the the the" of "the cat": 1 of 3 words, 0 of 2 pairs. c = 3 >= r = 2: no brevity penalty.
    scores = scored(["the the the"], [["the cat"]]).compute()
    assert scores.bleu1 == pytest.approx(1 / 3)
    # 3 and 5 words are equally close to 4; the shorter counts, so the penalty is exp(1 - 3/4) of no penalty at all.
    scores = scored(["a b c d"], [["a b c d e", "a b c"]]).compute()
    assert scores.bleu4 == pytest.approx(1)
    # c = 2, r = 4: exp(1 - 4/2).
    scores = scored(["a b"], [["a b c d"]]).compute()
    assert [scores.bleu1, scores.bleu2] == pytest.approx([math.exp(-1)] * 2)


def test_rouge_by_hand():
    # "a b c" against "a x b" (2 of 3) and "c" (1 of 1): P = 2/3, R = 1 from the other reference.
    scores = scored(["a b c"], [["a x b", "c"]]).compute()
    assert scores.rouge_l == pytest.approx((1 + 1.44) * (2 / 3) / (1 + 1.44 * 2 / 3))
    assert scored(["x"], [["a"]]).compute().rouge_l == 0


def test_the_longest_common_subsequence_is_that_of_the_recursion():
    g = random.Random(1)
    for _ in range(200):
        left, right = (g.choices("abc", k=g.randrange(9)) for _ in range(2))
        assert longest_common(left, right) == plain_lcs(left, right) == table_lcs(left, right)


def test_cider_by_hand():
    # Two images, one word each: every weight is log 2, the vectors of order 1 agree and there are no others: 10 / 4.
    assert scored(["cat", "dog"], [["cat"], ["dog"]]).compute().cider_d == pytest.approx(2.5)
    assert scored(["dog", "cat"], [["cat"], ["dog"]]).compute().cider_d == 0
    # A word that every image has weighs log(2 / 2) = 0: "the" neither helps nor dilutes, but makes the lengths
    # differ by one, exp(-1 / 72).
    scores = scored(["the cat", "dog"], [["cat the", "the cat"], ["the dog"]]).compute()
    first = 10 / 2 * ((1 + 1) / 4 + (0 + 1) / 4)  # orders 1 and 2; "the cat" is another pair than "cat the"
    second = 10 * math.exp(-1 / 72) / 4
    assert scores.cider_d == pytest.approx((first + second) / 2)
    # Repeating a rare word is clipped: min(g) takes 1 of 3, the candidate's norm takes all 3.
    scores = scored(["cat cat cat", "dog"], [["cat"], ["dog"]]).compute()
    assert scores.cider_d == pytest.approx((10 / 4 * math.exp(-4 / 72) / 3 + 2.5) / 2)


def test_a_perfect_sentence_of_four_words_has_full_scores():
    captions = ["a cat sits here", "two dogs run away"]
    scores = scored(captions, [[text] for text in captions]).compute()
    assert [scores.bleu4, scores.rouge_l, scores.cider_d] == pytest.approx([1, 1, 10])


def test_each_picture_has_its_own_cider():
    captions, references = corpus(20)
    metrics = CaptioningMetrics(references)
    own = [metrics.update(index, text) for index, text in enumerate(captions)]
    assert sum(own) / 20 == pytest.approx(metrics.compute().cider_d)
    assert own[3] == pytest.approx(
        20 * plain_cider_d([t if i == 3 else "unseen" for i, t in enumerate(captions)], references)
    )


def test_cider_is_not_defined_for_one_picture():
    scores = scored(["a cat"], [["a cat"]]).compute()
    assert math.isnan(scores.cider_d)
    assert scores.to_json()["cider_d"] is None


def test_case_and_punctuation_do_not_count():
    captions, references = corpus(20)
    loud = [text.upper().replace(" ", " , ") + "." for text in captions]
    assert scored(loud, references).compute().to_json() == scored(captions, references).compute().to_json()


def test_lengths_and_variety():
    references = [["a cat sits", "..."], ["a dog"], ["the dog runs"], ["a dog"]]
    scores = scored(["A cat.", "a dog", "a dog!", ""], references).compute()
    assert scores.mean_length == 6 / 4
    assert scores.distinct == 3 / 4
    assert scores.vocabulary_used == 3 / 6  # a, cat, dog of a, cat, dog, runs, sits, the
    assert scores.images == 4


def test_nothing_said_scores_nothing():
    scores = scored(["", " . "], [["a cat"], ["a dog"]]).compute()
    assert [scores.bleu1, scores.bleu4, scores.rouge_l, scores.cider_d, scores.mean_length] == [0] * 5


def test_parts_merge_into_the_whole():
    captions, references = corpus(30)
    whole = scored(captions, references)
    parts = [CaptioningMetrics(whole.references), CaptioningMetrics(references)]
    for index, text in enumerate(captions):
        parts[index % 2].update(index, text)
    together = CaptioningMetrics(References(references))
    together.merge(parts[0].state() + parts[1].state())
    torch.testing.assert_close(together.state(), whole.state())
    one, other = together.compute().to_json(), whole.compute().to_json()
    assert one == pytest.approx(other)
    assert one["distinct"] == other["distinct"] > 0.9
    assert whole.state().dtype == torch.float64


def test_a_subset_is_scored_with_the_weights_of_the_whole_set():
    captions, references = corpus(30)
    half = CaptioningMetrics(references)
    for index in range(0, 30, 2):
        half.update(index, captions[index])
    whole = plain_cider_d(captions, references) * 30
    odd = [text if i % 2 else "unseen" for i, text in enumerate(captions)]
    assert half.compute().cider_d * 15 == pytest.approx(whole - plain_cider_d(odd, references) * 30)
    assert half.compute().images == 15
    assert half.compute().distinct == len({captions[index] for index in range(0, 30, 2)}) / 15


def test_json_has_every_key_and_no_nan():
    scores_json = scored(*corpus(5)).compute().to_json(classes=None)
    assert json.loads(json.dumps(scores_json, allow_nan=False)) == scores_json
    wanted = (
        "bleu1 bleu2 bleu3 bleu4 rouge_l cider_d attention_hit attention_chance attention_mass attention_mass_chance"
    )
    wanted += " attention_entropy attention_change mean_length distinct vocabulary_used images"
    assert set(wanted.split()) <= set(scores_json)
    assert {key for key, value in scores_json.items() if value is None} == {
        *("attention_hit", "attention_chance", "attention_mass", "attention_mass_chance"),
        *("attention_entropy", "attention_entropy_share", "attention_change"),
    }


def test_errors_say_what_came():
    with pytest.raises(DataError, match="no references to score against"):
        CaptioningMetrics([])
    with pytest.raises(DataError, match=r"picture 1 has no reference with a word in it \(2 of 3 have none\)"):
        CaptioningMetrics([["a"], ["", "."], []])
    metrics = CaptioningMetrics([["a"], ["b"]])
    with pytest.raises(DataError, match="no caption was scored"):
        metrics.compute()
    with pytest.raises(ConfigError, match="picture 2 of a set of 2"):
        metrics.update(2, "a")
    metrics.update(0, "a")
    with pytest.raises(ConfigError, match="picture 0 was counted before"):
        metrics.update(0, "a")
    with pytest.raises(ConfigError, match=r"cannot merge sums of shape \(3,\)"):
        metrics.merge(torch.zeros(3))
    with pytest.raises(ConfigError, match="2 sentences for 1 picture; count each picture in one process only"):
        metrics.merge(metrics.state())
