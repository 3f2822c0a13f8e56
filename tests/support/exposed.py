"""Every series that rules and boards may read, with its labels, by what exposes it.

vLLM's are proven on the pinned version's server by tests/engine/test_metrics.py. The others cannot run here and are
listed from their documents, in the version that the bundle's users have.
"""

_ENGINE = {
    "job",
    "instance",
    "namespace",
    "model",
    "pod",
    "model_name",
    "engine",
}  # prometheus.yml adds the first five
_NODE = {"job", "instance"}
_GPU = {"job", "instance", "Hostname", "gpu", "namespace", "pod"}
_PARTS = ("bucket", "sum", "count")

# vLLM 0.32.0, vllm/v1/metrics/loggers.py.
VLLM = {
    "vllm:num_requests_running": _ENGINE,
    "vllm:num_requests_waiting": _ENGINE,
    "vllm:kv_cache_usage_perc": _ENGINE,
    "vllm:num_preemptions_total": _ENGINE,
    "vllm:prompt_tokens_total": _ENGINE,
    "vllm:generation_tokens_total": _ENGINE,
    "vllm:prefix_cache_queries_total": _ENGINE,
    "vllm:prefix_cache_hits_total": _ENGINE,
    "vllm:request_success_total": _ENGINE | {"finished_reason"},
    "vllm:admission_rejections_total": _ENGINE - {"engine"} | {"reason"},
}
VLLM_HISTOGRAMS = {
    "vllm:time_to_first_token_seconds",
    "vllm:request_time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_prefill_time_seconds",
    "vllm:request_decode_time_seconds",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
}
# DCGM exporter 4.5, etc/default-counters.csv; `pod` and `namespace` as the GPU operator sets it up.
DCGM = dict.fromkeys(
    (
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_FB_RESERVED",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
        "DCGM_FI_DEV_XID_ERRORS",
        "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    ),
    _GPU,
)
# node exporter 1.9, its default collectors.
NODE = {
    "node_uname_info": _NODE | {"nodename"},
    "node_load5": _NODE,
    "node_memory_MemAvailable_bytes": _NODE,
    "node_memory_MemTotal_bytes": _NODE,
    "node_filesystem_avail_bytes": _NODE | {"device", "mountpoint", "fstype"},
    "node_filesystem_size_bytes": _NODE | {"device", "mountpoint", "fstype"},
    "node_cpu_seconds_total": _NODE | {"cpu", "mode"},
    "node_disk_read_bytes_total": _NODE | {"device"},
    "node_disk_written_bytes_total": _NODE | {"device"},
    "node_timex_offset_seconds": _NODE,
    "node_network_receive_bytes_total": _NODE | {"device"},
    "node_network_transmit_bytes_total": _NODE | {"device"},
    "node_network_receive_errs_total": _NODE | {"device"},
    "node_network_transmit_errs_total": _NODE | {"device"},
    "node_network_receive_drop_total": _NODE | {"device"},
    "node_network_transmit_drop_total": _NODE | {"device"},
    "node_netstat_Tcp_RetransSegs": _NODE,
    "node_netstat_Tcp_OutSegs": _NODE,
    "node_md_disks": _NODE | {"device", "state"},
    "node_infiniband_port_data_received_bytes_total": _NODE | {"device", "port"},
    "node_infiniband_port_data_transmitted_bytes_total": _NODE | {"device", "port"},
    "node_infiniband_link_downed_total": _NODE | {"device", "port"},
    "node_infiniband_port_errors_received_total": _NODE | {"device", "port"},
}
# Prometheus 3 itself; engines' targets have the labels that prometheus.yml gives them.
PROMETHEUS = {
    "up": _NODE | {"namespace", "model", "pod"},
    "scrape_duration_seconds": _NODE | {"namespace", "model", "pod"},
    "ALERTS": {
        *("alertname", "alertstate", "severity", "window"),
        *("namespace", "model", "instance", "Hostname", "gpu", "mountpoint", "device", "rule_group"),
    },
    "prometheus_config_last_reload_successful": _NODE,
    "prometheus_rule_evaluation_failures_total": _NODE | {"rule_group"},
    "prometheus_tsdb_wal_corruptions_total": _NODE,
    "prometheus_tsdb_compactions_failed_total": _NODE,
    "prometheus_tsdb_storage_blocks_bytes": _NODE,
}
HISTOGRAMS = {
    f"{name}_{part}": _ENGINE | ({"le"} if part == "bucket" else set())
    for name in VLLM_HISTOGRAMS
    for part in _PARTS
}
EXPOSED: dict[str, set[str]] = VLLM | HISTOGRAMS | DCGM | NODE | PROMETHEUS
