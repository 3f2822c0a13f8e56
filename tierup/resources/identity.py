"""The labels and annotations that mark objects as a stack's."""

from tierup.stack.parse import PROJECT_LABEL

STACK_LABEL = f"{PROJECT_LABEL}/stack"
ROLE_LABEL = f"{PROJECT_LABEL}/role"
RETAIN_ANNOTATION = f"{PROJECT_LABEL}/retain"  # "true": outlives `destroy`
