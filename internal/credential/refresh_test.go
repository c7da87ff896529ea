package credential_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpsidecar/internal/credential"
)

// bubble runs a test in fake time with a world of its own.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w)
		w.close()
	})
}

func TestTokenComesFromMemory(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.hasNot("alice", credential.ErrNotConnected)
		w.is("alice", credential.StateNeedsAuth)
		w.connect("alice")
		w.is("alice", credential.StateConnected)
		first := w.has("alice", "access-1")
		if allocated := testing.AllocsPerRun(100, func() { w.token("alice", none) }); allocated > 1 {
			t.Errorf("a fresh token costs %.0f allocations", allocated)
		}
		if second := w.has("alice", "access-1"); !second.Equal(first) {
			t.Error("the token changed")
		}
		w.hasNot("bob", credential.ErrNotConnected)
		w.askedTimes(0)
	})
}

// K-01
func TestAThousandCallsAtExpiryAreOneRequest(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.provider.set(func(p *provider) { p.delay = 500 * time.Millisecond })
		time.Sleep(2 * time.Hour)
		began := time.Now()
		var calls sync.WaitGroup
		var good atomic.Int32
		for range 1000 {
			calls.Go(func() {
				if got, err := w.token("alice", none); err == nil && got.Reveal() == "Bearer access-2" {
					good.Add(1)
				}
			})
		}
		calls.Wait()
		if took := time.Since(began); good.Load() != 1000 || took > 600*time.Millisecond {
			t.Errorf("%d of 1000 calls succeeded after %s", good.Load(), took)
		}
		w.askedTimes(1)
		w.resultsAre(credential.ResultOK)
	})
}

// K-02
func TestOneSlowProviderHoldsUpNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const users = 100
		for i := range users {
			w.connect(fmt.Sprint("user", i))
		}
		other := w.create("two", "https://other.example/mcp")
		w.directory.metadata.TokenEndpoint = "https://other-as.example/token"
		w.connectTo(other, "bob")
		w.provider.set(func(p *provider) {
			p.resource = place
			p.always = func(_ *http.Request, form url.Values) (*http.Response, error) {
				if form.Get("resource") == place {
					time.Sleep(29 * time.Second)
				} else {
					p.set(func(p *provider) { p.resource = form.Get("resource") })
				}
				return nil, nil
			}
		})
		time.Sleep(2 * time.Hour)
		var calls sync.WaitGroup
		for i := range users {
			for range 3 {
				calls.Go(func() { w.token(fmt.Sprint("user", i), none) })
			}
		}
		synctest.Wait() // all of them wait for the provider
		began := time.Now()
		if _, err := w.broker.Token(t.Context(), &other, "bob", none); err != nil || time.Since(began) > 0 {
			t.Errorf("bob waited %s: %v", time.Since(began), err)
		}
		w.provider.set(func(p *provider) { p.resource = place })
		calls.Wait()
		w.askedTimes(users + 1)
	})
}

// K-07
func TestTokensAreRefreshedAheadOfExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.provider.set(func(p *provider) { p.life, p.delay = "60", 300*time.Millisecond })
		w.connect("alice")
		var last string
		changed := time.Now()
		for range 6000 { // ten minutes of calls
			began := time.Now()
			got, err := w.token("alice", none)
			if err != nil || time.Since(began) > 0 {
				t.Fatalf("a call waited %s: %v", time.Since(began), err)
			}
			if got.Reveal() != last {
				last, changed = got.Reveal(), time.Now()
			}
			if time.Since(changed) >= time.Minute {
				t.Fatalf("%s is sent %s after it was given", last, time.Since(changed))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.provider.asked(); n < 10 || n > 11 {
			t.Errorf("%d refreshes in ten minutes", n)
		}
	})
}

func TestCallersMayLeave(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.provider.set(func(p *provider) { p.delay = 3 * time.Second })
		time.Sleep(2 * time.Hour)
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		if _, err := w.broker.Token(ctx, &w.server, "alice", none); !errors.Is(err, ctx.Err()) || err == nil {
			t.Errorf("the call that left got %v", err)
		}
		time.Sleep(5 * time.Second)
		w.has("alice", "access-2") // the refresh went on
		w.askedTimes(1)
	})
}

