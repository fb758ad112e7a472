"""The last check before a model is installed: its header is read and it is loaded once, both in children."""

from collections.abc import Callable
from pathlib import Path

from localai_app.engine.client import Engine
from localai_app.engine.protocol import LoadSettings
from localai_app.errors import EngineExited, ModelLoadFailed
from localai_app.models.header_process import read_header


def try_model(
    path: Path, make_engine: Callable[[], Engine], stopped: Callable[[], bool] = lambda: False
) -> None:
    """Load the model at ``path`` in an engine of its own, with little memory besides the weights'.

    Raise `GgufError` for a broken header, `ModelLoadFailed` for a model that does not load, or when
    ``stopped`` says so meanwhile.
    """

    def look(fraction: float) -> None:
        if stopped():
            raise ModelLoadFailed(f"{path.name} was not tried to the end.", "Try again.")

    header = read_header(path)
    small = LoadSettings(
        context_length=512, gpu_layers=0, sequences=1, drafting=False, embedding=header.embedding_only
    )
    engine = make_engine()
    try:
        engine.load(path, small, look)
    except EngineExited as error:
        raise ModelLoadFailed(
            f"{path.name} ended the engine when it was tried: {error}", "Choose another model."
        ) from error
    finally:
        engine.close()
