"""Write what stages have in common but for their name: their policies, and `events` in zappa_settings.json.

Zappa reads a policy from a file for each stage, and its `extends` cannot fill in a stage's name. So both are written
from deploy/templates by ``python -m deploy.stage_files``: run it after a change of a template, or for a new stage.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "zappa_settings.json"
TEMPLATES = ROOT / "deploy" / "templates"


def render() -> dict[Path, str]:
    """Return the text of each file that is written from the templates."""
    settings = json.loads(SETTINGS.read_text())
    files = {}
    for stage in settings.keys() - {"base"}:
        policy = ROOT / "deploy" / "policies" / f"{stage}.json"
        files[policy] = _fill_in("policy.json", stage)
        settings[stage] |= {"attach_policy": str(policy.relative_to(ROOT))}
        settings[stage] |= {"events": json.loads(_fill_in("events.json", stage))}
    return files | {SETTINGS: json.dumps(settings, indent=4) + "\n"}


def _fill_in(template: str, stage: str) -> str:
    return (TEMPLATES / template).read_text().replace("{stage}", stage)


if __name__ == "__main__":
    for path, text in render().items():
        path.write_text(text)
