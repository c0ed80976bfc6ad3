"""Ask, Attend and Answer (SMem-VQA): one or two hops of attention over an image, guided by the words of a question.

Xu and Saenko, "Ask, Attend and Answer: Exploring Question-Guided Spatial Attention for Visual Question Answering",
2015.

Shapes: B images, a feature map of h x w = L places with M channels; T words of a question; N the size of a word vector;
K answers.

    S (L, M): the features; V (T, N): the vectors of the words                       (section 3)
    C = V (S W_A + b_A)^T                          word by place                     (equation 1)
    a = softmax_L(max_T C)                         a place counts by its best word   (equation 2)
    S_att = a (S W_E + b_E)                        the evidence                      (equation 3)
    Q = W_Q V + b_Q, W_Q in R^T                    a weight a position of a word     (equation 4)
    P = softmax(W_P relu(S_att + Q) + b_P)         one hop, section 3.1              (equation 5)

    O = S_att + Q                                  two hops, section 3.2             (equation 6)
    a2 = softmax_L((S W_E + b_E) O)                                                  (equations 7 and 8)
    S_att2 = a2 (S W_E2 + b_E2)                                                      (equation 9)
    P = softmax(W_P relu(O + S_att2) + b_P)                                          (equation 10)

The biases b_A, b_E and b_E2 are (L, N): one a place, by which the network can tell places apart. Padding words have the
vector zero and take part in the maximum, so that a place's score is never below 0 while the question has fewer words
than `max_words`; `pad` 'masked' leaves them out.

`Config()` has the paper's sizes. `hops` 0 and `blind` are arms for comparison: the evidence is then the mean over
places, or there is none.

Departures from the paper and its code. In brackets the field that takes each back:

- The trunk is torchvision's GoogLeNet, which has batch norm and 3x3 convolutions in place of 5x5 ones.
- Images are stretched to the network's size, so that the maps cover all of them; the authors crop 224 of 256 pixels.
- Unknown words of a question have a vector, which is learned where training has such words.
- Weight decay applies to the biases of places, which form a matrix; in the code no bias decays.
- Small configurations add convolutions on the features of a frozen trunk (`neck`), where the paper trains the trunk
  itself.
- Features are batch-normalised, since trunks differ in scale (`normalize` False).
- Small configurations start word vectors from a wider distribution (`word_init` 0.08), all positions of W_Q from one
  weight (`position_init` 0) and the weights of the evidence from a narrower distribution (`evidence_init` 0.08), so
  that the question is heard from the start, and attention is not decided before it is learned.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import FeatureGrid, GridNorm
from foveate.errors import ConfigError
from foveate.records import QuestionBatch, QuestionOutput, QuestionPreprocessing
from foveate.registry import model
from foveate.text import PAD
from foveate.values import require_choices

START = 0.08  # new weights are drawn from U(-START, START)


@dataclass(frozen=True)
class Config:
    """Sizes of SMem-VQA.

    vocabulary: number of words, including the four special ones; 5 or more. The data decides it in training.
    num_answers: K, 2 or more. The data decides it in training.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    backbone: name of the trunk, as for `create_backbone`; 'plain' for drawn images.
    pretrained: start the trunk from ImageNet weights.
    strides: strides of the trunk's features that are used, of 4, 8, 16 and 32, finest first. Several are brought to one
        grid and concatenated.
    grid: stride of that grid, one of `strides`: coarser features are interpolated, finer ones folded into channels; 0:
        the finest.
    image_size: (height, width) in pixels to which images are stretched. The number of places follows from it.
    hidden: N, the size of a word vector and of the evidence; 128 to 1000.
    max_words: T, words of a question that are read, and positions that W_Q has weights for; 25 in the paper.
    hops: 2 or 1, of attention; 0 takes the mean of the evidence over all places instead.
    blind: True answers from the question alone.
    pad: 'zero' lets padding take part in the maximum, as in the paper; 'masked' leaves it out.
    place_biases: False has one bias for all places in place of one each; questions on positions then get harder.
    normalize: batch-normalise the features; False, as in the paper, takes them as they are.
    neck: number of 3x3 convolutions on the features, after a 1x1 convolution to `hidden` channels; usually 0 to 2.
    word_init: word vectors start from U(-word_init, word_init); 0.08 in the paper's code, which trains for 300,000
        steps. Larger ones, about 1, make words differ from the start and learn much faster.
    position_init: weight of every position of W_Q at the start, so that Q starts as a bag of words; 0, as in the
        paper's code, draws them from U(-0.08, 0.08).
    evidence_init: W_A, W_E and W_E2 start from U(-evidence_init, evidence_init); 0.08 in the paper's code. With
        features of deviation 1, 0.08 makes scores of some 50, and attention that hardly learns; 0.01 of a few.
    dropout: probability of dropping a unit of the features and of the last layer, 0..1; 0.4 in the paper.
    """

    vocabulary: int = 7481
    num_answers: int = 1031
    in_channels: int = 3
    backbone: str = "googlenet"
    pretrained: bool = False
    strides: tuple[int, ...] = (32,)
    grid: int = 0
    image_size: tuple[int, int] = (224, 224)
    hidden: int = 1000
    max_words: int = 25
    hops: Literal[0, 1, 2] = 2
    blind: bool = False
    pad: Literal["zero", "masked"] = "zero"
    place_biases: bool = True
    normalize: bool = True
    neck: int = 0
    word_init: float = 0.08
    position_init: float = 0.0
    evidence_init: float = 0.08
    dropout: float = 0.4

    def __post_init__(self) -> None:
        require_choices(self)
        if min(self.vocabulary - 4, self.num_answers - 1, self.in_channels, self.hidden, self.max_words) < 1:
            raise ConfigError(
                f"vocabulary {self.vocabulary} must be at least 5 (four tokens are special), num_answers "
                f"{self.num_answers} at least 2, in_channels {self.in_channels}, hidden {self.hidden} and max_words "
                f"{self.max_words} at least 1"
            )
        if not 0 <= self.dropout < 1 or self.neck < 0 or self.word_init <= 0 or self.evidence_init <= 0:
            raise ConfigError(
                f"dropout is {self.dropout}, neck {self.neck}, word_init {self.word_init} and evidence_init "
                f"{self.evidence_init}; expected 0..1, 0 or more, more than 0, and more than 0"
            )


class Embedding(nn.Module):
    """S W + b at every place, with a bias a place (L, N), or one for all places (1, N)."""

    def __init__(self, channels: int, size: int, places: int, init: float) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(channels, size).uniform_(-init, init))
        self.b = nn.Parameter(torch.zeros(places, size))

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, M) -> (B, L, N)."""
        return features @ self.W + self.b


