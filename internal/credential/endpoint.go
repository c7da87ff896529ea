package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"mcpsidecar/discovery"
	"mcpsidecar/internal/secret"
)

// maxAnswer bounds what is read of a provider's answer.
const maxAnswer = 256 << 10

// client is who we are at a token endpoint.
type client struct {
	id     string
	secret secret.Value
	method string // of discovery's; empty: not known
}

func (c client) style() oauth2.AuthStyle {
	if c.method == discovery.AuthBasic || c.method == "" && !c.secret.IsZero() {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

// ask sends one form to a token endpoint. Its error is a *refusal, always: what the library's errors would tell (the whole answer, the whole URL) ends here.
//
// The library sends parameters of one's own, resource among them, with a refresh only through its client credentials flow, which takes any grant_type; so both kinds of request go that way. The
// way of authentication is given, so that the library never tries out two.
func (b *Broker) ask(ctx context.Context, endpoint string, who client, form url.Values) (answer, *refusal) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, b.requestTimeout)
	defer cancel()
	sieve := &sieve{next: b.http.Transport}
	config := clientcredentials.Config{
		ClientID: who.id, ClientSecret: who.secret.Reveal(), TokenURL: endpoint, EndpointParams: form, AuthStyle: who.style(),
	}
	if who.method == discovery.AuthNone {
		config.ClientSecret = ""
	}
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: sieve, CheckRedirect: stay}))
	if err != nil {
		return answer{}, sieve.refusal(ctx, err)
	}
	result, problem := read(token, began)
	if problem != "" {
		return answer{}, &refusal{status: sieve.status, bad: problem}
	}
	return result, nil
}

// stay makes a redirect an answer like another: a token request goes to its endpoint and nowhere else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// sieve stands between the library and the provider: it asks for JSON, bounds the answer, and lets through only the members that mean something, in shapes that the library can read.
type sieve struct {
	next   http.RoundTripper
	status int
	after  time.Duration
	bad    string
}

// RoundTrip is the library's only way out.
func (s *sieve) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Accept", "application/json")
	response, err := s.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	s.status, s.after = response.StatusCode, retryAfter(response.Header.Get("Retry-After"))
	members := map[string]any{}
	switch {
	case len(body) > maxAnswer:
		s.bad = "it is too long"
	case response.Header.Get("Content-Encoding") != "":
		s.bad = "it is compressed, which was not asked for"
	default:
		members = sift(response.Header.Get("Content-Type"), body)
	}
	clean, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: response.StatusCode, Status: strconv.Itoa(response.StatusCode), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(clean)), ContentLength: int64(len(clean)),
	}, nil
}

// refusal is what remains of an error of the library.
func (s *sieve) refusal(ctx context.Context, err error) *refusal {
	r := &refusal{status: s.status, after: s.after, bad: s.bad}
	var told *oauth2.RetrieveError
	if errors.As(err, &told) && codes[told.ErrorCode] {
		r.code = told.ErrorCode
	}
	if s.status >= 200 && s.status < 300 && r.code == "" && r.bad == "" {
		r.bad = "it holds no access token"
	}
	r.slow = s.status == 0 && ctx.Err() != nil
	return r
}

func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxBackOff)
}

// sift reads the members of an answer that mean something here; an answer that is none has none. Names are compared exactly. GitHub answers with a form.
func sift(contentType string, body []byte) map[string]any {
	members := map[string]any{}
	media, _, _ := mime.ParseMediaType(contentType)
	if media == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return members
		}
		for _, name := range answerMembers {
			if form.Has(name) {
				members[passed(name)] = form.Get(name)
			}
		}
		return members
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(body, &raw) != nil {
		return members
	}
	for _, name := range answerMembers {
		var value any
		decoder := json.NewDecoder(bytes.NewReader(raw[name]))
		decoder.UseNumber()
		if raw[name] == nil || decoder.Decode(&value) != nil {
			continue
		}
		switch value := value.(type) {
		case string:
			members[passed(name)] = value
		case json.Number:
			if name == "expires_in" {
				members[memberLife] = value.String()
			}
		}
	}
	return members
}

// passed is the name under which a member passes the library.
func passed(name string) string {
	if name == "expires_in" {
		return memberLife
	}
	return name
}