// O-16
func TestARefreshTokenThatIsNotRepeatedStays(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		for i := range 6 {
			w.provider.set(func(p *provider) { p.keepOld, p.rotate = i%2 == 0, i%2 == 1 })
			time.Sleep(2 * time.Hour)
			w.has("alice", fmt.Sprintf("access-%d", i+2))
		}
		w.askedTimes(6)
	})
}

func TestResourceIsAskedForAlways(t *testing.T) { // O-08
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		time.Sleep(2 * time.Hour)
		w.has("alice", "access-2")
		for _, r := range w.provider.requests {
			if r.form.Get("resource") != place || len(r.form["resource"]) != 1 {
				t.Errorf("%s asked for %q", r.form.Get("grant_type"), r.form["resource"])
			}
		}
	})
}

func TestFaultsThatPass(t *testing.T) {
	broken := func(*http.Request, url.Values) (*http.Response, error) {
		return nil, errors.New("secret words of a network")
	}
	hang := func(r *http.Request, _ url.Values) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	cut := func(*http.Request, url.Values) (*http.Response, error) {
		r := reply(200, "")
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"access_token":"`), brokenReader{}))
		return r, nil
	}
	html := func(*http.Request, url.Values) (*http.Response, error) {
		r := reply(200, "<html>sign in here</html>")
		r.Header.Set("Content-Type", "text/html")
		return r, nil
	}
	for name, f := range map[string]fault{
		"500": answers(500, ""), "503": answers(503, `{"error":"temporarily_unavailable"}`), "429": answers(429, `{"error":"invalid_grant"}`), "502 that says invalid_grant": answers(502, `{"error":"invalid_grant"}`),
		"no connection": broken, "no answer": hang, "half an answer": cut, "HTML": html, "an empty answer": answers(200, ""), "no token": answers(200, `{}`), "an array": answers(200, `[]`),
		"a token for others": answers(200, `{"access_token":"x","token_type":"mac"}`), "a poisoned token": answers(200, `{"access_token":"a\r\nX-Evil: 1","token_type":"Bearer"}`),
		"invalid_client": answers(401, `{"error":"invalid_client"}`), "unauthorized_client": answers(400, `{"error":"unauthorized_client"}`), "a redirect": answers(307, ""),
		"an unknown error": answers(400, `{"error":"invalid_grant_please"}`), "an error in capitals": answers(400, `{"Error":"invalid_grant"}`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.connect("alice")
				w.provider.set(func(p *provider) { p.always = f })
				time.Sleep(time.Hour - 20*time.Second) // in the window, before the expiry
				w.has("alice", "access-1")
				time.Sleep(10 * time.Second)
				w.has("alice", "access-1")
				if n := w.provider.asked(); n < 1 || n > 4 {
					t.Errorf("%d requests in ten seconds", n)
				}
				time.Sleep(time.Hour)
				if _, err := w.token("alice", none); !errors.Is(err, credential.ErrUnavailable) && !errors.Is(err, credential.ErrNeedsReauth) {
					t.Errorf("after the expiry: %v", err)
				}
				before := w.provider.asked()
				for range 1000 {
					w.token("alice", none)
				}
				if n := w.provider.asked() - before; n > 3 {
					t.Errorf("a thousand calls asked %d times", n)
				}
				if c := w.is("alice", credential.StateConnected); c.LastError == "" || strings.Contains(c.LastError, "secret") {
					t.Errorf("the last error is %q", c.LastError)
				}
				w.provider.set(func(p *provider) { p.always = nil })
				time.Sleep(2 * time.Minute)
				if got, err := w.token("alice", none); err != nil || got.Reveal() == "Bearer access-1" {
					t.Errorf("after the trouble: %q, %v", got.Reveal(), err)
				}
				if c := w.is("alice", credential.StateConnected); c.LastError != "" {
					t.Errorf("the last error is still %q", c.LastError)
				}
				if w.provider.reused != 0 {
					t.Error("a refresh token was used after its end")
				}
			})
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("cut off") }

func TestCallsWaitForASecondAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		time.Sleep(2 * time.Hour)
		w.provider.set(func(p *provider) { p.faults = []fault{answers(503, ""), answers(500, "")} })
		w.has("alice", "access-2")
		w.askedTimes(3)
		w.resultsAre(credential.ResultTransient, credential.ResultTransient, credential.ResultOK)
	})
}

