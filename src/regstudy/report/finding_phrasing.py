"""Findings of the analysis as sentences: relations of the gap, what went wrong while running, what pruning did."""

from __future__ import annotations

from regstudy.analysis.attempts import Attempts
from regstudy.analysis.audit import Audit
from regstudy.analysis.gap import MIN_TRIALS, Relation
from regstudy.analysis.winners_curse import WinnersCurse
from regstudy.text import counted


def relation_sentence(relation: Relation) -> str:
    """The finding as a sentence."""
    match relation.kind:
        case "too few":
            return f"Too few comparable trials to judge ({relation.used}; {MIN_TRIALS} are needed)."
        case "not rankable":
            return f"No rank correlation: the strength is not a number or hardly varied among {relation.used} trials."
        case "chance":
            return f"No relation that can be told from chance with {relation.used} trials."
        case "significant":
            p = "< 0.001" if relation.p < 0.001 else f"= {relation.p:.3f}"
            return f"{relation.verb.capitalize()} with strength, the others held equal (p {p}, {relation.used} trials)."
    more = f"; {relation.needed} are the least to try it" if relation.used < relation.needed else ""
    return (
        f"{relation.verb.capitalize()} with strength as it stands, but {relation.used} trials cannot separate it from"
        f" the other {relation.held} things that varied{more}."
    )


def attempts_sentence(attempts: Attempts) -> str:
    """The facts in a sentence or two; empty if nothing went wrong."""
    if not attempts.kinds:
        return ""
    total = sum(attempts.kinds.values())
    listed = ", ".join(f"{count} {kind}" for kind, count in attempts.kinds.items())
    head = f"{counted(total, 'attempt')} failed ({listed})"
    if not attempts.given_up:
        repeated = "it was" if total == 1 else "all were"
        taken_over = counted(attempts.taken_over, "epoch")
        return f"{head}; {repeated} repeated, {taken_over} from checkpoints, and no trial was lost."
    reasons = "; ".join(f"trial {slot + 1}: {reason}" for slot, reason in list(attempts.given_up.items())[:5])
    lost = counted(len(attempts.given_up), "trial")
    return f"{head}; {lost} could not be finished ({reasons}), all others were repeated."


def audit_sentence(audit: Audit) -> str:
    """The facts in a sentence or two; empty if nothing was cut, nor would have been."""
    if not audit.pruned and not audit.judged:
        return ""
    saved = f"{audit.saved:,} of {audit.saved + audit.spent:,} epochs" if audit.pruned else "nothing"
    head = f"Pruning cut {audit.pruned} and saved at most {saved}."
    if not audit.judged:
        return f"{head} How often it was wrong cannot be said: no exempt trial would have been cut."
    return (
        f"{head} Of {audit.judged} that it would have cut but that ran on for the audit, {audit.wrong} ended among"
        f" the best quarter: up to {audit.at_most:.0%} of such cuts may be wrong (one-sided 95 %)."
    )


def winners_curse_sentence(curse: WinnersCurse) -> str:
    """The estimate as a sentence."""
    return (
        f"The accuracy of the best of {curse.trials} trials is expected to be overstated by about "
        f"{100 * curse.overstatement:.1f} points, because one measurement has a standard error of "
        f"{100 * curse.standard_error:.1f} points; what the seed of training adds is not in this."
    )
