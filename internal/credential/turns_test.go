package credential_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/credential"
)

// asks notes when the provider of a world is asked to refresh, and for whom.
func (w *world) asks() func() (times []time.Time) {
	var mu sync.Mutex
	var times []time.Time
	w.provider.set(func(p *provider) {
		p.seen = func(r request) {
			if r.form.Get("grant_type") == "refresh_token" {
				mu.Lock()
				times = append(times, time.Now())
				mu.Unlock()
			}
		}
	})
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(times)
	}
}

// busiest is the largest number of times within a second.
func busiest(times []time.Time) (most int) {
	for i, first := range times {
		n := 0
		for _, at := range times[i:] {
			if at.Sub(first) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// After a restart nothing is asked that nobody needs; and when everybody needs a token at once, the provider gets no more requests than its rate, and everybody is served in the order of coming.
func TestARestartIsNoStorm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const users = 150
		for i := range users {
			w.connect(fmt.Sprint("user", i))
		}
		time.Sleep(2 * time.Hour)
		asked := w.asks()
		again := w.another(nil)
		time.Sleep(time.Hour)
		if n := len(asked()); n != 0 {
			t.Fatalf("%d requests that nobody needed", n)
		}
		served := make([]time.Time, users)
		var calls sync.WaitGroup
		for i := range users {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := again.Token(ctx, &w.server, fmt.Sprint("user", i), none); err != nil {
					t.Errorf("user%d: %v", i, err)
				}
				served[i] = time.Now()
			})
			synctest.Wait() // this one stands in line before the next comes
		}
		calls.Wait()
		if !slices.IsSortedFunc(served, time.Time.Compare) {
			t.Error("somebody was served before who came later")
		}
		if n, most := len(asked()), busiest(asked()); n != users || most > 20 || most < 10 {
			t.Errorf("%d requests, up to %d in a second", n, most)
		}
	})
}

// Whoever waits for a turn can leave, is not kept waiting for what cannot come in time, and does not keep the program from ending.
func TestWaitingForATurn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const users = 70
		for i := range users {
			w.connect(fmt.Sprint("user", i))
		}
		time.Sleep(2 * time.Hour)
		slow := w.another(func(c *credential.Config) { c.TokenRate = 1 })
		began := time.Now()
		results := make([]error, users)
		var calls sync.WaitGroup
		for i := range users {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, results[i] = slow.Token(ctx, &w.server, fmt.Sprint("user", i), none)
			})
			synctest.Wait()
		}
		if took := time.Since(began); took > 0 {
			t.Fatalf("it took %s to stand in line", took)
		}
		calls.Wait()
		served, left, sent := 0, 0, 0
		for _, err := range results {
			switch {
			case err == nil:
				served++
			case errors.Is(err, context.DeadlineExceeded):
				left++
			case errors.Is(err, credential.ErrUnavailable): // the turn would be more than a minute away
				sent++
			default:
				t.Error(err)
			}
		}
		if served < 3 || served > 6 || left < 30 || sent < 10 {
			t.Errorf("%d were served, %d left, %d were sent away", served, left, sent)
		}
		began = time.Now()
		if err := slow.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("the end took %s: %v", time.Since(began), err)
		}
	})
}

// A line of refreshes holds up no sign-in, and one provider's line no other provider.
func TestSignInsHaveALineOfTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const users = 60
		for i := range users {
			w.connect(fmt.Sprint("user", i))
		}
		time.Sleep(2 * time.Hour)
		var calls sync.WaitGroup
		for i := range users {
			calls.Go(func() { w.token(fmt.Sprint("user", i), none) })
		}
		synctest.Wait()
		began := time.Now()
		w.connect("carol")
		if took := time.Since(began); took > 0 {
			t.Errorf("the sign-in took %s", took)
		}
		calls.Wait()
		w.askedTimes(users)
	})
}
