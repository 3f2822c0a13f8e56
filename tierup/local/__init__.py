"""What runs on this machine: the toolchain and the local cluster."""
