"""The losses of a step: a batch is encoded once and decoded for several rounds of clicks.

After each round the robot user corrects the network's own mask (iterative training, Mahadevan et al. 2018, as the
DCT-Net and sequential papers use it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from saywhere.core.prompt import Prompt
from saywhere.models import candidate_losses, losses
from saywhere.models.base import Candidates, Features, InteractiveModel
from saywhere.text.words import Words
from saywhere.training.batch import Batch
from saywhere.training.corrections import CorrectionTargets, RobotPool, corrections
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_parts import ClicksRecipe

ROUNDS, PREVIOUS = 3000, 2000  # streams of random numbers, apart from those of samples and corrections


def interleave(sources: Sequence[Iterator[Tensor | None]]) -> Iterator[Tensor]:
    """All losses of all sources, one of each in turn.

    A source gives None where it would wait for something else; then the next one goes on.
    """
    running = list(sources)
    while running:
        for source in list(running):
            try:
                loss = next(source)
            except StopIteration:
                running.remove(source)
                continue
            if loss is not None:
                yield loss


def step_losses(
    network: InteractiveModel,
    batch: Batch,
    recipe: Recipe,
    fabric: Fabric,
    labels: Words,
    robots: RobotPool | None = None,
) -> Iterator[Tensor | None]:
    """The losses to backpropagate, one after another: the mean over the rounds, or the loss of each round.

    Args:
        network: in training mode.
        batch: the samples.
        recipe: the settings. With ``clicks.update_every_round`` each round's loss is given by itself, and the images
            are encoded anew for the next round.
        fabric: the device.
        labels: all labels of the training data.
        robots: computes corrections in other processes; then None is given where this would wait for them or for the
            device.
    """
    image, target, counted = _on_device(batch, fabric)
    tokens = None if batch.tokens is None else batch.tokens.to(image.device, non_blocking=True).float()
    targets = CorrectionTargets(
        batch.target[:, 0].numpy() > 0, batch.ignore[:, 0].numpy() > 0, batch.drags, batch.numbers
    )
    every_round = recipe.clicks.update_every_round
    if recipe.teacher.relevance_only:
        yield relevance_loss(network, image, tokens, batch, fabric, labels)
        return
    kind = TokenRounds if recipe.image_tokens.alone else Rounds
    rounds = kind(network, batch, recipe, fabric, labels, image, tokens, target, counted)
    rounds.encode()
    prompts, previous = list(batch.prompts), None
    total = torch.zeros((), device=fabric.device)
    count = number_of_rounds(batch, recipe)
    for turn in range(count):
        candidates = rounds.decode(prompts, previous)
        loss = rounds.loss(candidates, prompts, turn)
        total = total + loss / count
        last = turn + 1 == count
        if every_round or last:
            yield (loss if every_round else total) + rounds.auxiliary_loss(prompts).to(total)
        if last:
            break
        probability = candidates.chosen().detach().float().sigmoid()
        predicted = probability[:, 0] > 0.5
        if robots is None:
            prompts = corrections(targets, predicted.cpu().numpy(), prompts, turn, recipe)
        else:
            yield None
            futures = robots.corrections(targets, predicted.cpu().numpy(), prompts, turn, recipe)
            yield None
            prompts = _joined(futures)
        previous = degrade_previous(probability, step_draws(batch, recipe, PREVIOUS + turn), recipe.clicks)
        if every_round:
            rounds.encode()


@dataclass
class Rounds:
    """What the rounds of a step decode, and what that costs.

    Args:
        network, batch, recipe, fabric, labels: as for :func:`step_losses`.
        image: ``(B, 3, H, W)`` in [0, 1].
        tokens: of the crops; None for a network without tokens.
        target, counted: ``(B, 1, H, W)``, 0 or 1.
    """

    network: InteractiveModel
    batch: Batch
    recipe: Recipe
    fabric: Fabric
    labels: Words
    image: Tensor
    tokens: Tensor | None
    target: Tensor
    counted: Tensor
    features: Features = field(init=False)

    def encode(self) -> None:
        """Encode the crops, before the first round and where the network was changed."""
        with self.fabric.autocast():
            self.features = self.network.encode_crop(self.image, self.tokens)

    def decode(self, prompts: list[Prompt], previous: Tensor | None) -> Candidates:
        """See :meth:`InteractiveModel.decode_candidates`."""
        with self.fabric.autocast():
            return self.network.decode_candidates(self.features, prompts, previous)

    def loss(self, candidates: Candidates, prompts: list[Prompt], turn: int) -> Tensor:
        """The loss of a round's masks."""
        recipe = self.recipe
        loss = round_loss(candidates, self.target, self.counted, prompts, recipe, self.batch.are_parts)
        if candidates.of_tokens is not None and recipe.image_tokens.loss_weight:
            of_tokens = token_loss(candidates.of_tokens, self.target, self.counted, prompts, recipe)
            loss = loss + recipe.image_tokens.loss_weight * of_tokens
        if turn == 0 and recipe.clicks.consistency_weight:
            with self.fabric.autocast():
                difference = consistency_loss(self.network, self.features, candidates, self.counted, self.batch)
            loss = loss + recipe.clicks.consistency_weight * difference
        return loss

    def auxiliary_loss(self, prompts: list[Prompt]) -> Tensor:
        """See :meth:`InteractiveModel.auxiliary_loss`."""
        with self.fabric.autocast():
            return self.network.auxiliary_loss(self.features, prompts, self.batch.supervision, self.labels)


