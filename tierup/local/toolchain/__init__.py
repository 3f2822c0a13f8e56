"""The pinned tools of this machine: where they are, and how they come here."""

from tierup.local.toolchain.cli import ToolchainError, ToolMissing, cache_root, ensure, tool, toolchain_dir

__all__ = ["ToolMissing", "ToolchainError", "cache_root", "ensure", "tool", "toolchain_dir"]
