package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultURL     = "http://127.0.0.1:8080"
	apiPath        = "/api/v1"
	clientTimeout  = 90 * time.Second // a discovery with a registration is the slowest that there is
	maxAnswer      = 32 << 20
	localTokenFile = "data/admin.token" // where serve, started from the same directory, leaves one
)

const clientHelp = `The API is found at --sidecar-url, else at MCP_SIDECAR_URL, else at ` + defaultURL + `. The token is that of --token-file, else of MCP_SIDECAR_TOKEN, else
of ./` + localTokenFile + ` if the API is on this machine.`

// client talks to the management API of a running sidecar.
type client struct {
	base  string
	token string
	http  *http.Client
}

// clientFlags are those of every command that uses the API.
type clientFlags struct {
	url, tokenFile string
	json           bool
}

func (f *clientFlags) add(cmd *cobra.Command) {
	set := cmd.PersistentFlags()
	set.StringVar(&f.url, "sidecar-url", "", "`URL` of the sidecar ["+envURL+"]")
	set.StringVar(&f.tokenFile, "token-file", "", "`file` with a token of role admin, - for stdin")
	set.BoolVar(&f.json, "json", false, "print the API's JSON, for scripts")
}

// connect returns a client; nothing is sent yet.
func (f *clientFlags) connect(p Process) (*client, error) {
	base := first(f.url, lookup(p.Env, envURL), defaultURL)
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
		return nil, errors.New("the URL of the sidecar is not of the form http://host:port")
	}
	token, err := f.readToken(p, u)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // one command, one or two requests
	return &client{
		base:  strings.TrimSuffix(base, "/") + apiPath,
		token: token,
		http: &http.Client{
			Transport:     transport,
			Timeout:       clientTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (f *clientFlags) readToken(p Process, u *url.URL) (string, error) {
	token := lookup(p.Env, envToken)
	switch {
	case f.tokenFile != "":
		text, err := readSecret(p, f.tokenFile)
		if err != nil {
			return "", err
		}
		token = text
	case token == "" && isLoopback(u.Hostname()):
		if text, err := os.ReadFile(localTokenFile); err == nil {
			token = strings.TrimSpace(string(text))
		}
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("there is no usable token: set %s, or give --token-file", envToken)
	}
	return token, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// call sends a request and returns the JSON of the answer. body is nil, or something that can be marshalled.
func (c *client) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.base, err)
	}
	if response.StatusCode >= 300 {
		return nil, refusal(response.Status, answer)
	}
	return answer, nil
}

// get sends a GET and decodes the answer.
func (c *client) get(ctx context.Context, path string, to any) ([]byte, error) {
	answer, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return answer, decode(answer, to)
}

func decode(answer []byte, to any) error {
	if err := json.Unmarshal(answer, to); err != nil {
		return fmt.Errorf("the answer is not what a sidecar would say: %w", err)
	}
	return nil
}

func (c *client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if operation := (*net.OpError)(nil); errors.As(err, &operation) && operation.Op == "dial" {
		return fmt.Errorf("%s cannot be reached: %w: is the sidecar running there, and is %s right?", c.base, err, envURL)
	}
	return fmt.Errorf("asking %s: %w", c.base, err)
}

// refusal puts the API's error on one line.
func refusal(status string, answer []byte) error {
	var said struct {
		Message, Detail string
		Validations     []struct{ Field, Detail string }
	}
	if json.Unmarshal(answer, &said) != nil || said.Message == "" {
		return fmt.Errorf("the answer was %s, and not one of a sidecar's", status)
	}
	more := make([]string, 0, 1+len(said.Validations))
	if said.Detail != "" {
		more = append(more, said.Detail)
	}
	for _, v := range said.Validations {
		more = append(more, v.Field+": "+v.Detail)
	}
	if len(more) == 0 {
		return errors.New(said.Message)
	}
	return errors.New(strings.TrimSuffix(said.Message, ".") + ": " + strings.Join(more, "; "))
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// maxSecret bounds what is read of a secret's file: whoever names a larger one named the wrong one.
const maxSecret = 64 << 10

// readSecret reads a secret from a file, or from stdin for -. The newline that editors leave at the end is not part of it.
func readSecret(p Process, name string) (string, error) {
	content, err := readInput(p, name, maxSecret)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return text, nil
}

func readInput(p Process, name string, limit int64) ([]byte, error) {
	from := p.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return content, nil
}
