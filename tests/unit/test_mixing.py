"""What an epoch sees: blends of two regions, new each time, the same for the same seed."""

import pytest
import torch
from torch import nn

from pipeline.train.distillation import Teacher
from pipeline.train.epochs import Mixed, mix
from pipeline.train.loop import _loss


def blended(seed: int = 0, count: int = 8) -> tuple[torch.Tensor, Mixed]:
    images = torch.arange(count).float().reshape(count, 1, 1, 1).expand(count, 4, 4, 3) * 10
    return images, mix(images, torch.Generator().manual_seed(seed))


def test_each_image_keeps_the_larger_share_of_itself() -> None:
    images, mixed = blended()
    assert (mixed.shares >= 0.5).all()
    assert (mixed.shares <= 1).all()
    share = mixed.shares.reshape(-1, 1, 1, 1)
    assert torch.allclose(mixed.images, share * images + (1 - share) * images[mixed.partners])
    assert sorted(mixed.partners.tolist()) == list(range(8))


def test_a_seed_gives_the_same_blends_and_another_others() -> None:
    assert torch.equal(blended(1)[1].images, blended(1)[1].images)
    assert not torch.equal(blended(1)[1].images, blended(2)[1].images)


class Scores(nn.Module):
    """Answers the same logits whatever it sees."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_labels_count_by_their_shares() -> None:
    inputs, labels = torch.zeros(2, 1), torch.tensor([0, 1])
    certain = Scores(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))  # both are said to be 0
    whole = Mixed(inputs, torch.tensor([1, 0]), torch.tensor([1.0, 1.0]))
    half = Mixed(inputs, torch.tensor([1, 0]), torch.tensor([1.0, 0.5]))
    assert _loss(certain, inputs, labels, half, None) < _loss(certain, inputs, labels, whole, None)


def test_a_teacher_with_all_of_the_loss_leaves_nothing_to_labels() -> None:
    inputs, labels = torch.zeros(2, 1), torch.tensor([0, 1])
    mixed = Mixed(inputs, torch.tensor([1, 0]), torch.tensor([1.0, 1.0]))
    answers = torch.tensor([[0.0, 3.0], [1.0, 0.0]])
    taught = _loss(Scores(answers), inputs, labels, mixed, Teacher(Scores(answers), 1.0))
    assert float(taught.detach()) == pytest.approx(0, abs=1e-6)
