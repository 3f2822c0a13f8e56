"""A stack's own prices in Pulumi's plan, so that past and now are each priced with their own."""

import json
from collections.abc import Mapping

from tierup.resources.reading import Unreadable
from tierup.stack.sections import Cost, Quote


def from_props(inputs: Mapping[str, object]) -> Mapping[str, Quote]:
    """The quotes by id in a tier's inputs. Raises `Unreadable`."""
    try:
        # Through JSON: only there a strict model takes a date and an amount that are written as text.
        config = Cost.model_validate_json(json.dumps({"quotes": inputs.get("quotes")}))
    except ValueError as error:
        raise Unreadable("quotes") from error
    return config.quotes if config.quotes is not None else {}