func TestWhatEndsAGrant(t *testing.T) {
	for name, f := range map[string]fault{
		"invalid_grant": answers(400, `{"error":"invalid_grant","error_description":"secret"}`), "401 invalid_grant": answers(401, `{"error":"invalid_grant"}`),
		"bad_refresh_token with 200": answers(200, `{"error":"bad_refresh_token","error_description":"secret"}`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.connect("alice")
				w.connect("bob")
				time.Sleep(2 * time.Hour)
				w.provider.set(func(p *provider) { p.faults = []fault{f} })
				w.hasNot("alice", credential.ErrNeedsReauth)
				for range 100 {
					w.hasNot("alice", credential.ErrNeedsReauth)
				}
				w.askedTimes(1)
				c := w.is("alice", credential.StateNeedsReauth)
				if c.LastError == "" || strings.Contains(c.LastError, "secret") {
					t.Errorf("the last error is %q", c.LastError)
				}
				grant, err := w.store.Grant(t.Context(), w.server.ID, "alice")
				if err != nil || !grant.AccessToken.IsZero() || !grant.RefreshToken.IsZero() || len(grant.Reason) > 400 {
					t.Errorf("a dead grant still has tokens: %v", err)
				}
				w.resultsAre(credential.ResultEnded)
				w.has("bob", "access-3")
				w.connect("alice")
				w.is("alice", credential.StateConnected)
				w.has("alice", "access-4")
			})
		})
	}
}

// O-17
func TestExpiresIn(t *testing.T) {
	jwt := func(exp int64) string {
		return `"h.` + base64JSON(fmt.Sprintf(`{"exp":%d}`, exp)) + `.s"`
	}
	for _, c := range []struct {
		name, life, token string
		lives             time.Duration // 0: over at once; -1: not known
	}{
		{"a number", `3600`, "", time.Hour}, {"a string", `"3600"`, "", time.Hour}, {"a fraction", `3600.5`, "", time.Hour}, {"zero", `0`, "", 0}, {"negative", `-5`, "", 0},
		{"very long", `1e12`, "", 365 * 24 * time.Hour}, {"beyond all numbers", `1e999`, "", -1}, {"not quite a number", `"3600abc"`, "", -1}, {"a list", `[3600]`, "", -1}, {"true", `true`, "", -1},
		{"null", `null`, "", -1}, {"absent", ``, "", -1}, {"absent, and the token says it", ``, jwt(946684800 + 7200), 2 * time.Hour}, {"absent, and the token says the past", ``, jwt(5), -1},
		{"absent, and the token lies", ``, `"a.!!.b"`, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				body := `{"access_token":"first","token_type":"BEARER","refresh_token":"refresh-0"`
				if c.token != "" {
					body = strings.Replace(body, `"first"`, c.token, 1)
				}
				if c.life != "" {
					body += `,"expires_in":` + c.life
				}
				w.provider.set(func(p *provider) {
					p.faults = []fault{answers(200, body+`}`)}
					p.refresh["refresh-0"] = true
					p.life = c.life
				})
				w.connect("alice")
				expires := w.is("alice", credential.StateConnected).Expires
				switch {
				case c.lives < 0 && !expires.IsZero():
					t.Errorf("it expires %s", expires)
				case c.lives >= 0 && time.Until(expires).Round(time.Second) != c.lives:
					t.Errorf("it expires in %s, want %s", time.Until(expires), c.lives)
				}
				for range 100 {
					w.token("alice", none)
				}
				switch {
				case c.lives == 0:
					w.askedTimes(1) // before its use, and then no loop
					w.has("alice", "access-1")
				case c.lives < 0:
					time.Sleep(1000 * time.Hour)
					held, err := w.token("alice", none)
					if err != nil {
						t.Fatal(err)
					}
					w.askedTimes(0)
					if _, err := w.token("alice", held); err != nil { // until a 401
						t.Error(err)
					}
					w.askedTimes(1)
				default:
					w.askedTimes(0)
				}
			})
		})
	}
}

