"""The answer of a study with what its ablation says: which regularizers did it."""

from __future__ import annotations

from dataclasses import replace

from regstudy.analysis.confirmation import Confirmation
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.ablation_phrasing import (
    ONLY_SEEDS,
    cause_sentences,
    heading,
    helps,
    open_sentences,
    together_sentence,
)
from regstudy.report.answer_phrasing import Answer
from regstudy.report.interaction_phrasing import interaction_sentence

LONG_SENTENCE = 200  # characters; a longer answer cannot be taken in at a glance


def with_cause(made: Answer, apart: AblationFindings | None, found: Confirmation | None, where: str) -> Answer:
    """The answer with what an ablation says, which is its sentence where the winner is confirmed and something helps.

    A long list of effects with their numbers stands among the reasons, and the sentence says it in short.
    """
    if apart is None or made.word == "Nothing learned":
        return made
    said = cause_sentences(apart)
    rest = [text for text in (*open_sentences(apart, where), together_sentence(apart)) if text]
    rest += [interaction_sentence(one, apart.metric) for one in apart.standing]
    rest += [ONLY_SEEDS] if apart.own_validation else []
    same = found is not None and found.status == "confirmed" and found.winner.number == apart.winner
    if same and apart.together is not None and apart.together.verdict in ("hurt", "no effect"):
        rest.append("The two disagree: make more confirmation and ablation runs before you rely on either.")
    if same and helps(apart):
        sentence, support = " ".join(said), f"{made.sentence} {made.support}"
        if len(sentence) > LONG_SENTENCE:
            sentence, rest = f"{heading(apart)}.", [*said, *rest]
        return replace(made, sentence=sentence, support=support, cause=" ".join(rest))
    if said:
        said = [f"In trial {apart.winner}: {' '.join(said)}"]
    return replace(made, cause=" ".join([*said, *rest]))
