"""Currents: what is added to a layer's potentials, as a sum over maps, on its way to a layer's sources."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sw.importers.graph import BatchNorm
from sw.importers.taps import Taps
from sw.layers import Layer, Shape, Source
from sw.ticket import Norm, Parameters


@dataclass(frozen=True)
class Term:
    """What one map adds."""

    name: str
    map: str
    shape: Shape  # of the map
    taps: Taps
    linear: bool = False  # a weight for each position of the whole map
    learned: bool = True  # False: spikes as they are
    norm: BatchNorm | None = None

    @property
    def source(self) -> Source:
        """Of a layer."""
        channels = self.shape.size if self.linear else self.shape.channels
        return Source(
            name=self.name,
            map=self.map,
            channels=channels,
            kernel=None if self.linear else self.taps.kernel,
            stride=self.taps.stride[0],
            padding=self.taps.padding[0],
            groups=self.taps.groups if self.learned else 1,
            identity=not self.learned,
        )


@dataclass(frozen=True)
class Current:
    """Terms and a bias a filter, float64 (K,)."""

    terms: tuple[Term, ...]
    bias: np.ndarray
    sides: tuple[int, int]  # height and width of what it hands on
    mean: bool = False  # over the whole map of sums
    trail: tuple[str, ...] = ()  # nodes that made it

    @property
    def filters(self) -> int:
        """K."""
        return len(self.bias)

    def normed(self, norm: BatchNorm) -> Current:
        """After a batch norm: kept as it is where there is one term without one, else folded."""
        term = self.terms[0]
        if len(self.terms) == 1 and term.norm is None and term.learned:
            shifted = replace(norm, mean=norm.mean - self.bias)
            return replace(
                self, terms=(replace(term, norm=shifted),), bias=np.zeros_like(self.bias)
            )
        factor = norm.weight / np.sqrt(norm.var.astype(np.float64) + norm.eps)
        total = scaled(self, factor)
        return replace(total, bias=total.bias + norm.bias - norm.mean * factor)

    def plus(self, other: Current) -> Current:
        """The sum."""
        return replace(
            self,
            terms=self.terms + other.terms,
            bias=self.bias + other.bias,
            mean=self.mean or other.mean,
            trail=tuple(dict.fromkeys(self.trail + other.trail)),
        )

    def arranged(self) -> Current:
        """The layer's own source first: the one with the largest kernel; spikes as they are last."""
        order = sorted(self.terms, key=lambda term: (not term.learned, -term.taps.weight[0].size))
        return replace(self, terms=tuple(order))


def identity_term(name: str, map_: str, shape: Shape, trail: tuple[str, ...]) -> Current:
    """A map's spikes, added as they are."""
    taps = Taps(np.ones((shape.channels, 1, 1, 1)), groups=shape.channels)
    term = Term(f"{name}.{map_}", map_, shape, taps, learned=False)
    return Current((term,), np.zeros(shape.channels), (shape.height, shape.width), trail=trail)


def scaled(current: Current, factor: np.ndarray) -> Current:
    """Each filter times a number, (K,), float64. Spikes as they are become a convolution of one weight."""
    terms = []
    for term in current.terms:
        norm, taps = term.norm, term.taps
        if norm is None:
            taps = replace(taps, weight=taps.weight * factor.reshape(-1, 1, 1, 1))
        else:
            norm = replace(norm, weight=norm.weight * factor, bias=norm.bias * factor)
        terms.append(replace(term, taps=taps, norm=norm, learned=True))
    return replace(current, terms=tuple(terms), bias=current.bias * factor)


def parameters(layer: Layer, current: Current) -> list[Parameters]:
    """The numbers of a layer's sources, in float32, learned ones in the order of tickets."""
    result = []
    extra = current.bias
    for term, source in zip(current.terms, layer.sources, strict=True):
        if source.identity:
            continue
        weight = term.taps.weight.reshape(source.weight_shape(layer.filters)).astype(np.float32)
        norm, bias = None, extra
        if term.norm is not None:
            one = term.norm
            weights, biases, means, variances = (
                np.asarray(a, np.float32) for a in (one.weight, one.bias + extra, one.mean, one.var)
            )
            norm = Norm(weights, biases, means, variances, float(one.eps))
            bias = np.zeros_like(extra)
        result.append(Parameters(layer, source, weight, weight != 0, bias.astype(np.float32), norm))
        extra = np.zeros_like(extra)
    return result[::-1]
