"""Find out which regularizers really close the train/validation gap of an image classifier.

The names in ``__all__`` are the public API, described in docs/api.md; everything else may change. They are imported
lazily, so that `import regstudy` is fast and does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regstudy.answering.answer import answer as answer
    from regstudy.api import ablate as ablate
    from regstudy.api import compare as compare
    from regstudy.api import confirm as confirm
    from regstudy.api import evaluate as evaluate
    from regstudy.api import load_space as load_space
    from regstudy.api import load_splits as load_splits
    from regstudy.api import run_study as run_study
    from regstudy.api import train as train
    from regstudy.api import verify as verify
    from regstudy.config.run_config import RunConfig as RunConfig
    from regstudy.data.image_set import ImageSet as ImageSet
    from regstudy.data.image_set import Splits as Splits
    from regstudy.doctor.examine import examine as examine
    from regstudy.errors import RegstudyError as RegstudyError
    from regstudy.production.classifier import Classifier as Classifier
    from regstudy.production.classifier import load as load
    from regstudy.production.conversion import convert as convert
    from regstudy.production.export import export as export
    from regstudy.production.prediction import Predictions as Predictions
    from regstudy.production.prediction import predict as predict
    from regstudy.production.verify_training import Verification as Verification
    from regstudy.records import EpochRecord as EpochRecord
    from regstudy.report.comparison.comparison_result import ComparisonResult as ComparisonResult
    from regstudy.report.results import load_results as load_results
    from regstudy.report.study_result import StudyResult as StudyResult
    from regstudy.search.launcher import Ray as Ray
    from regstudy.search.pruner import SignalPruner as SignalPruner
    from regstudy.space.search_space import Space as Space
    from regstudy.training.early_stopping import EarlyStopping as EarlyStopping
    from regstudy.training.early_stopping import Signal as Signal
    from regstudy.training.own_loop import build_augmentation as build_augmentation
    from regstudy.training.own_loop import build_model as build_model
    from regstudy.training.own_loop import build_optimizer as build_optimizer
    from regstudy.training.own_loop import build_schedule as build_schedule

    __version__: str

_PLACES = {
    "Classifier": "regstudy.production.classifier",
    "ComparisonResult": "regstudy.report.comparison.comparison_result",
    "EarlyStopping": "regstudy.training.early_stopping",
    "EpochRecord": "regstudy.records",
    "ImageSet": "regstudy.data.image_set",
    "Predictions": "regstudy.production.prediction",
    "Ray": "regstudy.search.launcher",
    "RegstudyError": "regstudy.errors",
    "RunConfig": "regstudy.config.run_config",
    "Signal": "regstudy.training.early_stopping",
    "SignalPruner": "regstudy.search.pruner",
    "Space": "regstudy.space.search_space",
    "Splits": "regstudy.data.image_set",
    "StudyResult": "regstudy.report.study_result",
    "build_augmentation": "regstudy.training.own_loop",
    "build_model": "regstudy.training.own_loop",
    "build_optimizer": "regstudy.training.own_loop",
    "build_schedule": "regstudy.training.own_loop",
    "Verification": "regstudy.production.verify_training",
    "ablate": "regstudy.api",
    "answer": "regstudy.answering.answer",
    "compare": "regstudy.api",
    "confirm": "regstudy.api",
    "convert": "regstudy.production.conversion",
    "evaluate": "regstudy.api",
    "examine": "regstudy.doctor.examine",
    "export": "regstudy.production.export",
    "load": "regstudy.production.classifier",
    "load_results": "regstudy.report.results",
    "load_space": "regstudy.api",
    "load_splits": "regstudy.api",
    "predict": "regstudy.production.prediction",
    "run_study": "regstudy.api",
    "train": "regstudy.api",
    "verify": "regstudy.api",
}

__all__ = [
    "Classifier",
    "ComparisonResult",
    "EarlyStopping",
    "EpochRecord",
    "ImageSet",
    "Predictions",
    "Ray",
    "RegstudyError",
    "RunConfig",
    "Signal",
    "SignalPruner",
    "Space",
    "Splits",
    "StudyResult",
    "Verification",
    "__version__",
    "ablate",
    "answer",
    "build_augmentation",
    "build_model",
    "build_optimizer",
    "build_schedule",
    "compare",
    "confirm",
    "convert",
    "evaluate",
    "examine",
    "export",
    "load",
    "load_results",
    "load_space",
    "load_splits",
    "predict",
    "run_study",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from regstudy.config.package_versions import package_version

        return package_version("regstudy")
    if name not in _PLACES:
        raise AttributeError(f"module 'regstudy' has no attribute '{name}'")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value  # looked up once
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
