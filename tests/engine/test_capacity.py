"""The KV cache holds as many tokens as our sizing says: the number that decides how many users fit."""

import re

from served import Served

CPU_BLOCK = 128  # tokens in a block of the CPU build; on a GPU it is 16


def test_the_cache_holds_what_the_sizing_computed(served: Served) -> None:
    (info,) = re.findall(r"^vllm:cache_config_info\{(.*)\} 1\.0$", served.server.get("/metrics").text, re.M)
    labels = dict(re.findall(r'(\w+)="([^"]*)"', info))
    assert int(labels["block_size"]) == CPU_BLOCK
    # The server hands out whole blocks only; else not one token is lost.
    short = served.sized.kv_tokens - int(labels["kv_cache_size_tokens"])
    assert 0 <= short < CPU_BLOCK
    assert served.sized.kv_tokens > 200_000


def test_the_two_servers_differ_in_bytes_per_token(servers: dict[str, Served]) -> None:
    held = {name: item.shape.kv_bytes_per_token() for name, item in servers.items()}
    assert held == {"standard": 1024, "fp16-fp8-kv": 1536}
    assert servers["fp16-fp8-kv"].shape.kv_bytes_per_token("fp8") == 768
