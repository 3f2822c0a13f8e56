"""What a tier costs: bought and rented, before it is deployed."""

from tierup.cost.bill.of_plan import bill_of, hardware_of
from tierup.cost.bill.of_resources import bill_of_resources
from tierup.cost.price import price
from tierup.cost.types import HOURS_PER_MONTH, Bill, Kind, Line, TierCost, Volume

__all__ = [
    "HOURS_PER_MONTH",
    "Bill",
    "Kind",
    "Line",
    "TierCost",
    "Volume",
    "bill_of",
    "bill_of_resources",
    "hardware_of",
    "price",
]
