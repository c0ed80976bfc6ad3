"""Word times as files that other programs read: SubRip subtitles (.srt) and NIST's time-marked conversation (.ctm)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foveate.records import SpeechPrediction

MOST_CHARACTERS = 42  # of a subtitle's line
MOST_SECONDS = 6.0  # of a subtitle
PAUSE = 1.0  # seconds between two words that end a subtitle


def srt(prediction: SpeechPrediction) -> str:
    """The best transcript as subtitles, numbered from 1; each ends at a pause, or where it would be too long."""
    best = prediction.transcripts[0]
    blocks = []
    for number, places in enumerate(_lines(best.words, best.times.tolist()), start=1):
        start, end = best.times[places[0], 0], best.times[places[-1], 1]
        text = " ".join(best.words[i] for i in places)
        blocks.append(f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n")
    return "\n".join(blocks)


def _lines(words: Sequence[str], times: Sequence[Sequence[float]]) -> Iterator[list[int]]:
    """The positions of the words of each subtitle."""
    line: list[int] = []
    for i, word in enumerate(words):
        if line:
            characters = sum(len(words[j]) + 1 for j in line) + len(word)
            waits = times[i][0] - times[line[-1]][1] > PAUSE
            if waits or characters > MOST_CHARACTERS or times[i][1] - times[line[0]][0] > MOST_SECONDS:
                yield line
                line = []
        line.append(i)
    if line:
        yield line


def _clock(seconds: float) -> str:
    """Seconds as 00:01:02,345."""
    milliseconds = round(1000 * float(seconds))
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def ctm(prediction: SpeechPrediction) -> str:
    """The best transcript, a line a word: NAME 1 START DURATION WORD PROBABILITY; blanks in the name become _."""
    best = prediction.transcripts[0]
    name = "_".join(prediction.name.rpartition(".")[0].split() or prediction.name.split()) or "recording"
    lines = (
        f"{name} 1 {start:.3f} {end - start:.3f} {word} {probability:.4f}\n"
        for word, (start, end), probability in zip(best.words, best.times, best.probabilities, strict=True)
    )
    return "".join(lines)