// O-24
func TestAServerThatAlwaysRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		var calls sync.WaitGroup
		var upstream, ended atomic.Int32
		call := func() { // what the data path does
			got, err := w.token("alice", none)
			if err != nil {
				return
			}
			upstream.Add(1)
			if _, err = w.token("alice", got); err != nil {
				ended.Add(1)
				return
			}
			upstream.Add(1)
		}
		for range 1000 {
			calls.Go(call)
		}
		calls.Wait()
		for range 100 {
			call()
			time.Sleep(100 * time.Millisecond)
		}
		w.askedTimes(1)
		if upstream.Load() > 2*1100 {
			t.Errorf("%d upstream requests for 1100 calls", upstream.Load())
		}
		_, err := w.token("alice", w.has("alice", "access-2"))
		expect(t, "a fresh token that is refused", err, credential.ErrRefused)
		time.Sleep(30 * time.Second)
		if got, err := w.token("alice", w.has("alice", "access-2")); err != nil || got.Reveal() != "Bearer access-3" {
			t.Errorf("later: %q, %v", got.Reveal(), err)
		}
	})
}

func TestARefusedTokenIsReplacedOnceForAll(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		refused := w.has("alice", "access-1")
		w.provider.set(func(p *provider) { p.delay = time.Second })
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if got, err := w.token("alice", refused); err != nil || got.Reveal() != "Bearer access-2" {
					t.Errorf("%q, %v", got.Reveal(), err)
				}
			})
		}
		calls.Wait()
		if got, err := w.token("alice", refused); err != nil || got.Reveal() != "Bearer access-2" {
			t.Errorf("a late one: %q, %v", got.Reveal(), err)
		}
		w.askedTimes(1)
	})
}

func TestARefusedTokenThatNothingReplaces(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.provider.set(func(p *provider) { p.bare, p.life = true, "" })
		w.connect("alice")
		refused := w.has("alice", "access-1")
		_, err := w.token("alice", refused)
		expect(t, "a refused token without a refresh token", err, credential.ErrNeedsReauth)
		w.hasNot("alice", credential.ErrNeedsReauth) // no upstream request for a while
		w.is("alice", credential.StateNeedsReauth)
		time.Sleep(time.Minute)
		w.has("alice", "access-1") // the server may have been wrong
		w.connect("alice")
		w.has("alice", "access-2")
		w.askedTimes(0)
	})
}

func TestNothingIsAskedThatCouldNotBeStored(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		time.Sleep(2 * time.Hour)
		w.store.Close()
		if _, err := w.token("alice", none); err == nil {
			t.Error("a token came from a store that is closed")
		}
		w.askedTimes(0)
	})
}

// C-05: what a provider gave while the disk was full is kept until it can be stored, and not used before; and nothing more is asked for meanwhile.
func TestADiskThatIsFullLosesNoGrant(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.connect("alice")
		w.connect("bob")
		time.Sleep(2 * time.Hour)
		w.provider.set(func(p *provider) {
			p.faults = []fault{func(*http.Request, url.Values) (*http.Response, error) { w.disk.full.Store(true); return nil, nil }}
		})
		w.hasNot("alice", credential.ErrUnavailable)
		for range 5 {
			time.Sleep(time.Minute)
			w.hasNot("alice", credential.ErrUnavailable)
			w.hasNot("bob", credential.ErrUnavailable)
		}
		w.askedTimes(1)
		w.disk.full.Store(false)
		time.Sleep(time.Minute)
		w.has("alice", "access-3")
		w.askedTimes(1)
		w.has("bob", "access-4")
		if w.provider.reused != 0 {
			t.Error("a refresh token was used after its end")
		}
	})
}

// A winner elsewhere: the grant is replaced while a refresh is under way.
func TestALateRefreshOverwritesNothing(t *testing.T) {
	for _, outcome := range []struct {
		name string
		f    fault
	}{{"that went well", nil}, {"that ended in invalid_grant", answers(400, `{"error":"invalid_grant"}`)}} {
		t.Run(outcome.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.connect("alice")
				time.Sleep(2 * time.Hour)
				w.provider.set(func(p *provider) {
					p.faults = []fault{func(r *http.Request, form url.Values) (*http.Response, error) {
						time.Sleep(3 * time.Second)
						if outcome.f == nil {
							return nil, nil
						}
						return outcome.f(r, form)
					}}
				})
				var call sync.WaitGroup
				call.Go(func() {
					if got, err := w.token("alice", none); err != nil || got.Reveal() != "Bearer access-2" {
						t.Errorf("the call got %q, %v", got.Reveal(), err)
					}
				})
				time.Sleep(time.Second)
				w.connect("alice") // access-2
				call.Wait()
				w.has("alice", "access-2")
				w.is("alice", credential.StateConnected)
				w.resultsAre(credential.ResultLost)
			})
		})
	}
}
