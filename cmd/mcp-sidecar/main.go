package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() { os.Exit(Run(context.Background(), Self())) }

// Process is what the program knows of the process that it is.
type Process struct {
	Args           []string // without the program's name
	Env            []string // as os.Environ has it
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Signals subscribes to the signals that serve understands; only serve does, so that Ctrl-C ends everything else at once. Nil: none ever come.
	Signals func() (received <-chan os.Signal, stop func())
}

// Self is the process that this is.
func Self() Process {
	return Process{Args: os.Args[1:], Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals}
}

// signals subscribes to the operating system's.
func signals() (<-chan os.Signal, func()) {
	received := make(chan os.Signal, 4)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return received, func() { signal.Stop(received) }
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Run is the whole program. It returns the exit code; the end of ctx is as good as SIGTERM.
func Run(ctx context.Context, p Process) int {
	root := newRoot(p)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(p.Stderr, "mcp-sidecar: %s (see %s --help)\n", oneLine(err), usage.command)
		return exitUsage
	}
	fmt.Fprintf(p.Stderr, "mcp-sidecar: %s\n", oneLine(err))
	return exitError
}

// usageError says that the command line, or the environment that stands in for it, cannot be understood.
type usageError struct {
	command string // whose --help would help
	cause   error
}

func (e usageError) Error() string { return e.cause.Error() }
func (e usageError) Unwrap() error { return e.cause }

// oneLine keeps an error on one line, whatever is in it.
func oneLine(err error) string {
	return printable(strings.Join(strings.Fields(err.Error()), " "))
}
