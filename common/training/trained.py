"""What must be known of a trained model to use it, whatever file it comes in.

    trained = Trained.of(load_checkpoint(Path("runs/a/best.npz")))
    trained = Trained.read(session.get_modelmeta().custom_metadata_map, "speaker.onnx")    # the same

A checkpoint has it all; an ONNX file carries it as metadata. Needs no framework and no package `onnx`.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from common.contenders import either
from common.data.form import NUM_BINS, SAMPLE_RATE, SCALES
from common.errors import UserError
from common.network.params import fingerprint
from common.prepare.features import FFT_POINTS, STEP_SAMPLES, WINDOW_SAMPLES
from common.training.metrics import is_temperature

if TYPE_CHECKING:  # slow to import, and no ONNX file needs it
    from common.training.checkpoint import Checkpoint

_UNKNOWN = "unknown"
_SYNTHETIC, _RECORDED = "synthetic", "recorded"  # voices


@dataclass(frozen=True)
class Trained:
    """What is known of a trained model beside its weights."""

    network: str
    speakers: Tuple[str, ...]  # names by label
    trained_by: str  # such as "Caffe2, 23 epochs"
    parameters: str  # their fingerprint: only embeddings by the same ones can be compared
    scale: Optional[str] = None  # of the spectrograms it was trained on, or unknown
    normalised: Optional[bool] = None  # whether every frequency bin was, or unknown
    synthetic: bool = False  # whether it knows synthetic voices only
    temperature: Optional[float] = None  # that makes probabilities of its logits, or not known

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Trained:
        """From a checkpoint."""
        return cls(checkpoint.config.network, checkpoint.speakers,
                   f"{checkpoint.framework or 'nobody'}, {checkpoint.epoch} epochs", fingerprint(checkpoint.params),
                   checkpoint.scale, checkpoint.normalised, checkpoint.synthetic, checkpoint.temperature)

    @classmethod
    def read(cls, metadata: Mapping[str, str], path: str) -> Trained:
        """From what `metadata` made. Raises UserError where it is of another origin or damaged."""
        try:
            speakers, preprocessing = (json.loads(metadata[name]) for name in ("speakers", "preprocessing"))
            scale, normalised = (_known(preprocessing[name]) for name in ("scale", "normalised"))
            temperature = _known(json.loads(metadata["temperature"]))
            sound = (len(speakers) > 1 and all(isinstance(name, str) for name in speakers)
                     and scale in (None, *SCALES) and normalised in (None, True, False)
                     and (temperature is None or is_temperature(temperature)))
            if not sound or metadata["voices"] not in (_SYNTHETIC, _RECORDED):
                raise ValueError("its speakers, preprocessing or temperature are damaged")
            return cls(metadata["network"], tuple(speakers), metadata["trained_by"], metadata["parameters"], scale,
                       normalised, metadata["voices"] == _SYNTHETIC, temperature)
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{path} does not say which speakers it knows and what spectrograms it takes ({error}); make an "
                            f"ONNX file that does with {either('export')}") from None

    def metadata(self) -> Dict[str, str]:
        """The same as texts, for a user of the ONNX file: the speakers by label, and how to make its input."""
        return {
            "network": self.network,
            "speakers": json.dumps(list(self.speakers), ensure_ascii=False),
            "trained_by": self.trained_by,
            "parameters": self.parameters,
            "temperature": json.dumps(_UNKNOWN if self.temperature is None else self.temperature),
            "voices": _SYNTHETIC if self.synthetic else _RECORDED,
            "preprocessing": json.dumps({
                "sampling_rate": SAMPLE_RATE, "window": f"Hamming, {WINDOW_SAMPLES} samples",
                "step": STEP_SAMPLES, "fft": FFT_POINTS, "bins": f"0 to {NUM_BINS - 1}",
                "scale": self.scale or _UNKNOWN,
                "normalised": _UNKNOWN if self.normalised is None else self.normalised}),
        }


def _known(value: Any) -> Any:
    return None if value == _UNKNOWN else value
