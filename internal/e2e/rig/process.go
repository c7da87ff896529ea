package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Command says what to start.
type Command struct {
	Path  string
	Args  []string
	Env   []string // the whole environment
	Dir   string
	Stdin io.Reader
}

// Process is a program that runs, or has run.
type Process struct {
	Stdout, Stderr *Output
	PID            int

	command *exec.Cmd
	ended   chan struct{} // closed once it has ended and everything that it printed is kept
}

// Start starts a program, which is killed when ctx ends.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{Stdout: newOutput(), Stderr: newOutput(), ended: make(chan struct{})}
	p.command = exec.CommandContext(ctx, c.Path, c.Args...)
	p.command.Env, p.command.Dir, p.command.Stdin = c.Env, c.Dir, c.Stdin
	p.command.Stdout, p.command.Stderr = p.Stdout, p.Stderr
	p.command.WaitDelay = 5 * time.Second // for children that hold its output open
	p.command.SysProcAttr = dieWithParent()
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	p.PID = p.command.Process.Pid
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // what it says is in ProcessState
	}()
	return p, nil
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s os.Signal) { _ = p.command.Process.Signal(s) }

// Wait waits for the end and returns the exit code, which is -1 for a process that was killed.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("process %d does not end: %w", p.PID, ctx.Err())
	}
}

// Kill ends the process as a power cut would, and returns when it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Run runs a program to its end.
func Run(ctx context.Context, c Command) (code int, stdout, stderr string, err error) {
	p, err := Start(ctx, c)
	if err != nil {
		return 0, "", "", err
	}
	<-p.ended
	if ctx.Err() != nil {
		return 0, "", "", fmt.Errorf("%s took too long:\n%s\n%s", c.Path, p.Stdout, p.Stderr)
	}
	return p.command.ProcessState.ExitCode(), p.Stdout.String(), p.Stderr.String(), nil
}

// startTime is how long anything may take until it listens; only what is broken takes that long.
const startTime = 2 * time.Minute

// Serve starts a server that is told its port, and returns when the port answers.
func Serve(ctx context.Context, command func(port string) Command) (*Process, string, error) {
	taken, address, err := TakePort()
	if err != nil {
		return nil, "", err
	}
	defer taken.Close() // it is the server's by then
	_, port, _ := strings.Cut(address, ":")
	c := command(port)
	p, err := Start(ctx, c)
	if err != nil {
		return nil, "", err
	}
	if err := answers(ctx, p, address); err != nil {
		p.Kill()
		return nil, "", fmt.Errorf("%s %s: %w\n%s\n%s", c.Path, strings.Join(c.Args, " "), err, p.Stdout, p.Stderr)
	}
	return p, address, nil
}

// answers waits until somebody listens.
func answers(ctx context.Context, p *Process, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-again.C:
		case <-p.Ended():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", err)
		}
	}
}
