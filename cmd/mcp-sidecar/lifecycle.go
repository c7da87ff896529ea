package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"mcpsidecar/internal/rawtcp"
)

// stops ends what was started, the last first. Whatever starts something adds its end in the next line.
type stops []func() error

func (s *stops) add(stop func() error) { *s = append(*s, stop) }

// all runs every stop and returns the first error of all, cause included.
func (s *stops) all(cause error) error {
	for _, stop := range slices.Backward(*s) {
		if err := stop(); cause == nil {
			cause = err
		}
	}
	*s = nil
	return cause
}

// open listens on an address that a flag named. Until something is served, closing is up to stops.
func open(flag, address string, s *stops) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError{flag, address, err}
	}
	s.add(func() error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return listener, nil
}

// serve answers on a listener until the server is stopped, and waits for that in stops.
func (run *program) serve(server *http.Server, listener net.Listener) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(rawtcp.Listener{Listener: listener, Watch: run.watch}); !errors.Is(err, http.ErrServerClosed) {
			run.failed <- fmt.Errorf("serving %s: %w", listener.Addr(), err)
		}
	}()
	run.stops.add(func() error {
		err := server.Close()
		<-ended
		return err
	})
}

// wait returns when the program has been told to end and has drained, or when it cannot go on.
func (run *program) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			run.drain(ctx)
			return nil
		case err := <-run.failed:
			return err
		case s := <-run.signals:
			if s != syscall.SIGHUP {
				run.drain(ctx)
				return nil
			}
			run.reopenAudit()
		}
	}
}

// subscribe begins to listen for signals. One that comes while the program starts is obeyed once it has started.
func (run *program) subscribe(context.Context) error {
	if run.p.Signals == nil {
		return nil
	}
	received, stop := run.p.Signals()
	run.signals = received
	run.stops.add(func() error { stop(); return nil })
	return nil
}

func (run *program) reopenAudit() {
	if err := run.audit.Reopen(); err != nil {
		run.logger.Error("the audit log could not be opened anew; the old file stays in use", "err", err)
		return
	}
	run.logger.Info("the audit log was opened anew")
}

// drain says that no more work is taken, lets what is under way end, and cuts off what has not ended after the grace or at a second signal.
func (run *program) drain(ctx context.Context) {
	run.health.drain()
	run.logger.Info("draining: no new work is taken", "grace", run.o.drainTimeout.String())
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), run.o.drainTimeout)
	defer cancel()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		waitForSecond(ctx, run.signals, cancel)
	}()
	run.proxy.Drain(ctx)
	run.fresh.close()
	err := errors.Join(run.main.Shutdown(ctx), run.gate.Wait(ctx))
	run.flushTraces(ctx)
	if ctx.Err() == nil {
		run.left = run.o.drainTimeout - time.Since(started)
	}
	cancel()
	<-watching
	took := time.Since(started).Round(time.Millisecond)
	if err != nil {
		run.logger.Warn("ending with requests under way, which are cut off", "after", took.String())
		return
	}
	run.logger.Info("drained", "after", took.String())
}

// How long a collector may keep the program from ending: with spans of requests that have ended, and with what is left when everything is closed.
const (
	drainFlush = 3 * time.Second
	lastFlush  = time.Second
)

// flushTraces sends the spans of what has ended, within the grace.
func (run *program) flushTraces(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainFlush)
	defer cancel()
	run.tracer.Flush(ctx)
}

// waitForSecond ends the grace when a second signal to end comes.
func waitForSecond(ctx context.Context, received <-chan os.Signal, end func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-received:
			if s != syscall.SIGHUP {
				end()
				return
			}
		}
	}
}