class TokenRounds(Rounds):
    """The same where the token decoder is trained alone: the convolutions are not run.

    The tokens have no predicted IoU, so each candidate's true IoU is its score: the robot corrects the nearest one.
    """

    def encode(self) -> None:
        pass

    def decode(self, prompts: list[Prompt], previous: Tensor | None) -> Candidates:
        assert self.tokens is not None, "TokenMaps.of_recipe has checked it"
        with self.fabric.autocast():
            of_tokens = self.network.decode_tokens(self.tokens, prompts, previous).float()
        logits = F.interpolate(of_tokens, scale_factor=4.0, mode="bilinear", align_corners=False)
        return Candidates(logits, candidate_losses.candidate_ious(logits, self.target, self.counted), of_tokens)

    def loss(self, candidates: Candidates, prompts: list[Prompt], turn: int) -> Tensor:
        assert candidates.of_tokens is not None
        return token_loss(candidates.of_tokens, self.target, self.counted, prompts, self.recipe)

    def auxiliary_loss(self, prompts: list[Prompt]) -> Tensor:
        return torch.zeros((), device=self.fabric.device)


def relevance_loss(
    network: InteractiveModel, image: Tensor, tokens: Tensor | None, batch: Batch, fabric: Fabric, labels: Words
) -> Tensor:
    """The loss of the relevance map alone: masks are not decoded. Arguments as for :func:`step_losses`."""
    with fabric.autocast():
        with torch.no_grad():  # neither the encoder nor the purification layer is trained
            features = network.encode_crop(image, tokens)
        return network.auxiliary_loss(features, list(batch.prompts), batch.supervision, labels).float()


def round_loss(
    candidates: Candidates,
    target: Tensor,
    counted: Tensor,
    prompts: Sequence[Prompt],
    recipe: Recipe,
    are_parts: Sequence[bool] | None = None,
) -> Tensor:
    """The loss of a round's masks, and of their predicted IoU where there are several candidates.

    After one interaction an image has several right answers: then one candidate is to give the sample's. After more the
    candidates shall agree.
    """
    logits = candidates.logits.float()
    if logits.shape[1] == 1:
        return losses.total(recipe.loss, logits, target, counted, recipe.loss_reduction)
    settings = recipe.candidates
    shares = mean_shares(prompts, recipe)
    values = losses.weighted_sum(recipe.loss, logits, target, counted, recipe.loss_reduction)
    loss = candidate_losses.minimum_and_mean(values, values.new_tensor(shares)).mean()
    ious = candidate_losses.candidate_ious(logits, target, counted)
    scores = candidates.iou_logits.float()
    weights = [
        settings.part_weight if is_part and _is_single_click(p) else 1.0
        for p, is_part in zip(prompts, are_parts or [False] * len(prompts), strict=True)
    ]
    weight = values.new_tensor(weights)
    regression = candidate_losses.iou_regression(scores, ious, weight)
    ranking = candidate_losses.ranking(scores, ious, weight)
    return loss + settings.iou_weight * regression + settings.ranking_weight * ranking


def token_loss(logits: Tensor, target: Tensor, counted: Tensor, prompts: Sequence[Prompt], recipe: Recipe) -> Tensor:
    """The loss of the masks that tokens alone give, so that they learn even where convolutions are right already.

    Args:
        logits: ``(B, n, H/4, W/4)``.
        target, counted, prompts, recipe: as for :func:`round_loss`.
    """
    smaller, inside = F.avg_pool2d(target * counted, 4), F.avg_pool2d(counted, 4)
    share = smaller / inside.clamp_min(1e-6)  # a loss of soft targets: the share of a cell that the object covers
    values = losses.weighted_sum({"bce": 1.0, "dice": 1.0}, logits.float(), share, inside)
    return candidate_losses.minimum_and_mean(values, values.new_tensor(mean_shares(prompts, recipe))).mean()


