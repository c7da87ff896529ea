package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"mcpsidecar/internal/e2e/rig"
)

// sidecarVariable tells the client, which is started by the suite, what to start in turn.
const sidecarVariable = "OAUTHCONFORMANCE_SIDECAR"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oauthconformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if name := os.Getenv("MCP_CONFORMANCE_SCENARIO"); name != "" && len(args) == 1 {
		return play(ctx, name, args[0])
	}
	s, err := newSuite(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if len(args) > 0 {
		return s.show(ctx, os.Stdout, args)
	}
	return s.table(ctx, os.Stdout)
}

// suite runs scenarios.
type suite struct {
	node   *rig.Node
	dir    string
	client string // the command that the suite spawns
}

func newSuite(ctx context.Context) (*suite, error) {
	s := &suite{}
	var err error
	if s.node, err = rig.OpenNode(ctx); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "oauthconformance-"); err != nil {
		return nil, err
	}
	binary, err := rig.Build(ctx, s.dir, rig.SidecarPackage)
	if err != nil {
		s.close()
		return nil, err
	}
	if s.client, err = rig.Build(ctx, s.dir, "./internal/e2e/oauthconformance"); err != nil {
		s.close()
		return nil, err
	}
	return s, os.Setenv(sidecarVariable, binary)
}

func (s *suite) close() { os.RemoveAll(s.dir) }

// check is one thing that a scenario demands.
type check struct{ ID, Status, ErrorMessage string }

// outcome is what came of a scenario.
type outcome struct {
	passed int
	failed []check
	output string
}

// patience is how long the suite waits for a client; it takes a second or two.
const patience = 2 * time.Minute

// one runs a scenario.
func (s *suite) one(ctx context.Context, what scenario) (outcome, error) {
	results, err := os.MkdirTemp(s.dir, "results-")
	if err != nil {
		return outcome{}, err
	}
	command := s.node.Conformance("client", "--command", s.client, "--scenario", what.name, "--spec-version", what.revision, "--timeout", fmt.Sprint(patience.Milliseconds()), "-o", results)
	command.Env = append(command.Env, sidecarVariable+"="+os.Getenv(sidecarVariable))
	_, stdout, stderr, err := rig.Run(ctx, command)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{output: stdout + stderr}
	err = filepath.WalkDir(results, func(file string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch filepath.Base(file) {
		case "checks.json":
			return o.read(file)
		case "stdout.txt", "stderr.txt":
			text, err := os.ReadFile(file)
			o.output += string(text)
			return err
		}
		return nil
	})
	if err == nil && o.passed+len(o.failed) == 0 {
		err = errors.New("the suite says nothing:\n" + o.output)
	}
	return o, err
}

func (o *outcome) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var checks []check
	if err := json.Unmarshal(text, &checks); err != nil {
		return err
	}
	for _, c := range checks {
		switch c.Status {
		case "SUCCESS":
			o.passed++
		case "FAILURE", "WARNING":
			o.failed = append(o.failed, c)
		}
	}
	return nil
}

// table runs everything and prints what came of it.
func (s *suite) table(ctx context.Context, out io.Writer) error {
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "REVISION\tSCENARIO\tRESULT\tCHECKS\t")
	passed, failed := 0, 0
	for _, what := range all() {
		if what.excuse != "" {
			fmt.Fprintf(columns, "%s\t%s\t-\t\t%s\n", what.revision, what.name, what.excuse)
			continue
		}
		o, err := s.one(ctx, what)
		if err != nil {
			return fmt.Errorf("%s: %w", what.name, err)
		}
		result, remark := "pass", ""
		if passed++; len(o.failed) > 0 {
			passed, failed, result, remark = passed-1, failed+1, "FAIL", o.failed[0].ID+": "+o.failed[0].ErrorMessage
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\t%d/%d\t%s\n", what.revision, what.name, result, o.passed, o.passed+len(o.failed), strings.ReplaceAll(remark, "\n", " "))
	}
	columns.Flush()
	fmt.Fprintf(out, "\n%d pass, %d fail.\n", passed, failed)
	if failed > 0 {
		return errors.New("not everything passes")
	}
	return nil
}

// show runs the named scenarios and prints everything that was said.
func (s *suite) show(ctx context.Context, out io.Writer, names []string) error {
	for _, what := range all() {
		for _, name := range names {
			if what.name != name {
				continue
			}
			o, err := s.one(ctx, what)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n%s %s: %d passed, failed: %+v\n", o.output, what.revision, what.name, o.passed, o.failed)
		}
	}
	return nil
}
