"""What the pages of the reference cases say of a study and its ablation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optuna.trial import TrialState

from regstudy import StudyResult, load_results
from regstudy.search.ablation_facts import ablation_in

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def of_ablations(results: Path) -> dict[str, Callable[[str], str]]:
    """The functions of a template; each is given the name of a study."""

    def found(study: str) -> StudyResult:
        result = load_results(results / study)
        assert isinstance(result, StudyResult)
        return result

    def ablation(study: str) -> str:
        """What the tool itself says."""
        text = (results / study / "ablation.md").read_text(encoding="utf-8")
        return text.partition(": ablation\n")[2].strip()

    def winner(study: str) -> str:
        """The hyperparameters of the trial that was taken apart."""
        of = found(study)
        facts = ablation_in(of.ablated) if of.ablated else None
        assert facts is not None
        params = of.study.get_trials(deepcopy=False)[facts.winner].params
        shown = {path: f"{value:.3g}" for path, value in params.items() if not path.endswith(".on")}
        shown |= {path.removesuffix(".on"): "off" for path, on in params.items() if path.endswith(".on") and not on}
        return ", ".join(f"`{path}` {value}" for path, value in shown.items())

    def cost(study: str) -> str:
        """How many trainings of each kind, and the minutes that they took."""
        of = found(study)
        parts = {"search trials": of.study, "confirmation runs": of.fresh, "ablation runs": of.ablated}
        spent = {
            what: [
                trial.duration.total_seconds()
                for trial in part.get_trials(deepcopy=False, states=ENDED)
                if trial.duration
            ]
            for what, part in parts.items()
            if part is not None
        }
        return ", ".join(f"{len(times)} {what} in {sum(times) / 60:.0f} min" for what, times in spent.items())

    return {"ablation": ablation, "winner": winner, "cost": cost}
