// Checks histories with porcupine, a checker that others wrote and many use, so that ours is held against it on the
// same files. The models are written a second time here, from docs/specs/0008-linearizability.md.
//
//	porcupine [-timeout 60s] FILE...
//
// prints a line for each file, its name and ok, illegal or unknown with a tab between, and fails when one can not be
// read.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

func main() {
	timeout := flag.Duration("timeout", time.Minute, "the longest that one history may take")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	for _, file := range flag.Args() {
		history, err := readHistory(file)
		if err != nil {
			out.Flush()
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		verdict := porcupine.CheckOperationsTimeout(model, history, *timeout)
		fmt.Fprintf(out, "%s\t%s\n", file, nameOf(verdict))
	}
	out.Flush()
}

func nameOf(verdict porcupine.CheckResult) string {
	switch verdict {
	case porcupine.Ok:
		return "ok"
	case porcupine.Illegal:
		return "illegal"
	default:
		return "unknown"
	}
}
