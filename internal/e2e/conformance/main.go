package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	runs := flag.Int("runs", 1, "how `often` to run everything")
	only := flag.String("upstream", "", "`name` of the only upstream to run against")
	url := flag.String("url", "", "`URL` of a server that runs already, to run against instead")
	flag.Parse()
	chosen, err := choose(*only, *url)
	broken := false
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		broken, err = run(ctx, os.Stdout, chosen, *runs)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || broken {
		os.Exit(1)
	}
}

func choose(only, url string) ([]Upstream, error) {
	switch {
	case url != "":
		return []Upstream{at(url)}, nil
	case only != "":
		u, err := find(only)
		return []Upstream{u}, err
	default:
		return upstreams, nil
	}
}

// run prints a table for each upstream, selection and run, and says whether the sidecar takes something from one of them.
func run(ctx context.Context, out io.Writer, chosen []Upstream, runs int) (broken bool, err error) {
	b, err := newBench(ctx)
	if err != nil {
		return false, err
	}
	defer b.close()
	seen := tally{}
	for n := range runs {
		for _, upstream := range chosen {
			for _, selection := range selections {
				rows, err := b.run(ctx, upstream, selection)
				if err != nil {
					return false, fmt.Errorf("%s, %s: %w", upstream.Name, selection.Name, err)
				}
				fmt.Fprintf(out, "\nRun %d of %d, %s, %s\n\n", n+1, runs, upstream.Name, selection.Name)
				broken = print(out, rows) || broken
				seen.add(upstream.Name+", "+selection.Name, rows)
			}
		}
	}
	seen.print(out, runs)
	return broken, nil
}
