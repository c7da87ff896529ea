package proxy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// renewing is one list in a bubble, whose fetches are noted and fail as long as it is down.
type renewing struct {
	keeper[int]
	down, idle atomic.Bool

	mu      sync.Mutex // guards what follows
	began   time.Time
	fetched []time.Duration
}

// renewed runs a test with a list that was fetched ten seconds ago.
func renewed(t *testing.T, test func(t *testing.T, k *renewing)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &Proxy{now: time.Now, background: ctx, log: slog.New(slog.DiscardHandler), config: Config{Waiting: Waiting{}.orDefaults()}}
		k := &renewing{}
		k.keeper = keeper[int]{p: p, touch: func(time.Time) {}, took: func(_, _ *int) {}, wanted: func() bool { return !k.idle.Load() }}
		k.fetch = func(context.Context) (*int, time.Duration, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.fetched = append(k.fetched, time.Since(k.began))
			if k.down.Load() {
				return nil, 0, errors.New("down")
			}
			return new(int), maxTTL, nil
		}
		if _, _, err := k.get(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		k.mu.Lock()
		k.began, k.fetched = time.Now(), nil
		k.mu.Unlock()
		test(t, k)
		k.close()
		cancel()
		p.goroutines.Wait()
	})
}

func (k *renewing) want(t *testing.T, when string, seconds ...int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	got := []int{}
	for _, at := range k.fetched {
		got = append(got, int(at/time.Second))
	}
	if !slices.Equal(got, seconds) {
		t.Errorf("%s: fetched after %v seconds, want %v", when, got, seconds)
	}
}

func (k *renewing) isStale(t *testing.T, when string, want bool) {
	t.Helper()
	if _, stale, err := k.get(t.Context()); stale != want || err != nil {
		t.Errorf("%s: stale %v, %v", when, stale, err)
	}
}

func TestAChangeIsFetchedUntilItIsThere(t *testing.T) {
	renewed(t, func(t *testing.T, k *renewing) {
		k.down.Store(true)
		k.lapse()
		time.Sleep(3500 * time.Millisecond)
		k.isStale(t, "while it fails", true)
		k.down.Store(false)
		time.Sleep(time.Hour)
		k.want(t, "a change", 0, 1, 3, 7)
	})
}

func TestADoubtIsFetchedUntilItIsThere(t *testing.T) {
	renewed(t, func(t *testing.T, k *renewing) {
		k.down.Store(true)
		k.doubt()
		k.isStale(t, "a list that may be another", false)
		time.Sleep(500 * time.Millisecond)
		k.down.Store(false)
		time.Sleep(time.Minute)
		k.isStale(t, "afterwards", false)
		k.want(t, "a doubt", 0, 1)
	})
}

// TestADoubtInTheMiddleOfAFetch is not answered by that.
func TestADoubtInTheMiddleOfAFetch(t *testing.T) {
	renewed(t, func(t *testing.T, k *renewing) {
		fetch := k.fetch
		k.fetch = func(ctx context.Context) (*int, time.Duration, error) {
			defer time.Sleep(time.Second)
			return fetch(ctx)
		}
		k.refresh()
		time.Sleep(500 * time.Millisecond)
		k.doubt()
		time.Sleep(time.Second)
		k.isStale(t, "a list that may be another", false)
		time.Sleep(time.Minute)
		k.want(t, "a doubt in the middle", 0, 2)
	})
}

func TestAnEditHastensWhatIsOwed(t *testing.T) {
	renewed(t, func(t *testing.T, k *renewing) {
		k.down.Store(true)
		k.lapse()
		time.Sleep(8 * time.Second)
		k.down.Store(false)
		k.forgive()
		time.Sleep(time.Hour)
		k.want(t, "an edit", 0, 1, 3, 7, 8)
	})
}

// TestNobodyIsAskedForNobody: a server that is down is left alone when nobody uses it any more; whoever comes back has what is owed.
func TestNobodyIsAskedForNobody(t *testing.T) {
	renewed(t, func(t *testing.T, k *renewing) {
		k.down.Store(true)
		k.doubt()
		time.Sleep(2 * time.Second)
		k.idle.Store(true)
		time.Sleep(2 * time.Minute) // less than the list is good for
		k.want(t, "while nobody wants it", 0, 1)
		k.down.Store(false)
		k.isStale(t, "whoever comes back", false)
		k.want(t, "then", 0, 1, 122)
	})
}