def mean_shares(prompts: Sequence[Prompt], recipe: Recipe) -> list[float]:
    """How much the mean over candidates counts for each prompt, beside the minimum."""
    settings = recipe.candidates
    return [settings.first_mean_share if len(p) <= 1 else settings.later_mean_share for p in prompts]


def _is_single_click(prompt: Prompt) -> bool:
    """Whether a prompt is one click, without what tells a part from a whole."""
    return len(prompt) == 1 and len(prompt.clicks) == 1 and prompt.clicks[0].radius is None


def consistency_loss(
    network: InteractiveModel, features: Features, candidates: Candidates, counted: Tensor, batch: Batch
) -> Tensor:
    """Cross-entropy between the masks of single clicks and those of a click at the object's centre, which do not learn.

    Each candidate is compared with the one of the same number; 0 where a batch has nothing to compare.
    """
    rows = [row for row, centre in enumerate(batch.centres) if centre is not None]
    if not rows:
        return counted.new_zeros(())
    pairs = zip(batch.prompts, batch.centres, strict=True)
    prompts = [prompt if centre is None else replace(prompt, clicks=(centre,)) for prompt, centre in pairs]
    with torch.no_grad():
        expected = network.decode_candidates(features, prompts, None).logits[rows].float().sigmoid()
    values = F.binary_cross_entropy_with_logits(candidates.logits[rows].float(), expected, reduction="none")
    weight = counted[rows].expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def number_of_rounds(batch: Batch, recipe: Recipe) -> int:
    """How many rounds a step has, 1 to ``clicks.max_rounds``.

    Most of a step's time goes to rounds: with a number that is drawn, more images are seen in the same time. All
    processes draw the same for a step, or they would wait for each other.
    """
    first = first_of_step(batch, recipe)
    return 1 + int(np.random.default_rng((recipe.seed, first, ROUNDS)).integers(recipe.clicks.max_rounds))


def first_of_step(batch: Batch, recipe: Recipe) -> int:
    """The number of the first sample of a batch's step, of which the batch may be a part."""
    return batch.numbers[0] - batch.numbers[0] % recipe.batch


def step_draws(batch: Batch, recipe: Recipe, stream: int) -> NDArray[np.float64]:
    """A random number in [0, 1) for each sample: the same one, however the step is shared by processes and parts.

    Args:
        batch: all samples of a step, or some of them.
        recipe: its seed and batch size.
        stream: tells these numbers from others.
    """
    first = first_of_step(batch, recipe)
    places = np.asarray(batch.numbers) - first
    return np.random.default_rng((recipe.seed, first, stream)).random(int(places.max()) + 1)[places]


def degrade_previous(previous: Tensor, draws: np.ndarray, settings: ClicksRecipe) -> Tensor:
    """Coarsen some previous masks, as those of a larger crop of the image are, and hide others.

    Args:
        previous: ``(B, 1, H, W)`` probability.
        draws: ``(B,)`` in [0, 1), which decide what happens to each mask.
        settings: the probabilities of both.
    """
    coarse = F.interpolate(F.avg_pool2d(previous, 4), scale_factor=4, mode="bilinear", align_corners=False)
    draw = torch.from_numpy(draws).to(previous.device, non_blocking=True)[:, None, None, None]
    hidden = draw >= 1.0 - settings.no_previous_prob
    coarsened = draw < settings.coarse_previous_prob * (1.0 - settings.no_previous_prob)
    return torch.where(hidden, torch.zeros_like(previous), torch.where(coarsened, coarse, previous))


def _on_device(batch: Batch, fabric: Fabric) -> tuple[Tensor, Tensor, Tensor]:
    """Images in [0, 1], targets and counted pixels as float."""
    device = fabric.device
    image = batch.image.to(device, non_blocking=True).float().div_(255.0).contiguous(memory_format=torch.channels_last)
    target = batch.target.to(device, non_blocking=True).float()
    counted = 1.0 - batch.ignore.to(device, non_blocking=True).float()
    return image, target, counted


def _joined(futures: Sequence[Future[list[Prompt]]]) -> list[Prompt]:
    return [prompt for future in futures for prompt in future.result()]
