"""Decides how a stack's own prices stand in Pulumi's plan, so that past and now are each priced with their own."""

import json
from collections.abc import Mapping

from tierup.catalog.price import Price
from tierup.cost.bill.of_plan import quotes_of
from tierup.resources.values import NotTold
from tierup.stack.sections import Cost, Quote


def to_props(quotes: Mapping[str, Quote]) -> dict[str, object]:
    """What the tier's component is given besides its other inputs: nothing where nothing is quoted."""
    if not quotes:
        return {}
    dumped = {
        name: quote.model_dump(mode="json", by_alias=True, exclude_none=True)
        for name, quote in quotes.items()
    }
    return {"quotes": dumped}


def from_props(inputs: Mapping[str, object]) -> dict[str, Price]:
    """The prices by id in a tier's inputs. Raises `NotTold`."""
    try:
        # Through JSON: only there a strict model takes a date and an amount that are written as text.
        said = Cost.model_validate_json(json.dumps({"quotes": inputs.get("quotes")}))
    except ValueError as error:
        raise NotTold("quotes") from error
    return quotes_of(said.quotes if said.quotes is not None else {})
