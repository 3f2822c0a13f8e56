"""The folder of the checkout, and the Jinja environments of its `templates/` and `monitoring/`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[1]


def _environment(folder: str) -> Environment:
    return Environment(
        loader=FileSystemLoader(ROOT / folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


TEMPLATES = _environment("templates")
MONITORING = _environment("monitoring")
