"""Install the programs of users that the data path's tests run, from a lock file into an environment of their own.

The development environment would grow by a hundred packages with them, which nothing else needs.
"""

import sys
from pathlib import Path

from tierup.local.toolchain.cli import cache_root
from tierup.local.toolchain.engine_env import EngineEnv, install

LOCK = Path(__file__).parents[3] / "requirements" / "clients.txt"


def default() -> EngineEnv:
    """The environment of the committed lock file, in the user's cache folder."""
    return EngineEnv(
        LOCK,
        cache_root() / "clients",
        check="import importlib.util, langchain_openai, litellm; assert importlib.util.find_spec('guidellm')",
        name="LangChain, LiteLLM and GuideLLM",
        install_cost="about 700 MB and a few minutes",
        hint="they have wheels for Linux with glibc on x86-64 and aarch64",
        target="clients-env",
    )


def main() -> int:
    return install(default(), "clients")


if __name__ == "__main__":
    sys.exit(main())
