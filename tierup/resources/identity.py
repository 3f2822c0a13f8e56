"""Decides how objects are marked as a stack's: labels and annotations."""

from tierup.stack.parse import PROJECT_LABEL

STACK_LABEL = f"{PROJECT_LABEL}/stack"
ROLE_LABEL = f"{PROJECT_LABEL}/role"
RETAIN_ANNOTATION = f"{PROJECT_LABEL}/retain"  # "true": outlives `destroy`
