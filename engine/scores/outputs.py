"""What scores are computed from: logits, features, the head between them, and a fit set."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from engine.errors import ScoreError


class Outputs(NamedTuple):
    """A model's outputs: logits (n, classes) and, where a score asks for them, features (n, width).

    Features are the input of the head as its matrix product sees it: logits = features W^T + b.
    """

    logits: Tensor
    features: Tensor | None = None

    def wide(self) -> Tensor:
        """Return the features in float64; raise ScoreError if there are none."""
        if self.features is None:
            raise ScoreError("features are needed")
        return self.features.double()


class Head(NamedTuple):
    """The last linear layer as it is used: weight (classes, width) and bias (classes,), dequantized."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return logits in float64."""
        return features.double() @ self.weight.double().T + self.bias.double()


class FitSet(NamedTuple):
    """ID images that a score may learn from; they are never evaluated. Labels (n,) count from 0."""

    outputs: Outputs
    labels: Tensor | None = None
    head: Head | None = None

    def features(self) -> Tensor:
        """Return the features in float64."""
        return self.outputs.wide()

    def classes(self) -> Tensor:
        """Return the labels; raise ScoreError if there are none."""
        if self.labels is None:
            raise ScoreError("labels of the fit set are needed")
        return self.labels

    def last_layer(self) -> Head:
        """Return the head; raise ScoreError if there is none."""
        if self.head is None:
            raise ScoreError("the weight and bias of the head are needed")
        return self.head


Scorer = Callable[[Outputs], Tensor]


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the classes that occur, (k, width), and for every image the row of its class."""
    present, rows = torch.unique(labels, return_inverse=True)
    return mean_by_row(features, rows, len(present)), rows


def mean_by_row(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean of the `values` (n, width) that belong to each of `count` rows, (count, width).

    Summed in the order of `values` on every device, so that a resumed sweep fits the same scores to the bit:
    index_add_ sums in any order on a GPU.
    """
    order = torch.argsort(rows, stable=True)
    sizes = rows.bincount(minlength=count)
    sums: Tensor = torch.segment_reduce(values[order], "sum", lengths=sizes, axis=0, unsafe=True)
    return sums / sizes[:, None]
