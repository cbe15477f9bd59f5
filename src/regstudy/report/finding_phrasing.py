"""Findings of the analysis as sentences: gap correlations, failed attempts, pruning, winner's curse."""

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
            return f"Too few comparable trials ({relation.used}; {MIN_TRIALS} are needed)."
        case "not rankable":
            among = counted(relation.used, "trial")
            return f"No rank correlation: its value is not a number or barely varied among {among}."
        case "chance":
            return f"No significant correlation ({counted(relation.used, 'trial')})."
        case "significant":
            p = "< 0.001" if relation.p < 0.001 else f"= {relation.p:.3f}"
            return (
                f"The gap {relation.verb} as {relation.path} increases, adjusted for the other settings (p {p}, "
                f"{counted(relation.used, 'trial')})."
            )
    more = f" (at least {relation.needed} are needed)" if relation.used < relation.needed else ""
    return (
        f"Unadjusted, the gap {relation.verb} as {relation.path} increases, but {relation.used} trials{more} are too "
        f"few to separate it from the {relation.held} other variables."
    )


def attempts_sentence(attempts: Attempts) -> str:
    """The facts in one or two sentences; empty if nothing went wrong."""
    if not attempts.kinds:
        return ""
    total = sum(attempts.kinds.values())
    listed = ", ".join(f"{count} {kind}" if total > 1 else kind for kind, count in attempts.kinds.items())
    head = f"{counted(total, 'attempt')} did not finish ({listed})"
    if not attempts.given_up:
        repeated = "It was" if total == 1 else "All were"
        restored = (
            f" ({counted(attempts.taken_over, 'epoch')} restored from checkpoints)" if attempts.taken_over else ""
        )
        return f"{head}. {repeated} retried{restored}, and no trial was lost."
    reasons = "; ".join(f"trial {slot + 1}: {reason}" for slot, reason in list(attempts.given_up.items())[:5])
    lost = counted(len(attempts.given_up), "trial")
    return f"{head}. {lost} could not be finished ({reasons}); all others were retried."


def audit_sentence(audit: Audit) -> str:
    """The facts in one or two sentences; empty if nothing was pruned, nor would have been."""
    if not audit.pruned and not audit.judged:
        return ""
    saved = f"{audit.saved:,} of {audit.saved + audit.spent:,} epochs" if audit.pruned else "nothing"
    head = f"Pruning stopped {counted(audit.pruned, 'trial')} and saved at most {saved}."
    if not audit.judged:
        return f"{head} Its error rate is unknown: no trial that would have been pruned was run to its end."
    return (
        f"{head} As a check, {counted(audit.judged, 'trial')} due for pruning ran to the end; {audit.wrong} "
        f"of them finished in the best quarter. Up to {audit.at_most:.0%} of pruning decisions may be wrong (one-sided "
        "95 % bound)."
    )


def winners_curse_sentence(curse: WinnersCurse) -> str:
    """The estimate as a sentence."""
    return (
        f"The accuracy of the best of {curse.trials} trials is probably overstated by about "
        f"{100 * curse.overstatement:.1f} points (winner's curse), because a single measurement has a standard error "
        f"of {100 * curse.standard_error:.1f} points. Variation between training seeds adds to this."
    )
