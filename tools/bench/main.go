// Command tierup-bench is both ends of the gateway benchmarks: a fake model server, and clients that time its answers.
//
//	tierup-bench fake-backend [flags]   serve until killed; the first line of standard output is the address
//	tierup-bench load|idle|jobs         read one JSON setting from standard input, print one JSON line
//
// It runs on one core: a benchmark starts several, and they share the machine with the gateway that is measured.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	commands := map[string]func([]string) error{
		"fake-backend": fakeBackend, "load": load, "idle": idle, "jobs": jobs,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: tierup-bench fake-backend|load|idle|jobs")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
