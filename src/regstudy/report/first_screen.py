"""The first screen of a report: the answer and its evidence, from which the page is drawn.

What is missing is one line with the reason, never an empty card; the first action has the command that adds it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from regstudy.analysis.fresh_classes import fresh_classes
from regstudy.report.ablation_card import AblationCard, ablation_card
from regstudy.report.answer_phrasing import Answer, answer
from regstudy.report.cause_phrasing import with_cause
from regstudy.report.class_card import ClassCard, class_card
from regstudy.report.gap_card import GapCard, gap_card
from regstudy.report.leaders_card import LeadersCard, leaders_card
from regstudy.report.luck_bar import LuckBar, luck_bar
from regstudy.report.report_section import Findings, ReportSection
from regstudy.report.resolution_phrasing import with_resolution
from regstudy.report.several.studies_card import StudiesCard
from regstudy.report.verdict_phrasing import Verdict, verdict
from regstudy.text import counted

SEARCH_ID, SEARCH_TITLE = "search", "The search alone"


@dataclass(frozen=True)
class Missing:
    """A card that cannot be shown: what it would tell, and why it is missing."""

    question: str
    reason: str


@dataclass(frozen=True)
class FirstScreen:
    """What the template `first_screen.html` draws."""

    about: str  # the study in a line: data, size, date
    answer: Answer
    luck: LuckBar | None
    gap: GapCard | None
    leaders: LeadersCard | None
    classes: ClassCard | None
    ablation: AblationCard | None
    missing: list[Missing]
    studies: StudiesCard | None = None  # of a page about several studies


def searched(found: Findings) -> Verdict:
    """The verdict on the search alone."""
    return verdict(found.tables, found.comparison, found.relations)


def answer_to(found: Findings, where: str) -> Answer:
    """The answer of a study; ``where`` names it in commands."""
    unlearned = found.comparison.nothing_learned
    made = answer(
        found.confirmation,
        found.tables,
        searched(found),
        where,
        unlearned=unlearned,
        apart=found.apart,
        ahead=found.ahead,
    )
    made = with_cause(made, found.apart, found.confirmation, where)
    return with_resolution(made, found.tables, found.apart, where)


def as_verdict(found: Findings, told: Answer) -> Verdict:
    """The answer as headline, reasons and caveats. Without confirmation runs it is the verdict on the search."""
    if found.confirmation is None or found.comparison.nothing_learned:
        said = searched(found)
        first, last = (told.cause, told.limit), (told.resolution, told.model)
        return replace(said, sentences=[*filter(None, first), *said.sentences, *filter(None, last)])
    parts = (
        told.support, told.cause, told.limit, told.gap, told.luck, told.equals, told.resolution, told.model,
    )  # fmt: skip
    sentences = [text for text in parts if text]
    good = found.confirmation.status == "confirmed"
    return Verdict(told.sentence, sentences, [told.caveat] if told.caveat else [], good)


def first_screen(found: Findings, told: Answer, today: date | None = None) -> FirstScreen:
    """The cards that the study has, and a line for each that it lacks."""
    confirmed = None if told.word == "Nothing learned" else found.confirmation
    bar = gap = leaders = classes = None
    missing: list[Missing] = []
    if confirmed is not None:
        bar, gap, leaders = luck_bar(confirmed), gap_card(confirmed), leaders_card(confirmed)
        names = [str(name) for name in found.tables.data.get("classes") or []]
        known = fresh_classes(confirmed, found.fresh, names) if found.fresh is not None else None
        classes = class_card(confirmed, known)
        if gap is None:
            missing.append(Missing("The gap", "the epochs of the confirmation runs were not recorded."))
        if classes is None:
            none = "the winner makes no mistakes." if known else "the confirmation runs store no counts by class."
            missing.append(Missing("Who is hit", none))
        earned = [action for action in told.actions if action.command.startswith("regstudy ablate ")]
        if found.apart is None and earned:
            cost = f" ({earned[0].runs}{', ' + earned[0].cost if earned[0].cost else ''})"
            reason = (
                f"not measured yet: `{earned[0].command}`{cost} trains the winner without each of its regularizers."
            )
            missing.append(Missing("What earned it", reason))
    elif told.word == "Not confirmed" and told.actions:  # which give the command
        reason = "not known yet: it takes confirmation runs."
        missing.append(Missing("Gain, gap and classes on fresh seeds", reason))
    apart = None if found.apart is None or told.word == "Nothing learned" else ablation_card(found.apart)
    return FirstScreen(_about(found, today or date.today()), told, bar, gap, leaders, classes, apart, missing)


def search_section(found: Findings) -> ReportSection:
    """What the search alone shows, for studies without confirmation runs: the reasons and the caveats in full."""
    said = searched(found)
    first, *others = [*said.sentences, *said.cautions] or [said.headline]
    return ReportSection(SEARCH_ID, SEARCH_TITLE, first, notes=others, folded=True)


def _about(found: Findings, today: date) -> str:
    data, tables = found.tables.data, found.tables
    sizes = [
        f"{data[key]:,} {word} images"
        for key, word in (("train", "training"), ("validation", "validation"))
        if isinstance(data.get(key), int)
    ]
    runs = counted(len(tables.trials), "trial")
    if found.confirmation is not None:
        runs += f" and {counted(found.confirmation.runs, 'confirmation run')}"
    if found.apart is not None:
        runs = f"{runs.replace(' and ', ', ')} and {counted(found.apart.spent, 'ablation run')}"
    parts = [str(data["name"])] if data.get("name") not in (None, "", tables.name) else []
    return " · ".join([*parts, *([" and ".join(sizes)] if sizes else []), runs, f"{today.day} {today:%B %Y}"])