@model("ask_attend_answer")
class AskAttendAnswer(nn.Module):
    """SMem-VQA: an image and a question in, an answer of a fixed list out, and the places that were attended to."""

    task: ClassVar[str] = "questions"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = FeatureGrid(config.backbone, config.in_channels, config.pretrained, config.strides, config.grid)
        own = self.backbone.preprocessing
        image = dataclasses.replace(own, size=config.image_size, crop=1.0, stretch=True)
        self.preprocessing = QuestionPreprocessing.of(image, config.max_words)
        size, channels = config.hidden, self.backbone.channels
        self.embed = nn.Embedding(config.vocabulary, size, padding_idx=PAD)
        nn.init.uniform_(self.embed.weight, -config.word_init, config.word_init)
        nn.init.zeros_(self.embed.weight[PAD].detach())
        self.W_Q = nn.Parameter(torch.empty(config.max_words).uniform_(-START, START))
        if config.position_init:
            nn.init.constant_(self.W_Q, config.position_init)
        self.b_Q = nn.Parameter(torch.zeros(size))
        self.W_P = nn.Linear(size, config.num_answers)
        nn.init.uniform_(self.W_P.weight, -START, START)
        nn.init.zeros_(self.W_P.bias)
        self.dropout = nn.Dropout(config.dropout)
        if config.blind:
            self.backbone.requires_grad_(False)
            return
        self.norm = GridNorm(channels) if config.normalize else nn.Identity()
        neck: list[nn.Module] = []
        for kernel in (1, *[3] * config.neck) if config.neck else ():
            neck += [nn.Conv2d(channels, size, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(size)]
            neck.append(nn.ReLU())
            channels = size
        self.neck = nn.Sequential(*neck)
        height, width = self._grid(config.image_size)
        places = height * width if config.place_biases else 1
        self.E = Embedding(channels, size, places, config.evidence_init)
        if config.hops:
            self.A = Embedding(channels, size, places, config.evidence_init)
        if config.hops == 2:
            self.E2 = Embedding(channels, size, places, config.evidence_init)

    @torch.no_grad()
    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        training = self.backbone.training
        height, width = self.backbone.eval()(torch.zeros(1, self.config.in_channels, *size)).shape[-2:]
        self.backbone.train(training)
        return int(height), int(width)

    def encode(self, image: Tensor) -> Tensor:
        """Compute features: (B, C, H, W), normalised -> (B, D, h, w).

        Nothing here learns while `backbone` is frozen.
        """
        features: Tensor = self.backbone(image)
        return features

    def forward(self, image: Tensor, tokens: Tensor, image_of: Tensor | None = None) -> QuestionOutput:
        """Answer questions (B, T) about images (B, C, H, W), normalised. Of a question, `max_words` are read.

        image_of: as for `answer`.
        """
        return self.answer(image if self.config.blind else self.encode(image), tokens, image_of)

    def answer(self, features: Tensor, tokens: Tensor, image_of: Tensor | None = None) -> QuestionOutput:
        """Answer questions (B, T) from features (B, D, h, w), as `encode` gives them; `blind` reads none.

        image_of: (B,) the row of features (I, D, h, w) of I images that each question is about; None: its own.
        """
        tokens = tokens[:, : self.config.max_words]
        V = self.embed(tokens)  # (B, T, N)
        Q = (self.W_Q[: tokens.shape[1], None] * V).sum(1) + self.b_Q  # (B, N)
        if self.config.blind:
            return QuestionOutput(self._logits(Q))
        grid = features.shape[-2:]
        S = self.norm(features.flatten(2)).unflatten(2, grid)
        S = self.neck(self.dropout(S)).flatten(2).mT  # (B, L, M)

        def embedded(layer: nn.Module) -> Tensor:
            """S W + b of each question's image, (B, L, N)."""
            found: Tensor = layer(S)
            return found if image_of is None else found.index_select(0, image_of)

        evidence = embedded(self.E)
        if not self.config.hops:
            return QuestionOutput(self._logits(evidence.mean(1) + Q))
        C = V @ embedded(self.A).mT  # (B, T, L)
        scores, winner = self._best_word(C, tokens)
        a = scores.softmax(-1)  # (B, L)
        maps = [a]
        O = (a[:, None] @ evidence)[:, 0] + Q  # S_att + Q, (B, N)  # noqa: E741 - the paper's name
        if self.config.hops == 2:
            a2 = (evidence @ O[..., None])[..., 0].softmax(-1)
            maps.append(a2)
            O = O + (a2[:, None] @ embedded(self.E2))[:, 0]  # noqa: E741
        attention = torch.stack(maps, 1).unflatten(-1, grid)
        return QuestionOutput(self._logits(O), attention, C.unflatten(-1, grid), winner.unflatten(-1, grid))

    def _best_word(self, C: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """max_T C (B, L), and the word that has it, -1 for padding. A question without words scores 0 everywhere."""
        padding = (tokens == PAD)[..., None]  # (B, T, 1)
        best, winner = C.masked_fill(padding, -torch.inf).max(1)
        words = (tokens != PAD).sum(1, keepdim=True)  # (B, 1)
        # Padding's correlation is 0 exactly. It is there unless the question fills all T positions.
        padded = words < (self.config.max_words if self.config.pad == "zero" else 1)
        below = padded & (best < 0)
        return best.masked_fill(below, 0.0), winner.masked_fill(below, -1)

    def _logits(self, fused: Tensor) -> Tensor:
        logits: Tensor = self.W_P(self.dropout(F.relu(fused)))
        return logits

    def loss(self, batch: QuestionBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of the answers; 'loss' is what is minimised."""
        tokens = batch["tokens"]
        read, given = (self.answer, batch["features"]) if "features" in batch else (self, batch["image"])
        output = read(given, tokens, batch.get("image_of"))
        return {"loss": F.cross_entropy(output.logits, batch["label"])}
