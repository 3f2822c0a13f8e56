module tierup.local/tools/bench

go 1.26.0
