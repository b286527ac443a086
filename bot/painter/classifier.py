"""The judge's eyes: a small network that tells thing, colour and place of a picture, and how it learns to.

It learns from drawings of every combination, also of those that the picture model never saw, and from some that went
through the picture model's VAE, so that soft edges do not mislead it.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn

from tilestep.bot.painter.drawing import draw
from tilestep.bot.painter.scenes import COLOURS, PLACES, THINGS, TIMES, WEATHERS, Scene
from tilestep.bot.painter.stages import as_tensor

SIDE_PX = 64
HEADS = (THINGS, COLOURS, PLACES)
WIDTHS = (32, 64, 128, 128)
ROUND_TRIP_NOISE = 0.15
SURE = 0.5
UNSURE = "unsure"


class SceneClassifier(nn.Module):
    """Pictures (N, 3, 64, 64) in [-1, 1] to the logits of thing, colour and place."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((3, *WIDTHS), WIDTHS, strict=False):
            stride = 1 if width == before else 2
            layers += [nn.Conv2d(before, width, 3, stride, 1), nn.GroupNorm(8, width), nn.SiLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(2 * WIDTHS[-1], len(words)) for words in HEADS)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        found = self.trunk(pictures)
        pooled = torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1)
        return [head(pooled) for head in self.heads]


def see(classifier: nn.Module, pictures: Iterable[Image.Image]) -> list[Scene]:
    """What the pictures show, as far as thing, colour and place go; a word less likely than not is "unsure"."""
    with torch.inference_mode():
        heads = [classifier(small(picture)[None]) for picture in pictures]
    return [Scene(*(_word(logits[0], words) for logits, words in zip(head, HEADS, strict=True))) for head in heads]


def _word(logits: Tensor, words: Sequence[str]) -> str:
    likelihood, index = logits.softmax(0).max(0)
    return words[int(index)] if float(likelihood) >= SURE else UNSURE


def small(picture: Image.Image) -> Tensor:
    """A picture as the classifier wants it, (3, 64, 64)."""
    return as_tensor(picture.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


def any_scene(chance: random.Random) -> Scene:
    """Any combination, weather and time, held out or not."""
    return Scene(*(chance.choice(words) for words in (THINGS, COLOURS, PLACES, WEATHERS, TIMES)))


def round_trip(vae: Any, pictures: Sequence[Image.Image], generator: torch.Generator) -> Iterator[Image.Image]:
    """Through the VAE and back, with a little noise on the latents."""
    for picture in pictures:
        with torch.inference_mode():
            latents = vae.encode(as_tensor(picture)[None]).latent_dist.mean
            noise = torch.randn(latents.shape, generator=generator) * latents.std() * ROUND_TRIP_NOISE
            decoded = vae.decode(latents + noise).sample[0].clamp(-1, 1)
        yield Image.fromarray(((decoded.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())


class Examples:
    """Drawings and round trips, small, with the indices of their words; batches by step, each picture varied anew."""

    def __init__(self, vae: Any, drawings: int, round_trips: int, batch_size: int, seed: int = 0) -> None:
        chance = random.Random(seed)
        scenes = [any_scene(chance) for _ in range(drawings + round_trips)]
        pictures = [draw(scene, chance.getrandbits(32)) for scene in scenes[drawings:]]
        through = round_trip(vae, pictures, torch.Generator().manual_seed(seed))
        drawn = (worn(draw(scene, chance.getrandbits(32)), chance) for scene in scenes[:drawings])
        self._drawings, self._batch_size = drawings, batch_size
        self._pictures = torch.stack([small(picture) for source in (drawn, through) for picture in source])
        self._words = torch.tensor([indices(scene) for scene in scenes])

    def batches(self, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """An eighth of each batch are round trips."""
        step, softened = start_step, self._batch_size // 8
        while True:
            generator = torch.Generator().manual_seed(step)
            first = torch.randint(self._drawings, (self._batch_size - softened,), generator=generator)
            rest = torch.randint(self._drawings, len(self._pictures), (softened,), generator=generator)
            chosen = torch.cat([first, rest])
            yield varied(self._pictures[chosen], generator), self._words[chosen]
            step += 1


def indices(scene: Scene) -> list[int]:
    """The places of its words among all things, colours and places."""
    return [THINGS.index(scene.thing), COLOURS.index(scene.colour), PLACES.index(scene.place)]


def worn(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Sometimes blurred, sometimes through JPEG."""
    if chance.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.5, 4)))
    if chance.random() < 0.3:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=chance.randint(20, 90))
        picture = Image.open(file).convert("RGB")
    return picture


def varied(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Each mirrored or not, moved, scaled and tinted a little, with noise."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(len(pictures), *shape, generator=generator) * (high - low) + low

    scale, zero = uniform(0.85, 1.15), torch.zeros(len(pictures))
    mirrored = torch.where(uniform(-1, 1) < 0, -scale, scale)
    across = torch.stack([mirrored, zero, uniform(-0.12, 0.12)], 1)
    down = torch.stack([zero, scale, uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    tinted = moved * uniform(0.94, 1.06, 3, 1, 1) + uniform(-0.05, 0.05, 3, 1, 1)
    return tinted + uniform(0, 0.08, 1, 1, 1) * torch.randn(tinted.shape, generator=generator)


def classifier_loss(classifier: nn.Module, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
    """Cross entropy of the three heads together."""
    pictures, words = batch
    losses = [F.cross_entropy(logits, words[:, head]) for head, logits in enumerate(classifier(pictures))]
    return torch.stack(losses).sum()
