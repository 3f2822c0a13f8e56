"""Helpers for servers on this machine: free ports, processes, log files, processor flags."""
