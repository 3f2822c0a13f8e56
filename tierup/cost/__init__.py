"""What a tier costs, bought or rented, before it is deployed.

The other packages use these names and `tierup.cost.report`, nothing else in this package.
"""

from tierup.cost.analysis.api import ApiPrice
from tierup.cost.analysis.outlook import Outlook
from tierup.cost.analysis.tokens import TokenCost
from tierup.cost.bill.of_plan import bill_of
from tierup.cost.bill.of_resources import bill_of_resources
from tierup.cost.budget import Limits
from tierup.cost.plan_cost import PlanCost
from tierup.cost.pricing import price
from tierup.cost.stack_cost import StackCost, priced

__all__ = [
    "ApiPrice",
    "Limits",
    "Outlook",
    "PlanCost",
    "StackCost",
    "TokenCost",
    "bill_of",
    "bill_of_resources",
    "price",
    "priced",
]
