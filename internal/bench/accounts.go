package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// guardedPath is where the upstream wants a credential; it is the same text as a key and as an access token.
const (
	guardedPath = "/guarded"
	credential  = "Bearer bench-0a1b2c3d4e5f6a7b8c9d-credential"
)

// accountAgainstKey compares a call with a user's access token to one with an API key, in turn, on the same sidecar and the same upstream: the median of the ratios of processor time.
func (h *house) accountAgainstKey(ctx context.Context) (figure, error) {
	key, err := h.guarded("key", `"auth_type":"api_key","api_key_header":"Authorization","api_key_value":"`+credential+`"`)
	if err != nil {
		return figure{}, err
	}
	account, err := h.guarded("account", fmt.Sprintf(`"auth_type":"oauth2","oauth2_client_id":"bench","oauth2_auth_url":"http://%[1]s/authorize","oauth2_token_url":"http://%[1]s/token"`, h.upstream))
	if err != nil {
		return figure{}, err
	}
	if err := h.signIn(ctx, account.id); err != nil {
		return figure{}, err
	}
	client := newClient(h.o.concurrency)
	defer client.CloseIdleConnections()
	do := call("call_1k", 1<<10, 10)
	warm := 100 * h.o.concurrency
	for range 2 {
		for _, t := range []*target{&key.target, &account.target} {
			if _, err := batch(ctx, client, t, do, warm, h.o.concurrency); err != nil {
				return figure{}, err
			}
		}
	}
	m, err := batch(ctx, client, &key.target, do, warm, h.o.concurrency)
	if err != nil {
		return figure{}, err
	}
	count := max(warm, int(float64(warm)*float64(h.o.slice)/float64(m.wall)/2))
	rounds := make([][2]time.Duration, h.o.rounds)
	for i := range rounds {
		for _, j := range []int{0, 1, 1, 0} { // so that a drift of the machine is on both sides
			m, err := batch(ctx, client, []*target{&key.target, &account.target}[j], do, count, h.o.concurrency)
			if err != nil {
				return figure{}, err
			}
			rounds[i][j] += m.cpu
		}
		if h.o.verbose {
			fmt.Fprintf(os.Stderr, "  CPU %.2f (%v, %v)\n", float64(rounds[i][1])/float64(rounds[i][0]), rounds[i][0]/2, rounds[i][1]/2)
		}
	}
	ratio := median(rounds, func(cpu [2]time.Duration) float64 { return float64(cpu[1]) / float64(cpu[0]) })
	return figure{value: ratio, unit: "×", must: 1.05, stretch: 1}, nil
}

// guardedServer is a server of its own, which is in no list.
type guardedServer struct {
	target
	id string
}

func (h *house) guarded(slug, auth string) (guardedServer, error) {
	own := h.targets[2]
	made, err := h.api(h.own, "/api/v1/servers", fmt.Sprintf(`{"display_name":%[1]q,"slug":%[1]q,"transport":"streamable_http","url":"http://%[2]s%[3]s","availability":"default_off","enabled":true,%[4]s}`,
		slug, h.upstream, guardedPath, auth))
	return guardedServer{target{name: slug, url: own.url + "/" + slug, token: own.token, process: own.process}, made.ID}, err
}

// signIn connects the user's account: as its browser it goes where it is sent, but for the provider's page, which would only send it on.
func (h *house) signIn(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	visit := func(address string, cookie *http.Cookie) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		if cookie == nil {
			r.Header.Set("Authorization", "Bearer "+h.targets[2].token)
		} else {
			r.AddCookie(cookie)
		}
		response, err := browser.Do(r)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response, err
	}
	sent, err := visit("http://"+h.own+"/api/v1/servers/"+id+"/oauth2/connect", nil)
	if err != nil {
		return err
	}
	to, err := sent.Location()
	if err != nil || len(sent.Cookies()) != 1 {
		return fmt.Errorf("the sign-in did not begin: %s", sent.Status)
	}
	asked := to.Query()
	back, err := visit(asked.Get("redirect_uri")+"?"+url.Values{"state": {asked.Get("state")}, "code": {"bench"}}.Encode(), sent.Cookies()[0])
	if err == nil && back.StatusCode != http.StatusOK {
		err = errors.New("the sign-in ended with " + back.Status)
	}
	return err
}

// serveToken is the token endpoint of the upstream.
func serveToken(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, credential[len("Bearer "):])
}
