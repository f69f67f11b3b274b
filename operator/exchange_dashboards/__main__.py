"""Writes the dashboards into the chart:  python -m exchange_dashboards [FOLDER]"""

import sys
from pathlib import Path
from typing import Final

from exchange_dashboards.grafana import rendered
from exchange_dashboards.pages import PAGES

CHART: Final = Path(__file__).parents[2] / "charts" / "exchange-operator" / "dashboards"


def write(folder: Path) -> None:
    """All of them; what else is there as JSON, goes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{page.name}.json": rendered(page) for page in PAGES}
    for path in folder.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else CHART)
