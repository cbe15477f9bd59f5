"""Imports point one way, from a module only to lower layers, and heavy libraries stay where they belong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "regstudy"

# lowest first; a package stands for all its modules
LAYERS = [
    {"errors", "attributes", "fields", "sections"},
    {"files", "plugins", "durations", "records", "config", "house_numbers", "contact_sheet"},
    {"ranges"},
    {"space", "early_stopping", "pruning", "devices", "precision", "schedules"},
    {"space_file", "plans"},
    {"arms"},
    {"data"},
    {"preprocessing", "averaging", "balance", "colour", "erasing", "mixing"},
    {"augmentation", "models", "regularization"},
    {"optimization"},
    {"training"},
    {"checkpoint"},
    {"run", "cost"},
    {"search", "analysis"},
    {"report", "export", "display"},
    {"conduct"},
    {"doctor"},
    {
        "compare_command",
        "dashboard_command",
        "doctor_command",
        "preview_command",
        "report_command",
        "study_command",
        "train_command",
        "worker_command",
    },
    {"cli"},
    {"__main__"},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}

ALLOWED = {
    "optuna": {
        "space",
        "plans",
        "conduct",
        "compare_command",
        "doctor_command",
        "search",
        "analysis.table",
        "analysis.importance",
        "analysis.ped_anova",
        "report.page",
        "report.dashboard",
        "export",
        "study_command",
        "worker_command",
    },
    "plotly": {"report", "doctor.charts"},
    "torch": set(RANK)
    - {
        "analysis",
        "report",
        "errors",
        "fields",
        "records",
        "config",
        "sections",
        "house_numbers",
        "ranges",
        "space",
        "space_file",
        "plans",
        "arms",
        "schedules",
        "contact_sheet",
        "cli",
        "report_command",
        "dashboard_command",
    },
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file, with names imported from packages as possible modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def test_the_scan_finds_the_source() -> None:
    assert len(FILES) > 30
    assert "regstudy.records" in imports(SOURCE / "run.py")


def test_every_module_has_a_layer() -> None:
    assert {module_name(path).partition(".")[0] for path in FILES} <= set(RANK)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downwards(path: Path) -> None:
    room = module_name(path).partition(".")[0]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "regstudy" or len(parts) < 2 or parts[1] not in RANK:
            continue
        same = parts[1] == room
        assert same or RANK[parts[1]] < RANK[room], f"{module_name(path)} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    name = module_name(path)
    for library in {imported.partition(".")[0] for imported in imports(path)} & set(ALLOWED):
        allowed = ALLOWED[library]
        assert name in allowed or name.partition(".")[0] in allowed, f"{name} must not import {library}"
