"""A small tenant for tests of the command line: ten documents on ten subjects, three canaries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command_line import Ended, run

DOCUMENTS = {
    "bread.md": "# Bread\n\nKnead the sourdough for ten minutes and let it rise overnight in the cool.\n",
    "bicycle.md": "# Bicycle\n\nOil the chain every two hundred kilometres and look at the brake pads.\n",
    "volcano.md": "# Volcano\n\nBasaltic lava flows quickly because it holds little silica.\n",
    "violin.md": "# Violin\n\nRub rosin on the bow until the hair grips the string.\n",
    "tax.md": "# Tax\n\nThe declaration is due on the last day of July; late filers pay a fine.\n",
    "beehive.md": "# Beehive\n\nA colony needs fifteen kilograms of honey to get through the winter.\n",
    "submarine.md": "# Submarine\n\nBallast tanks are flooded with sea water to dive.\n",
    "chess.md": "# Chess\n\nThe Sicilian defence answers the king's pawn with the bishop's.\n",
    "orchid.md": "# Orchid\n\nWater it once a week and never let the roots stand in the saucer.\n",
    "glacier.md": "# Glacier\n\nMeltwater under the ice makes it slide faster in August.\n",
}
CANARIES = {
    "how long does dough have to be worked": "bread.md",
    "when must the bike chain be lubricated": "bicycle.md",
    "how does an underwater boat go down": "submarine.md",
}


@dataclass(frozen=True)
class Home:
    """A home, the folder that its source reads, and the outcome of its first ingestion."""

    path: Path
    folder: Path
    outcome: dict[str, Any]

    def __call__(self, *arguments: str, **more: str) -> Ended:
        return run(self.path, *arguments, **more)


def write_canaries(path: Path, questions: dict[str, str]) -> Path:
    lines = [json.dumps({"query": query, "relevant": [key]}) for query, key in questions.items()]
    path.write_text("\n".join(lines))
    return path
