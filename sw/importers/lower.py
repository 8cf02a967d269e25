"""From a graph of plain nodes to layers as the array runs them, and a ticket; docs/import.md.

A node's value is `Spikes`, a map that a layer hands on (perhaps seen through a pool of means), or a `Current`,
what is added to potentials. Neurons turn a current into the spikes of a new layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sw.importers.currents import Current, Term, identity_term, parameters, scaled
from sw.importers.graph import (
    INPUT,
    Add,
    BatchNorm,
    Conv,
    Flatten,
    Graph,
    Ignored,
    Linear,
    Node,
    Options,
    Pooling,
    Refused,
    Scale,
    Spiking,
    refuse,
)
from sw.importers.lowered import Lowered, Row, Spikes, per_channel
from sw.importers.taps import Taps, View, dilated, reaches_rest, square, through
from sw.layers import IMAGE, Encoding, Input, Layer, Network, Pool, Reduce, Shape
from sw.ticket import Parameters
from sw.trained_neuron import TrainedNeuron


def lower(graph: Graph, options: Options, seen: Input) -> Lowered:
    """Raises Refused, naming the node, for what no lowering makes into layers."""
    return _Lowering(graph, options, seen).result()


class _Lowering:
    def __init__(self, graph: Graph, options: Options, seen: Input) -> None:
        self.graph, self.options, self.input = graph, options, seen
        self.layers: list[Layer] = []
        self.parameters: list[Parameters] = []
        self.rows: list[Row] = []
        self.values: dict[str, Spikes | Current] = {INPUT: Spikes(IMAGE, Shape(*seen.shape))}
        self.choices = {node.name: node.choices for node in graph.nodes}
        self.kinds = {node.name: node.kind for node in graph.nodes}

    def result(self) -> Lowered:
        for node in self.graph.nodes:
            given = [self.values[name] for name in node.inputs]
            if len(given) > 1 and not isinstance(node.operation, Add):
                refuse(node.name, f"{len(given)} inputs; allowed: 1")
            self.values[node.name] = self.value(node, given)
        last = self.values[self.graph.output]
        if isinstance(last, Current):
            self.layer(last, None, self.graph.output)
        elif (
            last.view != View()
            or last.factors
            or not self.layers
            or last.map != self.layers[-1].name
        ):
            text = "a pool or scale at the end; allowed: neurons, or a layer's sums"
            refuse(self.graph.output, text)
        if len(self.layers) == 1 and self.input.encoding is Encoding.IMAGE:
            raise Refused(
                f"layer {self.layers[0].name}: the only layer, and that of an image runs in software; "
                "give spikes (--encoding spikes)"
            )
        network = Network(input=self.input, layers=tuple(self.layers))
        network.shapes()
        return Lowered(network, tuple(self.parameters), tuple(self.rows))

    def value(self, node: Node, given: list[Spikes | Current]) -> Spikes | Current:
        operation, value = node.operation, given[0]
        if isinstance(operation, Add):
            return self.add(node, given)
        if isinstance(operation, Ignored):
            return replace(value, trail=(*value.trail, node.name))
        if isinstance(operation, Flatten):
            if isinstance(value, Spikes):
                return replace(value, flat=True, trail=(*value.trail, node.name))
            if value.sides != (1, 1):
                refuse(node.name, "flattens currents; allowed: after neurons")
            return replace(value, trail=(*value.trail, node.name))
        if isinstance(operation, Pooling):
            return self.pool(node, operation, value)
        if isinstance(operation, Spiking):
            if isinstance(value, Spikes):
                value = self.straight(node, value)
            return self.layer(value, operation, node.name)
        if isinstance(operation, Conv | Linear):
            if isinstance(value, Current):
                refuse(node.name, f"{node.kind} of currents; allowed: of spikes or the input")
            if isinstance(operation, Conv):
                return self.conv(node, operation, value)
            return self.linear(node, operation, value)
        if isinstance(value, Spikes):
            if isinstance(operation, BatchNorm):
                text = "batch norm of spikes; allowed: of a convolution's or linear layer's sums"
                refuse(node.name, text)
            current = self.straight(node, replace(value, factors=()))
            factor = per_channel(node.name, "scale", operation.factor, current)
            if (factor > 0).all():  # it goes into the weights behind
                every = np.broadcast_to(factor, current.filters) * (value.factors or 1.0)
                return replace(value, factors=tuple(every), trail=(*value.trail, node.name))
            value = self.straight(node, value)
        return self.normed(node, operation, value)

    def normed(self, node: Node, operation: BatchNorm | Scale, value: Current) -> Current:
        filters = value.filters
        if isinstance(operation, Scale):
            factor = per_channel(node.name, "scale", operation.factor, value)
            value = scaled(value, np.broadcast_to(factor, filters))
        else:
            if len(operation.weight) != filters:
                text = f"{len(operation.weight)} channels, and gets {filters}"
                refuse(node.name, text)
            value = value.normed(operation)
        return replace(value, trail=(*value.trail, node.name))

    def conv(self, node: Node, conv: Conv, value: Spikes) -> Current:
        if value.flat:
            refuse(node.name, f"{node.kind} of a flattened map; allowed: of a map")
        filters, inputs = conv.weight.shape[:2]
        if inputs * conv.groups != value.shape.channels or filters % conv.groups:
            refuse(
                node.name,
                f"weight for {inputs * conv.groups} channels in {conv.groups} groups, and its input "
                f"has {value.seen}",
            )
        weight = dilated(conv.weight.astype(np.float64), conv.dilation)
        taps = Taps(weight, conv.stride, conv.padding, conv.groups)
        if min(taps.output(value.seen)) < 1:
            refuse(node.name, f"a kernel of {taps.kernel} on a map of {value.seen}")
        return self.current(node, taps, value, conv.bias)

    def linear(self, node: Node, linear: Linear, value: Spikes) -> Current:
        filters, inputs = linear.weight.shape
        seen = value.seen
        if not value.flat and (seen.height, seen.width) != (1, 1):
            refuse(node.name, f"{node.kind} of a map of {seen} that is not flattened")
        if inputs != seen.size:
            refuse(node.name, f"weight for {inputs} inputs, and its input has {seen.size}")
        weight = linear.weight.astype(np.float64)
        weight = weight.reshape(filters, seen.channels, seen.height, seen.width)
        return self.current(node, Taps(weight), value, linear.bias, whole=True)

    def straight(self, node: Node, value: Spikes) -> Current:
        """Neurons without weights before them: each channel reads itself."""
        ones = np.ones((value.shape.channels, 1, 1, 1))
        return self.current(node, Taps(ones, groups=value.shape.channels), value, None)

    def current(
        self, node: Node, taps: Taps, value: Spikes, bias: np.ndarray | None, *, whole: bool = False
    ) -> Current:
        """whole: the kernel is the pooled map itself."""
        if bias is not None and bias.shape != (len(taps.weight),):
            refuse(node.name, f"bias of shape {bias.shape}, and {len(taps.weight)} filters")
        if value.factors:
            taps = replace(taps, weight=taps.weight * taps.by_input(value.factors))
        pooled, shape = taps, value.shape
        sides, mean = pooled.output(value.seen), False
        covered = (value.view.kernel[0] == shape.height) and (value.view.kernel[1] == shape.width)
        if value.view != View() and covered and max(shape.height, shape.width) > 1:
            mean = node.name != self.graph.output  # sums of a whole map leave no array
        if mean:  # the mean over the whole map, after a kernel of 1x1
            count = shape.height * shape.width
            taps = replace(taps, weight=taps.weight * (value.view.factor * count))
        elif value.view != View():
            taps = through(taps, value.view)
            if whole:  # rows and columns that the pool drops
                rest = shape.height - taps.kernel[0], shape.width - taps.kernel[1]
                edges = ((0, 0), (0, 0), (0, rest[0]), (0, rest[1]))
                taps = replace(taps, weight=np.pad(taps.weight, edges))
        tall, wide = taps.kernel
        linear = whole and not mean and (tall != wide or tall not in (2, 3))
        if linear:  # behind a pool, too, it has one position
            taps = replace(taps, stride=(1, 1))
        elif not mean:
            if whole and tall == 2:  # one output, as a kernel of 3x3 whose first taps are 0
                taps = replace(taps, stride=(2, 2))
            reads_dropped = not whole and reaches_rest(taps, value.view, shape)
            taps = square(taps, shape)
            if taps.output(shape) != sides or reads_dropped:
                text = (
                    f"{node.kind} after a pool of {value.view.kernel} on a map of "
                    f"{shape.height}x{shape.width}; allowed: sides that the pool divides"
                )
                refuse(node.name, text)
        if taps.stride[0] != taps.stride[1] or taps.padding[0] != taps.padding[1]:
            text = f"stride {taps.stride} and padding {taps.padding}; allowed: the same down and across"
            refuse(node.name, text)
        term = Term(node.name, value.map, shape, taps, linear=linear)
        filters = len(taps.weight)
        return Current(
            terms=(term,),
            bias=np.zeros(filters) if bias is None else bias.astype(np.float64),
            sides=(1, 1) if whole else sides,
            mean=mean,
            trail=(*value.trail, node.name),
        )

    def pool(self, node: Node, pool: Pooling, value: Spikes | Current) -> Spikes | Current:
        trail = (*value.trail, node.name)
        if isinstance(value, Current):
            return self.pooled_current(node, pool, value)
        if value.flat:
            refuse(node.name, f"{node.kind} of a flattened map; allowed: of a map")
        seen = value.seen
        kernel = pool.kernel or (seen.height, seen.width)
        stride = pool.stride if pool.kernel else kernel
        if kernel == (1, 1) and stride == (1, 1):
            return replace(value, trail=trail)
        if stride != kernel or pool.padding != (0, 0):
            text = f"a pool of {kernel}, stride {stride}, padding {pool.padding}"
            refuse(node.name, f"{text}; allowed: a stride of the kernel's size, no padding")
        if min(seen.height // kernel[0], seen.width // kernel[1]) < 1:
            refuse(node.name, f"a pool of {kernel} on a map of {seen}")
        if pool.kind != "max":
            down, across = value.view.kernel
            factor = 1 / (kernel[0] * kernel[1]) if pool.kind == "mean" else 1.0
            view = View((down * kernel[0], across * kernel[1]), value.view.factor * factor)
            return replace(value, view=view, trail=trail)
        unseen = value.view != View() or value.flat  # factors do not change which is largest
        if value.map == IMAGE or unseen or self.layers[-1].name != value.map:
            refuse(node.name, "a maximum of what are no neurons' spikes; allowed: after neurons")
        if kernel != (2, 2):
            refuse(node.name, f"a maximum over {kernel}; the array has (2, 2)")
        if self.layers[-1].pool is not None or len(self.graph.readers(value.maker)) > 1:
            refuse(node.name, "pools spikes that another node reads as they are, or are pooled")
        last = self.layers[-1] = replace(self.layers[-1], pool=Pool.MAX2)
        own = [p for p in self.parameters if p.layer.name == last.name]
        kept = [p for p in self.parameters if p.layer.name != last.name]
        self.parameters = kept + [replace(p, layer=last) for p in own]
        row = self.rows[-1]
        more = [f"{one} ({self.kinds[one]})" for one in (*value.trail, node.name)]
        self.rows[-1] = replace(row, node=node.name, nodes=(*row.nodes, *more))
        shape = Shape(value.shape.channels, seen.height // 2, seen.width // 2)
        return Spikes(value.map, shape, factors=value.factors, maker=node.name)

    def pooled_current(self, node: Node, pool: Pooling, value: Current) -> Current:
        """A pool between a layer's sums and its neurons."""
        if pool.kind == "max":
            refuse(
                node.name, "a maximum of currents; the array has it of spikes: pool after neurons"
            )
        whole = pool.kernel is None or pool.kernel == value.sides
        if not whole or len(value.terms) > 1 or value.mean or value.terms[0].norm:
            text = (
                f"{node.kind} of currents; allowed: over the whole map of one layer without a norm"
            )
            refuse(node.name, text)
        if pool.kind == "sum":
            count = value.sides[0] * value.sides[1]
            value = scaled(value, np.full(value.filters, float(count)))
        return replace(value, mean=True, sides=(1, 1), trail=(*value.trail, node.name))

    def add(self, node: Node, given: list[Spikes | Current]) -> Current:
        currents = []
        twice = [name for name in node.inputs if node.inputs.count(name) > 1]
        if twice:
            refuse(node.name, f"adds {twice[0]} twice; allowed: once")
        if all(isinstance(value, Spikes) for value in given):
            text = (
                "a sum of spikes is 0, 1 or 2; the array has spikes: add currents, before neurons"
            )
            refuse(node.name, text)
        for value in given:
            if isinstance(value, Spikes):
                if not value.plain or value.map == IMAGE:
                    refuse(node.name, "adds pooled spikes or the input; allowed: a layer's spikes")
                value = identity_term(node.name, value.map, value.shape, value.trail)
            currents.append(value)
        first = currents[0]
        for other in currents[1:]:
            if (first.filters, first.sides) != (other.filters, other.sides):
                sizes = [f"{c.filters}x{c.sides[0]}x{c.sides[1]}" for c in (first, other)]
                refuse(node.name, f"adds {sizes[0]} and {sizes[1]}; allowed: one shape")
        total = first
        for other in currents[1:]:
            total = total.plus(other)
        if total.mean and len(total.terms) > 1:
            refuse(node.name, "adds a mean over a map; allowed: convolutions and linear layers")
        return replace(total, trail=(*total.trail, node.name))

    def layer(self, value: Current, neuron: Spiking | None, name: str) -> Spikes:
        """Neurons, or the end, make a layer of a current."""
        trained, trail = None, value.trail
        if neuron is not None:
            if name not in trail:
                trail = (*trail, name)
            gain = per_channel(name, "gain", neuron.gain, value)
            threshold = per_channel(name, "threshold", neuron.threshold, value)
            offset = per_channel(name, "offset", neuron.offset, value)
            value = replace(value, bias=value.bias + offset / gain)
            if gain.ndim or threshold.ndim:
                value = scaled(value, np.broadcast_to(gain / threshold, value.filters))
                gain, threshold = np.ones(()), np.ones(())
            trained = TrainedNeuron(
                leak=neuron.leak,
                gain=float(gain),
                threshold=float(threshold),
                reset=neuron.reset,
                fires="above" if neuron.above else "at",
                start=neuron.start,
            )
        value = value.arranged()
        if not any(term.learned for term in value.terms):
            refuse(name, "adds spikes alone; allowed: at least one convolution or linear layer")
        layer = Layer(
            name=value.terms[0].name,
            filters=value.filters,
            sources=tuple(term.source for term in value.terms),
            reduce=Reduce.MEAN if value.mean else None,
            neuron=trained,
        )
        if layer.name in [IMAGE, *(other.name for other in self.layers)]:
            refuse(layer.name, "makes two layers (or is called image); allowed: a name a layer")
        self.layers.append(layer)
        self.parameters += parameters(layer, value)
        choices = tuple(choice for node in trail for choice in self.choices.get(node, ()))
        approximate = (neuron.approximate,) if neuron and neuron.approximate else ()
        nodes = tuple(f"{node} ({self.kinds[node]})" for node in trail)
        self.rows.append(Row(layer.name, name, nodes, choices, approximate))
        return Spikes(layer.name, Shape(value.filters, *value.sides), maker=name)
