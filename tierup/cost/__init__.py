"""What a tier costs, bought and rented, before it is deployed.

The commands use these names and `tierup.cost.report`, nothing else in this package.
"""

from tierup.cost.analysis.outlook import ApiPrice, Outlook
from tierup.cost.bill.of_plan import bill_of, hardware_of
from tierup.cost.bill.of_resources import bill_of_resources
from tierup.cost.export.focus import focus_table
from tierup.cost.export.opencost import opencost_document
from tierup.cost.plan_cost import PlanCost
from tierup.cost.pricing import price
from tierup.cost.stack_cost import StackCost

__all__ = [
    "ApiPrice",
    "Outlook",
    "PlanCost",
    "StackCost",
    "bill_of",
    "bill_of_resources",
    "focus_table",
    "hardware_of",
    "opencost_document",
    "price",
]
