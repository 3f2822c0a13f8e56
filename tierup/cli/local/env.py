"""Prints the environment of a local stack."""

import shlex

from tierup.cli.exits import examples
from tierup.cli.project import Stack, project_folder, stack_name

EXAMPLES = examples('eval "$(tierup local env --stack standard)"')


def env(stack: Stack) -> None:
    """Print shell commands that point kubectl and pulumi at a local stack."""
    from tierup.local.cluster.cluster import Cluster
    from tierup.local.cluster.existing import ExistingCluster
    from tierup.local.cluster.project import LocalProject

    name = stack_name(stack)
    existing = ExistingCluster.load(name)
    cluster = existing if existing is not None else Cluster.load(name)
    project: LocalProject[Cluster | ExistingCluster] = LocalProject(project_folder(), name, cluster)
    wanted = {
        key: value
        for key, value in project.environment().items()
        if key.startswith("PULUMI_") or key == "PATH"
    }
    for key, value in {**wanted, "KUBECONFIG": str(project.cluster.kubeconfig)}.items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"cd {shlex.quote(str(project.folder))}")
