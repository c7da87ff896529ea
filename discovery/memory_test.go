package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/discovery"
	"mcpsidecar/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestWhatWasFoundIsBelievedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(asked, challenges("Bearer"), pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
		c := client(t, w)
		requests := func(server discovery.Server, want int) {
			t.Helper()
			if _, err := c.Discover(t.Context(), server); err != nil {
				t.Fatal(err)
			}
			equal(t, "the number of requests", len(w.requests()), want)
		}
		plain := discovery.Server{URL: mcp}
		requests(plain, 3)
		requests(plain, 0)
		requests(discovery.Server{URL: mcp, Challenge: "Bearer"}, 2)
		requests(discovery.Server{URL: mcp, PinnedIssuer: as}, 3)
		time.Sleep(3*time.Minute - time.Second)
		requests(plain, 0)
		time.Sleep(time.Second)
		requests(plain, 3)
		if _, err := c.Rediscover(t.Context(), plain); err != nil {
			t.Fatal(err)
		}
		equal(t, "the number of requests to find out anew", len(w.requests()), 3)
		requests(plain, 0)
	})
}

func TestAFailureIsRepeatedForSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(asked, challenges("Bearer"), pathPlace, resourceOf("https://evil.example/mcp", as))
		c := client(t, w)
		_, first := c.Discover(t.Context(), discovery.Server{URL: mcp})
		w.requests()
		w.put(pathPlace, resourceOf(mcp, as)).put(asPlace, issuerAt(as)) // mended
		_, second := c.Discover(t.Context(), discovery.Server{URL: mcp})
		if first == nil || !errors.Is(second, discovery.ErrResource) || len(w.requests()) != 0 {
			t.Errorf("at first %v, at once %v", first, second)
		}
		time.Sleep(5 * time.Second)
		if _, err := c.Discover(t.Context(), discovery.Server{URL: mcp}); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAdminNeedNotWait(t *testing.T) {
	w := web(pathPlace, resourceOf("https://evil.example/mcp", as))
	c := client(t, w)
	_, err := c.Discover(t.Context(), discovery.Server{URL: mcp})
	failureOf(t, err, discovery.ErrResource, nil)
	w.put(pathPlace, resourceOf(mcp, as)).put(asPlace, issuerAt(as))
	if _, err := c.Rediscover(t.Context(), discovery.Server{URL: mcp}); err != nil {
		t.Error(err)
	}
}

func TestManyWhoAskAtOnceAskTheServerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as, `"token_endpoint_auth_methods_supported":["none"]`))
		w.put(asked, func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			rw.WriteHeader(http.StatusUnauthorized)
		})
		c := client(t, w)
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				discover := c.Discover
				if i%2 == 0 {
					discover = c.Rediscover
				}
				metadata, err := discover(t.Context(), discovery.Server{URL: mcp})
				if err != nil {
					t.Error(err)
					return
				}
				metadata.TokenAuthMethods[0] = fmt.Sprint(i) // it is theirs alone
			})
		}
		group.Wait()
		same(t, "requests", w.requests(), []string{asked, pathPlace, asPlace})
		metadata, err := c.Discover(t.Context(), discovery.Server{URL: mcp})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "ways of authentication", metadata.TokenAuthMethods, []string{"none"})
	})
}

func TestWhoAskedMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
		w.put(asked, func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			rw.WriteHeader(http.StatusUnauthorized)
		})
		c := client(t, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Discover(ctx, discovery.Server{URL: mcp}); err != context.DeadlineExceeded {
			t.Errorf("the one who left got %v", err)
		}
		if _, err := c.Discover(t.Context(), discovery.Server{URL: mcp}); err != nil {
			t.Errorf("the one who stayed got %v", err)
		}
		same(t, "requests", w.requests(), []string{asked, pathPlace, asPlace})
	})
}

// silence never answers, and sees when it is no longer waited for.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestSilenceCostsOneRequestAndNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(asked, http.HandlerFunc(silence), pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
		begun := time.Now()
		if _, err := client(t, w).Discover(t.Context(), discovery.Server{URL: mcp}); err != nil {
			t.Error(err)
		}
		equal(t, "the time", time.Since(begun), 10*time.Second)
	})
}

func TestDiscoveryEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(asked, http.HandlerFunc(silence), pathPlace, http.HandlerFunc(silence), rootPlace, http.HandlerFunc(silence), ownPlace, http.HandlerFunc(silence))
		begun := time.Now()
		failure := fails(t, w, discovery.Server{URL: mcp}, discovery.ErrUnreachable)
		equal(t, "the time", time.Since(begun), 30*time.Second)
		equal(t, "where", "GET "+failure.URL, pathPlace)
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, web(asked, http.HandlerFunc(silence), pathPlace, http.HandlerFunc(silence)))
		result := make(chan error)
		go func() {
			_, err := c.Discover(t.Context(), discovery.Server{URL: mcp})
			result <- err
		}()
		synctest.Wait()
		begun := time.Now()
		c.Close()
		failureOf(t, <-result, discovery.ErrUnreachable, nil)
		equal(t, "the time", time.Since(begun), 0)

		_, err := c.Discover(t.Context(), discovery.Server{URL: as})
		var failure *discovery.Failure
		if !errors.As(err, &failure) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := web(pathPlace, resourceOf(mcp, as), asPlace, issuerAt(as))
		c := client(t, w)
		for i := range 3000 {
			if i == 1500 {
				time.Sleep(time.Hour) // nothing from before is believed any more
			}
			if _, err := c.Discover(t.Context(), discovery.Server{URL: mcp, Challenge: fmt.Sprintf("Bearer error=%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.Remembered(); n != 1024 {
			t.Errorf("%d are remembered", n)
		}
	})
}

func TestNewJudgesItsConfiguration(t *testing.T) {
	good := &http.Client{Transport: web()}
	for what, config := range map[string]discovery.Config{
		"no client":                  {},
		"a client that dials freely": {HTTP: &http.Client{}},
		"a negative time-out":        {HTTP: good, Timeout: -1},
		"a negative memory":          {HTTP: good, CacheTTL: -1},
		"a negative patience":        {HTTP: good, FailureTTL: -1},
	} {
		if _, err := discovery.New(config); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
