"""The order in which filters are loaded: one more permutation of each map's channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sw.balance import sort_order
from sw.integers import IntegerLayer, IntegerNetwork, IntegerSource


@dataclass(frozen=True)
class Ordered:
    """An integer network whose filters and input channels are in their loaded order."""

    network: IntegerNetwork  # the network's own order, which results are told in
    orders: dict[str, np.ndarray]  # of every map: position -> channel of the network
    loaded: tuple[IntegerLayer, ...]


def order_filters(network: IntegerNetwork, orders: dict[str, np.ndarray]) -> Ordered:
    """Filters in the order in which they are loaded, input channels in that of their map.

    orders: by layer, position -> output channel; the network's own where a layer is not in it.
    """
    known = {integer.name: np.arange(integer.layer.filters) for integer in network.array}
    known |= orders
    loaded = tuple(_reordered(integer, known) for integer in network.array)
    return Ordered(network, known, loaded)


def sort_orders(network: IntegerNetwork) -> dict[str, np.ndarray]:
    """Policy `sort`: each layer's output channels in descending order of nnz, ties by index."""
    return {integer.name: sort_order(integer.filter_nnz) for integer in network.array}


def _reordered(integer: IntegerLayer, orders: dict[str, np.ndarray]) -> IntegerLayer:
    order = orders[integer.name]
    sources = tuple(_loaded(part, order, orders.get(part.source.map)) for part in integer.sources)
    return replace(
        integer,
        sources=sources,
        bias=integer.bias[order],
        threshold=None if integer.threshold is None else integer.threshold[order],
    )


def _loaded(part: IntegerSource, order: np.ndarray, before: np.ndarray | None) -> IntegerSource:
    """A source, filters in `order`, channels in their map's, `before`."""
    if (
        part.source.identity
    ):  # filter order[k] adds the channel of that name, wherever the map has it
        filters = len(order)
        position = np.empty(filters, np.int64)
        position[np.arange(filters) if before is None else before] = np.arange(filters)
        return replace(part, weight=part.weight[order], channel=position[order])
    weight, mask = part.weight[order], part.mask[order]
    if before is None:
        return replace(part, weight=weight, mask=mask)
    if part.source.kernel is None:  # a weight for each position of each channel
        each = part.source.channels // len(before)
        before = (each * before[:, None] + np.arange(each)).ravel()
    return replace(part, weight=weight[:, before], mask=mask[:, before])
