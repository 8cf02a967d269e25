"""A trainable spiking network built from the layers of `layers.py`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sw.convolution import Convolution
from sw.layers import IMAGE, Layer, Pool, Reduce, Source
from sw.norm_fire import Fire, norm_fire
from sw.schedule import Output

HANDED_ON = 0.5  # share of a new filter's squared norm that is its channel handed on

SPREAD = 3.0  # of currents around the threshold, when more ticks begin


class SpikingNetwork(nn.Module):
    """Direct encoding or event frames, batch norm before neurons, max-pool on spikes, shortcuts.

    `weights[name]` are the sources' convolutions or linear maps, `norms[name]` their batch norms.
    """

    def __init__(
        self, layers: Sequence[Layer], *, frames: bool = False, fused: bool = False
    ) -> None:
        """frames: the input is spikes for each tick, and the array runs the first layer, too.

        fused: layers compiled (sw/norm_fire.py); the same but for the order of roundings.
        """
        super().__init__()
        self.layers, self.frames, self.fused = tuple(layers), frames, fused
        self.weights = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for layer in self.layers:
            for source in layer.learned:
                self._add(source, layer)

    def _add(self, source: Source, layer: Layer) -> None:
        """The parameters of a source."""
        filters = layer.filters
        if layer.neuron is None:
            self.weights[source.name] = nn.Linear(source.channels, filters)
            return
        weights: nn.Module
        if source.kernel is None:
            weights = nn.Linear(source.channels, filters, bias=False)
        else:
            weights = Convolution(
                source.channels,
                filters,
                source.kernel,
                source.stride,
                source.padding,
                groups=source.groups,
            )
        # fan-out: fan-in initialization makes late layers small, and global pruning empties them
        nn.init.kaiming_normal_(weights.weight, mode="fan_out", nonlinearity="relu")
        weights.to(memory_format=torch.channels_last)  # as the maps are, so that no step copies it
        self.weights[source.name] = weights
        self.norms[source.name] = nn.BatchNorm2d(filters)

    @property
    def array(self) -> tuple[Layer, ...]:
        """The layers that the array runs: all after that of an image."""
        return self.layers if self.frames else self.layers[1:]

    @property
    def prunable(self) -> dict[str, torch.Tensor]:
        """Weights of every source that the array runs."""
        names = (source.name for layer in self.array for source in layer.learned)
        return {name: self.weights[name].weight for name in names}

    def forward(
        self,
        images: torch.Tensor,
        ticks: int,
        output: Output = Output.SPIKE,
        price: float = 0.0,
    ) -> torch.Tensor:
        """Classifier outputs (T, B, classes) for float images (B, C, H, W), or frames (T, B, C, H, W).

        output: what the layers hand on; `Output.CLIP` is the network without spikes. price: of activity, the
        mean over layers of their mean output, in the loss: gradients are of the loss and price times that.
        """
        price /= max(sum(layer.neuron is not None for layer in self.layers), 1)
        handed = {IMAGE: images}
        if not self.frames:
            first = self.layers[0]
            y = self._of_image(first, images)
            y = y.expand(ticks, *y.shape)  # the same in every tick
            fire = self._fire(first, output)
            handed[first.name] = norm_fire(y, self.norms[first.name], fire, price=price)
        for layer in self.array:
            sums = {s.name: self._sums(layer, s, handed[s.map], ticks) for s in layer.learned}
            if layer.neuron is None:
                return sums[layer.name].float()
            added = None
            for source in layer.sources[1:]:
                part = handed[source.map] if source.identity else self._normalized(sums, source)
                added = part if added is None else added + part
            norm = self.norms[layer.name]
            fire = self._fire(layer, output)
            handed[layer.name] = norm_fire(sums[layer.name], norm, fire, added=added, price=price)
        raise ValueError("the network has no classifier: its last layer must have no neurons")

    def _of_image(self, layer: Layer, images: torch.Tensor) -> torch.Tensor:
        """The first layer's sums, (B, K, H, W)."""
        weights = self.weights[layer.name]
        if layer.own.kernel is None:
            return weights(images.flatten(1))[..., None, None]
        return weights(images)

    def _sums(self, layer: Layer, source: Source, x: torch.Tensor, ticks: int) -> torch.Tensor:
        """What a source adds before its norm, (T, B, K, H, W), or (T, B, K) of the classifier."""
        if source.kernel is None:
            sums = self.weights[source.name](x.flatten(2))
            return sums if layer.neuron is None else sums[..., None, None]
        flat = x.flatten(0, 1)
        if layer.reduce is Reduce.MEAN:
            flat = flat.mean((2, 3), keepdim=True)
        elif layer.reduce is Reduce.SUM:
            flat = flat.sum((2, 3), keepdim=True)
        return self.weights[source.name](flat).unflatten(0, (ticks, -1))

    def _fire(self, layer: Layer, output: Output) -> Fire:
        neuron = layer.neuron.hardware if layer.neuron else None
        if layer.neuron is None or neuron is None:
            raise ValueError(
                f"layer {layer.name}: {layer.neuron} is not trained; allowed: those of hw/neuron.py"
            )
        return Fire(
            output,
            pool=layer.pool is Pool.MAX2,
            neuron=neuron,
            fused=self.fused,
            drive=layer.neuron.gain,
        )

    def _normalized(self, sums: dict[str, torch.Tensor], source: Source) -> torch.Tensor:
        """What a shortcut convolution adds to the current, (T, B, K, H, W)."""
        fire = Fire(Output.SUM, fused=self.fused)
        return norm_fire(sums[source.name], self.norms[source.name], fire)

    @torch.no_grad()
    def start_without_spikes(self) -> None:
        """Make a new network start where cutting its outputs to at most 1 cuts little.

        The norms give mean 0 and deviation 1/2, and a part of each filter hands its channel on. With
        the usual deviation of 1 a sixth of the outputs would be cut to 1 in every layer, and sixteen
        layers of that pass on too little to learn from. The mean decides how often neurons fire when
        spikes come (`start_spiking`): one of six here, half of them with a mean of 1/2.
        """
        for norm in self.norms.values():
            norm.weight.fill_(0.5)
            norm.bias.zero_()
        for layer in self.array:
            for source in layer.learned:
                if source.kernel is not None:
                    self._hand_on(self.weights[source.name].weight)

    @staticmethod
    def _hand_on(weight: torch.Tensor) -> None:
        """Give filter k of weight (K, C, R, S) half of its squared norm at channel k mod C's centre."""
        filters, channels, *kernel = weight.shape
        norm = weight.flatten(1).norm(dim=1).mean()
        weight.mul_((1 - HANDED_ON) ** 0.5)
        k = torch.arange(filters)
        weight[k, k % channels, kernel[0] // 2, kernel[1] // 2] += HANDED_ON**0.5 * norm

    @torch.no_grad()
    def start_spiking(self) -> None:
        """Make a network trained without spikes (`Output.CLIP`) one with spikes, to be trained on.

        An output between 0 and 1 becomes a spike where it was 1/2 or more: the biases of the norms
        before neurons move to where the first tick then fires.
        """
        for layer in self.layers:
            if layer.neuron is not None:
                self.norms[layer.name].bias += self._fire(layer, Output.SPIKE).level - 0.5

    @torch.no_grad()
    def start_ticks(self) -> None:
        """Make a network trained with one tick one that keeps its answers over several, to be trained on.

        A potential that did not fire stays, leaked, for the next tick. Trained with one tick it lies just
        below the threshold, and would make the next tick fire more. So currents move away from the threshold,
        `SPREAD` times as far: the spikes of the first tick are the same, and what stays is smaller beside
        the next current. Not quite so where a map is added unscaled (a shortcut without weights).
        """
        for layer in self.layers:
            if layer.neuron is None:
                continue
            level = self._fire(layer, Output.SPIKE).level
            for source in layer.learned:
                norm = self.norms[source.name]
                own = level if source is layer.own else 0.0
                norm.bias.copy_(own + SPREAD * (norm.bias - own))
                norm.weight.mul_(SPREAD)


@torch.no_grad()
def input_sparsity(
    network: SpikingNetwork, images: torch.Tensor, ticks: int, output: Output = Output.SPIKE
) -> dict[str, float]:
    """Share of zeros in the input of each layer after the first, over all ticks and `images`.

    images: normalized floats (B, C, H, W). The network is left in evaluation mode.
    """
    shares: dict[str, float] = {}
    hooks = [
        network.weights[name].register_forward_pre_hook(
            lambda _, inputs, name=name: shares.update(
                {name: 1 - inputs[0].count_nonzero().item() / inputs[0].numel()}
            )
        )
        for name in network.prunable
    ]
    network.eval()
    try:
        network(images, ticks, output)
    finally:
        for hook in hooks:
            hook.remove()
    return shares


TEMPERATURE = 2.0  # of the answers a network is taught (Hinton et al. 2015)


def loss(
    outputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    smoothing: float = 0.0,
    answers: torch.Tensor | None = None,
    share: float = 0.0,
) -> torch.Tensor:
    """Mean over ticks of the cross entropy of outputs (T, B, classes), as the paper's authors have it.

    smoothing: of the labels. answers: a teacher's outputs (B, classes), whose divergence from the mean
    over ticks makes up `share` of the loss.
    """
    ticks = outputs.shape[0]
    by_labels = F.cross_entropy(
        outputs.flatten(0, 1), labels.repeat(ticks), label_smoothing=smoothing
    )
    if answers is None:
        return by_labels
    soft = F.log_softmax(outputs.mean(0) / TEMPERATURE, 1)
    taught = F.log_softmax(answers.float() / TEMPERATURE, 1)
    divergence = F.kl_div(soft, taught, reduction="batchmean", log_target=True)
    return (1 - share) * by_labels + share * TEMPERATURE**2 * divergence


def predict(outputs: torch.Tensor) -> torch.Tensor:
    """Class of each image: argmax of the sum over ticks, lowest index on ties."""
    return outputs.sum(0).argmax(1)
