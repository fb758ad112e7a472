"""The two networks of the text recognition component: where writing is, and what a line of it says.

They are rapidocr's own, from the files of its package. Its driver is not used: it reads configuration,
would fetch a model that it does not find, and does not say where on a line a character stands.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# OpenCV brings a linear algebra library that makes a thread, and a stack for it, for every processor.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import onnxruntime
import rapidocr
from omegaconf import OmegaConf
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_rec.main import TextRecognizer
from rapidocr.utils.typings import EngineType

Picture = npt.NDArray[np.uint8]
"""Rows of pixels of blue, green, red."""
Floats = npt.NDArray[np.float32]

DETECTOR, READER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
SIDE = 1280
"""Pixels of the longer side of the picture that writing is looked for in. More takes more time and memory
and finds nothing more; lines are read from the full picture."""
MOST_THREADS = 4
_LONGEST = 100
"""Heights that a line may be wide; what is longer is a rule."""
_NARROWEST = 128
"""Pixels that a line is filled up to; below 96 single characters are misread."""


@dataclass(frozen=True)
class Reading:
    """What a line says."""

    text: str
    sure: Floats
    """Of each character, 0 to 1."""
    place: Floats
    """The middle of each character, as a fraction of the line."""

    @property
    def confidence(self) -> float:
        """The mean over its characters; 0 where there is none."""
        return float(self.sure.mean()) if self.text else 0.0


class Models:
    """Both networks, loaded; a second at most."""

    def __init__(self) -> None:
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        cv2.setNumThreads(1)
        onnxruntime.disable_telemetry_events()  # Windows; pyproject.toml excludes worse
        folder = Path(rapidocr.__file__).parent / "models"
        self._detector = TextDetector(
            _configuration(
                folder / DETECTOR,
                {
                    "limit_side_len": SIDE,
                    "limit_type": "max",
                    "mean": [0.5, 0.5, 0.5],
                    "std": [0.5, 0.5, 0.5],
                    "box_thresh": 0.5,
                    "unclip_ratio": 1.6,
                },
            )
        )
        shape = {"rec_batch_num": 1, "rec_img_shape": [3, 48, _NARROWEST]}
        self._reader = TextRecognizer(_configuration(folder / READER, shape))
        self._characters: list[str] = self._reader.postprocess_op.character

    def detect(self, picture: Picture) -> Floats:
        """The lines in ``picture``, each as its four corners (x, y), clockwise from where its text begins."""
        found = self._detector(picture)
        if found.boxes is None:
            return np.zeros((0, 4, 2), np.float32)
        return np.asarray(found.boxes, np.float32)

    def read(self, line: Picture) -> Reading:
        """What stands in ``line``, a picture of one line, upright."""
        height, width = line.shape[:2]
        if width > _LONGEST * height:
            return Reading("", np.zeros(0, np.float32), np.zeros(0, np.float32))
        shape = self._reader.rec_image_shape
        ratio = max(shape[2] / shape[1], width / height)
        prepared = self._reader.resize_norm_img(line, ratio)[np.newaxis]
        scores = self._reader.session(prepared)[0]
        # Its columns beyond the line's end are filling.
        return self._decoded(scores, columns=len(scores) * min(1.0, width / height / ratio))

    def _decoded(self, scores: Floats, columns: float) -> Reading:
        """A run of columns with the same best class is one character; class 0 stands between characters."""
        best = scores.argmax(axis=1)
        starts = np.flatnonzero(np.diff(best, prepend=-1))
        ends = np.append(starts[1:], len(best))
        kept = best[starts] != 0
        starts, ends = starts[kept], ends[kept]
        sure = np.array([scores[a:b].max() for a, b in zip(starts, ends, strict=True)], np.float32)
        text = "".join(self._characters[number] for number in best[starts])
        assert len(text) == len(sure)
        return Reading(text, sure, ((starts + ends) / 2 / columns).clip(0, 1).astype(np.float32))


def _configuration(model: Path, more: dict[str, Any]) -> Any:
    """rapidocr's form of settings, with a session of our own: its sessions spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = _threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    settings = {"engine_type": EngineType.ONNXRUNTIME, "lang_type": "ch", "session": session, **more}
    return OmegaConf.create(settings, flags={"allow_objects": True})


def _threads() -> int:
    """Half the processors that this process may use: somebody works on the machine."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, available // 2))
