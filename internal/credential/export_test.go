package credential

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Answer is a token answer, for the fuzz test.
type Answer struct {
	Access, Refresh string
	Expiry          time.Time
	Scopes          []string
}

// Ask sends a token request through a transport, and returns what is made of the answer.
func Ask(transport http.RoundTripper) (Answer, error) {
	b := &Broker{http: &http.Client{Transport: transport}, requestTimeout: time.Minute}
	a, refused := b.ask(context.Background(), "https://as.example/token", client{id: "c"}, url.Values{"grant_type": {"refresh_token"}})
	if refused != nil {
		return Answer{}, refused
	}
	return Answer{a.access.Reveal(), a.refresh.Reveal(), a.expiry, a.scopes}, nil
}

// PartingsOf says how many of that many ended connections are remembered.
func PartingsOf(ended int) int {
	b := &Broker{partings: map[key]string{}}
	for i := range ended {
		b.part(key{ServerID: "one", User: strconv.Itoa(i)}, whyDisconnected)
	}
	return len(b.partings)
}
