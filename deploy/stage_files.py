"""Write the files that differ between stages only in the stage's name: policies, and `events` in zappa_settings.json.

Zappa reads each stage's policy from a file, and its `extends` cannot insert a stage's name. So
``python -m deploy.stage_files`` writes both from deploy/templates. Run it after a change of a template, or for a new
stage.
"""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "zappa_settings.json"
TEMPLATES = ROOT / "deploy" / "templates"


def render() -> dict[Path, str]:
    """Return the path and the text of each file to write."""
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
