"""The networks as most people would write them in PyTorch 1.10: a baseline from Caffe2's own wheel.

    python -m caffe2_impl.baseline   # as a worker of `compare.py`, see `common.speed.worker`

PyTorch as it comes: `torch.nn` modules run eagerly, its SGD, nothing tuned.
"""
from __future__ import annotations

from typing import Callable, Dict, List, Optional

import numpy as np
import torch
from torch import nn

from common.errors import UserError
from common.network.layers import (
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    MaxPool,
    NetworkSpec,
    Relu,
    StatisticsPool,
    Step,
)
from common.network.optimizer import SGD
from common.network.params import Params
from common.speed.bench import Bench
from common.speed.engine import INFERENCE, RATE, TRAINING, Engine
from common.speed.blocks import Tick, repeat
from common.speed.worker import serve

_device = torch.device("cpu")


class Network:
    """See `common.speed.engine.Runner`; a sequence of modules."""

    kinds = (TRAINING, INFERENCE)

    def __init__(self, spec: NetworkSpec, params: Params, optimizer: SGD) -> None:
        self._spec, self._label_smoothing = spec, spec.other_target * spec.num_speakers
        self._model = _model(spec, params).to(_device)
        decaying: Dict[bool, List[nn.Parameter]] = {True: [], False: []}
        for module in self._model:
            for name, parameter in module.named_parameters():
                weight = name == "weight" and not isinstance(module, _NORMS)
                decaying[weight].append(parameter)
        self._optimizer = torch.optim.SGD(
            [{"params": decaying[True], "weight_decay": optimizer.weight_decay},
             {"params": decaying[False]}], RATE, optimizer.momentum, nesterov=optimizer.nesterov)

    def stage(self, spectrograms: np.ndarray, speakers: np.ndarray) -> None:
        self._spectrograms = torch.from_numpy(spectrograms).to(_device)[:, None]  # (N, 1, bins, frames)
        self._speakers = torch.from_numpy(speakers).long().to(_device)

    def run(self, kind: str, steps: int, tick: Tick) -> object:
        return repeat({TRAINING: lambda: self.loss(RATE), INFERENCE: self._predict}[kind], steps, tick)

    def loss(self, learning_rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._model.train()
        self._optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            self._model(self._spectrograms), self._speakers, label_smoothing=self._label_smoothing)
        loss.backward()
        self._optimizer.step()
        return loss.item()

    def answer(self, spectrograms: np.ndarray) -> np.ndarray:
        return self._logits(torch.from_numpy(spectrograms).to(_device)[:, None])

    def load(self, params: Params, momenta: Optional[Params] = None) -> None:
        self._model.load_state_dict(_model(self._spec, params).state_dict())
        self._optimizer.state.clear()
        for name, value in (momenta or {}).items():  # PyTorch keeps them without the rate
            own = self._tensors()[name]
            kept = torch.from_numpy(value / np.float32(RATE)).reshape(own.shape)
            self._optimizer.state[own]["momentum_buffer"] = kept.to(_device)

    def params(self) -> Params:
        return self._canonical(self._tensors())

    def momenta(self) -> Params:
        return self._canonical({name: RATE * self._optimizer.state[own]["momentum_buffer"]
                                for name, own in self._tensors().items() if own in self._optimizer.state})

    def _tensors(self) -> Dict[str, torch.Tensor]:
        """PyTorch's own by their canonical names."""
        holding = (module for module in self._model if hasattr(module, "weight"))
        return {tensor.name: getattr(module, role) for step in self._spec.steps() if step.parameters
                for module in [next(holding)] for role, tensor in zip(_ROLES, step.parameters)}

    def _canonical(self, tensors: Dict[str, torch.Tensor]) -> Params:
        return {p.name: tensors[p.name].detach().cpu().numpy().reshape(p.shape).copy()
                for p in self._spec.parameters() if p.name in tensors}

    def facts(self) -> Dict[str, str]:
        return {
            "framework": f"PyTorch {torch.__version__}",
            "device": "gpu" if _device.type == "cuda" else "cpu",
            "engine": "cuDNN" if _device.type == "cuda" else "eager, oneDNN + MKL",
            "layout": "NCHW",
            "precision": "float32",
            "threads": str(torch.get_num_threads()),
            "training": "modules, cross_entropy, backward, torch.optim.SGD",
            "inference": "eval, no_grad",
        }

    def _predict(self) -> np.ndarray:
        return self._logits(self._spectrograms)

    def _logits(self, spectrograms: torch.Tensor) -> np.ndarray:
        self._model.eval()
        with torch.no_grad():
            return self._model(spectrograms).cpu().numpy()


class _BinsAsChannels(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0]  # (N, 1, bins, frames) -> (N, bins, frames)


class _StatisticsPool(nn.Module):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self._epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(x, dim=2, unbiased=False)  # (N, channels, frames)
        return torch.cat([mean, torch.sqrt(variance + self._epsilon)], dim=1)


_ROLES = ("weight", "bias", "running_mean", "running_var")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def load() -> Engine:
    """PyTorch as an engine; importing this module has imported it."""
    return Engine(_configure, Network)


def _configure(device: str, threads: int) -> None:
    global _device
    torch.set_num_threads(threads)
    if device == "gpu" and not torch.cuda.is_available():
        raise UserError("PyTorch does not find the GPU that CUDA shows; use --device cpu")
    _device = torch.device("cuda" if device == "gpu" else "cpu")


def _model(spec: NetworkSpec, params: Params) -> nn.Sequential:
    over_time = isinstance(spec.layers[0], BinsAsChannels)
    modules = []
    for step in spec.steps():
        added = _BUILDERS[type(step.layer)](step, over_time)
        for role, tensor in zip(_ROLES, step.parameters):
            own = getattr(added[-1], role)
            own.data.copy_(torch.from_numpy(params[tensor.name]).reshape(own.shape))
        modules += added
    return nn.Sequential(*modules)


def _convolution(step: Step, over_time: bool) -> List[nn.Module]:
    layer, channels = step.layer, step.input_shape[0]
    (top, bottom), (left, right) = layer.pads
    if over_time:
        padding = [nn.ConstantPad1d((left, right), 0.0)] if left or right else []
        return [*padding, nn.Conv1d(channels, layer.channels, layer.kernel[1], layer.stride[1],
                                    dilation=layer.dilation[1])]
    if (top, left) == (bottom, right):
        return [nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, (top, left),
                          layer.dilation)]
    return [nn.ZeroPad2d((left, right, top, bottom)),
            nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, 0, layer.dilation)]


def _batch_norm(step: Step, over_time: bool) -> List[nn.Module]:
    kind = nn.BatchNorm1d if over_time or len(step.input_shape) == 1 else nn.BatchNorm2d
    return [kind(step.input_shape[0], step.layer.epsilon, momentum=1 - step.layer.decay)]


# layer type -> (its place in the network, whether that convolves over time alone) -> modules, the
# parameters in the last
_BUILDERS: Dict[type, Callable[[Step, bool], List[nn.Module]]] = {
    BinsAsChannels: lambda step, _: [_BinsAsChannels()],
    Convolution: _convolution,
    BatchNorm: _batch_norm,
    Relu: lambda step, _: [nn.ReLU(inplace=True)],
    MaxPool: lambda step, _: [nn.MaxPool2d(step.layer.kernel, step.layer.stride)],
    AveragePool: lambda step, _: [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    StatisticsPool: lambda step, _: [_StatisticsPool(step.layer.epsilon)],
    Dense: lambda step, _: [nn.Linear(step.input_shape[0], step.layer.units)],
}


if __name__ == "__main__":
    serve(Bench(load))
