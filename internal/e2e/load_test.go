package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Tests of load run small by default. With E2E_LOAD=full they run at the size that the bars are about, for some twenty minutes, one after the other: go test ./internal/e2e -run Load -timeout 60m -v. Only then do they judge times, those of calls
// against what the machine was good for in the same run (load_compare_test.go).
var full = os.Getenv("E2E_LOAD") == "full"

// sized is how much of something a test takes.
func sized(small, whole int) int {
	if full {
		return whole
	}
	return small
}

// aside lets a test that mostly waits run beside others, unless it is to be measured.
func aside(t *testing.T) {
	if !full {
		t.Parallel()
	}
}

// status reads a number of kB of what the system says of the process, in bytes; the test is over where it says nothing.
func (s *sidecar) status(field string) int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID))
	if err != nil {
		s.t.Skip("this system does not say how much memory a process holds")
	}
	_, after, _ := strings.Cut(string(text), field+":")
	line, _, _ := strings.Cut(after, "\n")
	return must[int](s.t)(strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(line, "kB")))) << 10
}

// fromHere makes the peak start again from the present size, and returns that.
func (s *sidecar) fromHere() int {
	s.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID), []byte("5"), 0); err != nil {
		return s.peak() // which may hide what comes, and makes nothing up
	}
	return s.status("VmRSS")
}

// visitors are polite clients that call at a steady rate until they are stopped.
type visitors struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex // guards what follows
	took     []time.Duration
	failures []string
}

// visitOf has calls made, rate of them a second and each with a goroutine of its own, so that one that is slow holds up none.
func visitOf(a *agent, tool string, rate int) *visitors {
	ctx, stop := context.WithCancel(context.WithoutCancel(a.t.Context()))
	v := &visitors{stop: stop}
	v.done.Go(func() {
		beat := time.NewTicker(time.Second / time.Duration(rate))
		defer beat.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
				v.done.Go(func() { v.call(a, tool, n) })
			}
		}
	})
	a.t.Cleanup(func() { v.end() })
	return v
}

func (v *visitors) call(a *agent, tool string, n int) {
	began := time.Now()
	err := callOnce(a, tool, n)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.took = append(v.took, time.Since(began)); err != nil {
		v.failures = append(v.failures, err.Error())
	}
}

// callOnce calls a tool that says back its arguments.
func callOnce(a *agent, tool string, n int) error {
	arguments := fmt.Sprintf(`{"n":%d}`, n)
	body, header := a.request(n, "tools/call", tool, fmt.Sprintf(`"name":%q,"arguments":%s`, tool, arguments))
	got, err := try(a.t, a.client, http.MethodPost, a.url, a.token, body, a.with(header)...)
	if err != nil {
		return err
	}
	if m, err := lastMessage(got); err != nil || m.Error != nil || !strings.Contains(string(m.Result), fmt.Sprintf(`{\"n\":%d}`, n)) || strings.Contains(string(m.Result), `"isError":true`) {
		return fmt.Errorf("call %d: %d %.200s", n, got.status, got.body)
	}
	return nil
}

// end stops the visits and returns how long they took, the quickest first. A test whose visitors were not served has failed.
func (v *visitors) end() (took []time.Duration, failures []string) {
	v.stop()
	v.done.Wait()
	slices.Sort(v.took)
	return v.took, v.failures
}

// portion is the time that this part of all calls did not exceed.
func portion(took []time.Duration, part float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return took[min(int(part*float64(len(took))), len(took)-1)]
}

// visited has calls made for a while, and returns how long they took; each must have been answered.
func visited(t *testing.T, a *agent, tool string, rate int, during func()) []time.Duration {
	t.Helper()
	v := visitOf(a, tool, rate)
	during()
	took, failures := v.end()
	if len(failures) > 0 {
		t.Errorf("%d of %d polite calls failed, the first one: %s", len(failures), len(took), failures[0])
	}
	return took
}

// pause lets polite calls run for a while.
func pause(d time.Duration) func() { return func() { time.Sleep(d) } }
