"""Everything that runs on this machine: the toolchain, the local cluster and `tierup dev`."""
