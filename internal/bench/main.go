package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "upstream":
			exit(serveUpstream(os.Args[2]))
		case "reverseproxy":
			exit(serveReverseProxy(os.Args[2]))
		}
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/mcp-sidecar", "the sidecar to measure")
	flag.StringVar(&o.than, "than", "", "another sidecar, to compare rows with instead of the reverse proxy: is it more or less?")
	flag.IntVar(&o.rounds, "rounds", 11, "rounds; medians are taken over them")
	flag.IntVar(&o.concurrency, "concurrency", 16, "requests under way at the same time")
	flag.DurationVar(&o.slice, "slice", defaultSlice, "how long each of the three runs in each round of a row, about")
	flag.IntVar(&o.streams, "streams", 2000, "idle streams for the memory row")
	flag.StringVar(&o.only, "only", "", "run only rows and figures whose name contains this")
	flag.BoolVar(&o.figures, "figures", false, "take only the measures that are no ratio")
	flag.BoolVar(&o.strict, "strict", false, "exit 1 if a must is missed")
	flag.BoolVar(&o.verbose, "v", false, "print every round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
