"""Install the pinned command-line tools and locate them."""

from tierup.local.toolchain.cli import ToolchainError, ToolMissing, cache_root, ensure, tool, toolchain_dir

__all__ = ["ToolMissing", "ToolchainError", "cache_root", "ensure", "tool", "toolchain_dir"]
