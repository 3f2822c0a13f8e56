"""Prints the environment of a local stack."""

import shlex

from tierup.cli.exits import examples
from tierup.cli.project import Stack, project_folder

EXAMPLES = examples('eval "$(tierup local env --stack standard)"')


def env(stack: Stack) -> None:
    """Print shell commands that point kubectl and pulumi at a local stack."""
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.project import LocalProject

    project = LocalProject(project_folder(), stack, Cluster.load(stack))
    wanted = {
        key: value
        for key, value in project.environment().items()
        if key.startswith("PULUMI_") or key == "PATH"
    }
    for key, value in {**wanted, "KUBECONFIG": str(project.cluster.kubeconfig)}.items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"cd {shlex.quote(str(project.folder))}")
